//! A watch over every request: bytes must move, on the way there and back, or the request ends with what stalled.
//!
//! The SDK's own protection counts a body in memory as sent once the connection has it, and a byte a second as movement. Here a body is
//! handed over in slices, so that what the connection took is about what left; and less than a least rate over `stall` ends the request.

use std::error::Error;
use std::fmt;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
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
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

/// Less than this on average over `stall` is no transfer: nobody could back up or restore at such a rate.
const LEAST_BYTES_PER_SECOND: u64 = 8 * 1024;
/// How much of a body the connection gets at once; its own buffers hold some twelve of them.
const SLICE_BYTES: usize = 32 * 1024;
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
        let sent = Arc::new(Sent { of: length, bytes: AtomicU64::new(0), whole_at: OnceLock::new() });
        if length > 0 {
            let inner = request.take_body();
            let body = Outgoing { inner, slices: Bytes::new(), sent: Arc::clone(&sent) };
            *request.body_mut() = SdkBody::from_body_1_x(body);
        } else {
            sent.add(0);
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
        let until = sent.whole_at.get().map_or(next_look, |whole_at| *whole_at + patience);
        tokio::select! {
            biased;
            answer = &mut answer => return answer,
            () = tokio::time::sleep_until(until) => {}
        }
        let bytes = sent.bytes.load(Ordering::Relaxed);
        let stalled = match sent.whole_at.get() {
            Some(whole_at) => (*whole_at + patience <= Instant::now())
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

/// How much of a request's body the connection has taken.
struct Sent {
    of: u64,
    bytes: AtomicU64,
    whole_at: OnceLock<Instant>,
}

impl Sent {
    fn add(&self, bytes: u64) {
        if self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes >= self.of {
            self.whole_at.get_or_init(Instant::now);
        }
    }
}

/// A request's body in slices that are counted.
struct Outgoing {
    inner: SdkBody,
    slices: Bytes,
    sent: Arc<Sent>,
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        while self.slices.is_empty() {
            match ready!(Pin::new(&mut self.inner).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(bytes) => self.slices = bytes,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                end => return Poll::Ready(end),
            }
        }
        let length = self.slices.len().min(SLICE_BYTES);
        self.sent.add(length as u64);
        Poll::Ready(Some(Ok(Frame::data(self.slices.split_to(length)))))
    }

    fn is_end_stream(&self) -> bool {
        self.slices.is_empty() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.sent.of.saturating_sub(self.sent.bytes.load(Ordering::Relaxed)))
    }
}

/// An answer's body that must keep coming while somebody waits for it; who doesn't ask may take his time.
struct Incoming {
    inner: SdkBody,
    pace: Pace,
    received: u64,
    stall: Duration,
    /// Of the present `stall`, what was spent waiting.
    waited: Duration,
    waits_since: Option<Instant>,
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Incoming {
    fn new(inner: SdkBody, stall: Duration) -> Self {
        let (pace, waited) = (Pace::new(stall), Duration::ZERO);
        Self { inner, pace, received: 0, stall, waited, waits_since: None, alarm: None }
    }

    fn stop_waiting(&mut self) {
        if let Some(since) = self.waits_since.take() {
            self.waited += since.elapsed();
        }
    }

    /// An error if a whole `stall` of waiting brought too little.
    fn look(&mut self) -> Result<(), BoxError> {
        if self.waited < self.stall {
            return Ok(());
        }
        self.waited = Duration::ZERO;
        let (received, seconds) = (self.received, self.stall.as_secs());
        match self.pace.too_slow(received) {
            Some(lately) => Err(Stall::Receiving { received, lately, seconds }.into()),
            None => Ok(()),
        }
    }

    fn wait(&mut self, context: &mut Context<'_>) -> Result<(), BoxError> {
        loop {
            let now = Instant::now();
            if self.waits_since.is_none() {
                self.waits_since = Some(now);
                let due = now + self.stall.saturating_sub(self.waited);
                match &mut self.alarm {
                    Some(alarm) => alarm.as_mut().reset(due),
                    None => self.alarm = Some(Box::pin(tokio::time::sleep_until(due))),
                }
            }
            let Some(alarm) = &mut self.alarm else { return Ok(()) };
            if alarm.as_mut().poll(context).is_pending() {
                return Ok(());
            }
            self.stop_waiting();
            self.look()?;
        }
    }
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Poll::Ready(polled) = Pin::new(&mut self.inner).poll_frame(context) else {
            return match self.wait(context) {
                Ok(()) => Poll::Pending,
                Err(stalled) => Poll::Ready(Some(Err(stalled))),
            };
        };
        self.stop_waiting();
        let Some(Ok(frame)) = &polled else { return Poll::Ready(polled) };
        self.received += frame.data_ref().map_or(0, |bytes| bytes.len() as u64);
        Poll::Ready(match self.look() {
            Ok(()) => polled,
            Err(stalled) => Some(Err(stalled)),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
