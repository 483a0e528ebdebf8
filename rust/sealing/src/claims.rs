//! Which counters of a part were sealed already. Two different plain texts under one counter would give
//! their XOR away, so a second claim is refused; the caller may still seal batches in any order.

use std::ops::Range;

use crate::SealError;

/// Claimed counters of one part; in-order use keeps `taken` at a single range.
#[derive(Default)]
pub(crate) struct Claims {
    taken: Vec<Range<u64>>,
    end: Option<u64>,
}

impl Claims {
    /// Claims `range`; with `last`, the payload ends behind it.
    pub(crate) fn claim(&mut self, range: Range<u64>, last: bool) -> Result<(), SealError> {
        let at = self.taken.partition_point(|other| other.end <= range.start);
        if self.taken.get(at).is_some_and(|other| other.start < range.end) {
            return Err(SealError::Layout { reason: "a chunk counter was used twice" });
        }
        let behind_end = self.end.is_some_and(|end| last || range.start >= end);
        let ends_too_early = last && at < self.taken.len();
        if behind_end || ends_too_early {
            return Err(SealError::Layout { reason: "a chunk behind the last one" });
        }
        if last {
            self.end = Some(range.end);
        }
        self.insert(at, range);
        Ok(())
    }

    fn insert(&mut self, at: usize, range: Range<u64>) {
        match at.checked_sub(1).and_then(|before| self.taken.get_mut(before)) {
            Some(before) if before.end == range.start => before.end = range.end,
            _ => self.taken.insert(at, range),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_claimed_once_in_any_order() {
        let mut claims = Claims::default();
        claims.claim(4..8, false).unwrap();
        claims.claim(0..4, false).unwrap();
        for again in [0..1, 3..5, 7..9, 0..8, 5..6] {
            assert_eq!(claims.claim(again, false).unwrap_err().code(), "seal.layout");
        }
        claims.claim(8..9, true).unwrap();
    }

    #[test]
    fn nothing_follows_the_last_chunk() {
        let mut claims = Claims::default();
        claims.claim(4..8, false).unwrap();
        assert!(claims.claim(2..3, true).is_err());
        claims.claim(8..9, true).unwrap();
        assert!(claims.claim(9..10, false).is_err());
        assert!(claims.claim(9..10, true).is_err());
        claims.claim(0..4, false).unwrap();
    }

    #[test]
    fn sequential_use_stays_one_range() {
        let mut claims = Claims::default();
        for i in 0..1000 {
            claims.claim(i..i + 1, false).unwrap();
        }
        assert_eq!((claims.taken.len(), claims.taken[0].clone()), (1, 0..1000));
    }
}
