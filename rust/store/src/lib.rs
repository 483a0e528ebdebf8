//! Object stores behind one trait: S3 (and its look-alikes) and a plain directory.
//!
//! Invariant: a `put` that returned `Ok` was proved. Either the store named the same checksum that we computed over the bytes in memory,
//! or the object was read back and compared. Correctness never rests on conditional writes, because some servers ignore them with a 200.
//! Only this crate names the AWS SDK. No credential appears in any message, `Debug` output or log event.
#![forbid(unsafe_code)]

mod checksum;
mod config;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod directory;
mod error;
mod key;
mod object;
mod recording;
mod requests;
mod s3;

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;

pub use checksum::{ChecksumAlgorithm, ChecksumKind, RunningCrc64, StoreChecksum};
pub use config::{ChecksumSetting, PayloadSigning, StoreConfig};
pub use error::{ERROR_CODES, Place, StoreError};
pub use key::{MAX_KEY_BYTES, check_key};
pub use object::{Download, ObjectInfo, PutOptions, Receipt, ThawState, UnfinishedUpload};
pub use recording::{Call, Operation, RecordingStore};
pub use requests::RequestCounts;

/// A place that keeps immutable objects under slash-separated keys, relative to the configured prefix.
///
/// Every method refuses a key with an empty, `.` or `..` component, with NUL, or with a component that begins like our temporary files.
#[async_trait]
pub trait ObjectStore: Send + Sync {
    /// Where this store lies, for people: `s3://bucket/prefix` or `file:///path`.
    fn location(&self) -> &str;

    /// Store one object whole, and prove that it arrived. With `if_absent` an existing object is [`StoreError::AlreadyExists`]
    /// on stores that honour conditional writes, and is overwritten on those that don't.
    async fn put(&self, key: &str, body: Bytes, options: &PutOptions) -> Result<Receipt, StoreError>;

    /// Begin an object that arrives in pieces. Dropping the handle leaves the upload open at the store: call `abort`.
    async fn begin_multipart(
        &self,
        key: &str,
        options: &PutOptions,
    ) -> Result<Arc<dyn MultipartUpload>, StoreError>;

    /// Read an object, or the bytes of `range` (not empty, beginning inside the object; an end past the object is cut to it).
    async fn get(&self, key: &str, range: Option<Range<u64>>) -> Result<Download, StoreError>;

    /// What the store says about an object, without its bytes.
    async fn head(&self, key: &str) -> Result<ObjectInfo, StoreError>;

    /// Every object whose key begins with `prefix` (any string, "" for all), all pages, ordered by the bytes of the key.
    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, StoreError>;

    /// Delete objects; a key that isn't there is fine. Keys are tried on after a failure; the first failure is returned.
    async fn delete(&self, keys: &[String]) -> Result<(), StoreError>;

    /// Uploads whose key begins with `prefix` and that were neither completed nor ended, ordered by the bytes of key and
    /// id. A bucket can't tell whose they are: those of living writers are among them. A folder leaves out what a living
    /// process writes.
    async fn unfinished(&self, prefix: &str) -> Result<Vec<UnfinishedUpload>, StoreError>;

    /// End an upload that [`ObjectStore::unfinished`] named, and drop its bytes; fine if it is already gone.
    async fn abort_unfinished(&self, upload: &UnfinishedUpload) -> Result<(), StoreError>;

    /// Requests sent so far, retries included.
    fn requests(&self) -> RequestCounts;

    /// Whether the store answered 501 to a conditional write, so that `if_absent` is no longer sent.
    fn refuses_conditional_writes(&self) -> bool {
        false
    }

    /// Read a whole object into memory, or fail with [`StoreError::Unsupported`] if it is longer than `max_len` bytes.
    async fn get_bytes(&self, key: &str, max_len: u64) -> Result<Bytes, StoreError> {
        let mut download = self.get(key, None).await?;
        if download.length > max_len {
            let place = Place::new("read", format!("{}/{key}", self.location()));
            let why = format!("it has {} bytes where at most {max_len} are expected", download.length);
            return Err(StoreError::Unsupported { place, why });
        }
        let mut bytes = BytesMut::with_capacity(usize::try_from(download.length).unwrap_or(0));
        while let Some(piece) = download.chunks.next().await {
            bytes.extend_from_slice(&piece?);
        }
        Ok(bytes.freeze())
    }
}

/// One object that is being written in pieces.
#[async_trait]
pub trait MultipartUpload: Send + Sync {
    /// Store piece `number` (from 1). Pieces may come in any order and at the same time; all but the last have the same length
    /// of at least 5 MiB.
    async fn put_piece(&self, number: u32, body: Bytes) -> Result<(), StoreError>;

    /// Make the object visible, once every piece from 1 on has arrived, and prove it like `put` does.
    async fn complete(&self) -> Result<Receipt, StoreError>;

    /// Drop the upload and its pieces; fine if it is already gone.
    async fn abort(&self) -> Result<(), StoreError>;
}

/// Open the store that `config` names. S3 sends nothing yet; a directory must exist.
///
/// # Errors
/// [`StoreError::InvalidConfig`] for a bad url, option, certificate bundle or credentials file; for a directory also what opening it met.
pub async fn open(config: &StoreConfig) -> Result<Arc<dyn ObjectStore>, StoreError> {
    config.check_times()?;
    let stall = Duration::from_secs(config.stall_seconds);
    match config.target()? {
        config::Target::Directory(path) => {
            Ok(Arc::new(directory::DirectoryStore::open(path, &config.url, stall).await?))
        }
        config::Target::Bucket { bucket, prefix } => {
            Ok(Arc::new(s3::S3Store::open(config, bucket, prefix).await?))
        }
    }
}
