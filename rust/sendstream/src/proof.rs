//! The comparisons that prove a record: its own sums, and what END says of the whole.

use crate::fields::Fields;
use crate::{Fletcher4, HEADER_BYTES, Record, RecordKind, StreamError};

/// Where a header's own sums begin.
pub(crate) const CHECKSUM_AT: usize = 280;

/// Runs the sums over a header (not BEGIN's) and compares them with those it carries, if any.
pub(crate) fn prove(
    sums: &mut Fletcher4,
    record: &Record,
    header: &[u8; HEADER_BYTES],
) -> Result<(), StreamError> {
    let (covered, own) = header.split_at(CHECKSUM_AT);
    sums.update(covered);
    if record.checksum.is_some_and(|given| given != sums.value()) {
        return Err(StreamError::ChecksumMismatch { at: record.at, record: record.kind });
    }
    sums.update(own);
    Ok(())
}

/// END must carry the sums of all before it, and name the snapshot that BEGIN named. Where an old
/// sender gave END no sums of its own, nothing but their being zero covers its other bytes.
pub(crate) fn check_end(record: &Record, end: &Fields<'_>, begin_guid: u64) -> Result<[u64; 4], StreamError> {
    let at = record.at;
    let whole = end.sums_at::<8>();
    if whole != record.checksum_before {
        return Err(StreamError::ChecksumMismatch { at, record: RecordKind::End });
    }
    let found = end.u64_at::<40>();
    if found != begin_guid {
        return Err(StreamError::WrongSnapshot { at, expected: begin_guid, found });
    }
    let spare_is_zero = end.u32_at::<4>() == 0 && end.array::<48, 232>() == [0; 232];
    if record.checksum.is_none() && !spare_is_zero {
        return Err(StreamError::MalformedEnd { at });
    }
    Ok(whole)
}
