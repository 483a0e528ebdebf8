//! Opening one part in the buffer it lies in, on every core of the current rayon pool.

use std::fmt;

use rayon::prelude::*;
use zeroize::Zeroizing;

use crate::layout::{self, LayoutFault, SEALED_CHUNK_BYTES};
use crate::payload::PayloadKey;
use crate::seal::{SERIAL_BYTES, runs};
use crate::{Identities, SealError, header};

/// The payload key of one age file, found with an identity. Share it as `Arc<PartOpen>` between threads.
pub struct PartOpen {
    key: PayloadKey,
}

impl PartOpen {
    /// Reads the header from the start of a file and unwraps its file key; also returns the offset of the
    /// payload. [`MAX_HEADER_BYTES`](crate::MAX_HEADER_BYTES) bytes are always enough. Runs plugin programs
    /// where there are plugin identities, so it may block.
    ///
    /// # Errors
    /// `seal.need_more` if `head` ends inside the header, `seal.not_age`, `seal.corrupt_header`,
    /// `seal.wrong_identity`, `seal.plugin`, `seal.cipher_refused`.
    pub fn new(head: &[u8], identities: &Identities) -> Result<(Self, usize), SealError> {
        let (file_key, payload_offset) = header::read(head, identities)?;
        let key = PayloadKey::derive(&file_key, header::nonce_of(&head[..payload_offset]))?;
        Ok((Self { key }, payload_offset))
    }

    /// Opens consecutive slots in place, the first being chunk `first_counter`; the plain bytes stay in
    /// their slots ([`plain_chunks`](crate::plain_chunks) walks them). With `last` the payload must end with
    /// the final slot. Slots that fail are wiped; none of a failed batch may be used.
    ///
    /// # Errors
    /// `seal.corrupt` and `seal.truncated` with the lowest bad chunk; `seal.layout` for a short slot in a
    /// batch that is not the last.
    pub fn open_slots(&self, first_counter: u64, last: bool, slots: &mut [u8]) -> Result<(), SealError> {
        let end = check(first_counter, last, slots.len())?;
        let spare = last.then(|| full_last_slot(slots)).flatten();
        let open = |(first, run): (u64, &mut [u8])| {
            let mut opener = self.key.opener()?;
            let counted = (first..end).zip(run.chunks_mut(SEALED_CHUNK_BYTES));
            // Every chunk is tried, for those that fail are wiped.
            let bad = counted
                .filter_map(|(at, slot)| (!opener.open(at, last && at + 1 == end, slot)).then_some(at));
            Ok(bad.min())
        };
        let bad = if slots.len() <= SERIAL_BYTES {
            open((first_counter, slots))
        } else {
            runs(first_counter, slots).map(open).try_reduce(|| None, |a, b| Ok(a.into_iter().chain(b).min()))
        };
        match bad? {
            None => Ok(()),
            Some(chunk) if chunk + 1 == end && self.continues(chunk, spare)? => {
                Err(SealError::Truncated { chunk: end })
            }
            Some(chunk) => Err(SealError::Corrupt { chunk }),
        }
    }

    /// Whether `slot` is sound, but sealed as a chunk that others follow.
    fn continues(&self, chunk: u64, slot: Option<Zeroizing<Vec<u8>>>) -> Result<bool, SealError> {
        let mut opener = self.key.opener()?;
        Ok(slot.is_some_and(|mut slot| opener.open(chunk, false, &mut slot)))
    }
}

/// A payload cut at a chunk border ends in a full chunk that is sound but not marked as last. A copy of it
/// tells that case from damage, because opening destroys what it cannot authenticate.
fn full_last_slot(slots: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (_, slot) = slots.split_last_chunk::<SEALED_CHUNK_BYTES>()?;
    slots.len().is_multiple_of(SEALED_CHUNK_BYTES).then(|| Zeroizing::new(slot.to_vec()))
}

fn check(first_counter: u64, last: bool, len: usize) -> Result<u64, SealError> {
    layout::check_slots(first_counter, last, len).map_err(|fault| match fault {
        LayoutFault::Nothing | LayoutFault::NoTag | LayoutFault::EmptyLast => {
            SealError::Truncated { chunk: first_counter.saturating_add((len / SEALED_CHUNK_BYTES) as u64) }
        }
        LayoutFault::ShortBeforeEnd | LayoutFault::Counter => fault.into_error(),
    })
}

impl fmt::Debug for PartOpen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PartOpen").finish_non_exhaustive()
    }
}
