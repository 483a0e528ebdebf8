//! Where an interrupted run's objects lie, and whose they are.

use format::{BackupId, BackupKeys, TOMBSTONE};
use store::ObjectStore;

use crate::attempts::Attempts;
use crate::error::EngineError;
use crate::request::RunPlace;

/// One run, as its state names it.
pub(super) struct RunKeys {
    pub(super) keys: BackupKeys,
    pub(super) attempts: Attempts,
}

impl RunKeys {
    pub(super) fn new(place: &RunPlace) -> Result<Self, EngineError> {
        let id: BackupId = place.id.parse()?;
        let keys = BackupKeys::new(&place.source, &place.dataset, id)?;
        Ok(Self { keys, attempts: Attempts::new(place.sessions.clone())? })
    }
}

/// What stands where a backup's manifest belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Marked {
    /// Nothing.
    Absent,
    /// A tombstone: it was swept and can't be committed.
    Tombstone(String),
    /// Its manifest: it is committed.
    Committed(String),
}

/// Looks for the manifest, whatever the backup stands on.
pub(super) async fn marked(store: &dyn ObjectStore, keys: &BackupKeys) -> Result<Marked, EngineError> {
    let found = store.list(&keys.manifest_prefix()).await?;
    let is_tombstone = |length: u64| length == TOMBSTONE.len() as u64;
    let manifest = found.iter().find(|object| !is_tombstone(object.length));
    Ok(match (manifest, found.first()) {
        (Some(manifest), _) => Marked::Committed(manifest.key.clone()),
        (None, Some(tombstone)) => Marked::Tombstone(tombstone.key.clone()),
        (None, None) => Marked::Absent,
    })
}
