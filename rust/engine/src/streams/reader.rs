//! Reads a descriptor that may be silent for ever: one poll on it and on a pipe that cancellation closes.

use std::io::{self, PipeReader, Read};
use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sendstream::SpliceError;

use crate::error::EngineError;
use crate::job::JobContext;

/// A pipe, file or device as a reader; what it fails with is an [`EngineError`] inside of the [`io::Error`].
pub(super) struct PolledReader {
    descriptor: OwnedFd,
    cancelled: PipeReader,
    context: JobContext,
}

impl PolledReader {
    pub(super) fn new(descriptor: OwnedFd, cancelled: PipeReader, context: JobContext) -> Self {
        Self { descriptor, cancelled, context }
    }
}

impl Read for PolledReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            let mut waits = [
                PollFd::new(self.descriptor.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.cancelled.as_fd(), PollFlags::POLLIN),
            ];
            match poll(&mut waits, PollTimeout::NONE) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(unreadable(&errno)),
            }
            if self.context.cancel.is_cancelled() {
                return Err(io::Error::other(self.context.cancelled_error()));
            }
            if waits[0].revents().is_none_or(|events| events.is_empty()) {
                continue;
            }
            match nix::unistd::read(self.descriptor.as_fd(), out) {
                Ok(count) => {
                    self.context.progress.add_stream_bytes(count as u64);
                    return Ok(count);
                }
                Err(Errno::EINTR | Errno::EAGAIN) => {}
                Err(errno) => return Err(unreadable(&errno)),
            }
        }
    }
}

/// The [`io::Error`] of a source that cannot be read.
pub(super) fn unreadable(cause: &(dyn std::error::Error + 'static)) -> io::Error {
    let text = format!("reading the send stream failed: {cause}");
    io::Error::other(EngineError::new("engine.source_read", text))
}

/// What a reader of this module, or a splice on top of it, failed with.
pub(super) fn failure(error: io::Error) -> EngineError {
    let error = match error.downcast::<EngineError>() {
        Ok(own) => return own,
        Err(other) => other,
    };
    match error.downcast::<SpliceError>() {
        Ok(refusal) => refusal.into(),
        Err(other) => EngineError::from_cause("engine.io", &other),
    }
}
