//! Commits a run that was stopped between its last part and its manifest: the same bytes at the same key.

use std::sync::Arc;

use format::{Intent, Manifest, Part, RepositoryId, parse_manifest_key};
use serde_json::{Value, json};
use store::{ObjectStore, PutOptions};

use super::resume_look;
use super::run_keys::RunKeys;
use crate::error::EngineError;
use crate::marker::Marking;
use crate::repository;
use crate::request::RecommitRequest;

pub(super) async fn run(
    store: &Arc<dyn ObjectStore>,
    request: &RecommitRequest,
) -> Result<Value, EngineError> {
    let run = RunKeys::new(&request.run)?;
    let key = &request.manifest_key;
    let manifest = Manifest::parse_at(&parse_manifest_key(key)?, request.manifest.as_bytes())?;
    let expected: RepositoryId = request.repository_id.parse()?;
    if manifest.keys()? != run.keys || manifest.repository != expected {
        return Err(EngineError::bad_request(format!("the manifest at {key} is not of this run")));
    }
    repository::check_same(store.as_ref(), expected).await?;
    // What kept the manifest from being written may have cost parts as well, and none of them is looked at again.
    let parts: Vec<&Part> = manifest.parts.iter().collect();
    if let (_, Some(why)) = resume_look::unchanged(store, &parts, usize::MAX).await? {
        return Err(EngineError::new("engine.listing", format!("{why}; nothing is committed, run again")));
    }
    let store = store.as_ref();
    let hot = PutOptions { storage_class: request.storage_class.clone(), ..PutOptions::default() };
    // Anew, as another machine's sweep goes by its age.
    let mut intent =
        Intent::new(expected, &request.run.source, &request.run.dataset, manifest.id, manifest.id.created);
    intent.manifest = Some(key.clone());
    store.put(&run.keys.intent_key(), intent.to_json()?.into(), &hot).await?;
    let marking = Marking { store, keys: &run.keys, attempts: &run.attempts, hot: &hot };
    marking.check_listing(&manifest).await?;
    repository::check_same(store, expected).await?;
    marking.put_manifest(key, request.manifest.clone().into()).await?;
    marking.remove_intent().await;
    tracing::info!(id = %manifest.id, "committed what an interrupted run had left ready");
    Ok(json!({
        "id": manifest.id,
        "manifest_key": key,
        "parts": manifest.parts.len(),
        "stream_bytes": manifest.stream_length,
        "sealed_bytes": manifest.parts.iter().map(|part| part.sealed_length).sum::<u64>(),
    }))
}
