//! Sealing one part in the buffer it lies in, on every core of the current rayon pool.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use crate::claims::Claims;
use crate::header::{self, SealedHeader};
use crate::layout::{self, LayoutFault, SEALED_CHUNK_BYTES};
use crate::payload::PayloadKey;
use crate::{Recipients, SealError};

/// Below this many bytes the hand-over to other threads costs more than it saves.
pub(crate) const SERIAL_BYTES: usize = 2 * SEALED_CHUNK_BYTES;

/// So many chunks, worked off with one cipher context, hide what its set-up costs; more would keep cores waiting.
const LONGEST_RUN_CHUNKS: usize = 8;

/// Slots in runs for every core, each with the counter of its first chunk.
pub(crate) fn runs(first_counter: u64, slots: &mut [u8]) -> impl ParallelIterator<Item = (u64, &mut [u8])> {
    let chunks_per_core = slots.len() / SEALED_CHUNK_BYTES / rayon::current_num_threads();
    let run_chunks = chunks_per_core.clamp(1, LONGEST_RUN_CHUNKS);
    let counted = slots.par_chunks_mut(run_chunks * SEALED_CHUNK_BYTES).enumerate();
    counted.map(move |(index, run)| (first_counter + (index * run_chunks) as u64, run))
}

/// One age file in the making, with a file key of its own. Share it as `Arc<PartSeal>` between threads.
pub struct PartSeal {
    header: Vec<u8>,
    key: PayloadKey,
    claims: Mutex<Claims>,
}

impl PartSeal {
    /// Draws a file key and wraps it to all `recipients`. Runs plugin programs where there are plugin
    /// recipients, so it may block.
    ///
    /// # Errors
    /// `seal.no_recipients`, `seal.recipient_set`, `seal.plugin`, `seal.cipher_refused`.
    pub fn new(recipients: &Recipients) -> Result<Self, SealError> {
        let SealedHeader { bytes, file_key } = header::write(recipients.wrappers())?;
        let key = PayloadKey::derive(&file_key, header::nonce_of(&bytes))?;
        Ok(Self { header: bytes, key, claims: Mutex::default() })
    }

    /// Header and nonce: exactly the bytes that precede the payload in the file.
    #[must_use]
    pub fn header(&self) -> &[u8] {
        &self.header
    }

    /// Seals the chunk number `counter` in place. `slot` is the plain bytes and 16 spare bytes; `last` says
    /// that the payload ends with it.
    ///
    /// # Errors
    /// `seal.layout` if the slot is no lawful chunk or the counter was sealed before; the slot is untouched.
    pub fn seal_chunk(&self, counter: u64, last: bool, slot: &mut [u8]) -> Result<(), SealError> {
        if slot.len() > SEALED_CHUNK_BYTES {
            return Err(SealError::Layout { reason: "a slot longer than a chunk" });
        }
        self.seal_slots(counter, last, slot)
    }

    /// Seals consecutive slots in place, the first being chunk `first_counter`. With `last` the payload ends
    /// with the final slot, which then may be short; without, all slots are full. Batches of one part may be
    /// sealed in any order and from several threads.
    ///
    /// # Errors
    /// `seal.layout` if the area breaks a rule or a counter was sealed before; the area is untouched.
    pub fn seal_slots(&self, first_counter: u64, last: bool, slots: &mut [u8]) -> Result<(), SealError> {
        let end = layout::check_slots(first_counter, last, slots.len()).map_err(LayoutFault::into_error)?;
        self.claims.lock().unwrap_or_else(PoisonError::into_inner).claim(first_counter..end, last)?;
        let seal = |(first, run): (u64, &mut [u8])| {
            let mut sealer = self.key.sealer()?;
            (first..end)
                .zip(run.chunks_mut(SEALED_CHUNK_BYTES))
                .try_for_each(|(counter, slot)| sealer.seal(counter, last && counter + 1 == end, slot))
        };
        if slots.len() <= SERIAL_BYTES {
            seal((first_counter, slots))
        } else {
            runs(first_counter, slots).try_for_each(seal)
        }
    }
}

impl fmt::Debug for PartSeal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PartSeal").field("header_bytes", &self.header.len()).finish_non_exhaustive()
    }
}
