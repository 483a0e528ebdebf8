//! Where an interrupted run's objects lie, and whose they are.

use format::{BackupId, BackupKeys};

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
