//! The manifest: the commit marker, and all that a reader without our tool needs to know of a backup.
//!
//! It lies unsealed, so it holds no digest or checksum of plain bytes: that would let a reader confirm a guess. What it
//! holds is fixed by `FORMAT.md`; parsing always validates, so a `Manifest` from [`parse`](Manifest::parse) is consistent.

use serde::{Deserialize, Serialize};

use crate::{
    BackupId, BackupKeys, Blake3Hash, Damage, FormatError, ManifestKey, RepositoryId, TOMBSTONE, Timestamp,
    TreeGroup, decimal, gate,
};

pub(crate) const DOCUMENT: &str = "manifest";

/// One committed backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Format version.
    pub format: u32,
    /// Features that a reader must know.
    #[serde(default)]
    pub requires: Vec<String>,
    /// What wrote it.
    pub tool: Tool,
    /// ZFS on the source.
    #[serde(default)]
    pub zfs: ZfsVersions,
    /// The repository that it was written into.
    pub repository: RepositoryId,
    /// This backup.
    pub id: BackupId,
    /// The machine that was backed up.
    pub source: String,
    /// The task's name in the writer's configuration.
    pub task: Option<String>,
    /// The dataset's full name, pool first.
    pub dataset: String,
    /// The dataset's guid.
    #[serde(default, with = "decimal::option")]
    pub dataset_guid: Option<u64>,
    /// The snapshot's short name, behind the `@`.
    pub snapshot: String,
    /// The snapshot's guid.
    #[serde(with = "decimal")]
    pub snapshot_guid: u64,
    /// The transaction group that made the snapshot.
    #[serde(default, with = "decimal::option")]
    pub createtxg: Option<u64>,
    /// When the snapshot was made, seconds since 1970 UTC.
    pub snapshot_created: Option<i64>,
    /// When the manifest was made, just before it was stored.
    pub committed: Timestamp,
    /// 0 is a full.
    pub level: u32,
    /// What it stands on; none for a full.
    pub parent: Option<Parent>,
    /// How the stream was sent.
    pub send: SendInfo,
    /// Whom it is sealed for.
    pub recipients: Vec<String>,
    /// Whether parts may be compressed.
    pub compression: Compression,
    /// Ties the backups of one recursive snapshot together.
    pub tree_group: Option<TreeGroup>,
    /// Length of the whole stream in bytes.
    pub stream_length: u64,
    /// The sealed properties and statistics.
    pub meta: MetaObject,
    /// The parts, in the stream's order.
    pub parts: Vec<Part>,
}

/// What wrote a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// Versions of ZFS, as the commands there tell them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZfsVersions {
    /// Of the `zfs` command.
    pub userland: Option<String>,
    /// Of the kernel module.
    pub kernel: Option<String>,
}

/// The backup that an incremental stands on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// Its id.
    pub id: BackupId,
    /// Its snapshot's short name.
    pub snapshot: String,
    /// Its snapshot's guid.
    #[serde(with = "decimal")]
    pub snapshot_guid: u64,
}

/// How a stream was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SendInfo {
    /// Flags that `zfs send` was given.
    #[serde(default)]
    pub flags: Vec<String>,
    /// Whether the stream is raw: restoring it needs the ZFS key to read the files.
    pub raw: bool,
    /// How it came to be.
    pub made: Made,
}

/// How a stream came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Made {
    /// By one run of `zfs send`, which exited 0.
    Zfs,
    /// From standard input; the sender's exit status is unknown.
    Stdin,
    /// From several runs of `zfs send`, joined at proven borders.
    Spliced,
}

/// Whether parts may be compressed before they are sealed; each part's key says whether it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// None is.
    #[default]
    None,
    /// Those whose key ends in `.zst.age` are one zstd stream each.
    Zstd,
}

/// One part of the stream: one age file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Ascends along the stream.
    pub number: u32,
    /// Where it lies.
    pub key: String,
    /// First byte of the stream that it holds.
    pub stream_offset: u64,
    /// Bytes of the stream that it holds.
    pub stream_length: u64,
    /// Length of the stored object in bytes.
    pub sealed_length: u64,
    /// Of the stored object's bytes.
    pub blake3: Blake3Hash,
    /// What the store said of it.
    pub store_checksum: StoreChecksum,
}

/// The stored `meta.age`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetaObject {
    /// Where it lies.
    pub key: String,
    /// Its length in bytes.
    pub sealed_length: u64,
    /// Of its bytes.
    pub blake3: Blake3Hash,
    /// What the store said of it.
    pub store_checksum: StoreChecksum,
}

/// A checksum of a stored object that the store computed, or that was computed over what it gave back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreChecksum {
    /// Which.
    pub algorithm: ChecksumAlgorithm,
    /// Over what.
    #[serde(rename = "type")]
    pub kind: ChecksumKind,
    /// Base64, as the store writes it; empty for `none`.
    pub value: String,
}

/// Checksum algorithms of stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChecksumAlgorithm {
    /// CRC-64/NVME.
    Crc64nvme,
    /// CRC-32C.
    Crc32c,
    /// SHA-256.
    Sha256,
    /// MD5.
    Md5,
    /// The store gave none.
    None,
}

/// What a store's checksum covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChecksumKind {
    /// All bytes.
    FullObject,
    /// The checksums of the pieces it was uploaded in.
    Composite,
    /// All bytes, read back and computed by the writer.
    Reread,
}

impl Manifest {
    /// Reads and validates a manifest.
    ///
    /// # Errors
    /// [`FormatError::Tombstone`], [`FormatError::TooNew`], [`FormatError::Requires`], [`FormatError::Unreadable`],
    /// [`FormatError::Damaged`].
    pub fn parse(bytes: &[u8]) -> Result<Self, FormatError> {
        if bytes == TOMBSTONE {
            return Err(FormatError::Tombstone);
        }
        let manifest: Self = gate::parse(DOCUMENT, bytes)?;
        manifest.validate()?;
        Ok(manifest)
    }

    /// Reads, validates, and checks that it is the manifest of the key it was read from.
    ///
    /// # Errors
    /// As [`parse`](Self::parse); [`FormatError::Damaged`] if it belongs to another key.
    pub fn parse_at(key: &ManifestKey, bytes: &[u8]) -> Result<Self, FormatError> {
        let manifest = Self::parse(bytes)?;
        let (found, expected) = (manifest.key()?, key.key());
        if found == expected {
            return Ok(manifest);
        }
        let damage = Damage::Mismatch { field: "own key", found, against: "the key it lies at", expected };
        Err(FormatError::Damaged { document: DOCUMENT, damage })
    }

    /// The JSON to store; refuses to write what would not read.
    ///
    /// # Errors
    /// As [`validate`](Self::validate).
    pub fn to_json(&self) -> Result<Vec<u8>, FormatError> {
        self.validate()?;
        gate::write(DOCUMENT, self)
    }

    /// All keys of this backup.
    ///
    /// # Errors
    /// [`FormatError::BadName`] or [`FormatError::KeyTooLong`] for names that lead to no keys.
    pub fn keys(&self) -> Result<BackupKeys, FormatError> {
        BackupKeys::new(&self.source, &self.dataset, self.id)
    }

    /// Where it lies.
    ///
    /// # Errors
    /// As [`keys`](Self::keys).
    pub fn key(&self) -> Result<String, FormatError> {
        Ok(self.keys()?.manifest_key(self.parent.as_ref().map(|parent| parent.id.nonce)))
    }
}
