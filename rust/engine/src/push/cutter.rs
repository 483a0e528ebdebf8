//! Cuts the parsed stream into parts and lays each out for sealing.
//!
//! A part ends only where the stream could be resumed: behind a WRITE, or before an OBJECT record.
//! A stretch without such a border makes its part longer than aimed at, never cut elsewhere.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::mpsc::Sender;

use sealing::{PartSeal, Recipients};
use sendstream::{Border, HEADER_BYTES, Record, Sink, SpliceSink};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::part_size::PartSizeRule;
use super::piece::{PartEnd, PieceFill, PlainPiece};
use super::proof::{Proving, StoredParts};
use super::splicing::Beginning;
use crate::buffers::{Buffer, BufferPool};
use crate::error::EngineError;

/// An age header this large comes from far too many recipients.
const LARGEST_HEADER_BYTES: usize = 64 << 10;
/// Level of zstd: the fastest that still finds repeats over a whole record.
const ZSTD_LEVEL: i32 = 3;

/// Where the cutter takes buffers from and hands pieces to.
#[derive(Clone)]
pub(crate) struct PieceLine {
    pub(crate) pool: Arc<BufferPool>,
    pub(crate) pieces: Sender<PlainPiece>,
    pub(crate) runtime: Handle,
    pub(crate) cancel: CancellationToken,
}

impl PieceLine {
    fn take_buffer(&self) -> Result<Buffer, EngineError> {
        let taken = self.runtime.block_on(self.cancel.run_until_cancelled(self.pool.take()));
        taken.ok_or_else(|| EngineError::cancelled("stopped while waiting for the store"))
    }

    fn hand_on(&self, piece: PlainPiece) -> Result<(), EngineError> {
        self.pieces.send(piece).map_err(|_| EngineError::cancelled("the upload has ended"))
    }
}

/// How a stream becomes parts.
pub(crate) struct Cutting {
    pub(crate) recipients: Arc<Recipients>,
    pub(crate) rule: PartSizeRule,
    pub(crate) compress: bool,
    /// Whether to take along what proves each part's bytes.
    pub(crate) prove: bool,
    /// What is stored already: proven, not sealed again.
    pub(crate) stored: StoredParts,
    /// What lies before the first record, if it is a stream's rest that comes.
    pub(crate) behind: Option<Beginning>,
}

/// The stream's [`Sink`]: every byte goes into exactly one part.
pub(crate) struct Cutter {
    line: PieceLine,
    cutting: Cutting,
    proving: Option<Proving>,
    next_number: u32,
    position: u64,
    repeated_bytes: u64,
    part: Option<OpenPart>,
    /// What the first record has to be compared with.
    behind: Option<Beginning>,
}

struct OpenPart {
    number: u32,
    offset: u64,
    body: Body,
}

enum Body {
    /// Stored by an earlier session.
    Stored,
    Plain(PartWriter),
    Zstd(Box<zstd::stream::write::Encoder<'static, PartWriter>>),
}

impl Cutter {
    /// # Errors
    /// `engine.bad_request` to go on behind parts that nothing proves.
    pub(crate) fn new(line: PieceLine, mut cutting: Cutting) -> Result<Self, EngineError> {
        let behind = cutting.behind.take();
        let mut cutter = Self {
            proving: cutting.prove.then(Proving::default),
            line,
            cutting,
            next_number: 0,
            position: 0,
            repeated_bytes: 0,
            part: None,
            behind: None,
        };
        if let Some(beginning) = behind {
            if cutter.proving.is_none() {
                return Err(EngineError::bad_request("only a run that keeps state can be spliced"));
            }
            cutter.proving = Some(Proving::behind(&beginning));
            cutter.next_number = beginning.parts;
            cutter.position = beginning.saved.position;
            cutter.behind = Some(beginning);
        }
        Ok(cutter)
    }

    /// How many bytes so far were of parts that are stored already.
    pub(crate) fn repeated_bytes(&self) -> u64 {
        self.repeated_bytes
    }

    /// Ends the last part, once the stream was read to its end.
    pub(crate) fn finish(mut self, end_checksum: [u64; 4]) -> Result<(), EngineError> {
        self.end_part(None, end_checksum)?;
        self.cutting.stored.all_proven()
    }

    fn begin_part(&mut self) -> Result<OpenPart, EngineError> {
        let number = self.next_number;
        self.next_number += 1;
        let body = if self.cutting.stored.holds(number) {
            Body::Stored
        } else {
            let writer = PartWriter::new(self.line.clone(), &self.cutting.recipients, number)?;
            if self.cutting.compress {
                let encoder = zstd::stream::write::Encoder::new(writer, ZSTD_LEVEL).map_err(from_io)?;
                Body::Zstd(Box::new(encoder))
            } else {
                Body::Plain(writer)
            }
        };
        Ok(OpenPart { number, offset: self.position, body })
    }

