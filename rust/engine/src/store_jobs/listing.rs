//! What is committed: from one LIST of `manifests/`, and from the manifests themselves where asked.

use std::sync::Arc;

use format::{ManifestKey, TOMBSTONE, manifest_prefix, parse_manifest_key};
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};
use store::ObjectStore;

use crate::error::EngineError;
use crate::manifests::read_manifest;
use crate::repository;

/// How many manifests are read at once.
const READS_AT_ONCE: usize = 16;

/// Lists committed backups, oldest first within a dataset.
pub(super) async fn list(
    store: &dyn ObjectStore,
    source: Option<&str>,
    dataset: Option<&str>,
) -> Result<Value, EngineError> {
    let prefix = manifest_prefix(source, dataset)?;
    let mut backups = Vec::new();
    for object in store.list(&prefix).await? {
        if object.length == TOMBSTONE.len() as u64 {
            continue;
        }
        match parse_manifest_key(&object.key) {
            Ok(key) => backups.push(entry(&object.key, &key)),
            Err(error) => tracing::warn!(key = object.key, %error, "not the name of a manifest, left alone"),
        }
    }
    // Behind the listing: that of a disk which is not mounted any more is empty, and so is its repository.
    let repository = repository::read(store).await?;
    Ok(json!({
        "repository": repository.map(|repository| json!({ "id": repository.id })),
        "backups": backups,
    }))
}

fn entry(stored: &str, key: &ManifestKey) -> Value {
    json!({
        "key": stored,
        "source": key.source,
        "dataset": key.dataset,
        "folder": key.folder,
        "id": key.id,
        "level": key.id.level,
        "created": key.id.created,
        "snapshot_guid": key.id.snapshot_guid.to_string(),
        "nonce": key.id.nonce,
        "parent_nonce": key.parent_nonce.map_or_else(|| "0".to_owned(), |nonce| nonce.to_string()),
    })
}

/// Whether a manifest can't be read by any version of this program.
fn is_damage(error: &EngineError) -> bool {
    error.code.starts_with("format.") && !matches!(error.code.as_ref(), "format.too_new" | "format.requires")
}

/// Reads manifests, several at once, in the order asked for: each is `{"manifest": ...}`, or `{"damage": {code, message}}`,
/// as one that can't be read must not hide the others.
pub(super) async fn manifests(store: &Arc<dyn ObjectStore>, keys: &[String]) -> Result<Value, EngineError> {
    let reads = keys.iter().map(|key| async move {
        match read_manifest(store.as_ref(), key).await {
            Ok((manifest, _)) => Ok(json!({ "manifest": manifest })),
            Err(error) if is_damage(&error) => {
                Ok(json!({ "damage": { "code": error.code, "message": error.message } }))
            }
            Err(error) => Err(error),
        }
    });
    let manifests: Vec<_> = stream::iter(reads).buffered(READS_AT_ONCE).try_collect().await?;
    Ok(json!({ "manifests": manifests }))
}
