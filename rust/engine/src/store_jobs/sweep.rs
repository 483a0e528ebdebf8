//! Removes what interrupted runs of one source left behind, and nothing else.
//!
//! Only ids whose intent this source wrote into this repository are looked at, and of these only objects of the
//! format's own shapes. Order: manifest looked for -> uploads ended -> data gone -> intent gone, so that whatever is
//! left after a crash still has its intent. Where nobody can know whether a manifest is still under way, a tombstone
//! takes its place first (stores that honour conditional writes), or a grace time must have passed.

mod verdict;

use std::collections::BTreeSet;

use format::{Intent, PartName, intent_prefix};
use serde_json::{Value, json};
use store::{ObjectInfo, ObjectStore, UnfinishedUpload};

use self::verdict::{Judge, Verdict};
use crate::error::EngineError;
use crate::manifests::read_manifest;
use crate::marker::counted;
use crate::repository;
use crate::request::SweepRequest;

const LARGEST_INTENT_BYTES: u64 = 64 << 10;

pub(super) async fn run(store: &dyn ObjectStore, request: &SweepRequest) -> Result<Value, EngineError> {
    repository::check_same(store, request.repository_id.parse()?).await?;
    let mut sweep = Sweep { store, request, judge: Judge::new(store, request), done: Done::default() };
    for object in store.list(&intent_prefix(&request.source)?).await? {
        if let Some(leftover) = sweep.leftover(object).await? {
            sweep.take(leftover).await?;
        }
    }
    Ok(sweep.done.report())
}

/// An intent with all that was found of its backup.
pub(super) struct Leftover {
    intent: Intent,
    intent_object: ObjectInfo,
    /// Objects in the backup's folder.
    data: Vec<ObjectInfo>,
    uploads: Vec<UnfinishedUpload>,
}

struct Sweep<'a> {
    store: &'a dyn ObjectStore,
    request: &'a SweepRequest,
    judge: Judge<'a>,
    done: Done,
}

impl Sweep<'_> {
    /// Reads an intent; none for what is not one of this source and repository.
    async fn leftover(&self, object: ObjectInfo) -> Result<Option<Leftover>, EngineError> {
        let bytes = match self.store.get_bytes(&object.key, LARGEST_INTENT_BYTES).await {
            Ok(bytes) => bytes,
            Err(error) if error.code() == "store.not_found" => return Ok(None),
            Err(error) => return Err(EngineError::from(error).with("key", &object.key)),
        };
        let intent = match Intent::parse(&bytes) {
            Ok(intent) => intent,
            Err(error) => {
                tracing::warn!(key = object.key, %error, "not an intent that this version can read, left alone");
                return Ok(None);
            }
        };
        let keys = intent.keys()?;
        let ours = intent.source == self.request.source
            && intent.repository.to_string() == self.request.repository_id
            && keys.intent_key() == object.key;
        if !ours {
            tracing::warn!(key = object.key, "an intent of another source or repository, left alone");
            return Ok(None);
        }
        let prefix = keys.data_prefix();
        let data = self.store.list(&prefix).await?;
        let data = data.into_iter().filter(|object| is_ours(&prefix, &object.key)).collect();
        let uploads = self.uploads(&prefix).await?;
        Ok(Some(Leftover { intent, intent_object: object, data, uploads }))
    }

    /// Unfinished uploads in a backup's folder, as far as the store tells: what it doesn't list must not keep the rest.
    async fn uploads(&self, prefix: &str) -> Result<Vec<UnfinishedUpload>, EngineError> {
        match self.store.unfinished(prefix).await {
            Ok(uploads) => Ok(uploads.into_iter().filter(|upload| lies_in(prefix, &upload.key)).collect()),
            Err(error) if matches!(error.code(), "store.unsupported" | "store.forbidden") => {
                tracing::warn!(
                    prefix,
                    %error,
                    "the store lists no unfinished uploads; have it end them by itself (AbortIncompleteMultipartUpload)"
                );
                Ok(Vec::new())
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn take(&mut self, leftover: Leftover) -> Result<(), EngineError> {
        let id = leftover.intent.id.to_string();
        match self.judge.verdict(&leftover).await? {
            Verdict::Keep => self.end_uploads(&leftover).await,
            Verdict::Committed(manifest_key) => {
                let (manifest, _) = match read_manifest(self.store, &manifest_key).await {
                    Err(error) if error.code.starts_with("format.") => {
                        let reason =
                            format!("its manifest can't be read, so nobody knows what counts: {error}");
                        self.done.waiting.push(json!({ "id": id, "reason": reason }));
                        return Ok(());
                    }
                    read => read?,
                };
                let counted = counted(&manifest.keys()?, &manifest);
                self.remove(&leftover, |key| counted.contains_key(key)).await?;
                self.done.committed.push(id);
                Ok(())
            }
            Verdict::Remove => {
                let (keys, bytes) = self.remove(&leftover, |_| false).await?;
                let uploads = leftover.uploads.len();
                self.done.removed.push(json!({ "id": id, "keys": keys, "bytes": bytes, "uploads": uploads }));
                Ok(())
            }
            Verdict::Wait(reason) => {
                self.done.waiting.push(json!({ "id": id, "reason": reason }));
                Ok(())
            }
        }
    }

    /// Nothing goes on with an upload whose process has ended, also not the run that goes on.
    async fn end_uploads(&mut self, leftover: &Leftover) -> Result<(), EngineError> {
        for upload in &leftover.uploads {
            if !self.request.dry_run {
                self.store.abort_unfinished(upload).await?;
            }
            self.done.uploads.push(upload.key.clone());
        }
        Ok(())
    }

    /// Removes the data but what `counts`, then the intent; says how many objects and bytes of data that were.
    async fn remove(
        &mut self,
        leftover: &Leftover,
        counts: impl Fn(&str) -> bool,
    ) -> Result<(usize, u64), EngineError> {
        self.end_uploads(leftover).await?;
        let gone: Vec<&ObjectInfo> = leftover.data.iter().filter(|object| !counts(&object.key)).collect();
        let keys: Vec<String> = gone.iter().map(|object| object.key.clone()).collect();
        let intent = leftover.intent_object.key.clone();
        if !self.request.dry_run {
            self.store.delete(&keys).await?;
            self.store.delete(std::slice::from_ref(&intent)).await?;
        }
        let (count, bytes) = (keys.len(), gone.iter().map(|object| object.length).sum());
        self.done.keys.extend(keys);
        self.done.keys.insert(intent);
        Ok((count, bytes))
    }
}

/// Whether a key in a backup's folder is of a shape that only a writer of this format makes.
fn is_ours(prefix: &str, key: &str) -> bool {
    let name = key.strip_prefix(prefix);
    name.is_some_and(|name| matches!(name, "meta.age" | "RECOVER.txt") || PartName::parse(name).is_some())
}

/// Whether an upload is one of this backup's. Its name says nothing: a directory host has temporary ones.
fn lies_in(prefix: &str, key: &str) -> bool {
    key.strip_prefix(prefix).is_some_and(|name| !name.contains('/'))
}

/// What was done, or would be.
#[derive(Default)]
struct Done {
    removed: Vec<Value>,
    committed: Vec<String>,
    waiting: Vec<Value>,
    keys: BTreeSet<String>,
    uploads: Vec<String>,
}

impl Done {
    fn report(self) -> Value {
        json!({
            "removed": self.removed,
            "committed": self.committed,
            "waiting": self.waiting,
            "keys": self.keys,
            "uploads": self.uploads,
        })
    }
}
