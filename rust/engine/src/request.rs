//! What a job is asked to do: the JSON that crosses the boundary, field by field.
//!
//! Unknown fields are refused, so that a caller's typing error can never be taken for a default.
//! Sizes are bytes, rates bytes a second, guids decimal strings (they do not fit a JSON number).

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use store::StoreConfig;

use crate::error::EngineError;

/// Default memory budget of one job, in bytes.
pub const DEFAULT_MEMORY_BUDGET_BYTES: u64 = 256 << 20;

/// Reads a request from JSON.
///
/// # Errors
/// `engine.bad_request` naming the field that is missing, unknown or of the wrong type.
pub fn parse<T: DeserializeOwned>(json: &str) -> Result<T, EngineError> {
    serde_json::from_str(json).map_err(|cause| EngineError::bad_request(cause.to_string()))
}

const fn default_budget() -> u64 {
    DEFAULT_MEMORY_BUDGET_BYTES
}

/// Push one send stream as one backup.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PushRequest {
    /// Where to.
    pub store: StoreConfig,
    /// Storage classes to ask for.
    #[serde(default)]
    pub storage_class: StorageClasses,
    /// Age recipients, one a string; at least one.
    pub recipients: Vec<String>,
    /// Bytes of buffers that the job may hold.
    #[serde(default = "default_budget")]
    pub memory_budget_bytes: u64,
    /// Upper bound of bytes read from the source a second.
    #[serde(default)]
    pub limit_upload_bytes_per_second: Option<u64>,
    /// Stream bytes a part; absent: by the estimate.
    #[serde(default)]
    pub part_size_bytes: Option<u64>,
    /// Expected length of the stream in bytes, for part sizes and progress.
    #[serde(default)]
    pub estimated_stream_bytes: Option<u64>,
    /// How parts are compressed before they are sealed.
    #[serde(default)]
    pub compression: format::Compression,
    /// The repository that the plan was made for; another one in the store is refused.
    #[serde(default)]
    pub repository_id: Option<String>,
    /// What the stream is.
    pub backup: BackupRequest,
}

/// Storage classes by kind of object; absent: the store's own default.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StorageClasses {
    /// For the manifest, the intent and what recovers a backup by hand.
    #[serde(default)]
    pub manifest: Option<String>,
    /// For parts.
    #[serde(default)]
    pub data: Option<String>,
}

/// What the manifest will say of the stream, as far as the caller decides it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupRequest {
    /// The machine that is backed up.
    pub source: String,
    /// The task's name in the configuration.
    #[serde(default)]
    pub task: Option<String>,
    /// The dataset's full name, pool first.
    pub dataset: String,
    /// The dataset's guid.
    #[serde(default)]
    pub dataset_guid: Option<String>,
    /// The snapshot's short name (behind the `@`).
    pub snapshot: String,
    /// The snapshot's guid; the stream's BEGIN must carry the same.
    pub snapshot_guid: String,
    /// The transaction group that made the snapshot.
    #[serde(default)]
    pub createtxg: Option<String>,
    /// When the snapshot was made, seconds since 1970 UTC.
    #[serde(default)]
    pub snapshot_created: Option<i64>,
    /// 0 for a full stream, else the parent's level plus one or more.
    pub level: u32,
    /// The backup that this one stands on; absent for a full.
    #[serde(default)]
    pub parent: Option<ParentRequest>,
    /// Flags that `zfs send` was given.
    #[serde(default)]
    pub flags: Vec<String>,
    /// Whether the stream is raw (still encrypted by ZFS).
    #[serde(default)]
    pub raw: bool,
    /// How the stream came to be.
    pub made: format::Made,
    /// Names the backups of one recursive run that belong together.
    #[serde(default)]
    pub tree_group: Option<String>,
    /// Versions of ZFS on the source.
    #[serde(default)]
    pub zfs: ZfsVersions,
    /// The dataset's local and received properties.
    #[serde(default)]
    pub properties: BTreeMap<String, PropertyRequest>,
    /// `filesystem` or `volume`.
    #[serde(default)]
    pub dataset_type: Option<String>,
}

/// The backup that an incremental stream stands on.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParentRequest {
    /// Its id.
    pub id: String,
    /// Its snapshot's short name.
    pub snapshot: String,
    /// Its snapshot's guid; the stream's BEGIN must name the same as its base.
    pub snapshot_guid: String,
}

/// Versions of ZFS on the source, as the commands there tell them.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ZfsVersions {
    /// Of the `zfs` command.
    #[serde(default)]
    pub userland: Option<String>,
    /// Of the kernel module.
    #[serde(default)]
    pub kernel: Option<String>,
}

/// One ZFS property.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PropertyRequest {
    /// Its value.
    pub value: String,
    /// `local` or `received`.
    pub source: String,
}

/// Write one backup's send stream to a file descriptor.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestoreRequest {
    /// Where from.
    pub store: StoreConfig,
    /// Age identity files and SSH private keys.
    pub identity_files: Vec<PathBuf>,
    /// The manifest of the backup.
    pub manifest_key: String,
    /// Bytes of buffers that the job may hold.
    #[serde(default = "default_budget")]
    pub memory_budget_bytes: u64,
}

/// Look at a store, or prepare it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreRequest {
    /// Which store.
    pub store: StoreConfig,
    /// What to do there.
    pub operation: StoreOperation,
}

/// One look at a store.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum StoreOperation {
    /// LIST of manifests: what is committed.
    List {
        /// Only of this machine.
        #[serde(default)]
        source: Option<String>,
        /// Only of this dataset; needs `source`.
        #[serde(default)]
        dataset: Option<String>,
    },
    /// Read and check manifests.
    Manifests {
        /// Their keys.
        keys: Vec<String>,
    },
    /// Before a restore: is every part there, whole, warm and meant for this identity?
    Preflight {
        /// Manifest keys.
        keys: Vec<String>,
        /// Age identity files and SSH private keys.
        identity_files: Vec<PathBuf>,
    },
    /// Read what is sealed beside the parts: ZFS properties and statistics.
    Meta {
        /// The manifest's key.
        key: String,
        /// Age identity files and SSH private keys.
        identity_files: Vec<PathBuf>,
    },
    /// Make the repository if the prefix holds none.
    CreateRepository {},
    /// What `check` asks of a store.
    Probe {
        /// Whether probe objects may be written (and removed again).
        write: bool,
        /// Storage classes that must be kept.
        #[serde(default)]
        storage_classes: Vec<String>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_field_is_refused_by_name() {
        let error = parse::<StoreRequest>(
            r#"{"store":{"url":"file:///x"},"operation":{"create_repository":{}},"stoer":1}"#,
        )
        .unwrap_err();
        assert_eq!(error.code, "engine.bad_request");
        assert!(error.message.contains("stoer"), "{error}");
    }
}