    fn end_part(&mut self, border: Option<Border>, end_checksum: [u64; 4]) -> Result<(), EngineError> {
        let Some(part) = self.part.take() else { return Ok(()) };
        let proof = self.proving.as_mut().map(|proving| Box::new(proving.end_part(border, end_checksum)));
        let end = PartEnd { stream_offset: part.offset, stream_length: self.position - part.offset, proof };
        let writer = match part.body {
            Body::Stored => return self.cutting.stored.prove(part.number, &end),
            Body::Plain(writer) => writer,
            Body::Zstd(encoder) => encoder.finish().map_err(from_io)?,
        };
        writer.finish(end)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), EngineError> {
        let mut part = match self.part.take() {
            Some(part) => part,
            None => self.begin_part()?,
        };
        match &mut part.body {
            Body::Stored => self.repeated_bytes += bytes.len() as u64,
            Body::Plain(writer) => writer.put(bytes)?,
            Body::Zstd(encoder) => encoder.write_all(bytes).map_err(from_io)?,
        }
        self.part = Some(part);
        self.position += bytes.len() as u64;
        Ok(())
    }
}

impl Sink for Cutter {
    type Error = EngineError;

    fn record(
        &mut self,
        record: &Record,
        header: &[u8; HEADER_BYTES],
        border_before: Option<Border>,
    ) -> Result<(), EngineError> {
        if let Some(beginning) = self.behind.take() {
            let border = beginning.saved.border;
            let repeated = self.proving.as_ref().and_then(|proving| proving.announcement(border));
            beginning.check_announcement(repeated)?;
        }
        if let (Some(_), Some(part)) = (border_before, &self.part) {
            let record_bytes = HEADER_BYTES as u64 + record.payload_len;
            if !self.cutting.rule.fits(part.number.into(), self.position - part.offset, record_bytes) {
                self.end_part(border_before, record.checksum_before)?;
            }
        }
        if let Some(proving) = &mut self.proving {
            proving.record(record, header);
        }
        self.put(header)
    }

    fn payload(&mut self, bytes: &[u8]) -> Result<(), EngineError> {
        if let Some(proving) = &mut self.proving {
            proving.payload(bytes);
        }
        self.put(bytes)
    }
}

impl SpliceSink for Cutter {
    fn begin_payload(&mut self, bytes: &[u8]) -> Result<(), EngineError> {
        if let (Some(proving), Some(beginning)) = (&mut self.proving, &self.behind) {
            proving.repeated_begin(bytes);
            beginning.check_begin_payload(proving.begin_payload())?;
        }
        Ok(())
    }

    fn dropped(&mut self, record: &Record, header: &[u8; HEADER_BYTES]) -> Result<(), EngineError> {
        if let Some(proving) = &mut self.proving {
            proving.repeated(record, header);
        }
        Ok(())
    }

    fn dropped_payload(&mut self, bytes: &[u8]) -> Result<(), EngineError> {
        if let Some(proving) = &mut self.proving {
            proving.repeated_payload(bytes);
        }
        Ok(())
    }
}

/// Writes one part's (perhaps compressed) bytes into pieces.
struct PartWriter {
    line: PieceLine,
    seal: Arc<PartSeal>,
    number: u32,
    fill: PieceFill,
}

impl PartWriter {
    fn new(line: PieceLine, recipients: &Recipients, number: u32) -> Result<Self, EngineError> {
        let seal = Arc::new(PartSeal::new(recipients)?);
        let header_bytes = seal.header().len();
        if header_bytes > LARGEST_HEADER_BYTES {
            return Err(EngineError::bad_request(format!(
                "the recipients make an age header of {header_bytes} bytes: name fewer (the limit is {LARGEST_HEADER_BYTES})"
            )));
        }
        let fill = PieceFill::first(line.take_buffer()?, line.pool.layout(), seal.header());
        Ok(Self { line, seal, number, fill })
    }

    fn put(&mut self, mut bytes: &[u8]) -> Result<(), EngineError> {
        while !bytes.is_empty() {
            if self.fill.is_full() {
                let following = self.fill.following(self.line.take_buffer()?, self.line.pool.layout());
                let full = std::mem::replace(&mut self.fill, following);
                self.line.hand_on(full.finish(self.number, Arc::clone(&self.seal), None))?;
            }
            bytes = &bytes[self.fill.fill(bytes)..];
        }
        Ok(())
    }

    fn finish(self, end: PartEnd) -> Result<(), EngineError> {
        self.line.hand_on(self.fill.finish(self.number, self.seal, Some(end)))
    }
}

impl Write for PartWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.put(bytes).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Gets back the engine's error that went through zstd's writer.
fn from_io(error: io::Error) -> EngineError {
    match error.downcast::<EngineError>() {
        Ok(inner) => inner,
        Err(error) => EngineError::from_cause("engine.compression", &error),
    }
}
