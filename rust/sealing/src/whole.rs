//! Small objects that are sealed and opened as a whole, such as the sealed metadata of a backup.

use crate::layout::{fill_slots, plain_chunks, slots_len};
use crate::{Identities, PartOpen, PartSeal, Recipients, SealError};

/// Seals `plain` into a whole age file.
///
/// # Errors
/// Those of [`PartSeal::new`].
pub fn seal_bytes(recipients: &Recipients, plain: &[u8]) -> Result<Vec<u8>, SealError> {
    let part = PartSeal::new(recipients)?;
    let start = part.header().len();
    let mut file = Vec::with_capacity(start + slots_len(plain.len()));
    file.extend_from_slice(part.header());
    file.resize(start + slots_len(plain.len()), 0);
    fill_slots(&mut file[start..], 0, plain);
    part.seal_slots(0, true, &mut file[start..])?;
    Ok(file)
}

/// Opens a whole age file.
///
/// # Errors
/// Those of [`PartOpen::new`] and [`PartOpen::open_slots`]; a file that ends inside its header is
/// `seal.truncated`.
pub fn open_bytes(identities: &Identities, file: &[u8]) -> Result<Vec<u8>, SealError> {
    let (part, start) = PartOpen::new(file, identities).map_err(|error| match error {
        SealError::NeedMore => SealError::Truncated { chunk: 0 },
        other => other,
    })?;
    let mut slots = file[start..].to_vec();
    part.open_slots(0, true, &mut slots)?;
    Ok(plain_chunks(&slots).collect::<Vec<_>>().concat())
}
