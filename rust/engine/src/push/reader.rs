//! Reads the source: file descriptor -> scanner (every checksum) -> cutter.
//!
//! Runs on its own thread, because a pipe from `zfs send` may be silent for an hour.
//! Waiting is one poll on the source and on a pipe that cancellation closes, so stopping needs no time-out.

use std::io::PipeReader;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sendstream::{Begin, HEADER_BYTES, ScanError, Scanner, StreamError, StreamSummary};

use super::cutter::{Cutter, PieceLine};
use super::splicing::{Beginning, Splice};
use super::throttle::Throttle;
use crate::error::EngineError;
use crate::job::JobContext;

/// Bytes read at once: small enough to stay in a core's cache until the cutter has copied them.
const READ_BYTES: usize = 256 << 10;

/// poll counts whole milliseconds.
const POLL_RESOLUTION: Duration = Duration::from_millis(1);

/// The source of a push.
pub(crate) struct Source {
    /// Bytes that the caller has read from the descriptor already.
    pub(crate) head: Vec<u8>,
    pub(crate) descriptor: OwnedFd,
    /// Readable when the job is cancelled.
    pub(crate) cancelled: PipeReader,
    pub(crate) throttle: Throttle,
    pub(crate) silence: Silence,
}

/// How long the source may be silent. Time spent waiting for the store never counts: nothing is read then.
pub(crate) struct Silence {
    warning: Duration,
    stall: Option<Duration>,
    read_bytes: u64,
}

impl Silence {
    pub(crate) fn new(warning_seconds: u64, stall_seconds: Option<u64>) -> Self {
        let stall = stall_seconds.map(Duration::from_secs);
        Self { warning: Duration::from_secs(warning_seconds.max(1)), stall, read_bytes: 0 }
    }

    /// How long to wait for the next byte before looking up.
    fn patience(&self, silent: Duration, warned: u32) -> Duration {
        let next = self.next_warning(warned);
        self.stall.map_or(next, |stall| stall.min(next)).saturating_sub(silent)
    }

    fn next_warning(&self, warned: u32) -> Duration {
        self.warning.saturating_mul(2_u32.saturating_pow(warned))
    }

    /// Warns each time that the silence has doubled.
    ///
    /// # Errors
    /// `engine.source_stalled` where a limit is set and has passed.
    fn look(&self, silent: Duration, warned: &mut u32) -> Result<(), EngineError> {
        let (seconds, bytes) = (silent.as_secs(), self.read_bytes);
        if self.stall.is_some_and(|stall| silent >= stall) {
            let text = format!(
                "the source has been silent for {seconds} s after {bytes} bytes of the stream, so it counts as dead: look at zfs send and `zpool status`, then run again"
            );
            return Err(EngineError::new("engine.source_stalled", text));
        }
        if silent >= self.next_warning(*warned) {
            *warned += 1;
            tracing::warn!(
                silent_seconds = seconds,
                stream_bytes = bytes,
                "the source is silent; a healthy zfs send can be, so the run goes on"
            );
        }
        Ok(())
    }
}

impl Source {
    /// Reads the 312 bytes of BEGIN (they stay in `head` for [`Source::read_all`]) and says what stream it is, or is
    /// the rest of.
    pub(crate) fn read_begin(
        &mut self,
        behind: Option<&Beginning>,
        line: &PieceLine,
    ) -> Result<Begin, EngineError> {
        let mut scratch = [0; HEADER_BYTES];
        while self.head.len() < HEADER_BYTES {
            let missing = HEADER_BYTES - self.head.len();
            match self.read_some(&mut scratch[..missing], line)? {
                0 if self.head.is_empty() => return Err(empty_source()),
                0 => return Err(StreamError::Truncated { at: self.head.len() as u64 }.into()),
                count => self.head.extend_from_slice(&scratch[..count]),
            }
        }
        if let Some(beginning) = behind {
            return Ok(beginning.saved.begin.clone());
        }
        let begin = Begin::parse(&self.head)?;
        begin.refuse_unsupported()?;
        Ok(begin)
    }

