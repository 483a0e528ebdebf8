//! Running the checksums of a stream that is written: what goes into each header's sum fields.

use crate::fields::put_sums;
use crate::proof::CHECKSUM_AT;
use crate::{ByteOrder, Fletcher4, HEADER_BYTES, RecordKind};

/// Where END carries the sums of everything before it.
const END_SUMS_AT: usize = 8;
const SUMS_BYTES: usize = 32;

/// Runs the sums over the records of one stream as they are written, from its BEGIN or from a border in it.
#[derive(Debug, Clone)]
pub struct Resummer {
    sums: Fletcher4,
    order: ByteOrder,
    position: u64,
}

impl Resummer {
    /// For a stream that starts with its BEGIN.
    #[must_use]
    pub fn new(order: ByteOrder) -> Self {
        Self::resume(order, 0, [0; 4])
    }

    /// For the continuation of a stream from byte `position` on, where its running sums were `sums`.
    #[must_use]
    pub fn resume(order: ByteOrder, position: u64, sums: [u64; 4]) -> Self {
        Self { sums: Fletcher4::resume(order, sums), order, position }
    }

    /// Takes the header of the next record and makes its sums right.
    ///
    /// A header whose own sums are zero keeps them so, as an old sender would leave them; END gets the sums of everything
    /// before it in any case.
    pub fn header(&mut self, kind: RecordKind, header: &mut [u8; HEADER_BYTES]) {
        self.position += HEADER_BYTES as u64;
        if kind == RecordKind::Begin {
            return self.sums.update(header);
        }
        if kind == RecordKind::End
            && let Some(field) = header[END_SUMS_AT..].first_chunk_mut::<SUMS_BYTES>()
        {
            put_sums(field, self.sums.value(), self.order);
        }
        let (covered, own) = header.split_at_mut(CHECKSUM_AT);
        self.sums.update(covered);
        let given = own.iter().any(|byte| *byte != 0);
        if let (true, Some(own)) = (given, own.first_chunk_mut::<SUMS_BYTES>()) {
            put_sums(own, self.sums.value(), self.order);
        }
        self.sums.update(own);
    }

    /// Takes the next piece of the latest record's payload.
    pub fn payload(&mut self, bytes: &[u8]) {
        self.sums.update(bytes);
        self.position += bytes.len() as u64;
    }

    /// Bytes of the stream up to here.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The running sums up to here.
    #[must_use]
    pub fn value(&self) -> [u64; 4] {
        self.sums.value()
    }
}
