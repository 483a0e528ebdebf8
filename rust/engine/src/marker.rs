//! The commit marker: what must hold before it is written, and writing it.
//!
//! Exact listing -> manifest -> read back -> intent gone. An object that nobody counts is removed first, but only if
//! a session of this very run can have written it: anything else means that somebody else writes this backup too.

use std::collections::BTreeMap;

use bytes::Bytes;
use format::{BackupKeys, Manifest, TOMBSTONE};
use store::{ObjectInfo, ObjectStore, PutOptions};

use crate::attempts::{Attempts, Writer};
use crate::error::EngineError;

/// A backup whose marker is to be written.
pub(crate) struct Marking<'a> {
    pub(crate) store: &'a dyn ObjectStore,
    pub(crate) keys: &'a BackupKeys,
    pub(crate) attempts: &'a Attempts,
    /// For the manifest.
    pub(crate) hot: &'a PutOptions,
}

impl Marking<'_> {
    /// Once its marker stands, nothing of a backup may be removed or written over: another process that went on with the
    /// same run has committed it.
    ///
    /// # Errors
    /// `engine.listing` for a committed backup; `engine.foreign_parts` for one that was swept; `store.*`.
    pub(crate) async fn check_unmarked(&self) -> Result<(), EngineError> {
        let (code, key, what) = match marked(self.store, self.keys).await? {
            Marked::Absent => return Ok(()),
            Marked::Committed(key) => {
                ("engine.listing", key, "committed it meanwhile, so nothing is changed; run again")
            }
            Marked::Tombstone(key) => (
                "engine.foreign_parts",
                key,
                "given it up and swept it meanwhile, so the next push begins anew",
            ),
        };
        Err(EngineError::new(code, format!("another process that knows this run has {what} ({key})"))
            .with("key", key))
    }

    /// The backup's folder must hold exactly what the manifest counts.
    ///
    /// # Errors
    /// `engine.listing` if something is missing or of another length; `engine.foreign_parts`; `store.*`.
    pub(crate) async fn check_listing(&self, manifest: &Manifest) -> Result<(), EngineError> {
        let wanted = counted(self.keys, manifest);
        let mut found = self.listed().await?;
        let strays: Vec<String> = found
            .iter()
            .filter(|object| !wanted.contains_key(&object.key))
            .map(|object| object.key.clone())
            .collect();
        if !strays.is_empty() {
            self.check_unmarked().await?;
            match self.remove_own(&strays).await {
                Ok(()) => found = self.listed().await?,
                Err(error) if may_not_delete(&error) => {
                    tell_of_strays(&error);
                    found.retain(|object| wanted.contains_key(&object.key));
                }
                Err(error) => return Err(error),
            }
        }
        compare(&wanted, &found)
    }

    /// What lies in the backup's folder, but for what is not of the format: nobody counts a file that a file manager or
    /// a network file system has left there, so it keeps no backup from being committed.
    async fn listed(&self) -> Result<Vec<ObjectInfo>, EngineError> {
        let mut found = self.store.list(&self.keys.data_prefix()).await?;
        found.retain(|object| {
            let known = self.attempts.writer(self.keys, &object.key) != Writer::Unknown;
            if !known {
                tracing::warn!(key = object.key, "not an object of a backup, left alone");
            }
            known
        });
        Ok(found)
    }

    async fn remove_own(&self, strays: &[String]) -> Result<(), EngineError> {
        if let Some(key) = strays.iter().find(|key| self.attempts.writer(self.keys, key) != Writer::Own) {
            return Err(foreign(key));
        }
        tracing::warn!(
            count = strays.len(),
            folder = self.keys.data_prefix(),
            "removing objects that no part counts"
        );
        Ok(self.store.delete(strays).await?)
    }

    /// Writes the marker and reads it back. After an error the backup may be committed all the same.
    ///
    /// # Errors
    /// `store.*`; `engine.listing` if another manifest stands there.
    pub(crate) async fn put_manifest(&self, key: &str, json: Bytes) -> Result<(), EngineError> {
        let once = PutOptions { if_absent: true, ..self.hot.clone() };
        match self.store.put(key, json.clone(), &once).await {
            Ok(_) => {}
            // Our own id: a retried request may have succeeded the first time; the content decides below.
            Err(error) if error.code() == "store.already_exists" => {}
            Err(error) => return Err(EngineError::from(error).with("key", key)),
        }
        let stands = self.store.get_bytes(key, json.len() as u64 + 1).await?;
        if stands == json {
            return Ok(());
        }
        let text = format!(
            "the manifest at {key} is not the one that was written: nothing of this run can be trusted, run again"
        );
        Err(EngineError::new("engine.listing", text).with("key", key))
    }

    /// Takes the intent away; what the backup is does not depend on it any more.
    pub(crate) async fn remove_intent(&self) {
        let key = self.keys.intent_key();
        if let Err(error) = self.store.delete(std::slice::from_ref(&key)).await {
            tracing::warn!(key, %error, "the backup is committed, but its intent could not be removed");
        }
    }
}

