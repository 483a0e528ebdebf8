//! What has to be kept of a stream's beginning so that its rest can be spliced on later.

use std::io::{self, Read};

use crate::{Begin, Border, HEADER_BYTES, Record, ResumeToken, ScanError, Scanner, Sink, StreamError};

/// Bytes read at a time.
const READ_BYTES: usize = 256 << 10;

/// A border in a stream, with all that a continuation needs to know of what lies before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedBorder {
    /// The stream's BEGIN.
    pub begin: Begin,
    /// Bytes of the stream before the border.
    pub position: u64,
    /// The running sums at the border ([`Record::checksum_before`] of the record behind it).
    pub sums: [u64; 4],
    /// Which border it is.
    pub border: Border,
}

/// The usable beginning of a stream that broke off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartialStream {
    /// The last border that a record behind it vouches for. [`SavedBorder::position`] is the length to keep.
    pub saved: SavedBorder,
    /// What `zfs send -t` needs to go on there.
    pub token: ResumeToken,
    /// Why the stream ends where it does.
    pub broken: StreamError,
}

/// Why a beginning of a stream cannot be gone on with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PartialError {
    /// It is none that can be resumed, or is damaged before its first border.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// Nothing is missing.
    #[error("the send stream is whole ({bytes} bytes): there is nothing to resume")]
    Whole {
        /// Its length.
        bytes: u64,
    },
    /// The sender gave its records no sums, so nothing vouches for what is there.
    #[error(
        "the records of this send stream carry no checksums (an old ZFS sent it), so its beginning cannot be trusted, nor can such a ZFS resume: send it again"
    )]
    NoSums,
    /// The stream breaks off before the first place where it could be gone on with.
    #[error("the send stream has no place to resume at: {0}")]
    NoBorder(StreamError),
    /// It could not be read.
    #[error("the send stream could not be read: {0}")]
    Io(#[from] io::Error),
}

impl PartialError {
    /// A code that stays the same over releases, for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Stream(error) => error.code(),
            Self::Whole { .. } => "partial.whole",
            Self::NoSums => "partial.no_sums",
            Self::NoBorder(_) => "partial.no_border",
            Self::Io(_) => "partial.io",
        }
    }
}

/// Finds the last usable border of a stream that broke off, and the token for it.
///
/// A border counts only if the record behind it is there with a right checksum, because nothing else vouches for the payload
/// before it. Memory does not depend on the stream's length.
///
/// # Errors
/// [`PartialError`] says why there is none.
pub fn last_border(mut stream: impl Read) -> Result<PartialStream, PartialError> {
    let mut buffer = vec![0; READ_BYTES];
    let mut scanner = Scanner::new();
    let mut latest = Latest::default();
    let mut broken = None;
    while broken.is_none() {
        let length = match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.into()),
        };
        broken = match scanner.feed(&buffer[..length], &mut latest) {
            Ok(()) => None,
            Err(ScanError::Stream(error)) => Some(error),
            Err(ScanError::Sink(NoSums)) => return Err(PartialError::NoSums),
        };
    }
    let begin = scanner.begin().cloned();
    let broken = match scanner.finish() {
        Ok(summary) => return Err(PartialError::Whole { bytes: summary.stream_bytes }),
        Err(error) => error,
    };
    let Some(begin) = begin else { return Err(broken.into()) };
    let Some((border, position, sums)) = latest.border else { return Err(PartialError::NoBorder(broken)) };
    let saved = SavedBorder { begin, position, sums, border };
    let token = ResumeToken::at(&saved);
    Ok(PartialStream { saved, token, broken })
}

/// Keeps the latest border.
#[derive(Default)]
struct Latest {
    border: Option<(Border, u64, [u64; 4])>,
    begun: bool,
}

struct NoSums;

impl Sink for Latest {
    type Error = NoSums;

    fn record(
        &mut self,
        record: &Record,
        _: &[u8; HEADER_BYTES],
        border_before: Option<Border>,
    ) -> Result<(), NoSums> {
        if self.begun && record.checksum.is_none() {
            return Err(NoSums);
        }
        self.begun = true;
        if let Some(border) = border_before {
            self.border = Some((border, record.at, record.checksum_before));
        }
        Ok(())
    }

    fn payload(&mut self, _: &[u8]) -> Result<(), NoSums> {
        Ok(())
    }
}
