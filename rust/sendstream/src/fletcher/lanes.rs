//! Fletcher-4 over eight lanes: word *i* of each block belongs to lane *i*, so that a lane's sums never wait for its
//! neighbours' and the compiler adds all lanes at once. Model: the "superscalar" forms in OpenZFS
//! `module/zcommon/zfs_fletcher_superscalar4.c`.
//!
//! Why lanes can be joined: of `r` words of a lane, from one to the lane's end, that word counts 1, `r`, `r(r+1)/2` and
//! `r(r+1)(r+2)/6` times in the lane's sums. In the joint sums it has `R = 8r - i` words to the end, and counts by the
//! same formulas in `R`; written in terms of the former, these give [`factors_of`] a lane.

use super::WORD_BYTES;
use crate::ByteOrder;

/// Eight lanes of 64 bits are two or four vector registers for each sum, enough to hide an addition's delay.
pub(super) const LANES: usize = 8;

/// One word of every lane.
pub(super) type Block = [[u8; WORD_BYTES]; LANES];

/// The four sums of every lane.
pub(super) type LaneSums = [[u64; LANES]; 4];

/// So many blocks at most are summed at once: the factors that [`append`] makes of their number fit into 64 bits.
pub(super) const MOST_BLOCKS: usize = 1 << 16;

/// The lanes' sums over `blocks`.
#[expect(
    clippy::inline_always,
    reason = "only code inside the caller is compiled for the caller's instructions"
)]
#[inline(always)]
pub(super) fn lane_sums(blocks: &[Block], order: ByteOrder) -> LaneSums {
    match order {
        ByteOrder::Little => run(blocks, u32::from_le_bytes),
        ByteOrder::Big => run(blocks, u32::from_be_bytes),
    }
}

#[expect(clippy::inline_always, reason = "as above")]
#[inline(always)]
fn run(blocks: &[Block], read: impl Fn([u8; WORD_BYTES]) -> u32) -> LaneSums {
    let [mut a, mut b, mut c, mut d] = [[0_u64; LANES]; 4];
    for block in blocks {
        for lane in 0..LANES {
            a[lane] = a[lane].wrapping_add(u64::from(read(block[lane])));
            b[lane] = b[lane].wrapping_add(a[lane]);
            c[lane] = c[lane].wrapping_add(b[lane]);
            d[lane] = d[lane].wrapping_add(c[lane]);
        }
    }
    [a, b, c, d]
}

/// `sums`, run on over `count` blocks whose lanes have the sums `lanes`.
pub(super) fn append(sums: [u64; 4], count: usize, lanes: &LaneSums) -> [u64; 4] {
    // A word before these counts by the formulas above with so many more words to the end.
    let words = (count * LANES) as u64;
    let pairs = words * (words + 1) / 2;
    let triples = pairs * (words + 2) / 3;
    let longer = [[1, 0, 0, 0], [words, 1, 0, 0], [pairs, words, 1, 0], [triples, pairs, words, 1]];
    (0..LANES).fold(weighted(sums, longer), |joint, lane| {
        let own = weighted(lanes.map(|sums| sums[lane]), factors_of(lane as u64));
        add(joint, own)
    })
}

/// How often each of the sums of lane `i` counts in each of the joint sums.
fn factors_of(i: u64) -> [[u64; 4]; 4] {
    let pairs = i * i.saturating_sub(1) / 2;
    let triples = pairs * i.saturating_sub(2) / 3;
    let minus = u64::wrapping_neg;
    [
        [1, 0, 0, 0],
        [minus(i), 8, 0, 0],
        [pairs, minus(28 + 8 * i), 64, 0],
        [minus(triples), 56 + 24 * i + 4 * i * i, minus(448 + 64 * i), 512],
    ]
}

fn weighted(sums: [u64; 4], factors: [[u64; 4]; 4]) -> [u64; 4] {
    factors.map(|row| {
        let products = sums.into_iter().zip(row).map(|(sum, factor)| sum.wrapping_mul(factor));
        products.fold(0, u64::wrapping_add)
    })
}

fn add(mut sums: [u64; 4], others: [u64; 4]) -> [u64; 4] {
    for (sum, other) in sums.iter_mut().zip(others) {
        *sum = sum.wrapping_add(other);
    }
    sums
}
