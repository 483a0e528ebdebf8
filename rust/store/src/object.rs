//! What goes into a store call and what comes back.

use bytes::Bytes;
use futures::stream::BoxStream;

use crate::checksum::StoreChecksum;
use crate::error::StoreError;

/// How an object is to be stored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PutOptions {
    /// The S3 storage class; absent = the bucket's default. A directory has none and ignores it.
    pub storage_class: Option<String>,
    /// Refuse to replace an object, where the store can.
    pub if_absent: bool,
    /// The MIME type to note with the object.
    pub content_type: Option<&'static str>,
    /// CRC-64/NVME of the body, from a caller that took it while the bytes were still in the cache. It is what the
    /// store must find as well, so a wrong one fails like a damaged body.
    pub body_crc64: Option<u64>,
}

/// Proof that an object was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Bytes stored.
    pub length: u64,
    /// The checksum that the store named, or that was re-read.
    pub checksum: StoreChecksum,
    /// The class the store named; `None` where it said nothing (a PUT's answer has none: ask `head`).
    pub storage_class: Option<String>,
}

/// Whether an object can be read now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ThawState {
    /// Readable at once, always.
    #[default]
    Hot,
    /// Archived: a restore must be asked for first.
    Cold,
    /// A restore was asked for and is under way.
    Warming,
    /// Archived, with a readable copy.
    Warm {
        /// When the copy goes, in seconds since 1970 (UTC), if the store said so.
        until_unix_seconds: Option<i64>,
    },
}

/// An upload that was begun and neither completed nor ended: at some stores it costs as much as an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnfinishedUpload {
    /// The key that it would have made, relative to the store's prefix. A folder knows only where: there it is the
    /// temporary file's own path.
    pub key: String,
    /// What tells it from other uploads to the same key.
    pub upload_id: String,
    /// When it began, in seconds since 1970 (UTC), if the store says so; in a folder when it was last written.
    pub begun_unix_seconds: Option<i64>,
}

/// What a store says about an object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ObjectInfo {
    /// Relative to the store's prefix.
    pub key: String,
    /// In bytes.
    pub length: u64,
    /// As the store names it; S3 names none for STANDARD in a HEAD.
    pub storage_class: Option<String>,
    /// Only `head` fills this, and only if the store keeps one.
    pub checksum: Option<StoreChecksum>,
    /// A listing knows no restores: there an archived object is always `Cold`.
    pub thaw: ThawState,
    /// When the store last wrote it, in seconds since 1970 (UTC) by the store's clock, if it says so.
    pub modified_unix_seconds: Option<i64>,
}

/// The bytes of an object on their way.
pub struct Download {
    /// Bytes that `chunks` will yield; fewer is an error in the stream, never a silent end.
    pub length: u64,
    /// Bytes of the whole object.
    pub total_length: u64,
    /// The bytes in order, in pieces of at most 1 MiB.
    pub chunks: BoxStream<'static, Result<Bytes, StoreError>>,
}

impl std::fmt::Debug for Download {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Download")
            .field("length", &self.length)
            .field("total_length", &self.total_length)
            .finish_non_exhaustive()
    }
}
