//! Reading the fixed-width fields of a 312-byte record header in either byte order.
//!
//! Offsets are compile-time constants checked against the header's size, so that reading a field
//! can neither fail nor panic, whatever the bytes hold.

use crate::HEADER_BYTES;

/// Byte order of a stream: that of the machine that sent it. The magic number in BEGIN tells which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ByteOrder {
    /// Least significant byte first: every sender on x86-64 and AArch64.
    Little,
    /// Most significant byte first: senders on SPARC, s390x, older POWER.
    Big,
}

/// A header seen through its byte order.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'a> {
    bytes: &'a [u8; HEADER_BYTES],
    order: ByteOrder,
}

impl<'a> Fields<'a> {
    pub(crate) fn new(bytes: &'a [u8; HEADER_BYTES], order: ByteOrder) -> Self {
        Self { bytes, order }
    }

    pub(crate) fn array<const OFFSET: usize, const LEN: usize>(&self) -> [u8; LEN] {
        const { assert!(OFFSET + LEN <= HEADER_BYTES) };
        let mut field = [0; LEN];
        field.copy_from_slice(&self.bytes[OFFSET..OFFSET + LEN]);
        field
    }

    pub(crate) fn u8_at<const OFFSET: usize>(&self) -> u8 {
        const { assert!(OFFSET < HEADER_BYTES) };
        self.bytes[OFFSET]
    }

    pub(crate) fn u32_at<const OFFSET: usize>(&self) -> u32 {
        let field = self.array::<OFFSET, 4>();
        match self.order {
            ByteOrder::Little => u32::from_le_bytes(field),
            ByteOrder::Big => u32::from_be_bytes(field),
        }
    }

    pub(crate) fn u64_at<const OFFSET: usize>(&self) -> u64 {
        let field = self.array::<OFFSET, 8>();
        match self.order {
            ByteOrder::Little => u64::from_le_bytes(field),
            ByteOrder::Big => u64::from_be_bytes(field),
        }
    }

    /// Four sums as END (offset 8) and every record but BEGIN (offset 280) carry them.
    pub(crate) fn sums_at<const OFFSET: usize>(&self) -> [u64; 4] {
        const { assert!(OFFSET + 32 <= HEADER_BYTES) };
        let mut sums = [0; 4];
        for (sum, field) in sums.iter_mut().zip(self.bytes[OFFSET..OFFSET + 32].as_chunks::<8>().0) {
            *sum = match self.order {
                ByteOrder::Little => u64::from_le_bytes(*field),
                ByteOrder::Big => u64::from_be_bytes(*field),
            };
        }
        sums
    }
}

/// Puts four sums into `field` as END and every record but BEGIN carry them.
pub(crate) fn put_sums(field: &mut [u8; 32], sums: [u64; 4], order: ByteOrder) {
    for (field, sum) in field.as_chunks_mut::<8>().0.iter_mut().zip(sums) {
        *field = match order {
            ByteOrder::Little => sum.to_le_bytes(),
            ByteOrder::Big => sum.to_be_bytes(),
        };
    }
}
