//! A watch over every request: bytes must move, on the way there and back, or the request ends with what stalled.
//!
//! The SDK's own protection counts a body in memory as sent once the connection has it, and a byte a second as movement. Here a body is
//! handed over in slices, so that what the connection took is about what left; and less than a least rate over `stall` ends the request.

mod bodies;

use std::error::Error;
use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_s3::config::{ConfigBag, RuntimeComponents};
use aws_sdk_s3::error::{BoxError, ConnectorError};
use aws_smithy_runtime_api::client::connector_metadata::ConnectorMetadata;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponentsBuilder;
use aws_smithy_types::body::SdkBody;
use tokio::time::Instant;

use bodies::{Incoming, Outgoing, Sent};

/// Less than this on average over `stall` is no transfer: nobody could back up or restore at such a rate.
const LEAST_BYTES_PER_SECOND: u64 = 8 * 1024;
/// What the kernel may still have to send when the connection has taken the whole body.
const KERNEL_BYTES: u64 = 4 * 1024 * 1024;
/// The slowest upload that is still worth waiting for, in bytes a second.
const SLOWEST_BYTES_PER_SECOND: u64 = 96 * 1024;
/// Completing a large multipart upload may take minutes.
pub(super) const COMPLETE_ANSWER: Duration = Duration::from_mins(10);

/// What stopped, since when, and how far it had come.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stall {
    /// While the body was sent.
    Sending { sent: u64, of: u64, lately: u64, seconds: u64 },
    /// After all was sent.
    Waiting { sent: u64, seconds: u64 },
    /// While the answer came.
    Receiving { received: u64, lately: u64, seconds: u64 },
}

impl fmt::Display for Stall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sending { sent, of, lately, seconds } => {
                write!(f, "{sent} of {of} bytes were sent, {lately} of them in the last {seconds} seconds")
            }
            Self::Waiting { sent: 0, seconds } => write!(f, "no answer for {seconds} seconds"),
            Self::Waiting { sent, seconds } => {
                write!(f, "all {sent} bytes were sent, then no answer came for {seconds} seconds")
            }
            Self::Receiving { received, lately, seconds } => {
                write!(
                    f,
                    "{received} bytes of the answer came, {lately} of them in the last {seconds} seconds"
                )
            }
        }
    }
}

impl Error for Stall {}

/// An HTTP client whose requests are watched.
#[derive(Debug)]
pub(super) struct WatchedClient {
    pub(super) inner: SharedHttpClient,
    pub(super) stall: Duration,
}

impl HttpClient for WatchedClient {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let inner = self.inner.http_connector(settings, components);
        SharedHttpConnector::new(WatchedConnector { inner, stall: self.stall })
    }

    fn validate_base_client_config(
        &self,
        components: &RuntimeComponentsBuilder,
        config: &ConfigBag,
    ) -> Result<(), BoxError> {
        HttpClient::validate_base_client_config(&self.inner, components, config)
    }

    fn validate_final_config(
        &self,
        components: &RuntimeComponents,
        config: &ConfigBag,
    ) -> Result<(), BoxError> {
        HttpClient::validate_final_config(&self.inner, components, config)
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        self.inner.connector_metadata()
    }
}

#[derive(Debug)]
struct WatchedConnector {
    inner: SharedHttpConnector,
    stall: Duration,
}

impl HttpConnector for WatchedConnector {
    fn call(&self, mut request: HttpRequest) -> HttpConnectorFuture {
        let (stall, length) = (self.stall, request.body().content_length().unwrap_or(0));
        let patience = stall.max(longest_answer(&request, stall)) + draining(length);
        let sent = Arc::new(Sent::nothing_of(length));
        if length > 0 {
            let body = Outgoing::new(request.take_body(), Arc::clone(&sent));
            *request.body_mut() = SdkBody::from_body_1_x(body);
        }
        let answer = self.inner.call(request);
        HttpConnectorFuture::new(async move {
            let mut answer = answered(answer, &sent, stall, patience).await?;
            let body = Incoming::new(answer.take_body(), stall);
            *answer.body_mut() = SdkBody::from_body_1_x(body);
            Ok(answer)
        })
    }
}

fn longest_answer(request: &HttpRequest, stall: Duration) -> Duration {
    let completes = request.method() == "POST" && request.uri().contains("uploadId=");
    if completes { COMPLETE_ANSWER } else { stall }
}

/// How long the kernel may take to send what it holds of a body.
pub(super) fn draining(body_bytes: u64) -> Duration {
    Duration::from_secs(body_bytes.min(KERNEL_BYTES) / SLOWEST_BYTES_PER_SECOND)
}

async fn answered(
    answer: HttpConnectorFuture,
    sent: &Sent,
    stall: Duration,
    patience: Duration,
) -> Result<HttpResponse, ConnectorError> {
    let mut answer = pin!(answer);
    let mut pace = Pace::new(stall);
    let mut next_look = Instant::now() + stall;
    loop {
        let until = sent.whole_at().map_or(next_look, |whole_at| whole_at + patience);
        tokio::select! {
            biased;
            answer = &mut answer => return answer,
            () = tokio::time::sleep_until(until) => {}
        }
        let bytes = sent.bytes();
        let stalled = match sent.whole_at() {
            Some(whole_at) => (whole_at + patience <= Instant::now())
                .then_some(Stall::Waiting { sent: bytes, seconds: patience.as_secs() }),
            None => pace.too_slow(bytes).map(|lately| Stall::Sending {
                sent: bytes,
                of: sent.of,
                lately,
                seconds: stall.as_secs(),
            }),
        };
        if let Some(stalled) = stalled {
            return Err(ConnectorError::timeout(stalled.into()));
        }
        next_look = Instant::now() + stall;
    }
}

/// Whether enough moves from one look to the next, one `stall` apart.
struct Pace {
    enough: u64,
    seen: u64,
}

impl Pace {
    fn new(stall: Duration) -> Self {
        Self { enough: LEAST_BYTES_PER_SECOND * stall.as_secs(), seen: 0 }
    }

    /// What moved since the last look, if that is too little.
    fn too_slow(&mut self, bytes: u64) -> Option<u64> {
        let lately = bytes - self.seen;
        self.seen = bytes;
        (lately < self.enough).then_some(lately)
    }
}
