//! What may become of one leftover.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use format::TOMBSTONE;
use store::{ObjectStore, PutOptions};

use super::Leftover;
use crate::attempts::{Attempts, Writer};
use crate::error::EngineError;
use crate::marker::{Marked, marked};
use crate::request::{OwnRun, SweepRequest};
use crate::store_jobs::probe;

/// What may become of a leftover.
pub(super) enum Verdict {
    /// A run will go on with it.
    Keep,
    /// It is a backup: only what its manifest (at this key) does not count may go.
    Committed(String),
    /// It can't be committed any more.
    Remove,
    /// Not yet; why.
    Wait(String),
}

/// Decides about leftovers of one store.
pub(super) struct Judge<'a> {
    store: &'a dyn ObjectStore,
    request: &'a SweepRequest,
    /// Whether the store honours conditional writes; asked when it is first needed.
    honours: Option<bool>,
}

impl<'a> Judge<'a> {
    pub(super) fn new(store: &'a dyn ObjectStore, request: &'a SweepRequest) -> Self {
        Self { store, request, honours: None }
    }

    pub(super) async fn verdict(&mut self, leftover: &Leftover) -> Result<Verdict, EngineError> {
        let keys = leftover.intent.keys()?;
        let id = leftover.intent.id.to_string();
        match marked(self.store, &keys).await? {
            Marked::Committed(key) => return Ok(Verdict::Committed(key)),
            Marked::Tombstone(_) => return Ok(Verdict::Remove),
            Marked::Absent => {}
        }
        if self.request.keep.contains(&id) {
            return Ok(Verdict::Keep);
        }
        let own = self.request.own.get(&id);
        if own.is_some_and(|own| surely_dead(own, leftover)) {
            return Ok(Verdict::Remove);
        }
        let manifest_key = own.and_then(|own| own.manifest_key.clone());
        match manifest_key.or_else(|| leftover.intent.manifest.clone()) {
            Some(key) if self.store_honours().await? => self.bury(&key).await,
            _ => self.after_grace(leftover).await,
        }
    }

    async fn store_honours(&mut self) -> Result<bool, EngineError> {
        // A dry run writes nothing, so it can't ask.
        if self.honours.is_none() && !self.request.dry_run {
            self.honours = Some(probe::honours_conditional_writes(self.store).await?);
        }
        Ok(self.honours.unwrap_or(false))
    }

    /// Puts a tombstone where the manifest belongs: then it can't arrive late.
    async fn bury(&self, manifest_key: &str) -> Result<Verdict, EngineError> {
        let once = PutOptions { if_absent: true, ..PutOptions::default() };
        match self.store.put(manifest_key, Bytes::from_static(TOMBSTONE), &once).await {
            Ok(_) => Ok(Verdict::Remove),
            Err(error) if error.code() == "store.already_exists" => {
                Ok(Verdict::Committed(manifest_key.to_owned()))
            }
            Err(error) => Err(EngineError::from(error).with("key", manifest_key)),
        }
    }

    /// Nothing of it was touched for the whole grace time, and there still is no manifest.
    async fn after_grace(&self, leftover: &Leftover) -> Result<Verdict, EngineError> {
        let objects = leftover.data.iter().chain(std::iter::once(&leftover.intent_object));
        let written: Option<Vec<i64>> = objects.map(|object| object.modified_unix_seconds).collect();
        let newest = written.and_then(|written| written.into_iter().max());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let age = newest.map(|newest| i64::try_from(now).unwrap_or(i64::MAX).saturating_sub(newest));
        let grace = i64::try_from(self.request.grace_seconds).unwrap_or(i64::MAX);
        match age {
            Some(age) if age >= grace => match marked(self.store, &leftover.intent.keys()?).await? {
                Marked::Committed(key) => Ok(Verdict::Committed(key)),
                Marked::Absent | Marked::Tombstone(_) => Ok(Verdict::Remove),
            },
            Some(age) => Ok(Verdict::Wait(format!(
                "nobody here knows whether its manifest was sent; it was touched {} s ago and goes after {grace} s",
                age.max(0)
            ))),
            None => Ok(Verdict::Wait("the store does not say when it was written".to_owned())),
        }
    }
}

/// Whether our own state says that the manifest was never sent, and nobody else has gone on with the run.
fn surely_dead(own: &OwnRun, leftover: &Leftover) -> bool {
    let (Ok(keys), Ok(attempts)) = (leftover.intent.keys(), Attempts::new(own.sessions.clone())) else {
        return false;
    };
    let all_own = leftover.data.iter().all(|object| attempts.writer(&keys, &object.key) == Writer::Own);
    !own.may_be_committed && all_own
}