    /// Reads to the end of the source; every byte has been checked and handed to the cutter then.
    pub(crate) fn read_all(
        mut self,
        mut parser: Parser,
        mut cutter: Cutter,
        line: &PieceLine,
        context: &JobContext,
    ) -> Result<StreamSummary, EngineError> {
        let head = std::mem::take(&mut self.head);
        context.progress.add_read_bytes(head.len() as u64);
        self.silence.read_bytes += head.len() as u64;
        parser.feed(&head, &mut cutter)?;
        let mut scratch = vec![0; READ_BYTES];
        loop {
            let most = self.throttle.most_bytes(READ_BYTES);
            let count = self.read_some(&mut scratch[..most], line)?;
            if count == 0 {
                break;
            }
            context.progress.add_read_bytes(count as u64);
            let repeated = cutter.repeated_bytes();
            parser.feed(&scratch[..count], &mut cutter)?;
            context.progress.add_stream_bytes(count as u64);
            self.silence.read_bytes += count as u64;
            // What is stored already is only compared.
            let compared = usize::try_from(cutter.repeated_bytes() - repeated).unwrap_or(usize::MAX);
            self.throttle.spend(count.saturating_sub(compared), line)?;
        }
        let summary = parser.finish()?;
        cutter.finish(summary.end_checksum)?;
        Ok(summary)
    }

    fn read_some(&self, into: &mut [u8], line: &PieceLine) -> Result<usize, EngineError> {
        let (since, mut warned) = (Instant::now(), 0);
        loop {
            if line.cancel.is_cancelled() {
                return Err(EngineError::cancelled("stopped while reading the stream"));
            }
            let mut waits = [
                PollFd::new(self.descriptor.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.cancelled.as_fd(), PollFlags::POLLIN),
            ];
            let wait = self.silence.patience(since.elapsed(), warned) + POLL_RESOLUTION;
            match poll(&mut waits, PollTimeout::try_from(wait).unwrap_or(PollTimeout::MAX)) {
                Ok(0) => self.silence.look(since.elapsed(), &mut warned)?,
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(read_failed(errno)),
            }
            if waits[0].revents().is_none_or(|events| events.is_empty()) {
                continue;
            }
            match nix::unistd::read(self.descriptor.as_fd(), into) {
                Ok(count) => return Ok(count),
                Err(Errno::EINTR | Errno::EAGAIN) => {}
                Err(errno) => return Err(read_failed(errno)),
            }
        }
    }
}

/// Understands what the source sends: a stream, or what makes the rest of one.
pub(crate) enum Parser {
    Whole(Box<Scanner>),
    Rest(Box<Splice>),
}

impl Parser {
    pub(crate) fn new(behind: Option<&Beginning>) -> Self {
        match behind {
            None => Self::Whole(Box::default()),
            Some(beginning) => Self::Rest(Box::new(Splice::new(beginning))),
        }
    }

    fn feed(&mut self, bytes: &[u8], cutter: &mut Cutter) -> Result<(), EngineError> {
        match self {
            Self::Rest(splice) => splice.feed(bytes, cutter),
            Self::Whole(scanner) => scanner.feed(bytes, cutter).map_err(|error| match error {
                ScanError::Stream(error) => error.into(),
                ScanError::Sink(error) => error,
            }),
        }
    }

    fn finish(self) -> Result<StreamSummary, EngineError> {
        match self {
            Self::Whole(scanner) => Ok(scanner.finish()?),
            Self::Rest(splice) => splice.finish(),
        }
    }
}

fn empty_source() -> EngineError {
    EngineError::new("stream.truncated", "the source ended before its first byte: nothing was sent")
}

fn read_failed(errno: Errno) -> EngineError {
    EngineError::from_cause("engine.source_read", &errno).with("what", "reading the send stream")
}
