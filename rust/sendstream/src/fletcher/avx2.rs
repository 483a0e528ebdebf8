//! The lanes compiled for AVX2. Here is the crate's only `unsafe`: what was compiled for certain instructions may
//! only be called where the processor has them.
#![allow(unsafe_code, reason = "one call, behind the check that it needs")]

use super::lanes::{self, Block, LaneSums};
use crate::ByteOrder;

/// Whether this processor has AVX2.
pub(super) fn is_here() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("avx2");
    #[cfg(not(target_arch = "x86_64"))]
    return false;
}

/// The lanes' sums over `blocks`; without AVX2 they are right but slow.
pub(super) fn lane_sums(blocks: &[Block], order: ByteOrder) -> LaneSums {
    #[cfg(target_arch = "x86_64")]
    if is_here() {
        // SAFETY: the function is safe code that asks for nothing but AVX2, which was just found.
        return unsafe { compiled_for_avx2(blocks, order) };
    }
    lanes::lane_sums(blocks, order)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn compiled_for_avx2(blocks: &[Block], order: ByteOrder) -> LaneSums {
    lanes::lane_sums(blocks, order)
}
