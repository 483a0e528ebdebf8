//! Where bytes lie: lengths of sealed parts, and the slot area in which a part is sealed in place.
//!
//! A slot is up to 64 KiB of plain bytes followed by 16 spare bytes for the tag. Slots follow each other
//! without gaps, so a filled slot area *is* the age payload once sealed: no byte moves again. Only the last
//! slot may be short, and only the sole slot of an empty payload may be empty (<https://c2sp.org/age#payload>).

use crate::SealError;

/// Plain bytes of a full chunk.
pub const CHUNK_BYTES: usize = 65536;
/// Bytes that sealing adds to a chunk (the Poly1305 tag).
pub const TAG_BYTES: usize = 16;
/// Bytes of a full slot: a chunk and its tag.
pub const SEALED_CHUNK_BYTES: usize = CHUNK_BYTES + TAG_BYTES;

const CHUNK: u64 = CHUNK_BYTES as u64;
const TAG: u64 = TAG_BYTES as u64;
const SEALED_CHUNK: u64 = SEALED_CHUNK_BYTES as u64;

/// How many chunks (and counters) a payload of `plain_len` bytes has; an empty payload has one empty chunk.
#[must_use]
pub const fn chunk_count(plain_len: u64) -> u64 {
    let chunks = plain_len.div_ceil(CHUNK);
    if chunks == 0 { 1 } else { chunks }
}

/// Bytes of a whole sealed part: `header_len` (header and nonce, [`PartSeal::header`](crate::PartSeal::header))
/// plus the sealed payload. Saturates instead of wrapping.
#[must_use]
pub const fn sealed_len(header_len: usize, plain_len: u64) -> u64 {
    let tags = chunk_count(plain_len).saturating_mul(TAG);
    plain_len.saturating_add(tags).saturating_add(header_len as u64)
}

/// The inverse of [`sealed_len`]; `None` where no payload has that sealed length.
#[must_use]
pub const fn plain_len(header_len: usize, sealed_len: u64) -> Option<u64> {
    let Some(payload) = sealed_len.checked_sub(header_len as u64) else { return None };
    let tail = payload % SEALED_CHUNK;
    let chunks = payload.div_ceil(SEALED_CHUNK);
    if payload == 0 || (tail != 0 && tail < TAG) || (tail == TAG && chunks > 1) {
        return None;
    }
    Some(payload - chunks * TAG)
}

/// Bytes of the slot area for `plain_len` bytes of payload.
#[must_use]
pub const fn slots_len(plain_len: usize) -> usize {
    let chunks = plain_len.div_ceil(CHUNK_BYTES);
    plain_len + TAG_BYTES * if chunks == 0 { 1 } else { chunks }
}

/// Where in the slot area the payload byte `plain_offset` lies.
#[must_use]
pub const fn slot_position(plain_offset: usize) -> usize {
    plain_offset / CHUNK_BYTES * SEALED_CHUNK_BYTES + plain_offset % CHUNK_BYTES
}

/// Copies `bytes` into the slot area behind the `filled` payload bytes that already lie there, leaving the
/// spare bytes free; returns how many fitted.
pub fn fill_slots(slots: &mut [u8], filled: usize, bytes: &[u8]) -> usize {
    let last_plain_end = slots.len().saturating_sub(TAG_BYTES);
    let mut taken = 0;
    while taken < bytes.len() {
        let offset = filled + taken;
        let start = slot_position(offset);
        let room = CHUNK_BYTES - offset % CHUNK_BYTES;
        let end = last_plain_end.min(start + room);
        let count = end.saturating_sub(start).min(bytes.len() - taken);
        if count == 0 {
            break;
        }
        slots[start..start + count].copy_from_slice(&bytes[taken..taken + count]);
        taken += count;
    }
    taken
}

/// The payload bytes of a filled or opened slot area, in order, without the tags between them.
pub fn plain_chunks(slots: &[u8]) -> impl Iterator<Item = &[u8]> {
    slots.chunks(SEALED_CHUNK_BYTES).map(|slot| &slot[..slot.len().saturating_sub(TAG_BYTES)])
}

/// A fault of a slot area's length.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LayoutFault {
    /// No bytes at all.
    Nothing,
    /// A short slot in a batch that is not the last one.
    ShortBeforeEnd,
    /// A slot without room for its tag.
    NoTag,
    /// An empty chunk behind others.
    EmptyLast,
    /// Counters beyond 64 bits.
    Counter,
}

