//! Writes a stream to the caller's file descriptor without ever being stuck in a write.
//!
//! A pipe is opened anew through /proc without blocking, so that the flag touches nobody else's descriptor;
//! where that can't be (a socket), small writes after a poll do not block either.

use std::fs::OpenOptions;
use std::io::{self, PipeReader};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::{SFlag, fstat};

use crate::error::EngineError;
use crate::job::JobContext;

/// What a writable pipe takes at least without blocking (`PIPE_BUF` on Linux).
const SAFE_WRITE_BYTES: usize = 4096;

/// The receiving end of a stream.
pub(crate) struct StreamSink {
    descriptor: OwnedFd,
    most_bytes: usize,
    cancelled: PipeReader,
    context: JobContext,
}

impl StreamSink {
    pub(crate) fn new(
        descriptor: OwnedFd,
        cancelled: PipeReader,
        context: JobContext,
    ) -> Result<Self, EngineError> {
        let mode = fstat(descriptor.as_fd()).map_err(broken)?.st_mode;
        let kind = SFlag::from_bits_truncate(mode) & SFlag::S_IFMT;
        let (descriptor, most_bytes) = match kind {
            // A terminal is refused by who calls; other character devices (/dev/null) never block.
            SFlag::S_IFREG | SFlag::S_IFBLK | SFlag::S_IFCHR => (descriptor, usize::MAX),
            SFlag::S_IFIFO => match reopen(&descriptor) {
                Ok(own) => (own, usize::MAX),
                Err(_) => (descriptor, SAFE_WRITE_BYTES),
            },
            _ => (descriptor, SAFE_WRITE_BYTES),
        };
        Ok(Self { descriptor, most_bytes, cancelled, context })
    }

    /// Writes all of `bytes`, or fails when the other end has gone or the job is cancelled.
    pub(crate) fn write(&mut self, mut bytes: &[u8]) -> Result<(), EngineError> {
        while !bytes.is_empty() {
            if self.most_bytes == SAFE_WRITE_BYTES {
                self.wait()?;
            }
            let most = bytes.len().min(self.most_bytes);
            match nix::unistd::write(self.descriptor.as_fd(), &bytes[..most]) {
                Ok(count) => bytes = &bytes[count..],
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => self.wait()?,
                Err(errno) => return Err(broken(errno)),
            }
        }
        if self.context.cancel.is_cancelled() { Err(self.context.cancelled_error()) } else { Ok(()) }
    }

    fn wait(&self) -> Result<(), EngineError> {
        let mut waits = [
            PollFd::new(self.descriptor.as_fd(), PollFlags::POLLOUT),
            PollFd::new(self.cancelled.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut waits, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(broken(errno)),
        }
        if self.context.cancel.is_cancelled() { Err(self.context.cancelled_error()) } else { Ok(()) }
    }
}

fn reopen(descriptor: &OwnedFd) -> io::Result<OwnedFd> {
    let path = format!("/proc/self/fd/{}", descriptor.as_raw_fd());
    let file = OpenOptions::new().write(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?;
    Ok(file.into())
}

fn broken(errno: Errno) -> EngineError {
    let text = match errno {
        Errno::EPIPE => "the receiving end closed before the stream was whole".to_owned(),
        Errno::ENOSPC => "no space left where the stream is written".to_owned(),
        other => format!("writing the stream failed: {other}"),
    };
    EngineError::new("engine.sink_write", text)
}
