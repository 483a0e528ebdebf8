//! From the first intent to the commit marker, in the order that makes `list` unable to lie.
//!
//! no marker yet -> intent -> parts -> still no marker -> meta.age, RECOVER.txt -> exact listing -> same repository -> manifest
//! -> intent gone.
//! Before the manifest nothing counts; whatever fails before it is kept for the next run, or removed.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use format::{BackupId, BackupKeys, Intent, Manifest, MetaObject, Part, Repository};
use sealing::{Digest, Recipients};
use sendstream::StreamSummary;
use store::{ObjectStore, PutOptions, Receipt};

use super::describe;
use crate::attempts::{Attempts, Writer};
use crate::error::EngineError;
use crate::job::JobContext;
use crate::marker::{Marking, may_not_delete, tell_of_strays};
use crate::repository;
use crate::request::{PushRequest, RunRequest};

/// How long removing an uncommitted backup may take before it is left to a later cleanup.
const CLEANUP_LIMIT: Duration = Duration::from_secs(10);

/// A backup that is being written.
pub(crate) struct Draft {
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) repository: Repository,
    pub(crate) keys: BackupKeys,
    pub(crate) id: BackupId,
    pub(crate) attempts: Attempts,
    pub(crate) hot: PutOptions,
    pub(crate) recipients: Arc<Recipients>,
}

/// A manifest, ready to be sent.
pub(crate) struct Marker {
    pub(crate) key: String,
    pub(crate) json: Bytes,
    pub(crate) manifest: Manifest,
}

impl Draft {
    /// Says in the store who begins to write what.
    pub(crate) async fn announce(&self, request: &PushRequest) -> Result<(), EngineError> {
        self.refuse_ended(request).await?;
        let (source, dataset) = (&request.backup.source, &request.backup.dataset);
        let mut intent = Intent::new(self.repository.id, source, dataset, self.id, self.id.created);
        intent.pid = Some(std::process::id());
        intent.manifest = Some(self.keys.manifest_key(describe::parent_nonce(request)?));
        self.put(&self.keys.intent_key(), intent.to_json()?.into()).await?;
        match &request.run {
            Some(run) if run.sessions.len() > 1 => self.remove_strays(run).await,
            _ => Ok(()),
        }
    }

    /// A run that keeps state may have been ended by another process that goes on with it, since it was looked at.
    async fn refuse_ended(&self, request: &PushRequest) -> Result<(), EngineError> {
        match &request.run {
            Some(_) => self.marking().check_unmarked().await,
            None => Ok(()),
        }
    }

    /// Removes what killed sessions left beside the parts that count; else it would take space until the commit.
    async fn remove_strays(&self, run: &RunRequest) -> Result<(), EngineError> {
        let counted: HashSet<&str> = run.stored.iter().map(|stored| stored.part.key.as_str()).collect();
        let found = self.store.list(&self.keys.data_prefix()).await?;
        let strays: Vec<String> = found
            .into_iter()
            .map(|object| object.key)
            .filter(|key| !counted.contains(key.as_str()))
            .filter(|key| self.attempts.writer(&self.keys, key) == Writer::Own)
            .collect();
        if !strays.is_empty() {
            tracing::info!(
                count = strays.len(),
                "removing what stopped sessions of this run left unfinished"
            );
        }
        match self.store.delete(&strays).await.map_err(EngineError::from) {
            Err(error) if may_not_delete(&error) => {
                tell_of_strays(&error);
                Ok(())
            }
            done => done,
        }
    }

    /// Writes and checks everything but the manifest, and says what the manifest will be.
    pub(crate) async fn prepare(
        &self,
        request: &PushRequest,
        summary: &StreamSummary,
        parts: Vec<Part>,
    ) -> Result<Marker, EngineError> {
        self.refuse_ended(request).await?;
        let meta = self.put_meta(request, summary).await?;
        let manifest = describe::manifest(self, request, summary, meta, parts)?;
        let recover = format::recover_txt(&manifest);
        self.put(&self.keys.recover_txt_key(), recover.into()).await?;
        self.marking().check_listing(&manifest).await?;
        repository::check_same(self.store.as_ref(), self.repository.id).await?;
        Ok(Marker { key: manifest.key()?, json: manifest.to_json()?.into(), manifest })
    }

    /// Commits. After an error here the backup may be committed all the same, so nothing of it may be removed any more.
    pub(crate) async fn commit(&self, marker: &Marker) -> Result<(), EngineError> {
        self.marking().put_manifest(&marker.key, marker.json.clone()).await?;
        self.marking().remove_intent().await;
        Ok(())
    }

    fn marking(&self) -> Marking<'_> {
        let store = self.store.as_ref();
        Marking { store, keys: &self.keys, attempts: &self.attempts, hot: &self.hot }
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

    /// Removes what an uncommitted run wrote. A failure is logged: what stays is invisible to `list` and harmless.
    pub(crate) async fn abandon(&self, context: &JobContext) {
        let done = tokio::select! {
            done = self.remove_all() => done,
            () = context.patience_over(CLEANUP_LIMIT) => {
                tracing::warn!(id = %self.id, "removing parts that were not committed took too long; the next run does");
                return;
            }
        };
        match done {
            Ok(count) => tracing::info!(objects = count, "removed what was not committed"),
            Err(error) => {
                tracing::warn!(%error, id = %self.id, "parts that were not committed could not be removed");
            }
        }
    }

    async fn remove_all(&self) -> Result<usize, EngineError> {
        let prefix = self.keys.data_prefix();
        self.end_uploads(&prefix).await;
        let mut keys: Vec<String> =
            self.store.list(&prefix).await?.into_iter().map(|object| object.key).collect();
        keys.push(self.keys.intent_key());
        self.store.delete(&keys).await?;
        Ok(keys.len())
    }

    /// Ends what was begun without an answer, too; nobody would know of it once the intent is gone.
    async fn end_uploads(&self, prefix: &str) {
        match self.store.unfinished(prefix).await {
            Ok(uploads) => {
                for upload in uploads {
                    if let Err(error) = self.store.abort_unfinished(&upload).await {
                        tracing::warn!(key = upload.key, %error, "an unfinished upload could not be ended");
                    }
                }
            }
            Err(error) => tracing::debug!(%error, "the store does not tell of unfinished uploads"),
        }
    }

    async fn put(&self, key: &str, body: Bytes) -> Result<Receipt, EngineError> {
        self.store.put(key, body, &self.hot).await.map_err(|error| EngineError::from(error).with("key", key))
    }
}
