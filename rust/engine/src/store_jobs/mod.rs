//! Looks at a store: what is committed, what a manifest says, whether a restore can begin, what the store can do;
//! and what becomes of interrupted runs there.

mod listing;
mod preflight;
mod probe;
mod recommit;
mod resume_look;
mod run_keys;
mod sweep;

use serde_json::{Value, json};

use sealing::Identities;

use crate::error::EngineError;
use crate::job::{JobContext, JobResult};
use crate::manifests::read_manifest;
use crate::repository;
use crate::request::{StoreOperation, StoreRequest};

const LARGEST_META_BYTES: u64 = 64 << 20;

/// Runs one operation; cancelling ends it at any moment, since none of them leaves anything that lies.
///
/// # Errors
/// Those of the operation, and `engine.cancelled`.
pub(crate) async fn run(request: StoreRequest, context: JobContext) -> JobResult {
    let work = operate(request, &context);
    let done = context.cancel.run_until_cancelled(work).await;
    done.unwrap_or_else(|| Err(context.cancelled_error()))
}

async fn operate(request: StoreRequest, context: &JobContext) -> JobResult {
    let store = store::open(&request.store).await?;
    let store_ref = store.as_ref();
    let mut report = match request.operation {
        StoreOperation::List { source, dataset } => {
            listing::list(store_ref, source.as_deref(), dataset.as_deref()).await?
        }
        StoreOperation::Manifests { keys } => listing::manifests(&store, &keys).await?,
        StoreOperation::Preflight { keys, identity_files } => {
            let identities = Identities::from_files(&identity_files)?;
            preflight::run(&store, &keys, &identities, context).await?
        }
        StoreOperation::Meta { key, identity_files } => {
            let identities = Identities::from_files(&identity_files)?;
            meta(store_ref, &key, &identities).await?
        }
        StoreOperation::CreateRepository {} => {
            let (repository, created) = repository::open_or_create(store_ref, None).await?;
            json!({ "repository": { "id": repository.id }, "created": created })
        }
        StoreOperation::ResumeLook(look) => resume_look::run(&store, &look).await?,
        StoreOperation::Recommit(request) => recommit::run(&store, &request).await?,
        StoreOperation::Sweep(request) => sweep::run(store_ref, &request).await?,
        StoreOperation::Probe { write, storage_classes } => {
            probe::run(store_ref, write, &storage_classes).await?
        }
    };
    if let Value::Object(fields) = &mut report {
        fields.insert("requests".to_owned(), json!(store.requests()));
    }
    Ok(report)
}

async fn meta(
    store: &dyn store::ObjectStore,
    key: &str,
    identities: &Identities,
) -> Result<Value, EngineError> {
    let (manifest, _) = read_manifest(store, key).await?;
    let place = &manifest.meta;
    let named = |error: EngineError| error.about(&place.key);
    let sealed =
        store.get_bytes(&place.key, LARGEST_META_BYTES).await.map_err(|error| named(error.into()))?;
    if sealing::Digest::hex_of(&sealed) != place.blake3.to_string() {
        let text = format!("{} is damaged: its BLAKE3 is not the manifest's", place.key);
        return Err(named(EngineError::new("engine.part_damaged", text)));
    }
    let plain = sealing::open_bytes(identities, &sealed).map_err(|error| named(error.into()))?;
    let meta = format::Meta::parse(&plain).map_err(|error| named(error.into()))?;
    Ok(json!({ "meta": meta }))
}
