//! Before `zfs receive` gets a byte: is every part of every backup there, of its length, warm, and meant for this identity?

use std::collections::BTreeMap;
use std::sync::Arc;

use format::{Manifest, Part};
use sealing::{Identities, MAX_HEADER_BYTES, PartOpen};
use serde_json::{Value, json};
use store::{ObjectInfo, ObjectStore, ThawState};

use crate::error::EngineError;
use crate::job::JobContext;
use crate::manifests::read_manifest;
use crate::restore::{damaged, in_part, name_part};

/// Checks the backups under the given manifest keys, in that order; the first thing wrong is the error.
pub(super) async fn run(
    store: &Arc<dyn ObjectStore>,
    keys: &[String],
    identities: &Identities,
    context: &JobContext,
) -> Result<Value, EngineError> {
    let (mut parts, mut sealed_bytes) = (0, 0);
    context.progress.set_stage("preflight");
    for key in keys {
        let (manifest, _) = read_manifest(store.as_ref(), key).await?;
        check_parts(store.as_ref(), &manifest).await?;
        check_identity(store.as_ref(), &manifest, identities).await?;
        parts += manifest.parts.len();
        sealed_bytes += manifest.parts.iter().map(|part| part.sealed_length).sum::<u64>();
    }
    Ok(json!({ "backups": keys.len(), "parts": parts, "sealed_bytes": sealed_bytes }))
}

/// One LIST of the backup's folder answers for all its parts; only cold ones are asked for one by one.
async fn check_parts(store: &dyn ObjectStore, manifest: &Manifest) -> Result<(), EngineError> {
    let listed = store.list(&manifest.keys()?.data_prefix()).await?;
    let listed: BTreeMap<&str, &ObjectInfo> =
        listed.iter().map(|object| (object.key.as_str(), object)).collect();
    for part in &manifest.parts {
        let Some(object) = listed.get(part.key.as_str()) else {
            // A listing may lag behind: the object itself has the last word, and the right error.
            check_length(part, store.head(&part.key).await.map_err(|error| name_part(error, part))?.length)?;
            continue;
        };
        check_length(part, object.length)?;
        if !matches!(object.thaw, ThawState::Hot) {
            check_warm(store, part).await?;
        }
    }
    Ok(())
}

fn check_length(part: &Part, length: u64) -> Result<(), EngineError> {
    if length == part.sealed_length {
        return Ok(());
    }
    Err(damaged(part, &format!("it is {length} bytes long, not {}", part.sealed_length)))
}

async fn check_warm(store: &dyn ObjectStore, part: &Part) -> Result<(), EngineError> {
    let object = store.head(&part.key).await.map_err(|error| name_part(error, part))?;
    let state = match object.thaw {
        ThawState::Hot | ThawState::Warm { .. } => return Ok(()),
        ThawState::Warming => "is being thawed and not readable yet: wait for it",
        ThawState::Cold => {
            "lies in a cold storage class: ask the store to thaw it (RECOVER.md in the store tells how)"
        }
    };
    let class = object.storage_class.unwrap_or_default();
    Err(EngineError::new("store.archived", format!("part {} {state}: {} ({class})", part.number, part.key))
        .with("key", &part.key))
}

async fn check_identity(
    store: &dyn ObjectStore,
    manifest: &Manifest,
    identities: &Identities,
) -> Result<(), EngineError> {
    let Some(part) = manifest.parts.first() else { return Ok(()) };
    let end = part.sealed_length.min(MAX_HEADER_BYTES as u64);
    let mut download = store.get(&part.key, Some(0..end)).await.map_err(|error| name_part(error, part))?;
    let mut head = Vec::new();
    while let Some(chunk) = futures::StreamExt::next(&mut download.chunks).await {
        head.extend_from_slice(&chunk.map_err(|error| name_part(error, part))?);
    }
    PartOpen::new(&head, identities).map_err(|error| in_part(error, part))?;
    Ok(())
}
