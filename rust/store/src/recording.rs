//! A store that notes every call before passing it on: proof that a dry run changed and read nothing it should not.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;

use crate::error::StoreError;
use crate::object::{Download, ObjectInfo, PutOptions, Receipt, UnfinishedUpload};
use crate::requests::RequestCounts;
use crate::{MultipartUpload, ObjectStore};

/// What was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the methods of the same names say it")]
pub enum Operation {
    Put,
    BeginMultipart,
    PutPiece,
    CompleteMultipart,
    AbortMultipart,
    Get,
    Head,
    List,
    Delete,
    Unfinished,
    AbortUnfinished,
}

impl Operation {
    /// Whether the call can change what lies in the store.
    #[must_use]
    pub fn changes(self) -> bool {
        !matches!(self, Self::Get | Self::Head | Self::List | Self::Unfinished)
    }
}

/// One call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// What was called.
    pub operation: Operation,
    /// The key, or the prefix of a listing; a deletion notes one call a key.
    pub key: String,
}

type Calls = Arc<Mutex<Vec<Call>>>;

fn note(calls: &Calls, operation: Operation, key: &str) {
    calls.lock().unwrap_or_else(PoisonError::into_inner).push(Call { operation, key: key.to_owned() });
}

/// Wraps a store and notes the calls in order.
pub struct RecordingStore {
    inner: Arc<dyn ObjectStore>,
    calls: Calls,
}

impl RecordingStore {
    /// Record what goes to `inner` from now on.
    #[must_use]
    pub fn new(inner: Arc<dyn ObjectStore>) -> Self {
        Self { inner, calls: Calls::default() }
    }

    /// The calls so far.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl ObjectStore for RecordingStore {
    fn location(&self) -> &str {
        self.inner.location()
    }

    async fn put(&self, key: &str, body: Bytes, options: &PutOptions) -> Result<Receipt, StoreError> {
        note(&self.calls, Operation::Put, key);
        self.inner.put(key, body, options).await
    }

    async fn begin_multipart(
        &self,
        key: &str,
        options: &PutOptions,
    ) -> Result<Arc<dyn MultipartUpload>, StoreError> {
        note(&self.calls, Operation::BeginMultipart, key);
        let inner = self.inner.begin_multipart(key, options).await?;
        Ok(Arc::new(RecordingUpload { inner, key: key.to_owned(), calls: Arc::clone(&self.calls) }))
    }

    async fn get(&self, key: &str, range: Option<Range<u64>>) -> Result<Download, StoreError> {
        note(&self.calls, Operation::Get, key);
        self.inner.get(key, range).await
    }

    async fn head(&self, key: &str) -> Result<ObjectInfo, StoreError> {
        note(&self.calls, Operation::Head, key);
        self.inner.head(key).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, StoreError> {
        note(&self.calls, Operation::List, prefix);
        self.inner.list(prefix).await
    }

    async fn delete(&self, keys: &[String]) -> Result<(), StoreError> {
        for key in keys {
            note(&self.calls, Operation::Delete, key);
        }
        self.inner.delete(keys).await
    }

    async fn unfinished(&self, prefix: &str) -> Result<Vec<UnfinishedUpload>, StoreError> {
        note(&self.calls, Operation::Unfinished, prefix);
        self.inner.unfinished(prefix).await
    }

    async fn abort_unfinished(&self, upload: &UnfinishedUpload) -> Result<(), StoreError> {
        note(&self.calls, Operation::AbortUnfinished, &upload.key);
        self.inner.abort_unfinished(upload).await
    }

    fn requests(&self) -> RequestCounts {
        self.inner.requests()
    }

    fn refuses_conditional_writes(&self) -> bool {
        self.inner.refuses_conditional_writes()
    }
}

struct RecordingUpload {
    inner: Arc<dyn MultipartUpload>,
    key: String,
    calls: Calls,
}

#[async_trait]
impl MultipartUpload for RecordingUpload {
    async fn put_piece(&self, number: u32, body: Bytes) -> Result<(), StoreError> {
        note(&self.calls, Operation::PutPiece, &self.key);
        self.inner.put_piece(number, body).await
    }

    async fn complete(&self) -> Result<Receipt, StoreError> {
        note(&self.calls, Operation::CompleteMultipart, &self.key);
        self.inner.complete().await
    }

    async fn abort(&self) -> Result<(), StoreError> {
        note(&self.calls, Operation::AbortMultipart, &self.key);
        self.inner.abort().await
    }
}
