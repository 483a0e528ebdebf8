//! Record headers: what each of the eleven record types says about itself and its payload.
//!
//! Layout: `dmu_replay_record_t` in OpenZFS `include/sys/zfs_ioctl.h`. A header is 312 bytes: type
//! u32, BEGIN's payload length u32, a union; in all but BEGIN the last 32 bytes (from 280) are the
//! fletcher-4 sums of everything before them, or zero where an old sender gives none.

use std::fmt;

use crate::fields::Fields;
use crate::{ByteOrder, HEADER_BYTES, StreamError};

/// The most payload a record may announce: a 16 MiB block, and room for its surroundings.
pub const MAX_PAYLOAD_BYTES: u64 = (16 << 20) + (64 << 10);

/// `DRR_SPILL_UNMODIFIED`: the receiver may already have this spill block.
const SPILL_UNMODIFIED: u8 = 1 << 2;

/// The type of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RecordKind {
    /// 0: opens the stream.
    Begin,
    /// 1: creates or changes an object; payload is its bonus buffer.
    Object,
    /// 2: frees a range of objects.
    FreeObjects,
    /// 3: a block of an object.
    Write,
    /// 4: frees a range of an object.
    Free,
    /// 5: closes the stream, with the sums of all of it.
    End,
    /// 6: a block that an earlier WRITE carried (obsolete dedup).
    WriteByref,
    /// 7: the spill block of an object.
    Spill,
    /// 8: a block small enough to live in its block pointer.
    WriteEmbedded,
    /// 9: encryption parameters of a range of objects (raw streams).
    ObjectRange,
    /// 10: a range left out (redacted streams).
    Redact,
}

impl RecordKind {
    /// Every kind; a kind's place is its type number in the stream.
    pub const ALL: [Self; 11] = [
        Self::Begin,
        Self::Object,
        Self::FreeObjects,
        Self::Write,
        Self::Free,
        Self::End,
        Self::WriteByref,
        Self::Spill,
        Self::WriteEmbedded,
        Self::ObjectRange,
        Self::Redact,
    ];

    /// The kind with type number `number`.
    #[must_use]
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.get(usize::try_from(number).ok()?).copied()
    }

    /// A stable lower-case name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Begin => "begin",
            Self::Object => "object",
            Self::FreeObjects => "freeobjects",
            Self::Write => "write",
            Self::Free => "free",
            Self::End => "end",
            Self::WriteByref => "write_byref",
            Self::Spill => "spill",
            Self::WriteEmbedded => "write_embedded",
            Self::ObjectRange => "object_range",
            Self::Redact => "redact",
        }
    }
}

impl fmt::Display for RecordKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name().to_ascii_uppercase())
    }
}

/// A parsed record header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// The record's type.
    pub kind: RecordKind,
    /// Offset of the header in the stream, in bytes.
    pub at: u64,
    /// Running sums of the stream up to this header: with [`crate::Fletcher4::resume`] and
    /// [`Record::at`] a later run goes on from here.
    pub checksum_before: [u64; 4],
    /// The sums the record carries; `None` in BEGIN and where an old sender left them zero.
    pub checksum: Option<[u64; 4]>,
    /// Payload bytes that follow the header.
    pub payload_len: u64,
    /// The object it is about, or the first of a range; `None` in BEGIN and END.
    pub object: Option<u64>,
    /// Where in the object it begins, in bytes (WRITE, `WRITE_EMBEDDED`, `WRITE_BYREF`, FREE, REDACT).
    pub offset: Option<u64>,
    /// Bytes of the object (or its spill block) it stands for, before compression; `u64::MAX` in a
    /// FREE means up to the end.
    pub logical_len: Option<u64>,
    /// SPILL only: flagged as unmodified since the incremental source.
    pub unmodified: bool,
}

