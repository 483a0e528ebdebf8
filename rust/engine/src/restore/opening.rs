//! Opens fetched pieces in order, checks every digest and every checksum of the stream, and writes the stream out.
//!
//! No byte of a part of one piece is written before the whole part's BLAKE3 was right; of a longer part, the last
//! piece is held back until it is. So a damaged last part can never complete a stream at the receiving end.

use std::convert::Infallible;
use std::sync::Arc;

use format::Part;
use rayon::ThreadPool;
use sealing::{CHUNK_BYTES, Digest, Identities, PartOpen, SEALED_CHUNK_BYTES, TAG_BYTES};
use sendstream::{Border, HEADER_BYTES, Record, ScanError, Scanner, Sink, StreamSummary};
use tokio::sync::mpsc::UnboundedReceiver;

use super::fetch::{FRONT_BYTES, FetchedPiece, Promise, damaged, in_part};
use super::inflate::Inflate;
use super::sink::StreamSink;
use crate::error::EngineError;
use crate::job::JobContext;

/// Each part's key says whether it is compressed.
const COMPRESSED_SUFFIX: &str = ".zst.age";

/// The scanner checks what is written; nobody needs its records here.
struct CheckOnly;

impl Sink for CheckOnly {
    type Error = Infallible;

    fn record(&mut self, _: &Record, _: &[u8; HEADER_BYTES], _: Option<Border>) -> Result<(), Infallible> {
        Ok(())
    }

    fn payload(&mut self, _: &[u8]) -> Result<(), Infallible> {
        Ok(())
    }
}

/// The opening stage's state between pieces.
pub(super) struct Opening {
    pub(super) identities: Identities,
    pub(super) cores: ThreadPool,
    pub(super) sink: StreamSink,
    pub(super) context: JobContext,
    pub(super) scanner: Scanner,
    pub(super) digest: Digest,
    pub(super) open: Option<OpenPart>,
}

/// The part in hand.
pub(super) struct OpenPart {
    opener: PartOpen,
    next_chunk: u64,
    carried: Vec<u8>,
    stream_bytes: u64,
    inflate: Option<Inflate>,
}

impl Opening {
    /// Writes everything that was promised; the stream is whole when this returns.
    pub(super) fn run(
        mut self,
        promises: &mut UnboundedReceiver<Promise>,
    ) -> Result<StreamSummary, EngineError> {
        while let Some(promise) = promises.blocking_recv() {
            let fetched = promise.blocking_recv();
            let piece = fetched.unwrap_or_else(|_| Err(self.context.cancelled_error()))?;
            self.piece(piece)?;
        }
        if self.context.cancel.is_cancelled() {
            return Err(self.context.cancelled_error());
        }
        Ok(self.scanner.finish()?)
    }

    fn piece(&mut self, mut piece: FetchedPiece) -> Result<(), EngineError> {
        let part = Arc::clone(&piece.part);
        let sealed = &piece.buffer.bytes()[FRONT_BYTES..FRONT_BYTES + piece.length];
        let digest = &mut self.digest;
        self.cores.install(|| digest.update_parallel(sealed));
        if piece.last {
            self.check_digest(&part)?;
        }
        let start = if piece.first { self.begin(&part, sealed)? } else { 0 };
        let mut open = self.open.take().ok_or_else(|| EngineError::internal("a piece without its part"))?;
        let begin = FRONT_BYTES + start - open.carried.len();
        let end = FRONT_BYTES + piece.length;
        piece.buffer.bytes_mut()[begin..FRONT_BYTES + start].copy_from_slice(&open.carried);
        let usable =
            if piece.last { end - begin } else { (end - begin) / SEALED_CHUNK_BYTES * SEALED_CHUNK_BYTES };
        open.carried = piece.buffer.bytes()[begin + usable..end].to_vec();
        let slots = &mut piece.buffer.bytes_mut()[begin..begin + usable];
        let opened = self.cores.install(|| open.opener.open_slots(open.next_chunk, piece.last, slots));
        opened.map_err(|error| in_part(error, &part))?;
        open.next_chunk += slots.len().div_ceil(SEALED_CHUNK_BYTES) as u64;
        for slot in slots.chunks(SEALED_CHUNK_BYTES) {
            self.chunk(&mut open, &part, &slot[..slot.len().saturating_sub(TAG_BYTES)])?;
        }
        if piece.last {
            return self.end(&open, &part);
        }
        self.open = Some(open);
        Ok(())
    }

    fn begin(&mut self, part: &Part, sealed: &[u8]) -> Result<usize, EngineError> {
        let opened = PartOpen::new(sealed, &self.identities);
        let (opener, payload) = opened.map_err(|error| in_part(error, part))?;
        let compressed = part.key.ends_with(COMPRESSED_SUFFIX);
        let inflate = if compressed { Some(Inflate::new()?) } else { None };
        self.open = Some(OpenPart { opener, next_chunk: 0, carried: Vec::new(), stream_bytes: 0, inflate });
        Ok(payload)
    }

    fn chunk(&mut self, open: &mut OpenPart, part: &Part, plain: &[u8]) -> Result<(), EngineError> {
        debug_assert!(plain.len() <= CHUNK_BYTES);
        let (scanner, sink, context) = (&mut self.scanner, &mut self.sink, &self.context);
        let mut written = 0;
        let mut put = |bytes: &[u8]| -> Result<(), EngineError> {
            scanner.feed(bytes, &mut CheckOnly).map_err(|error| match error {
                ScanError::Stream(error) => in_part(error, part),
                ScanError::Sink(never) => match never {},
            })?;
            context.progress.add_stream_bytes(bytes.len() as u64);
            written += bytes.len() as u64;
            sink.write(bytes)
        };
        match &mut open.inflate {
            None => put(plain)?,
            Some(inflate) => inflate.feed(plain, &mut put)?,
        }
        open.stream_bytes += written;
        Ok(())
    }

    fn check_digest(&mut self, part: &Part) -> Result<(), EngineError> {
        let digest = std::mem::replace(&mut self.digest, Digest::new()).hex();
        if digest == part.blake3.to_string() {
            return Ok(());
        }
        Err(damaged(part, &format!("its BLAKE3 is {digest}, not {}", part.blake3)))
    }

    fn end(&mut self, open: &OpenPart, part: &Part) -> Result<(), EngineError> {
        if let Some(inflate) = &open.inflate {
            inflate.finish().map_err(|error| error.with("key", &part.key))?;
        }
        if open.stream_bytes != part.stream_length {
            let how = format!("it holds {} stream bytes, not {}", open.stream_bytes, part.stream_length);
            return Err(damaged(part, &how));
        }
        self.context.progress.add_part();
        tracing::info!(part = part.number, key = %part.key, "part restored");
        Ok(())
    }
}
