//! From the first intent to the commit marker, in the order that makes `list` unable to lie.
//!
//! intent -> parts -> meta.age, RECOVER.txt -> exact listing -> same repository -> manifest -> intent gone.
//! Before the manifest nothing counts; whatever fails before it is removed again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use format::{BackupId, BackupKeys, Intent, Manifest, MetaObject, Part, Repository};
use sealing::{Digest, Recipients};
use sendstream::StreamSummary;
use store::{ObjectStore, PutOptions, Receipt};

use super::describe;
use super::upload::StoredPart;
use crate::error::EngineError;
use crate::repository;
use crate::request::PushRequest;

/// How long removing an uncommitted backup may take before it is left to a later cleanup.
const CLEANUP_LIMIT: Duration = Duration::from_secs(10);

/// A backup that is being written.
pub(crate) struct Draft {
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) repository: Repository,
    pub(crate) keys: BackupKeys,
    pub(crate) id: BackupId,
    pub(crate) hot: PutOptions,
    pub(crate) recipients: Arc<Recipients>,
}

impl Draft {
    /// Says in the store who begins to write what.
    pub(crate) async fn announce(&self, request: &PushRequest) -> Result<(), EngineError> {
        let (source, dataset) = (&request.backup.source, &request.backup.dataset);
        let mut intent = Intent::new(self.repository.id, source, dataset, self.id, self.id.created);
        intent.pid = Some(std::process::id());
        self.put(&self.keys.intent_key(), intent.to_json()?.into()).await.map(drop)
    }

    /// Writes and checks everything but the manifest, and says what the manifest will be.
    pub(crate) async fn prepare(
        &self,
        request: &PushRequest,
        summary: &StreamSummary,
        stored: Vec<StoredPart>,
    ) -> Result<Manifest, EngineError> {
        let meta = self.put_meta(request, summary).await?;
        let parts = stored.into_iter().map(part_entry).collect::<Result<Vec<Part>, EngineError>>()?;
        let manifest = describe::manifest(self, request, summary, meta, parts)?;
        let recover = format::recover_txt(&manifest);
        self.put(&self.keys.recover_txt_key(), recover.clone().into()).await?;
        self.check_listing(&manifest, recover.len() as u64).await?;
        repository::check_same(self.store.as_ref(), self.repository.id).await?;
        Ok(manifest)
    }

    /// Commits: writes the manifest and reads it back. After an error here the backup may be committed all the
    /// same, so nothing of it may be removed any more.
    pub(crate) async fn commit(&self, manifest: &Manifest) -> Result<(), EngineError> {
        self.put_manifest(manifest).await?;
        self.remove_intent().await;
        Ok(())
    }

    async fn put_meta(
        &self,
        request: &PushRequest,
        summary: &StreamSummary,
    ) -> Result<MetaObject, EngineError> {
        let plain = describe::meta(request, summary)?.to_json()?;
        let sealed = Bytes::from(sealing::seal_bytes(&self.recipients, &plain)?);
        let key = self.keys.meta_key();
        let receipt = self.put(&key, sealed.clone()).await?;
        Ok(MetaObject {
            key,
            sealed_length: sealed.len() as u64,
            blake3: Digest::hex_of(&sealed).parse()?,
            store_checksum: describe::store_checksum(&receipt.checksum),
        })
    }

    /// The backup's folder must hold exactly what the manifest counts; an object that nobody counts is removed first.
    async fn check_listing(&self, manifest: &Manifest, recover_length: u64) -> Result<(), EngineError> {
        let mut wanted: BTreeMap<&str, u64> =
            manifest.parts.iter().map(|part| (part.key.as_str(), part.sealed_length)).collect();
        let recover_key = self.keys.recover_txt_key();
        wanted.insert(&manifest.meta.key, manifest.meta.sealed_length);
        wanted.insert(&recover_key, recover_length);
        let prefix = self.keys.data_prefix();
        let mut found = self.store.list(&prefix).await?;
        let strays: Vec<String> = found
            .iter()
            .filter(|object| !wanted.contains_key(object.key.as_str()))
            .map(|o| o.key.clone())
            .collect();
        if !strays.is_empty() {
            tracing::warn!(count = strays.len(), prefix, "removing objects that no part counts");
            self.store.delete(&strays).await?;
            found = self.store.list(&prefix).await?;
        }
        let found: BTreeMap<&str, u64> =
            found.iter().map(|object| (object.key.as_str(), object.length)).collect();
        if found == wanted {
            return Ok(());
        }
        let odd = wanted.iter().find(|(key, length)| found.get(*key) != Some(length));
        let odd = odd.map_or_else(
            || "an object too many".to_owned(),
            |(key, length)| {
                format!("{key}: {length} bytes were stored, the listing says {:?}", found.get(key))
            },
        );
        Err(EngineError::new(
            "engine.listing",
            format!("the store does not list what it acknowledged: {odd}; nothing is committed, run again"),
        ))
    }

    async fn put_manifest(&self, manifest: &Manifest) -> Result<(), EngineError> {
        let key = manifest.key()?;
        let json = Bytes::from(manifest.to_json()?);
        let once = PutOptions { if_absent: true, ..self.hot.clone() };
        match self.store.put(&key, json.clone(), &once).await {
            Ok(_) => {}
            // Our own id: a retried request may have succeeded the first time; the content decides below.
            Err(error) if error.code() == "store.already_exists" => {}
            Err(error) => return Err(EngineError::from(error).with("key", key)),
        }
        let stands = self.store.get_bytes(&key, json.len() as u64 + 1).await?;
        if stands == json {
            return Ok(());
        }
        Err(EngineError::new("engine.listing", format!("the manifest at {key} is not the one that was written: nothing of this run can be trusted, run again"))
            .with("key", key))
    }

    async fn remove_intent(&self) {
        let key = self.keys.intent_key();
        if let Err(error) = self.store.delete(std::slice::from_ref(&key)).await {
            tracing::warn!(key, %error, "the backup is committed, but its intent could not be removed");
        }
    }

    /// Removes what an uncommitted run wrote. A failure is logged: what stays is invisible to `list` and harmless.
    pub(crate) async fn abandon(&self) {
        let done = tokio::time::timeout(CLEANUP_LIMIT, self.remove_all()).await;
        match done {
            Ok(Ok(count)) => tracing::info!(objects = count, "removed what was not committed"),
            Ok(Err(error)) => {
                tracing::warn!(%error, id = %self.id, "parts that were not committed could not be removed");
            }
            Err(_) => tracing::warn!(id = %self.id, "removing parts that were not committed took too long"),
        }
    }

    async fn remove_all(&self) -> Result<usize, EngineError> {
        let prefix = self.keys.data_prefix();
        let mut keys: Vec<String> =
            self.store.list(&prefix).await?.into_iter().map(|object| object.key).collect();
        keys.push(self.keys.intent_key());
        self.store.delete(&keys).await?;
        Ok(keys.len())
    }

    async fn put(&self, key: &str, body: Bytes) -> Result<Receipt, EngineError> {
        self.store.put(key, body, &self.hot).await.map_err(|error| EngineError::from(error).with("key", key))
    }
}

fn part_entry(stored: StoredPart) -> Result<Part, EngineError> {
    Ok(Part {
        number: stored.number,
        store_checksum: describe::store_checksum(&stored.receipt.checksum),
        key: stored.key,
        stream_offset: stored.end.stream.stream_offset,
        stream_length: stored.end.stream.stream_length,
        sealed_length: stored.end.sealed_length,
        blake3: stored.end.blake3.parse()?,
    })
}
