//! How many stream bytes go into a part.
//!
//! A function of the part's number and of what was known at the start only, so that a resumed
//! run cuts where the broken one would have. About 10,000 parts at most: S3 lists stay short
//! and `RECOVER.txt` stays readable.

const MIB: u64 = 1 << 20;

/// The smallest automatic part, in stream bytes.
pub(crate) const SMALLEST_BYTES: u64 = 64 * MIB;
/// The largest part, in stream bytes (an S3 object of one part stays below 5 TiB by far).
pub(crate) const LARGEST_BYTES: u64 = 4096 * MIB;
/// The smallest part that can be configured, in stream bytes. A request may ask for less, as tests do that need very
/// many parts of few bytes: such a size never doubles.
pub(crate) const SMALLEST_CONFIGURED_BYTES: u64 = MIB;
/// How many parts a stream of the estimated length is cut into at most.
const PARTS_AIMED_AT: u64 = 8_000;
/// After how many parts the size doubles.
const DOUBLES_EVERY: u64 = 1_000;

/// The part-size rule of one backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PartSizeRule {
    first_bytes: u64,
    doubles_after: u64,
}

impl PartSizeRule {
    /// The rule for a configured size (fixed for the first 8,000 parts; one below what can be configured for ever) or,
    /// without one, for an estimate of the stream's length in bytes (unknown: 64 MiB, doubled every 1,000 parts).
    pub(crate) fn new(configured_bytes: Option<u64>, estimated_bytes: Option<u64>) -> Self {
        if let Some(bytes) = configured_bytes {
            let doubles_after = if bytes < SMALLEST_CONFIGURED_BYTES { u64::MAX } else { PARTS_AIMED_AT };
            return Self { first_bytes: bytes.min(LARGEST_BYTES), doubles_after };
        }
        let Some(estimate) = estimated_bytes else {
            return Self { first_bytes: SMALLEST_BYTES, doubles_after: DOUBLES_EVERY };
        };
        let mut first_bytes = SMALLEST_BYTES;
        while first_bytes < LARGEST_BYTES && estimate / first_bytes >= PARTS_AIMED_AT {
            first_bytes *= 2;
        }
        Self { first_bytes, doubles_after: PARTS_AIMED_AT }
    }

    /// Stream bytes that part `number` (from 0) aims at.
    pub(crate) fn target_bytes(&self, number: u64) -> u64 {
        let doublings = match number.checked_sub(self.doubles_after) {
            None => 0,
            Some(beyond) => 1 + beyond / DOUBLES_EVERY,
        };
        let factor = 1_u64.checked_shl(u32::try_from(doublings).unwrap_or(u32::MAX)).unwrap_or(u64::MAX);
        self.first_bytes.saturating_mul(factor).min(LARGEST_BYTES)
    }

    /// Whether the next record still belongs to a part that holds `part_bytes`.
    pub(crate) fn fits(&self, number: u64, part_bytes: u64, record_bytes: u64) -> bool {
        part_bytes == 0 || part_bytes.saturating_add(record_bytes) <= self.target_bytes(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// How many parts a stream of `stream_bytes` is cut into, if every part is filled.
    fn parts_for(rule: PartSizeRule, stream_bytes: u64) -> u64 {
        let (mut number, mut left) = (0, stream_bytes);
        while left > 0 {
            left = left.saturating_sub(rule.target_bytes(number));
            number += 1;
        }
        number
    }

    #[test]
    fn sizes_at_the_edges() {
        let unknown = PartSizeRule::new(None, None);
        assert_eq!(unknown.target_bytes(0), 64 * MIB);
        assert_eq!(unknown.target_bytes(999), 64 * MIB);
        assert_eq!(unknown.target_bytes(1_000), 128 * MIB);
        assert_eq!(unknown.target_bytes(9_999_999), LARGEST_BYTES);
        assert_eq!(PartSizeRule::new(Some(8 * MIB), Some(1 << 50)).target_bytes(0), 8 * MIB);
        assert_eq!(PartSizeRule::new(Some(MIB), None).target_bytes(8_000), 2 * MIB);
        assert_eq!(PartSizeRule::new(Some(MIB - 1), None).target_bytes(40_000), MIB - 1);
        assert_eq!(PartSizeRule::new(None, Some(1 << 30)).target_bytes(7_000), 64 * MIB);
        assert_eq!(PartSizeRule::new(None, Some(20 << 40)).target_bytes(0), 4096 * MIB);
    }

    proptest! {
        #[test]
        fn ten_thousand_parts_hold_any_stream_up_to_its_estimate(estimate in 0_u64..(30 << 40)) {
            prop_assert!(parts_for(PartSizeRule::new(None, Some(estimate)), estimate) <= 10_000);
        }

        #[test]
        fn ten_thousand_parts_hold_twelve_tebibytes_of_unknown_length(stream in 0_u64..(12 << 40)) {
            prop_assert!(parts_for(PartSizeRule::new(None, None), stream) <= 10_000);
        }

        #[test]
        fn sizes_never_shrink(estimate in proptest::option::of(0_u64..u64::MAX), number in 0_u64..100_000) {
            let rule = PartSizeRule::new(None, estimate);
            prop_assert!(rule.target_bytes(number) <= rule.target_bytes(number + 1));
            prop_assert!(rule.target_bytes(number) >= SMALLEST_BYTES);
        }
    }
}
