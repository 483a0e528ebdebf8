//! Proving that the store has what was sent: by the checksum it names, or by reading the object back.

use std::sync::Arc;

use futures::StreamExt;

use super::{Address, Shared, head, read};
use crate::checksum::{ChecksumAlgorithm, ChecksumKind, RunningCrc64, StoreChecksum};
use crate::error::StoreError;
use crate::object::Receipt;

/// What the store should have.
pub(super) struct Expected {
    pub(super) checksum: StoreChecksum,
    pub(super) length: u64,
    /// CRC64NVME of all bytes, for reading back.
    pub(super) crc64: u64,
}

/// What the answer to the write said.
#[derive(Default)]
pub(super) struct Reply {
    pub(super) checksum: Option<String>,
    pub(super) e_tag: Option<String>,
}

/// Compare; ask with a HEAD where the reply said nothing.
pub(super) async fn prove(
    shared: &Arc<Shared>,
    address: &Address,
    expected: &Expected,
    reply: Reply,
) -> Result<Receipt, StoreError> {
    match expected.checksum.algorithm {
        ChecksumAlgorithm::None => reread(shared, address, expected).await,
        ChecksumAlgorithm::Md5 => {
            if reply.e_tag.as_deref().is_some_and(|tag| tag.trim_matches('"') == expected.checksum.value) {
                return Ok(receipt(expected, expected.checksum.clone(), None));
            }
            // With some encryption settings the ETag is no MD5: then only the bytes themselves prove anything.
            reread(shared, address, expected).await
        }
        _ => match reply.checksum {
            Some(value) => compare(address, expected, &value, None),
            None => ask(shared, address, expected).await,
        },
    }
}

/// Compare with what a HEAD says: length and checksum.
pub(super) async fn ask(
    shared: &Arc<Shared>,
    address: &Address,
    expected: &Expected,
) -> Result<Receipt, StoreError> {
    let (info, e_tag) = head::head(shared, address).await?;
    if info.length != expected.length {
        let why = format!("{} bytes were sent, the store has {}", expected.length, info.length);
        return Err(StoreError::Checksum { place: address.place.clone(), why });
    }
    match expected.checksum.algorithm {
        ChecksumAlgorithm::Md5 if e_tag.as_deref() == Some(expected.checksum.value.as_str()) => {
            Ok(receipt(expected, expected.checksum.clone(), info.storage_class))
        }
        ChecksumAlgorithm::None | ChecksumAlgorithm::Md5 => reread(shared, address, expected).await,
        algorithm => match info.checksum {
            Some(named) if named.algorithm == algorithm => {
                compare(address, expected, &named.value, info.storage_class)
            }
            _ => Err(StoreError::Unsupported {
                place: address.place.clone(),
                why: format!(
                    "the store took the object but names no {algorithm:?} checksum for it, so nothing proves that it is whole; \
                     set `checksum:` to another (crc32c, sha256, md5) or to none (each object is read back)"
                ),
            }),
        },
    }
}

/// A refusal of what an earlier attempt, whose answer was lost, may have done: if exactly the expected object is there, it did.
pub(super) async fn stored_unheard(
    shared: &Arc<Shared>,
    address: &Address,
    expected: &Expected,
    refusal: StoreError,
) -> Result<Receipt, StoreError> {
    match ask(shared, address, expected).await {
        Err(StoreError::NotFound { .. } | StoreError::Checksum { .. }) => Err(refusal),
        other => other,
    }
}

fn compare(
    address: &Address,
    expected: &Expected,
    named: &str,
    storage_class: Option<String>,
) -> Result<Receipt, StoreError> {
    // Some servers leave the number of pieces off a composite.
    let same = named == expected.checksum.value
        || expected.checksum.kind == ChecksumKind::Composite
            && expected.checksum.value.rsplit_once('-').is_some_and(|(value, _)| value == named);
    if same {
        let checksum = StoreChecksum { value: named.to_owned(), ..expected.checksum.clone() };
        return Ok(receipt(expected, checksum, storage_class));
    }
    let why =
        format!("its {:?} is {named}, sent was {}", expected.checksum.algorithm, expected.checksum.value);
    Err(StoreError::Checksum { place: address.place.clone(), why })
}

async fn reread(shared: &Arc<Shared>, address: &Address, expected: &Expected) -> Result<Receipt, StoreError> {
    let mut download = read::open(Arc::clone(shared), &address.full, &address.place, None).await?;
    let (mut running, mut length) = (RunningCrc64::default(), 0_u64);
    while let Some(piece) = download.chunks.next().await {
        let piece = piece?;
        running.update(&piece);
        length += piece.len() as u64;
    }
    if length != expected.length || running.value() != expected.crc64 {
        let why = format!("{} bytes were sent, {length} read back, their CRC64NVME differs", expected.length);
        return Err(StoreError::Checksum { place: address.place.clone(), why });
    }
    let checksum = StoreChecksum::reread(expected.checksum.algorithm, expected.crc64);
    Ok(receipt(expected, checksum, None))
}

fn receipt(expected: &Expected, checksum: StoreChecksum, storage_class: Option<String>) -> Receipt {
    Receipt { length: expected.length, checksum, storage_class }
}
