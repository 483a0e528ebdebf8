//! Intents: who is writing a backup, noted before its first part, gone once its manifest stands.
//!
//! Sweeping touches only backups whose intent its own source wrote into this repository.

use serde::{Deserialize, Serialize};

use crate::{BackupId, BackupKeys, FORMAT, FormatError, RepositoryId, Timestamp, gate};

const DOCUMENT: &str = "intent";

/// One run's note that it is writing one backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// Format version.
    pub format: u32,
    /// Features that a reader must know.
    #[serde(default)]
    pub requires: Vec<String>,
    /// The repository that the run believes to write into.
    pub repository: RepositoryId,
    /// The machine that is backed up.
    pub source: String,
    /// The dataset's full name.
    pub dataset: String,
    /// The backup being written.
    pub id: BackupId,
    /// When the run began.
    pub started: Timestamp,
    /// Its process, for people.
    pub pid: Option<u32>,
    /// Its machine's host name, for people.
    pub host: Option<String>,
    /// Where the commit marker will lie, for a sweeper that has lost the run's state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<String>,
}

impl Intent {
    /// A new intent of this version; [`pid`](Self::pid) and [`host`](Self::host) may be filled in.
    #[must_use]
    pub fn new(
        repository: RepositoryId,
        source: &str,
        dataset: &str,
        id: BackupId,
        started: Timestamp,
    ) -> Self {
        let (source, dataset) = (source.to_owned(), dataset.to_owned());
        Self {
            format: FORMAT,
            requires: Vec::new(),
            repository,
            source,
            dataset,
            id,
            started,
            pid: None,
            host: None,
            manifest: None,
        }
    }

    /// Reads an intent.
    ///
    /// # Errors
    /// [`FormatError::TooNew`], [`FormatError::Requires`], [`FormatError::Unreadable`], or [`FormatError::BadName`] for
    /// names that lead to no keys.
    pub fn parse(bytes: &[u8]) -> Result<Self, FormatError> {
        let intent: Self = gate::parse(DOCUMENT, bytes)?;
        let keys = intent.keys()?;
        if let Some(manifest) = &intent.manifest
            && !manifest.starts_with(&keys.manifest_prefix())
        {
            let why = "the manifest that it announces is not of this backup".to_owned();
            return Err(FormatError::BadKey { key: manifest.clone(), why });
        }
        Ok(intent)
    }

    /// All keys of the backup that it announces.
    ///
    /// # Errors
    /// [`FormatError::BadName`] or [`FormatError::KeyTooLong`].
    pub fn keys(&self) -> Result<BackupKeys, FormatError> {
        BackupKeys::new(&self.source, &self.dataset, self.id)
    }

    /// The JSON to store.
    ///
    /// # Errors
    /// None in practice; the JSON writer's signature has one.
    pub fn to_json(&self) -> Result<Vec<u8>, FormatError> {
        gate::write(DOCUMENT, self)
    }
}