impl LayoutFault {
    pub(crate) fn into_error(self) -> SealError {
        SealError::Layout {
            reason: match self {
                Self::Nothing => "an empty slot area",
                Self::ShortBeforeEnd => "a short chunk that is not the last of its part",
                Self::NoTag => "a slot without room for its tag",
                Self::EmptyLast => "an empty last chunk behind others",
                Self::Counter => "more chunks than can be counted",
            },
        }
    }
}

/// Checks the length of a slot area against the rules and returns the counter behind its last slot.
pub(crate) fn check_slots(first_counter: u64, last: bool, len: usize) -> Result<u64, LayoutFault> {
    let tail = len % SEALED_CHUNK_BYTES;
    if len == 0 {
        return Err(LayoutFault::Nothing);
    }
    if tail != 0 && !last {
        return Err(LayoutFault::ShortBeforeEnd);
    }
    if tail != 0 && tail < TAG_BYTES {
        return Err(LayoutFault::NoTag);
    }
    if tail == TAG_BYTES && (first_counter > 0 || len > SEALED_CHUNK_BYTES) {
        return Err(LayoutFault::EmptyLast);
    }
    let count = len.div_ceil(SEALED_CHUNK_BYTES) as u64;
    first_counter.checked_add(count).ok_or(LayoutFault::Counter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_around_the_chunk_borders() {
        let cases = [(0, 1), (1, 1), (65535, 1), (65536, 1), (65537, 2), (131_072, 2), (131_073, 3)];
        for (plain, chunks) in cases {
            assert_eq!(chunk_count(plain), chunks, "{plain}");
            assert_eq!(sealed_len(200, plain), 200 + plain + 16 * chunks, "{plain}");
            assert_eq!(plain_len(200, sealed_len(200, plain)), Some(plain));
            let plain_usize = usize::try_from(plain).unwrap();
            assert_eq!(slots_len(plain_usize) as u64, sealed_len(0, plain));
        }
        assert_eq!(sealed_len(1, u64::MAX), u64::MAX);
    }

    #[test]
    fn impossible_sealed_lengths_have_no_plain_length() {
        for sealed in [0, 199, 200, 201, 215, 200 + 65552 + 1, 200 + 65552 + 15, 200 + 65552 + 16] {
            assert_eq!(plain_len(200, sealed), None, "{sealed}");
        }
        assert_eq!(plain_len(200, 200 + 65552 + 17), Some(65537));
    }

    #[test]
    fn filling_keeps_the_spare_bytes_free() {
        let plain: Vec<u8> = (0..150_000_u32).map(|i| i.to_le_bytes()[0] | 1).collect();
        let mut slots = vec![0; slots_len(plain.len())];
        let mut filled = 0;
        for piece in plain.chunks(4099) {
            assert_eq!(fill_slots(&mut slots, filled, piece), piece.len());
            filled += piece.len();
        }
        assert_eq!(fill_slots(&mut slots, filled, b"more"), 0);
        assert_eq!(plain_chunks(&slots).collect::<Vec<_>>().concat(), plain);
        assert!(slots[65536..65552].iter().all(|&b| b == 0));
        assert_eq!(slots[slot_position(65536)], plain[65536]);
    }

    #[test]
    fn filling_stops_at_the_end_of_the_area() {
        let mut slots = vec![0; 2 * SEALED_CHUNK_BYTES];
        assert_eq!(fill_slots(&mut slots, 65530, &vec![1; 70_000]), 65542);
        assert_eq!(fill_slots(&mut [], 0, b"x"), 0);
    }

    #[test]
    fn slot_areas_that_break_a_rule() {
        assert_eq!(check_slots(0, true, 0), Err(LayoutFault::Nothing));
        assert_eq!(check_slots(0, true, 16), Ok(1));
        assert_eq!(check_slots(1, true, 16), Err(LayoutFault::EmptyLast));
        assert_eq!(check_slots(0, true, 65552 + 16), Err(LayoutFault::EmptyLast));
        assert_eq!(check_slots(0, true, 65552 + 15), Err(LayoutFault::NoTag));
        assert_eq!(check_slots(0, false, 65552 + 17), Err(LayoutFault::ShortBeforeEnd));
        assert_eq!(check_slots(5, false, 65552), Ok(6));
        assert_eq!(check_slots(5, true, 65552), Ok(6));
        assert_eq!(check_slots(u64::MAX, true, 65552), Err(LayoutFault::Counter));
    }
}
