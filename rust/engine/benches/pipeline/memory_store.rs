//! A store in memory: it acknowledges at once, so a job measured against it pays for nothing but itself.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use store::{
    ChecksumAlgorithm, ChecksumKind, Download, MultipartUpload, ObjectInfo, ObjectStore, Place, PutOptions,
    Receipt, RequestCounts, StoreChecksum, StoreError, UnfinishedUpload,
};

/// Larger objects are parts.
const SMALL_BYTES: usize = 1 << 20;
/// What a body yields at once, as a network client does.
const YIELD_BYTES: usize = 128 << 10;

/// What stays in the store; the length of the rest is remembered, for listings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    Everything,
    SmallObjects,
}

struct Stored {
    length: u64,
    bytes: Bytes,
}

/// The store.
pub(crate) struct MemoryStore {
    keep: Keep,
    objects: Mutex<BTreeMap<String, Stored>>,
}

impl MemoryStore {
    pub(crate) fn new(keep: Keep) -> Arc<Self> {
        Arc::new(Self { keep, objects: Mutex::default() })
    }

    fn objects(&self) -> MutexGuard<'_, BTreeMap<String, Stored>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn missing(key: &str) -> StoreError {
        StoreError::NotFound { place: Place::new("read", format!("memory/{key}")) }
    }
}

#[async_trait]
impl ObjectStore for MemoryStore {
    fn location(&self) -> &'static str {
        "memory"
    }

    async fn put(&self, key: &str, body: Bytes, _: &PutOptions) -> Result<Receipt, StoreError> {
        let length = body.len() as u64;
        // A copy, because the body is one of the engine's buffers and must go back to it.
        let kept = self.keep == Keep::Everything || body.len() <= SMALL_BYTES;
        let bytes = if kept { Bytes::copy_from_slice(&body) } else { Bytes::new() };
        self.objects().insert(key.to_owned(), Stored { length, bytes });
        let checksum = StoreChecksum {
            algorithm: ChecksumAlgorithm::None,
            kind: ChecksumKind::Reread,
            value: "AAAAAAAAAAA=".to_owned(),
        };
        Ok(Receipt { length, checksum, storage_class: None })
    }

    async fn begin_multipart(
        &self,
        key: &str,
        _: &PutOptions,
    ) -> Result<Arc<dyn MultipartUpload>, StoreError> {
        let place = Place::new("store", format!("memory/{key}"));
        Err(StoreError::Unsupported { place, why: "the benchmark's parts have one piece".to_owned() })
    }

    async fn get(&self, key: &str, range: Option<Range<u64>>) -> Result<Download, StoreError> {
        let bytes = self.objects().get(key).map(|stored| stored.bytes.clone());
        let mut bytes = bytes.ok_or_else(|| Self::missing(key))?;
        let total_length = bytes.len() as u64;
        if let Some(range) = range {
            let place = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
            bytes = bytes.slice(place(range.start)..place(range.end));
        }
        let length = bytes.len() as u64;
        let pieces = std::iter::from_fn(move || {
            let piece = bytes.split_to(bytes.len().min(YIELD_BYTES));
            (!piece.is_empty()).then_some(Ok(piece))
        });
        Ok(Download { length, total_length, chunks: Box::pin(futures::stream::iter(pieces)) })
    }

    async fn head(&self, key: &str) -> Result<ObjectInfo, StoreError> {
        let length = self.objects().get(key).map(|stored| stored.length);
        let length = length.ok_or_else(|| Self::missing(key))?;
        Ok(ObjectInfo { key: key.to_owned(), length, ..ObjectInfo::default() })
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, StoreError> {
        let objects = self.objects();
        let found = objects.iter().filter(|(key, _)| key.starts_with(prefix));
        Ok(found
            .map(|(key, stored)| ObjectInfo {
                key: key.clone(),
                length: stored.length,
                ..ObjectInfo::default()
            })
            .collect())
    }

    async fn delete(&self, keys: &[String]) -> Result<(), StoreError> {
        let mut objects = self.objects();
        for key in keys {
            objects.remove(key);
        }
        Ok(())
    }

    async fn unfinished(&self, _: &str) -> Result<Vec<UnfinishedUpload>, StoreError> {
        Ok(Vec::new())
    }

    async fn abort_unfinished(&self, _: &UnfinishedUpload) -> Result<(), StoreError> {
        Ok(())
    }

    fn requests(&self) -> RequestCounts {
        RequestCounts::default()
    }
}