impl Record {
    /// Parses the header at offset `at` of a stream whose sums up to there are `checksum_before`.
    ///
    /// Checks the type and the lengths, not the checksum.
    ///
    /// # Errors
    /// [`StreamError::UnknownRecord`], [`StreamError::BadLength`].
    pub fn parse(
        header: &[u8; HEADER_BYTES],
        order: ByteOrder,
        at: u64,
        checksum_before: [u64; 4],
    ) -> Result<Self, StreamError> {
        let fields = Fields::new(header, order);
        let number = fields.u32_at::<0>();
        let kind = RecordKind::from_number(number).ok_or(StreamError::UnknownRecord { at, kind: number })?;
        let range = Range::of(kind, &fields);
        let record = Self {
            kind,
            at,
            checksum_before,
            checksum: given_checksum(kind, &fields),
            payload_len: payload_len(kind, &fields),
            object: range.object,
            offset: range.offset,
            logical_len: range.length,
            unmodified: kind == RecordKind::Spill && fields.u8_at::<32>() & SPILL_UNMODIFIED != 0,
        };
        record.check_lengths()?;
        Ok(record)
    }

    /// Where in its object a WRITE or `WRITE_EMBEDDED` ends, in bytes; `None` for all others.
    #[must_use]
    pub fn write_end(&self) -> Option<u64> {
        match self.kind {
            RecordKind::Write | RecordKind::WriteEmbedded => self.offset?.checked_add(self.logical_len?),
            _ => None,
        }
    }

    /// Whole words only: fletcher-4 would not cover the tail of anything else. No ZFS sends such a one.
    fn check_lengths(&self) -> Result<(), StreamError> {
        let bad = |length| StreamError::BadLength { at: self.at, record: self.kind, length };
        if self.payload_len > MAX_PAYLOAD_BYTES || !self.payload_len.is_multiple_of(4) {
            return Err(bad(self.payload_len));
        }
        let writes = matches!(self.kind, RecordKind::Write | RecordKind::WriteEmbedded);
        if writes && self.write_end().is_none() {
            return Err(bad(self.logical_len.unwrap_or_default()));
        }
        Ok(())
    }
}

/// The object and the bytes of it that a record is about.
struct Range {
    object: Option<u64>,
    offset: Option<u64>,
    length: Option<u64>,
}

impl Range {
    fn of(kind: RecordKind, fields: &Fields<'_>) -> Self {
        let object = Some(fields.u64_at::<8>());
        let (object, offset, length) = match kind {
            RecordKind::Begin | RecordKind::End => (None, None, None),
            RecordKind::Object | RecordKind::FreeObjects | RecordKind::ObjectRange => (object, None, None),
            RecordKind::Write => (object, Some(fields.u64_at::<24>()), Some(fields.u64_at::<32>())),
            RecordKind::Spill => (object, None, Some(fields.u64_at::<16>())),
            RecordKind::Free | RecordKind::WriteByref | RecordKind::WriteEmbedded | RecordKind::Redact => {
                (object, Some(fields.u64_at::<16>()), Some(fields.u64_at::<24>()))
            }
        };
        Self { object, offset, length }
    }
}

fn payload_len(kind: RecordKind, fields: &Fields<'_>) -> u64 {
    match kind {
        RecordKind::Begin => u64::from(fields.u32_at::<4>()),
        RecordKind::Object => match fields.u32_at::<36>() {
            0 => u64::from(fields.u32_at::<28>()).next_multiple_of(8),
            raw_bonus_len => u64::from(raw_bonus_len),
        },
        RecordKind::Write => match fields.u8_at::<50>() {
            0 => fields.u64_at::<32>(),
            _compression => fields.u64_at::<96>(),
        },
        RecordKind::Spill => match fields.u64_at::<40>() {
            0 => fields.u64_at::<16>(),
            compressed_len => compressed_len,
        },
        RecordKind::WriteEmbedded => u64::from(fields.u32_at::<52>()).next_multiple_of(8),
        RecordKind::FreeObjects
        | RecordKind::Free
        | RecordKind::End
        | RecordKind::WriteByref
        | RecordKind::ObjectRange
        | RecordKind::Redact => 0,
    }
}

fn given_checksum(kind: RecordKind, fields: &Fields<'_>) -> Option<[u64; 4]> {
    let sums = fields.sums_at::<280>();
    (kind != RecordKind::Begin && sums != [0; 4]).then_some(sums)
}
