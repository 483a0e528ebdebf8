//! What each byte must cost: the same calls that the engine makes, bare, on one thread, over buffers as large as its own.

use std::hint::black_box;

use sealing::{CHUNK_BYTES, Digest, Identities, PartOpen, PartSeal, Recipients, SEALED_CHUNK_BYTES};
use sendstream::{ByteOrder, Fletcher4};

use crate::Failure;
use crate::cost;
use crate::jobs::Room;

/// Plain bytes of one of the engine's parts.
const PART_BYTES: usize = 64 << 20;

/// CPU seconds of each primitive over all bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Primitives {
    pub(crate) seal: f64,
    pub(crate) open: f64,
    pub(crate) digest: f64,
    pub(crate) fletcher: f64,
    pub(crate) copy: f64,
}

impl Primitives {
    pub(crate) fn of_push(&self) -> f64 {
        self.seal + self.digest + self.fletcher + self.copy
    }

    pub(crate) fn of_restore(&self) -> f64 {
        self.open + self.digest + self.fletcher + self.copy
    }
}

/// Measures all of them over `bytes`.
pub(crate) fn measure(bytes: &[u8], room: &Room) -> Result<Primitives, Failure> {
    let recipients = Recipients::parse(std::slice::from_ref(&room.recipient))?;
    let identities = Identities::from_files(&[room.identity()])?;
    let one_thread = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    let mut buffer = vec![1; PART_BYTES / CHUNK_BYTES * SEALED_CHUNK_BYTES];
    let mut sum = Primitives::default();
    let mut fletcher = Fletcher4::new(ByteOrder::Little);
    let mut digest = Digest::new();
    for part in bytes.chunks(PART_BYTES) {
        let seal = PartSeal::new(&recipients)?;
        let (opener, _) = PartOpen::new(seal.header(), &identities)?;
        let end = part.len() + part.len().div_ceil(CHUNK_BYTES) * sealing::TAG_BYTES;
        let slots = &mut buffer[..end];
        add(&mut sum.copy, || {
            for (plain, slot) in part.chunks(CHUNK_BYTES).zip(slots.chunks_mut(SEALED_CHUNK_BYTES)) {
                slot[..plain.len()].copy_from_slice(plain);
            }
            Ok(())
        })?;
        add(&mut sum.fletcher, || {
            fletcher.update(part);
            Ok(())
        })?;
        add(&mut sum.seal, || Ok(one_thread.install(|| seal.seal_slots(0, true, slots))?))?;
        add(&mut sum.digest, || {
            digest.update(slots);
            Ok(())
        })?;
        add(&mut sum.open, || Ok(one_thread.install(|| opener.open_slots(0, true, slots))?))?;
    }
    black_box((fletcher.value(), digest.hex()));
    Ok(sum)
}

fn add(sum: &mut f64, work: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
    let started = cost::start()?;
    work()?;
    *sum += started.stop()?.cpu_seconds;
    Ok(())
}
