//! Whether an object still is what was stored: by the checksum that the store keeps, else by reading it again.

use format::{ChecksumAlgorithm, ChecksumKind, Part};
use futures::StreamExt;
use sealing::Digest;
use store::{ObjectStore, ThawState};

use crate::error::EngineError;
use crate::push::store_checksum;

/// What to do with a part of which the store keeps no checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unkept {
    /// Read it again.
    Read,
    /// Trust what was read again when it was stored.
    Trust,
}

/// Why a part differs from what was stored; none if it does not.
///
/// # Errors
/// `store.*`.
pub(crate) async fn differs(
    store: &dyn ObjectStore,
    part: &Part,
    unkept: Unkept,
) -> Result<Option<String>, EngineError> {
    let named = |error: store::StoreError| EngineError::from(error).with("key", &part.key);
    let object = match store.head(&part.key).await {
        Ok(object) => object,
        Err(error) if error.code() == "store.not_found" => {
            return Ok(Some(format!("part {} is gone from the store", part.number)));
        }
        Err(error) => return Err(named(error)),
    };
    let known = &part.store_checksum;
    let same = match object.checksum.as_ref().map(store_checksum) {
        Some(kept) if kept.algorithm == known.algorithm && kept.kind == known.kind => {
            kept.value == known.value
        }
        // What the store acknowledged with a checksum of its own but does not keep can only be trusted or paid for.
        _ if object.thaw == ThawState::Cold => true,
        _ if unkept == Unkept::Trust => true,
        _ if known.kind != ChecksumKind::Reread && known.algorithm != ChecksumAlgorithm::None => true,
        _ => reread(store, part).await?,
    };
    let same = same && object.length == part.sealed_length;
    Ok((!same).then(|| format!("part {} in the store is not what was stored", part.number)))
}

async fn reread(store: &dyn ObjectStore, part: &Part) -> Result<bool, EngineError> {
    let named = |error: store::StoreError| EngineError::from(error).with("key", &part.key);
    let mut download = store.get(&part.key, None).await.map_err(named)?;
    let mut digest = Digest::new();
    while let Some(chunk) = download.chunks.next().await {
        digest.update(&chunk.map_err(named)?);
    }
    Ok(digest.len() == part.sealed_length && digest.bytes() == *part.blake3.as_bytes())
}
