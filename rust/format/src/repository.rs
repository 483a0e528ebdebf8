//! `repository.json`: what this store is.

use serde::{Deserialize, Serialize};

use crate::{FORMAT, FormatError, RepositoryId, gate};

const DOCUMENT: &str = "repository.json";

/// The store's format version and its random id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repository {
    /// Format version.
    pub format: u32,
    /// Features that a reader must know.
    #[serde(default)]
    pub requires: Vec<String>,
    /// Random; every manifest and intent repeats it.
    pub id: RepositoryId,
}

impl Repository {
    /// A new repository of this version.
    #[must_use]
    pub const fn new(id: RepositoryId) -> Self {
        Self { format: FORMAT, requires: Vec::new(), id }
    }

    /// Reads `repository.json`.
    ///
    /// # Errors
    /// [`FormatError::TooNew`], [`FormatError::Requires`] or [`FormatError::Unreadable`].
    pub fn parse(bytes: &[u8]) -> Result<Self, FormatError> {
        gate::parse(DOCUMENT, bytes)
    }

    /// The JSON to store.
    ///
    /// # Errors
    /// None in practice; the JSON writer's signature has one.
    pub fn to_json(&self) -> Result<Vec<u8>, FormatError> {
        gate::write(DOCUMENT, self)
    }
}
