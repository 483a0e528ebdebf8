//! Why a stream is refused, in words for whoever has to act on it.
//!
//! Each kind has a stable code. Positions are byte offsets from the first byte of BEGIN.

use crate::RecordKind;

/// A stream that is not, or cannot be taken as, one whole send stream of one snapshot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// There was not one byte.
    #[error(
        "the send stream is empty: the sender wrote nothing; look at the error message of `zfs send` and run it again"
    )]
    Empty,
    /// The first bytes are not a BEGIN record.
    #[error(
        "this is not a ZFS send stream (no BEGIN record at its start): feed the output of `zfs send` as it is, neither compressed nor encrypted"
    )]
    NotASendStream,
    /// BEGIN says a kind of stream that is neither simple nor compound.
    #[error(
        "the send stream has the unknown header type {header_type}: it is damaged or from a newer ZFS; send it again"
    )]
    UnknownStreamType {
        /// Header type in BEGIN; 1 is a simple stream, 2 a compound one.
        header_type: u8,
    },
    /// The stream stopped before its END record was whole.
    #[error(
        "the send stream ends after {at} bytes without its END record: `zfs send` failed or was cut off; send it again"
    )]
    Truncated {
        /// Bytes there were.
        at: u64,
    },
    /// A record's sums, or END's, are not those of the bytes before it.
    #[error(
        "checksum mismatch at the {record} record at byte {at}: the send stream was damaged in this record or after the record before it; send it again"
    )]
    ChecksumMismatch {
        /// Offset of the record.
        at: u64,
        /// The record whose sums differ.
        record: RecordKind,
    },
    /// A record type that no known ZFS sends.
    #[error(
        "unknown record type {kind} at byte {at}: the send stream is damaged or from a newer ZFS; send it again, then ask for support of this ZFS version"
    )]
    UnknownRecord {
        /// Offset of the record.
        at: u64,
        /// The type found.
        kind: u32,
    },
    /// A length that no ZFS sends.
    #[error(
        "the {record} record at byte {at} has the impossible length {length}: the send stream is damaged; send it again"
    )]
    BadLength {
        /// Offset of the record.
        at: u64,
        /// The record.
        record: RecordKind,
        /// The length found, in bytes.
        length: u64,
    },
    /// Bytes that no checksum covers, and that are zero in every END, are not.
    #[error(
        "the END record at byte {at} has bytes set that must be zero: the send stream is damaged; send it again"
    )]
    MalformedEnd {
        /// Offset of END.
        at: u64,
    },
    /// END closes another snapshot than BEGIN opened.
    #[error(
        "the END record at byte {at} belongs to snapshot guid {found}, the stream to {expected}: parts of two streams were mixed; send it again"
    )]
    WrongSnapshot {
        /// Offset of END.
        at: u64,
        /// Snapshot guid in BEGIN.
        expected: u64,
        /// Snapshot guid in END.
        found: u64,
    },
    /// A BEGIN record before the END of the stream.
    #[error(
        "a second BEGIN record at byte {at}, before END: the streams of several snapshots were mixed; send one snapshot at a time"
    )]
    SecondBegin {
        /// Offset of the second BEGIN.
        at: u64,
    },
    /// In a compound stream, between the streams of two snapshots.
    #[error(
        "a {record} record at byte {at}, where the next stream of the compound stream must begin: the send stream is damaged; send it again"
    )]
    OutsideStream {
        /// Offset of the record.
        at: u64,
        /// The record found.
        record: RecordKind,
    },
    /// Something follows END.
    #[error(
        "there are bytes after the END record (from byte {at} on): send one snapshot a stream, with nothing behind it"
    )]
    BytesAfterEnd {
        /// Offset of the first byte after END.
        at: u64,
    },
    /// A package of several streams.
    #[error(
        "this is a compound send stream (`zfs send` with -R, -I or -p), whose end carries no checksum and is written even after an error: send one snapshot of one dataset without -R, -I and -p (-i is fine), once for each"
    )]
    Compound,
    /// The rest of a broken transfer.
    #[error(
        "this is a resumed send stream (`zfs send -t`), which is no backup without the part sent before it: send the whole snapshot, without -t"
    )]
    Resuming,
    /// A stream with blocks left out on purpose.
    #[error(
        "this is a redacted send stream (`zfs send --redact`), which leaves blocks out and does not restore the snapshot: send it without --redact"
    )]
    Redacted,
    /// The dedup format that OpenZFS no longer receives.
    #[error(
        "this is a deduplicated send stream (`zfs send -D`), which OpenZFS 2.0 and later cannot receive: send it without -D, or convert it with `zstream redup`"
    )]
    Dedup,
    /// The receiver of the records failed earlier, so the scan has a hole.
    #[error(
        "the scan was given up at byte {at}, when its records could not be taken: start again from the first byte"
    )]
    Abandoned {
        /// Offset reached.
        at: u64,
    },
}

impl StreamError {
    /// Where in the stream it shows: the offset of the record in hand, or of the first byte that does not belong there.
    #[must_use]
    pub fn at(&self) -> u64 {
        match self {
            Self::Truncated { at }
            | Self::ChecksumMismatch { at, .. }
            | Self::UnknownRecord { at, .. }
            | Self::BadLength { at, .. }
            | Self::MalformedEnd { at }
            | Self::WrongSnapshot { at, .. }
            | Self::SecondBegin { at }
            | Self::OutsideStream { at, .. }
            | Self::BytesAfterEnd { at }
            | Self::Abandoned { at } => *at,
            Self::Empty
            | Self::NotASendStream
            | Self::UnknownStreamType { .. }
            | Self::Compound
            | Self::Resuming
            | Self::Redacted
            | Self::Dedup => 0,
        }
    }

    /// A code that stays the same over releases, for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Empty => "stream.empty",
            Self::NotASendStream => "stream.not_a_send_stream",
            Self::UnknownStreamType { .. } => "stream.unknown_stream_type",
            Self::Truncated { .. } => "stream.truncated",
            Self::ChecksumMismatch { .. } => "stream.checksum_mismatch",
            Self::UnknownRecord { .. } => "stream.unknown_record",
            Self::BadLength { .. } => "stream.bad_length",
            Self::MalformedEnd { .. } => "stream.malformed_end",
            Self::WrongSnapshot { .. } => "stream.wrong_snapshot",
            Self::SecondBegin { .. } => "stream.second_begin",
            Self::OutsideStream { .. } => "package.outside_stream",
            Self::BytesAfterEnd { .. } => "stream.bytes_after_end",
            Self::Compound => "stream.compound",
            Self::Resuming => "stream.resuming",
            Self::Redacted => "stream.redacted",
            Self::Dedup => "stream.dedup",
            Self::Abandoned { .. } => "stream.abandoned",
        }
    }
}

/// What ends a call of [`crate::Scanner::feed`]: the stream, or the sink that takes its records.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScanError<E> {
    /// The stream is refused.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// The sink refused a record or payload; its own error.
    #[error("{0}")]
    Sink(E),
}
