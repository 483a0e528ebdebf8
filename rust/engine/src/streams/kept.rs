//! The kept beginning of a stream: read once to find and prove the border, once more to copy it.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

use sendstream::{Fletcher4, KeptBeginning, PartialError, ResumedStream, StreamError};

use super::reader::{failure, unreadable};
use crate::error::EngineError;
use crate::job::JobContext;
use crate::restore::StreamSink;

/// Bytes copied or compared at a time.
const COPY_BYTES: usize = 256 << 10;

/// The file that holds it.
pub(super) struct Kept {
    file: File,
    context: JobContext,
}

impl Kept {
    pub(super) fn new(file: OwnedFd, context: JobContext) -> Self {
        Self { file: file.into(), context }
    }

    /// Finds the border at which the resumed stream goes on.
    pub(super) fn find<R: Read>(&self, resumed: &ResumedStream<R>) -> Result<KeptBeginning, EngineError> {
        resumed.border_in(self.bytes(0, u64::MAX)).map_err(refused)
    }

    /// Copies the bytes before the border, and proves once more that they are those that were scanned.
    pub(super) fn copy(&self, kept: &KeptBeginning, sink: &mut StreamSink) -> Result<(), EngineError> {
        let mut sums = Fletcher4::new(kept.saved.begin.byte_order());
        let mut bytes = self.bytes(0, kept.saved.position);
        let mut buffer = vec![0; COPY_BYTES];
        let mut copied = 0;
        loop {
            // Whole words, since the sums run over them: only the last piece may be shorter, and borders lie on words.
            let length = fill(&mut bytes, &mut buffer).map_err(failure)?;
            if length == 0 {
                break;
            }
            sums.update(&buffer[..length]);
            sink.write(&buffer[..length])?;
            copied += length as u64;
        }
        if copied == kept.saved.position && sums.value() == kept.saved.sums {
            return Ok(());
        }
        Err(EngineError::new(
            "splice.kept_changed",
            "the kept part changed while it was read: leave it alone and splice again",
        )
        .with("stream", 0))
    }

    /// Compares the continuation's first bytes, `at` counted in the whole stream, with what was kept behind the border.
    ///
    /// Sums that are made anew certify anything; that these bytes come out the same does not.
    pub(super) fn compare(&self, kept: &KeptBeginning, at: u64, made: &[u8]) -> Result<(), EngineError> {
        let known = kept.proven_bytes.saturating_sub(at).min(made.len() as u64);
        let made = &made[..usize::try_from(known).unwrap_or(made.len())];
        let mut was = vec![0; made.len()];
        let length = fill(&mut self.bytes(at, at + known), &mut was).map_err(failure)?;
        if was[..length] == *made {
            return Ok(());
        }
        Err(EngineError::new(
            "splice.differs",
            format!(
                "the resumed stream does not continue this one: it differs from what was kept between byte {} and byte {}; send the whole snapshot again",
                kept.saved.position, kept.proven_bytes
            ),
        ))
    }

    fn bytes(&self, at: u64, end: u64) -> Stretch<'_> {
        Stretch { kept: self, at, end }
    }
}

/// A stretch of the file as a reader, whatever the descriptor's own position.
struct Stretch<'a> {
    kept: &'a Kept,
    at: u64,
    end: u64,
}

impl Read for Stretch<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.kept.context.cancel.is_cancelled() {
            return Err(io::Error::other(self.kept.context.cancelled_error()));
        }
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        let most = out.len().min(left);
        let count = loop {
            match self.kept.file.read_at(&mut out[..most], self.at) {
                Ok(count) => break count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(unreadable(&error)),
            }
        };
        self.at += count as u64;
        Ok(count)
    }
}

/// Reads until `out` is full or the bytes are at their end.
fn fill(from: &mut impl Read, out: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < out.len() {
        match from.read(&mut out[length..])? {
            0 => break,
            count => length += count,
        }
    }
    Ok(length)
}

/// Why there is no border, with the engine's own error in it if reading failed.
pub(super) fn refused(error: PartialError) -> EngineError {
    match error {
        PartialError::Io(error) => failure(error),
        PartialError::Stream(error @ StreamError::Resuming) => EngineError::new(
            error.code(),
            "this is a resumed send stream (`zfs send -t`), not the beginning of one: name what was sent first; where the resumed stream broke off itself, run the same `zfs send -t` again",
        ),
        other => other.into(),
    }
}
