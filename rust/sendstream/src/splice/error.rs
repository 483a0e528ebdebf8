//! Why a resumed stream is not taken as a continuation.

use crate::{NvListError, RecordKind, StreamError};

/// A resumed stream that does not continue what was begun. None of these is a reason to give up: the whole stream can be sent
/// again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpliceError {
    /// It is damaged, cut off, or of a kind that is no backup.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// It is no resumed stream.
    #[error(
        "this send stream starts at its beginning, not at a place in its middle: give what `zfs send -t` sends"
    )]
    NotResumed,
    /// It is of another snapshot, or was sent with other flags.
    #[error(
        "the resumed stream does not continue this one: its {field} is {found}, not {expected}; send the whole snapshot again"
    )]
    OtherStream {
        /// What differs.
        field: &'static str,
        /// What the beginning has.
        expected: u64,
        /// What the resumed stream has.
        found: u64,
    },
    /// The keys in its BEGIN, or whatever else is there but the place, differ.
    #[error(
        "BEGIN of the resumed stream holds other keys (was the key of the dataset changed since?); send the whole snapshot again"
    )]
    OtherKeys,
    /// It does not say where it goes on.
    #[error("the resumed stream does not say where it goes on: send the whole snapshot again")]
    NoResumePlace,
    /// Its BEGIN holds something that is no list.
    #[error("the BEGIN record of the resumed stream is damaged: {0}")]
    BadList(#[from] NvListError),
    /// It goes on elsewhere.
    #[error(
        "the resumed stream goes on at object {found_object}, offset {found_offset}, not at object {object}, offset {offset}: use the token that was made for this border"
    )]
    OtherPlace {
        /// The border's object.
        object: u64,
        /// The border's offset, in bytes.
        offset: u64,
        /// The object found.
        found_object: u64,
        /// The offset found, in bytes.
        found_offset: u64,
    },
    /// Nothing announced the object that is gone on with.
    #[error(
        "the {record} record at byte {at} of the resumed stream comes before its object was announced; send the whole snapshot again"
    )]
    NotAnnounced {
        /// Offset of the record in the resumed stream.
        at: u64,
        /// The record.
        record: RecordKind,
    },
    /// A record that is neither one that the beginning has nor one that lies behind the border.
    #[error(
        "the {record} record at byte {at} of the resumed stream does not lie behind the border; send the whole snapshot again"
    )]
    Unexpected {
        /// Offset of the record in the resumed stream.
        at: u64,
        /// The record.
        record: RecordKind,
    },
    /// A record that no sums vouch for.
    #[error(
        "the {record} record at byte {at} of the resumed stream carries no checksum; send the whole snapshot again"
    )]
    NoSums {
        /// Offset of the record in the resumed stream.
        at: u64,
        /// The record.
        record: RecordKind,
    },
}

impl SpliceError {
    /// A code that stays the same over releases, for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Stream(error) => error.code(),
            Self::NotResumed => "splice.not_resumed",
            Self::OtherStream { .. } => "splice.other_stream",
            Self::OtherKeys => "splice.other_keys",
            Self::NoResumePlace => "splice.no_resume_place",
            Self::BadList(_) => "splice.bad_list",
            Self::OtherPlace { .. } => "splice.other_place",
            Self::NotAnnounced { .. } => "splice.not_announced",
            Self::Unexpected { .. } => "splice.unexpected_record",
            Self::NoSums { .. } => "splice.no_sums",
        }
    }
}

/// What ends a call of [`crate::Splicer::feed`]: the resumed stream, or the sink of the continuation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpliceFault<E> {
    /// The resumed stream is refused.
    #[error(transparent)]
    Splice(#[from] SpliceError),
    /// The sink refused a record or payload; its own error.
    #[error("{0}")]
    Sink(E),
}

impl<E> From<StreamError> for SpliceFault<E> {
    fn from(error: StreamError) -> Self {
        Self::Splice(error.into())
    }
}
