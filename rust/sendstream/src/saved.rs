//! What has to be kept of a stream's beginning so that its rest can be spliced on later.

use std::io::{self, Read};

use crate::{
    Begin, Border, HEADER_BYTES, Record, RecordKind, ResumePlace, ResumeToken, ScanError, Scanner, Sink,
    SpliceError, StreamError,
};

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
    /// The last border that a record behind it vouches for. Its [`SavedBorder::position`] is the length to go on from; who
    /// keeps that record's header too can have the beginning proven again later ([`crate::ResumedStream::border_in`]).
    pub saved: SavedBorder,
    /// What `zfs send -t` needs to go on there.
    pub token: ResumeToken,
    /// Why the stream ends where it does.
    pub broken: StreamError,
}

/// A beginning of a stream, cut somewhere behind the border at which a resumed stream goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptBeginning {
    /// That border.
    pub saved: SavedBorder,
    /// Up to here checksums vouch for the bytes: at least to the end of the header behind the border. What lies
    /// between the two must come out of the splice again.
    pub proven_bytes: u64,
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
    /// The resumed stream does not belong to it.
    #[error(transparent)]
    Splice(#[from] SpliceError),
    /// It does not reach, proven, to where the resumed stream goes on.
    #[error(
        "the resumed stream goes on at object {object}, offset {offset}, which the kept part (good up to byte {good_bytes}) does not reach with a record behind it to vouch for it: keep as many bytes as were said with the token, or resume with the token of what was kept"
    )]
    OtherPlace {
        /// The object to go on with.
        object: u64,
        /// Where in it, in bytes.
        offset: u64,
        /// Where the kept part ends or is damaged.
        good_bytes: u64,
    },
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
            Self::Splice(error) => error.code(),
            Self::OtherPlace { .. } => "partial.other_place",
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
pub fn last_border(stream: impl Read) -> Result<PartialStream, PartialError> {
    let (begin, broken, found) = scan(stream, Found::default())?;
    let Some(place) = found.place else { return Err(PartialError::NoBorder(broken)) };
    let saved = place.saved(begin);
    let token = ResumeToken::at(&saved);
    Ok(PartialStream { saved, token, broken })
}

/// Finds a place in the beginning that was kept, for [`crate::ResumedStream::border_in`]; `fits` looks at its BEGIN and the payload of that.
pub(crate) fn border_at(
    stream: impl Read,
    place: ResumePlace,
    fits: impl FnOnce(&Begin, &[u8]) -> Result<(), SpliceError>,
) -> Result<KeptBeginning, PartialError> {
    let ResumePlace { object, offset } = place;
    let (begin, broken, found) = scan(stream, Found { wanted: Some((object, offset)), ..Found::default() })?;
    fits(&begin, &found.begin_payload)?;
    let Some(border) = found.place else {
        return Err(PartialError::OtherPlace { object, offset, good_bytes: broken.at() });
    };
    Ok(KeptBeginning { saved: border.saved(begin), proven_bytes: found.proven_bytes })
}

/// Scans a stream that is not whole up to where it breaks off.
fn scan(mut stream: impl Read, mut found: Found) -> Result<(Begin, StreamError, Found), PartialError> {
    let mut buffer = vec![0; READ_BYTES];
    let mut scanner = Scanner::new();
    let mut broken = None;
    while broken.is_none() {
        let length = match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.into()),
        };
        broken = match scanner.feed(&buffer[..length], &mut found) {
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
    Ok((begin, broken, found))
}

/// Keeps the border wanted, or else the latest.
#[derive(Default)]
struct Found {
    wanted: Option<(u64, u64)>,
    begin_payload: Vec<u8>,
    place: Option<FoundBorder>,
    previous: Option<Record>,
    proven_bytes: u64,
}

struct FoundBorder {
    border: Border,
    position: u64,
    sums: [u64; 4],
}

impl FoundBorder {
    fn saved(self, begin: Begin) -> SavedBorder {
        SavedBorder { begin, position: self.position, sums: self.sums, border: self.border }
    }
}

struct NoSums;

impl Found {
    /// The border in front of a record that counts. Behind a WRITE and before an OBJECT there are two names for one.
    fn counting(&self, border_before: Option<Border>) -> Option<Border> {
        let Some(wanted) = self.wanted else { return border_before };
        let previous = self.previous.as_ref();
        let after_write = previous.and_then(|before| {
            Some(Border::AfterWrite { object: before.object?, end_offset: before.write_end()? })
        });
        border_before.into_iter().chain(after_write).find(|border| border.resume_place() == wanted)
    }
}

impl Sink for Found {
    type Error = NoSums;

    fn record(
        &mut self,
        record: &Record,
        _: &[u8; HEADER_BYTES],
        border_before: Option<Border>,
    ) -> Result<(), NoSums> {
        if self.previous.is_some() && record.checksum.is_none() {
            return Err(NoSums);
        }
        if let Some(border) = self.counting(border_before) {
            self.place = Some(FoundBorder { border, position: record.at, sums: record.checksum_before });
        }
        self.previous = Some(*record);
        self.proven_bytes = record.at + HEADER_BYTES as u64;
        Ok(())
    }

    fn payload(&mut self, bytes: &[u8]) -> Result<(), NoSums> {
        if self.previous.is_some_and(|record| record.kind == RecordKind::Begin) {
            self.begin_payload.extend_from_slice(bytes);
        }
        Ok(())
    }
}
