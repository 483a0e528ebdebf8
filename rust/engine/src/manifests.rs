//! Reads manifests, and nothing that is not one.

use bytes::Bytes;
use format::{Manifest, parse_manifest_key};
use store::ObjectStore;

use crate::error::EngineError;

/// A manifest larger than this is not ours: 40,000 parts need less.
const LARGEST_MANIFEST_BYTES: u64 = 64 << 20;

/// Reads, parses and validates one manifest; the second value is its text.
///
/// # Errors
/// `store.*`; `format.*` when it is damaged, newer than this program, or lies under a name that is not its own.
pub(crate) async fn read_manifest(
    store: &dyn ObjectStore,
    key: &str,
) -> Result<(Manifest, Bytes), EngineError> {
    let bytes = store
        .get_bytes(key, LARGEST_MANIFEST_BYTES)
        .await
        .map_err(|error| EngineError::from(error).with("key", key))?;
    let parsed = parse_manifest_key(key).and_then(|place| Manifest::parse_at(&place, &bytes));
    let manifest = parsed.map_err(|error| EngineError::from(error).about(key))?;
    Ok((manifest, bytes))
}
