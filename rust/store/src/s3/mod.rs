//! A store in an S3 bucket, at AWS or at any server that speaks the same protocol.
//!
//! Invariants: bodies are whole memory, so checksums travel as headers and never as aws-chunked trailers, which look-alikes refuse; every
//! checksum is computed here and compared with what the server names; retries belong to the SDK alone (but for the rest of a download).

mod client;
mod count;
mod credentials;
mod delete;
mod error;
mod head;
mod list;
mod multipart;
mod put;
mod read;
mod retry;
#[cfg(test)]
mod tests;
mod trust;
mod unfinished;
mod verify;
mod watch;

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use bytes::Bytes;

use crate::checksum::ChecksumAlgorithm;
use crate::config::StoreConfig;
use crate::error::{Place, StoreError};
use crate::key;
use crate::object::{Download, ObjectInfo, PutOptions, Receipt, UnfinishedUpload};
use crate::requests::{RequestCounter, RequestCounts};
use crate::{MultipartUpload, ObjectStore};

/// S3 refuses a request 15 minutes after it was signed; give up (and sign anew) before.
const LONGEST_ATTEMPT: Duration = Duration::from_mins(14);
/// The end of all patience with one request, whatever keeps it going.
const LONGEST_REQUEST: Duration = Duration::from_mins(25);

/// See the module.
pub(crate) struct S3Store {
    shared: Arc<Shared>,
}

/// What every operation needs.
struct Shared {
    client: Client,
    bucket: String,
    prefix: String,
    location: String,
    region: String,
    algorithm: ChecksumAlgorithm,
    unsigned_payload: bool,
    stall: Duration,
    patience: Duration,
    reached: Arc<retry::Reached>,
    counter: Arc<RequestCounter>,
    refuses_conditional: AtomicBool,
    refuses_batch_delete: AtomicBool,
    /// Some answer showed that the bucket exists, so that a 404 without a body means the object.
    bucket_seen: AtomicBool,
}

impl S3Store {
    pub(crate) async fn open(
        config: &StoreConfig,
        bucket: String,
        prefix: String,
    ) -> Result<Self, StoreError> {
        let counter = Arc::<RequestCounter>::default();
        let opened = client::open(config, Arc::clone(&counter)).await?;
        let shared = Shared {
            client: opened.client,
            location: key::join_unchecked(&format!("s3://{bucket}"), &prefix)
                .trim_end_matches('/')
                .to_owned(),
            bucket,
            prefix,
            region: opened.region,
            algorithm: config.checksum.algorithm(),
            unsigned_payload: opened.unsigned_payload,
            stall: Duration::from_secs(config.stall_seconds),
            patience: Duration::from_secs(config.patience_seconds),
            reached: Arc::default(),
            counter,
            refuses_conditional: AtomicBool::new(false),
            refuses_batch_delete: AtomicBool::new(false),
            bucket_seen: AtomicBool::new(false),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Store with a checksum that the caller chose, right or wrong: shows whether a server checks what it is told.
    #[cfg(any(test, feature = "conformance"))]
    pub(crate) async fn put_declaring(
        &self,
        key: &str,
        body: Bytes,
        raw: Vec<u8>,
    ) -> Result<Receipt, StoreError> {
        put::put_declaring(&self.shared, key, body, raw, &PutOptions::default()).await
    }
}

/// One key in all the forms that requests and messages need.
struct Address {
    /// Prefix and key.
    full: String,
    place: Place,
}

impl Shared {
    fn address(&self, action: &'static str, key: &str) -> Result<Address, StoreError> {
        let full = key::join(&self.prefix, key)?;
        Ok(Address { full, place: self.place(action, key) })
    }

    fn place(&self, action: &'static str, key: &str) -> Place {
        Place::new(action, format!("{}/{key}", self.location))
    }

    /// A failed request in our words.
    fn failure<E>(&self, error: &SdkError<E, HttpResponse>, place: &Place) -> StoreError
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        error::translate(error, &error::Context { place, bucket: &self.bucket, region: &self.region })
    }

    /// Limits for one request. What doesn't move is ended sooner (`watch.rs`); `attempt` ends what moves and comes to no end.
    fn within(&self, attempt: Duration, attempts: &Arc<retry::Attempts>) -> aws_sdk_s3::config::Builder {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(client::CONNECT_TIMEOUT)
            .operation_attempt_timeout(attempt.min(LONGEST_ATTEMPT))
            .operation_timeout(LONGEST_REQUEST)
            .build();
        let reached = Arc::clone(&self.reached);
        aws_sdk_s3::Config::builder()
            .timeout_config(timeouts)
            .interceptor(retry::CountAttempts(Arc::clone(attempts)))
            .retry_classifier(retry::Judgement::new(reached, self.patience, Arc::clone(attempts)))
    }

    fn briefly(&self) -> aws_sdk_s3::config::Builder {
        self.within(self.stall * 3, &Arc::default())
    }

    fn for_upload(&self, attempts: &Arc<retry::Attempts>) -> aws_sdk_s3::config::Builder {
        self.within(LONGEST_ATTEMPT, attempts)
    }

    fn sends_conditions(&self, options_ask: bool) -> bool {
        options_ask && !self.refuses_conditional.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl ObjectStore for S3Store {
    fn location(&self) -> &str {
        &self.shared.location
    }

    async fn put(&self, key: &str, body: Bytes, options: &PutOptions) -> Result<Receipt, StoreError> {
        put::put(&self.shared, key, body, options).await
    }

    async fn begin_multipart(
        &self,
        key: &str,
        options: &PutOptions,
    ) -> Result<Arc<dyn MultipartUpload>, StoreError> {
        multipart::begin(Arc::clone(&self.shared), key, options).await
    }

    async fn get(&self, key: &str, range: Option<Range<u64>>) -> Result<Download, StoreError> {
        read::get(Arc::clone(&self.shared), key, range).await
    }

    async fn head(&self, key: &str) -> Result<ObjectInfo, StoreError> {
        let address = self.shared.address("look at", key)?;
        let (mut info, _) = head::head(&self.shared, &address).await?;
        key.clone_into(&mut info.key);
        Ok(info)
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, StoreError> {
        list::list(&self.shared, prefix).await
    }

    async fn delete(&self, keys: &[String]) -> Result<(), StoreError> {
        delete::delete(&self.shared, keys).await
    }

    async fn unfinished(&self, prefix: &str) -> Result<Vec<UnfinishedUpload>, StoreError> {
        unfinished::list(&self.shared, prefix).await
    }

    async fn abort_unfinished(&self, upload: &UnfinishedUpload) -> Result<(), StoreError> {
        let address = self.shared.address("end the upload of", &upload.key)?;
        unfinished::abort(&self.shared, &address, &upload.upload_id).await
    }

    fn requests(&self) -> RequestCounts {
        self.shared.counter.snapshot()
    }

    fn refuses_conditional_writes(&self) -> bool {
        self.shared.refuses_conditional.load(Ordering::Relaxed)
    }
}
