//! The memory budget: a fixed number of equal buffers that go round.
//!
//! Every byte on its way through a job lies in one of these; who wants one waits until another comes back.
//! Buffers are made on first need and never grow, so that peak memory does not depend on the stream's length.

use std::sync::{Arc, Mutex, PoisonError};

use sealing::{CHUNK_BYTES, SEALED_CHUNK_BYTES};
use tokio::sync::Semaphore;

use crate::error::EngineError;

/// The least budget that a job can work in, in bytes.
pub const SMALLEST_BUDGET_BYTES: u64 = 32 << 20;
/// Plain bytes of the largest piece: a part up to this size is one request.
const LARGEST_PIECE_PLAIN_BYTES: usize = 64 << 20;
/// S3 takes no smaller piece of a multipart upload, but for the last.
const SMALLEST_PIECE_PLAIN_BYTES: usize = 5 << 20;
/// Room for an age header in the piece that begins a part.
const HEADER_ROOM_BYTES: usize = 64 << 10;
/// How many buffers the budget is cut into at least.
const BUFFERS_AT_LEAST: usize = 3;

/// How a memory budget is cut up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Sealed bytes of every piece of a part but the last.
    pub piece_bytes: usize,
    /// Bytes of one buffer: a piece and the chunk that straddles its end.
    pub buffer_bytes: usize,
    /// How many buffers there are.
    pub buffers: usize,
}

impl Layout {
    /// Cuts `budget_bytes` into buffers; fewer and smaller ones for a small budget.
    ///
    /// # Errors
    /// `engine.bad_request` below [`SMALLEST_BUDGET_BYTES`].
    pub fn for_budget(budget_bytes: u64) -> Result<Self, EngineError> {
        if budget_bytes < SMALLEST_BUDGET_BYTES {
            return Err(EngineError::bad_request(format!(
                "memory budget of {budget_bytes} bytes is too small: give at least {SMALLEST_BUDGET_BYTES}"
            )));
        }
        let budget = usize::try_from(budget_bytes).unwrap_or(usize::MAX);
        let plain = (budget / (BUFFERS_AT_LEAST + 1))
            .clamp(SMALLEST_PIECE_PLAIN_BYTES, LARGEST_PIECE_PLAIN_BYTES)
            .next_multiple_of(CHUNK_BYTES);
        let piece_bytes = plain / CHUNK_BYTES * SEALED_CHUNK_BYTES + HEADER_ROOM_BYTES;
        let buffer_bytes = piece_bytes + SEALED_CHUNK_BYTES;
        Ok(Self { piece_bytes, buffer_bytes, buffers: (budget / buffer_bytes).max(BUFFERS_AT_LEAST) })
    }
}

/// The buffers of one job.
#[derive(Debug)]
pub(crate) struct BufferPool {
    layout: Layout,
    free: Mutex<Vec<Vec<u8>>>,
    permits: Semaphore,
}

impl BufferPool {
    pub(crate) fn new(layout: Layout) -> Arc<Self> {
        Arc::new(Self { layout, free: Mutex::default(), permits: Semaphore::new(layout.buffers) })
    }

    pub(crate) fn layout(&self) -> Layout {
        self.layout
    }

    /// Waits for a buffer of [`Layout::buffer_bytes`]; what it holds is left from its last use.
    pub(crate) async fn take(self: &Arc<Self>) -> Buffer {
        // The semaphore is never closed, so the only answer is a permit.
        if let Ok(permit) = self.permits.acquire().await {
            permit.forget();
        }
        let bytes = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let bytes = bytes.unwrap_or_else(|| vec![0; self.layout.buffer_bytes]);
        Buffer { bytes, used: 0..0, pool: Arc::clone(self) }
    }
}

/// One buffer; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    used: std::ops::Range<usize>,
    pool: Arc<BufferPool>,
}

impl Buffer {
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Says which part of the buffer counts, and hands that out as shared bytes.
    pub(crate) fn into_shared(mut self, used: std::ops::Range<usize>) -> bytes::Bytes {
        self.used = used;
        bytes::Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[self.used.clone()]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        self.pool.free.lock().unwrap_or_else(PoisonError::into_inner).push(bytes);
        self.pool.permits.add_permits(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_budget_holds_three_whole_parts() {
        let layout = Layout::for_budget(256 << 20).unwrap();
        assert_eq!(layout.buffers, 3);
        assert!(layout.piece_bytes > 64 << 20);
        assert!(layout.buffer_bytes * layout.buffers <= 256 << 20);
    }

    #[test]
    fn a_small_budget_is_kept_and_a_tiny_one_refused() {
        for budget in [32_u64 << 20, 40 << 20, 64 << 20, 100 << 20, 512 << 20, 8 << 30] {
            let layout = Layout::for_budget(budget).unwrap();
            assert!((layout.buffer_bytes * layout.buffers) as u64 <= budget, "{budget}: {layout:?}");
            assert!(layout.piece_bytes >= 5 << 20);
        }
        assert_eq!(Layout::for_budget(1 << 20).unwrap_err().code, "engine.bad_request");
    }

    #[tokio::test]
    async fn buffers_come_back_when_dropped() {
        let layout = Layout { piece_bytes: 8, buffer_bytes: 10, buffers: 1 };
        let pool = BufferPool::new(layout);
        let mut first = pool.take().await;
        first.bytes_mut()[0] = 7;
        let shared = first.into_shared(0..1);
        assert_eq!(&shared[..], [7]);
        let waiting = pool.take();
        tokio::pin!(waiting);
        assert!(futures::poll!(waiting.as_mut()).is_pending());
        drop(shared);
        assert_eq!(waiting.await.bytes().len(), 10);
    }
}
