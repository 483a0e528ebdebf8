//! What is known of a stream once it was scanned to its END.

use crate::{Begin, RecordKind};

/// How many records of each kind there were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RecordCounts([u64; RecordKind::ALL.len()]);

impl RecordCounts {
    /// Records of one kind.
    #[must_use]
    pub fn get(&self, kind: RecordKind) -> u64 {
        self.0[kind as usize]
    }

    /// Every kind with its count, zeros too, in the order of the type numbers.
    pub fn iter(&self) -> impl Iterator<Item = (RecordKind, u64)> {
        RecordKind::ALL.into_iter().zip(self.0)
    }

    /// Records of all kinds.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// The counts as numbers, in the order of the type numbers, for whoever keeps them.
    #[must_use]
    pub fn to_array(self) -> [u64; RecordKind::ALL.len()] {
        self.0
    }

    /// Takes back what [`RecordCounts::to_array`] gave.
    #[must_use]
    pub fn from_array(counts: [u64; RecordKind::ALL.len()]) -> Self {
        Self(counts)
    }

    /// The counts of two stretches of a stream together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let mut sum = self;
        for (kind, count) in other.iter() {
            sum.0[kind as usize] = sum.0[kind as usize].saturating_add(count);
        }
        sum
    }

    /// Counts one record.
    pub fn count(&mut self, kind: RecordKind) {
        self.0[kind as usize] += 1;
    }
}

/// The proof that a stream was whole: every checksum held and END closed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamSummary {
    /// Its BEGIN record.
    pub begin: Begin,
    /// All bytes, BEGIN to END.
    pub stream_bytes: u64,
    /// The sums that END carries: fletcher-4 of everything before END.
    pub end_checksum: [u64; 4],
    /// Records by kind.
    pub records: RecordCounts,
    /// Bytes of it that are payload, not headers.
    pub payload_bytes: u64,
}