/// What stands where a backup's manifest belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Marked {
    /// Nothing.
    Absent,
    /// A tombstone: it was swept and can't be committed.
    Tombstone(String),
    /// Its manifest: it is committed.
    Committed(String),
}

/// Looks for the manifest, whatever the backup stands on.
pub(crate) async fn marked(store: &dyn ObjectStore, keys: &BackupKeys) -> Result<Marked, EngineError> {
    let found = store.list(&keys.manifest_prefix()).await?;
    let is_tombstone = |length: u64| length == TOMBSTONE.len() as u64;
    let manifest = found.iter().find(|object| !is_tombstone(object.length));
    Ok(match (manifest, found.first()) {
        (Some(manifest), _) => Marked::Committed(manifest.key.clone()),
        (None, Some(tombstone)) => Marked::Tombstone(tombstone.key.clone()),
        (None, None) => Marked::Absent,
    })
}

/// Whether a store lets nothing be removed. What this run's own sessions left there then stays, and no manifest counts it.
pub(crate) fn may_not_delete(error: &EngineError) -> bool {
    matches!(error.code.as_ref(), "store.forbidden" | "store.unsupported")
}

/// Says that leftovers stay.
pub(crate) fn tell_of_strays(error: &EngineError) {
    tracing::warn!(%error, "what stopped sessions of this run left beside its parts may not be removed, so it stays there");
}

/// Every object that a manifest counts, with its length.
pub(crate) fn counted(keys: &BackupKeys, manifest: &Manifest) -> BTreeMap<String, u64> {
    let mut counted: BTreeMap<String, u64> =
        manifest.parts.iter().map(|part| (part.key.clone(), part.sealed_length)).collect();
    counted.insert(manifest.meta.key.clone(), manifest.meta.sealed_length);
    counted.insert(keys.recover_txt_key(), format::recover_txt(manifest).len() as u64);
    counted
}

/// Somebody else writes this backup, or this state was rolled back.
pub(crate) fn foreign(key: &str) -> EngineError {
    let text = format!(
        "{key} was not written by any session of this run: its state was rolled back, or another machine goes on with a copy of it; the backup has to be made anew"
    );
    EngineError::new("engine.foreign_parts", text).with("key", key)
}

fn compare(wanted: &BTreeMap<String, u64>, found: &[ObjectInfo]) -> Result<(), EngineError> {
    let found: BTreeMap<&String, u64> = found.iter().map(|object| (&object.key, object.length)).collect();
    let odd = wanted.iter().find(|(key, length)| found.get(key) != Some(length));
    let odd = match odd {
        None if found.len() == wanted.len() => return Ok(()),
        None => "an object too many".to_owned(),
        Some((key, length)) => {
            format!("{key}: {length} bytes were stored, the listing says {:?}", found.get(key))
        }
    };
    let text =
        format!("the store does not list what it acknowledged: {odd}; nothing is committed, run again");
    Err(EngineError::new("engine.listing", text))
}
