//! Writes records, with the checksums that a sender would have given them.

use std::io::{self, Write};

use crate::{Begin, HEADER_BYTES, Record, RecordKind, Resummer, StreamError};

/// Why a record could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The header is none, or does not belong here.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// The latest header announced another length of payload.
    #[error(
        "a record before byte {at} announces {announced} payload bytes, but another number was given: write exactly what its header says"
    )]
    PayloadLength {
        /// Where the stream stands.
        at: u64,
        /// What the header says.
        announced: u64,
    },
    /// The receiver of the bytes failed.
    #[error("the send stream could not be written: {0}")]
    Io(#[from] io::Error),
}

/// Writes a stream record by record, compound ones too, and runs the checksums on the way.
///
/// Records that were read and are written unchanged come out byte for byte the same.
#[derive(Debug)]
pub struct StreamWriter<W> {
    out: W,
    written: u64,
    package: Option<(Begin, Resummer)>,
    contents_closed: bool,
    stream: Option<(Begin, Resummer)>,
    announced: u64,
    payload_left: u64,
}

impl<W: Write> StreamWriter<W> {
    /// A writer of a stream's first byte into `out`.
    pub fn new(out: W) -> Self {
        Self {
            out,
            written: 0,
            package: None,
            contents_closed: false,
            stream: None,
            announced: 0,
            payload_left: 0,
        }
    }

    /// Writes a header with its sums made right; those that were zero stay so.
    ///
    /// # Errors
    /// [`WriteError::Stream`] if it is no header, or none that may stand here.
    pub fn record(&mut self, header: &[u8; HEADER_BYTES]) -> Result<(), WriteError> {
        if self.payload_left > 0 {
            return Err(WriteError::PayloadLength { at: self.written, announced: self.announced });
        }
        let mut header = *header;
        let record = self.parse(&header)?;
        let zeros = header[4..].iter().all(|byte| *byte == 0);
        let closes_package = self.stream.is_none() && self.contents_closed && zeros;
        if let (false, Some((_, sums))) = (closes_package, self.innermost()) {
            sums.header(record.kind, &mut header);
        }
        if record.kind == RecordKind::End {
            self.contents_closed |= self.stream.is_none();
            self.stream = None;
        }
        self.announced = record.payload_len;
        self.payload_left = record.payload_len;
        self.put(&header)
    }

    /// Writes a piece of the latest record's payload.
    ///
    /// # Errors
    /// [`WriteError::PayloadLength`] if it is more than the header announced.
    pub fn payload(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        let error = WriteError::PayloadLength { at: self.written, announced: self.announced };
        self.payload_left = self.payload_left.checked_sub(bytes.len() as u64).ok_or(error)?;
        if let Some((_, sums)) = self.innermost() {
            sums.payload(bytes);
        }
        self.put(bytes)
    }

    /// Gives back what the stream was written into.
    pub fn into_inner(self) -> W {
        self.out
    }

    fn innermost(&mut self) -> Option<&mut (Begin, Resummer)> {
        self.stream.as_mut().or(self.package.as_mut())
    }

    /// Opens what a BEGIN opens.
    fn parse(&mut self, header: &[u8; HEADER_BYTES]) -> Result<Record, WriteError> {
        if let Some((begin, _)) = self.innermost() {
            let record = Record::parse(header, begin.byte_order(), self.written, [0; 4])?;
            if record.kind != RecordKind::Begin {
                return Ok(record);
            }
        }
        let begin = Begin::parse(header)?;
        if self.stream.is_some() || (begin.compound && self.package.is_some()) {
            return Err(StreamError::SecondBegin { at: self.written }.into());
        }
        let order = begin.byte_order();
        let level = if begin.compound { &mut self.package } else { &mut self.stream };
        *level = Some((begin, Resummer::new(order)));
        Ok(Record::parse(header, order, self.written, [0; 4])?)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        self.out.write_all(bytes)?;
        self.written += bytes.len() as u64;
        Ok(())
    }
}
