//! Bodies that are counted on their way.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use aws_sdk_s3::error::BoxError;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use super::{Pace, Stall};

/// How much of a body the connection gets at once; its own buffers hold some twelve of them.
const SLICE_BYTES: usize = 32 * 1024;

/// How much of a request's body the connection has taken.
pub(super) struct Sent {
    pub(super) of: u64,
    bytes: AtomicU64,
    whole_at: OnceLock<Instant>,
}

impl Sent {
    pub(super) fn nothing_of(of: u64) -> Self {
        let sent = Self { of, bytes: AtomicU64::new(0), whole_at: OnceLock::new() };
        sent.add(0);
        sent
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// When the connection had all of it.
    pub(super) fn whole_at(&self) -> Option<Instant> {
        self.whole_at.get().copied()
    }

    fn add(&self, bytes: u64) {
        if self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes >= self.of {
            self.whole_at.get_or_init(Instant::now);
        }
    }
}

/// A request's body in slices that are counted.
pub(super) struct Outgoing {
    inner: SdkBody,
    slices: Bytes,
    sent: Arc<Sent>,
}

impl Outgoing {
    pub(super) fn new(inner: SdkBody, sent: Arc<Sent>) -> Self {
        Self { inner, slices: Bytes::new(), sent }
    }
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
        SizeHint::with_exact(self.sent.of.saturating_sub(self.sent.bytes()))
    }
}

/// An answer's body that must keep coming while somebody waits for it; who doesn't ask may take his time.
pub(super) struct Incoming {
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
    pub(super) fn new(inner: SdkBody, stall: Duration) -> Self {
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
