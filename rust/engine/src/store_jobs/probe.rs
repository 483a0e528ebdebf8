//! What `check` asks of a store, each answer with what to do about it.
//!
//! Probe objects have keys of their own under `probe/` and are removed again, whatever was found.

use bytes::Bytes;
use format::Nonce;
use serde::Serialize;
use serde_json::{Value, json};
use store::{ObjectStore, PutOptions, StoreError};

use crate::error::EngineError;
use crate::repository;

const PROBE: &[u8] = b"zfs-push-backups probe\n";
const SECOND_PROBE: &[u8] = b"zfs-push-backups second probe\n";

/// One answer.
#[derive(Debug, Serialize)]
struct Check {
    name: String,
    /// `None`: could not be found out, or is only a warning.
    ok: Option<bool>,
    detail: String,
    advice: String,
}

impl Check {
    fn new(
        name: impl Into<String>,
        ok: Option<bool>,
        detail: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self { name: name.into(), ok, detail: detail.into(), advice: advice.into() }
    }

    fn from_error(name: impl Into<String>, error: &StoreError) -> Self {
        Self::new(name, Some(false), error.to_string(), "")
    }
}

/// Asks everything; writing only where it is allowed.
pub(super) async fn run(
    store: &dyn ObjectStore,
    write: bool,
    classes: &[String],
) -> Result<Value, EngineError> {
    let mut checks = Vec::new();
    let repository = match repository::read(store).await {
        Ok(found) => found,
        Err(error) => {
            checks.push(Check::new("reading", Some(false), error.message, ""));
            return Ok(json!({ "checks": checks, "conditional_writes": "unknown", "repository": null }));
        }
    };
    checks.push(Check::new("reading", Some(true), store.location(), ""));
    match store.list("manifests/").await {
        Ok(found) => checks.push(Check::new("listing", Some(true), format!("{} manifests", found.len()), "")),
        Err(error) => checks.push(Check::from_error("listing", &error)),
    }
    let mut conditional = "unknown";
    if write {
        let mut written = Vec::new();
        conditional = probe_writing(store, classes, &mut checks, &mut written).await;
        match store.delete(&written).await {
            Ok(()) => checks.push(Check::new("deleting", Some(true), "probe objects removed", "")),
            Err(error) => checks.push(Check::from_error("deleting", &error)),
        }
    }
    Ok(json!({
        "checks": checks,
        "conditional_writes": conditional,
        "repository": repository.map(|repository| json!({ "id": repository.id })),
    }))
}

async fn probe_writing(
    store: &dyn ObjectStore,
    classes: &[String],
    checks: &mut Vec<Check>,
    written: &mut Vec<String>,
) -> &'static str {
    let Ok(nonce) = Nonce::random() else { return "unknown" };
    let key = format!("probe/{nonce}");
    written.push(key.clone());
    match store.put(&key, Bytes::from_static(PROBE), &PutOptions::default()).await {
        Ok(receipt) => {
            let proof = format!("{:?} {:?}", receipt.checksum.algorithm, receipt.checksum.kind);
            checks.push(Check::new("writing", Some(true), format!("acknowledged with {proof}"), ""));
        }
        Err(error) => {
            checks.push(Check::from_error("writing", &error));
            return "unknown";
        }
    }
    for class in classes {
        let key = format!("probe/{nonce}-{class}");
        written.push(key.clone());
        checks.push(probe_class(store, &key, class).await);
    }
    probe_conditional(store, &key, checks).await
}

/// Whether a second PUT with `If-None-Match: *` is refused. The probe object goes again.
pub(super) async fn honours_conditional_writes(store: &dyn ObjectStore) -> Result<bool, EngineError> {
    let key = format!("probe/{}", Nonce::random()?);
    store.put(&key, Bytes::from_static(PROBE), &PutOptions::default()).await?;
    let answer = probe_conditional(store, &key, &mut Vec::new()).await;
    store.delete(&[key]).await?;
    Ok(answer == "honours")
}

async fn probe_conditional(store: &dyn ObjectStore, key: &str, checks: &mut Vec<Check>) -> &'static str {
    let once = PutOptions { if_absent: true, ..PutOptions::default() };
    let answer = match store.put(key, Bytes::from_static(SECOND_PROBE), &once).await {
        Err(error) if error.code() == "store.already_exists" => "honours",
        Err(error) => {
            checks.push(Check::from_error("conditional writes", &error));
            return "unknown";
        }
        Ok(_) if store.refuses_conditional_writes() => "refuses",
        Ok(_) => "ignores",
    };
    let advice = "unique keys keep backups safe all the same";
    let advice = if answer == "honours" { "" } else { advice };
    checks.push(Check::new("conditional writes", Some(true), answer, advice));
    answer
}

async fn probe_class(store: &dyn ObjectStore, key: &str, class: &str) -> Check {
    let name = format!("storage class {class}");
    let options = PutOptions { storage_class: Some(class.to_owned()), ..PutOptions::default() };
    if let Err(error) = store.put(key, Bytes::from_static(PROBE), &options).await {
        return Check::from_error(name, &error);
    }
    match store.head(key).await {
        Ok(object) if object.storage_class.as_deref().unwrap_or("STANDARD") == class => {
            Check::new(name, Some(true), "kept", "")
        }
        Ok(object) => {
            let kept = object.storage_class.unwrap_or_else(|| "its own default".to_owned());
            let advice =
                "the store drops the class silently: what you pay is its own; leave storage_class out";
            Check::new(name, None, format!("the store kept {kept} instead"), advice)
        }
        Err(error) => Check::from_error(name, &error),
    }
}
