//! What a job is asked to do: the JSON that crosses the boundary, field by field.
//!
//! Unknown fields are refused, so that a caller's typing error can never be taken for a default.
//! Sizes are bytes, rates bytes a second, guids decimal strings (they do not fit a JSON number).

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
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
    /// After how many silent seconds the source is warned about.
    #[serde(default = "default_source_warning")]
    pub source_warning_seconds: u64,
    /// After how many silent seconds the source counts as dead; absent: never, since healthy sends were silent for an
    /// hour.
    #[serde(default)]
    pub source_stall_seconds: Option<u64>,
    /// The run that this push belongs to; absent: one that keeps no state.
    #[serde(default)]
    pub run: Option<RunRequest>,
    /// What the stream is.
    pub backup: BackupRequest,
}

const fn default_source_warning() -> u64 {
    600
}

/// A run whose state the caller keeps by the job's journal, so that it can be gone on with after a stop or crash.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunRequest {
    /// The backup's id, made by [`crate::new_backup_id`].
    pub id: String,
    /// One random nonce (32 hex digits) for each time that this run was begun or gone on with, the present one last.
    /// The names of all that a run uploads are made of them, so they tell its own objects from others'.
    pub sessions: Vec<Session>,
    /// Whether a stop or failure keeps what is stored. If not, it is removed.
    pub resumable: bool,
    /// Parts that are stored, from number 0 without a gap. Their bytes are proven against the stream, not sent again.
    #[serde(default)]
    pub stored: Vec<JournaledPart>,
    /// The BEGIN record of the stream in hex, if the source yields what `zfs send -t` sends for the token of
    /// [`crate::resume_token`]; absent: the source yields the whole stream.
    #[serde(default)]
    pub spliced_onto: Option<String>,
}

/// Where an interrupted stream is to be gone on with: one part before the end of what is stored, since that part must
/// come out the same before anything is added.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    /// The stream's BEGIN record as journaled, in hex.
    pub begin_record: String,
    /// The last but one of the stored parts.
    pub part: JournaledPart,
    /// The snapshot's present name, `pool/dataset@snapshot`.
    pub snapshot: String,
}

/// Names one beginning of a run.
pub type Session = format::Hex<16>;

/// A stored part as the journal has it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct JournaledPart {
    /// What the manifest will say of it.
    #[serde(flatten)]
    pub part: format::Part,
    /// What proves, on this machine alone, which stream bytes it holds.
    pub proof: PartProof,
}

/// What proves that stream bytes are those of a part. It never leaves the machine: a digest of plain bytes would let
/// the store's owner confirm a guess.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartProof {
    /// BLAKE3 of the part's stream bytes.
    pub blake3: format::Blake3Hash,
    /// The running fletcher-4 sums of the stream up to the part's end.
    pub end_checksum: format::EndChecksum,
    /// Where the part ends; none for the last one.
    pub border: Option<PartBorder>,
    /// BLAKE3 of the payload of the stream's BEGIN: the keys of an encrypted dataset, else nothing.
    pub begin_payload: format::Blake3Hash,
    /// BLAKE3 of the OBJECT record that announced the border's object, without the record's own checksum.
    pub announcement: Option<format::Blake3Hash>,
    /// Records of the stream up to the part's end, by type number.
    pub records: [u64; sendstream::RecordKind::ALL.len()],
}

/// A place where `zfs send -t` could go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum PartBorder {
    /// Behind a WRITE or `WRITE_EMBEDDED`.
    AfterWrite {
        /// The object written.
        object: u64,
        /// Where in the object the record ended, in bytes.
        end_offset: u64,
    },
    /// In front of an OBJECT record.
    BeforeObject {
        /// The object announced.
        object: u64,
    },
}

impl From<PartBorder> for sendstream::Border {
    fn from(border: PartBorder) -> Self {
        match border {
            PartBorder::AfterWrite { object, end_offset } => Self::AfterWrite { object, end_offset },
            PartBorder::BeforeObject { object } => Self::BeforeObject { object },
        }
    }
}

impl From<sendstream::Border> for PartBorder {
    fn from(border: sendstream::Border) -> Self {
        match border {
            sendstream::Border::AfterWrite { object, end_offset } => Self::AfterWrite { object, end_offset },
            sendstream::Border::BeforeObject { object } => Self::BeforeObject { object },
        }
    }
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
    /// How much of an interrupted run stands in the store.
    ResumeLook(RunLook),
    /// Write the manifest of a run that was stopped between its last part and the manifest.
    Recommit(RecommitRequest),
    /// Remove what interrupted runs of one source left behind.
    Sweep(SweepRequest),
    /// What `check` asks of a store.
    Probe {
        /// Whether probe objects may be written (and removed again).
        write: bool,
        /// Storage classes that must be kept.
        #[serde(default)]
        storage_classes: Vec<String>,
    },
}

/// Which backup a run writes.
#[derive(Debug, Clone, Deserialize)]
pub struct RunPlace {
    /// Its id.
    pub id: String,
    /// The machine that is backed up.
    pub source: String,
    /// The dataset's full name.
    pub dataset: String,
    /// All sessions of the run.
    pub sessions: Vec<Session>,
}

/// What to commit.
#[derive(Debug, Clone, Deserialize)]
pub struct RecommitRequest {
    /// The run.
    #[serde(flatten)]
    pub run: RunPlace,
    /// Where the manifest belongs.
    pub manifest_key: String,
    /// Its text, as journaled.
    pub manifest: String,
    /// The repository that the run belongs to.
    pub repository_id: String,
    /// Storage class of the manifest.
    #[serde(default)]
    pub storage_class: Option<String>,
}

/// What to look for in the store.
#[derive(Debug, Clone, Deserialize)]
pub struct RunLook {
    /// The run.
    #[serde(flatten)]
    pub run: RunPlace,
    /// The repository that it must be.
    pub repository_id: String,
    /// Its parts as journaled, in any order.
    pub parts: Vec<JournaledPart>,
}

/// What to sweep.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SweepRequest {
    /// The repository that it must be.
    pub repository_id: String,
    /// The machine whose leftovers they are.
    pub source: String,
    /// Ids of runs that will be gone on with.
    pub keep: Vec<String>,
    /// What the caller's own state says of other runs, by id.
    pub own: BTreeMap<String, OwnRun>,
    /// Only say what would be removed.
    pub dry_run: bool,
    /// How long a backup of which nobody knows whether it is committed must have been untouched.
    pub grace_seconds: u64,
}

/// A run of the caller's own that will not be gone on with.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnRun {
    /// All its sessions.
    pub sessions: Vec<Session>,
    /// Whether its manifest may have been sent.
    pub may_be_committed: bool,
    /// Where that would lie.
    #[serde(default)]
    pub manifest_key: Option<String>,
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
