//! Who takes a stream's records, and where between them it may be cut.
//!
//! A cut is allowed where a resume token can be made for it: after a WRITE or `WRITE_EMBEDDED`, and
//! directly before an OBJECT. Elsewhere `zfs send -t` has no way to start again at that byte.

use std::convert::Infallible;

use crate::{HEADER_BYTES, Record, RecordKind};

/// A place where a stream may be cut and later gone on from with `zfs send -t`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Border {
    /// Behind a WRITE or `WRITE_EMBEDDED` record and its payload.
    AfterWrite {
        /// The object written.
        object: u64,
        /// Where in the object that record ended, in bytes.
        end_offset: u64,
    },
    /// In front of an OBJECT record. Resuming here re-sends nothing of the object, so this one is
    /// named where both hold.
    BeforeObject {
        /// The object announced.
        object: u64,
    },
}

impl Border {
    /// The border between two neighbouring records, if there is one.
    #[must_use]
    pub fn between(before: &Record, after: &Record) -> Option<Self> {
        if after.kind == RecordKind::Object {
            return Some(Self::BeforeObject { object: after.object? });
        }
        Some(Self::AfterWrite { object: before.object?, end_offset: before.write_end()? })
    }

    /// The object and offset that a resume token for this border names.
    #[must_use]
    pub fn resume_place(self) -> (u64, u64) {
        match self {
            Self::AfterWrite { object, end_offset } => (object, end_offset),
            Self::BeforeObject { object } => (object, 0),
        }
    }
}

/// Takes what a [`crate::Scanner`] finds: for each record its header, then its payload in as many
/// slices as it was fed in. The headers and payload slices in order are exactly the bytes fed.
pub trait Sink {
    /// Why the sink cannot go on.
    type Error;

    /// A record whose header is whole and whose checksum, if given, is right.
    ///
    /// `border_before` is set if the stream may be cut directly before this header.
    ///
    /// # Errors
    /// Ends the scan.
    fn record(
        &mut self,
        record: &Record,
        header: &[u8; HEADER_BYTES],
        border_before: Option<Border>,
    ) -> Result<(), Self::Error>;

    /// The next piece, never empty, of the latest record's payload. Nothing vouches for it until
    /// the next record arrives.
    ///
    /// # Errors
    /// Ends the scan.
    fn payload(&mut self, bytes: &[u8]) -> Result<(), Self::Error>;
}

/// A sink that throws everything away, for a scan that only checks.
#[derive(Debug, Clone, Copy, Default)]
pub struct Discard;

impl Sink for Discard {
    type Error = Infallible;

    fn record(&mut self, _: &Record, _: &[u8; HEADER_BYTES], _: Option<Border>) -> Result<(), Infallible> {
        Ok(())
    }

    fn payload(&mut self, _: &[u8]) -> Result<(), Infallible> {
        Ok(())
    }
}
