//! Fetches sealed bytes ahead of need, in order, within the memory budget.
//!
//! Buffers are taken in stream order by one loop, so the piece that is needed next always has one and nothing can
//! lock up. A body that breaks off is taken up again by the store.

use std::sync::Arc;

use format::Part;
use futures::StreamExt;
use sealing::SEALED_CHUNK_BYTES;
use store::{ObjectStore, StoreError};
use tokio::sync::{mpsc::UnboundedSender, oneshot};

use crate::buffers::{Buffer, BufferPool};
use crate::error::EngineError;
use crate::job::JobContext;

/// Where a piece's bytes begin in its buffer: before them is room for the chunk that the last piece left open.
pub(super) const FRONT_BYTES: usize = SEALED_CHUNK_BYTES;

/// Sealed bytes of one part, or of a stretch of it.
#[derive(Debug)]
pub(super) struct FetchedPiece {
    pub(super) part: Arc<Part>,
    pub(super) buffer: Buffer,
    /// Bytes at [`FRONT_BYTES`].
    pub(super) length: usize,
    pub(super) first: bool,
    pub(super) last: bool,
}

/// A piece that is under way.
pub(super) type Promise = oneshot::Receiver<Result<FetchedPiece, EngineError>>;

/// Fetches all parts, one promise a piece, in stream order; ends early when nobody takes them.
pub(super) async fn fetch_all(
    store: Arc<dyn ObjectStore>,
    parts: Vec<Arc<Part>>,
    pool: Arc<BufferPool>,
    promises: UnboundedSender<Promise>,
    context: JobContext,
) {
    let piece_bytes = pool.layout().piece_bytes as u64;
    for part in parts {
        let mut offset = 0;
        while offset < part.sealed_length {
            let Some(buffer) = context.cancel.run_until_cancelled(pool.take()).await else { return };
            let end = part.sealed_length.min(offset + piece_bytes);
            let piece = WantedPiece { part: Arc::clone(&part), offset, end };
            let (keep, promise) = oneshot::channel();
            if promises.send(promise).is_err() {
                return;
            }
            let (store, context) = (Arc::clone(&store), context.clone());
            tokio::spawn(async move {
                let work = piece.fetch(store.as_ref(), buffer, &context);
                let done = context.cancel.run_until_cancelled(work).await;
                // Nobody waiting any more means that the job is ending for a reason of its own.
                let _ = keep.send(done.unwrap_or_else(|| Err(context.cancelled_error())));
            });
            offset = end;
        }
    }
}

struct WantedPiece {
    part: Arc<Part>,
    offset: u64,
    end: u64,
}

impl WantedPiece {
    async fn fetch(
        self,
        store: &dyn ObjectStore,
        mut buffer: Buffer,
        context: &JobContext,
    ) -> Result<FetchedPiece, EngineError> {
        let named = |error| name_part(error, &self.part);
        let length =
            usize::try_from(self.end - self.offset).map_err(|_| EngineError::internal("piece too long"))?;
        let mut download = store.get(&self.part.key, Some(self.offset..self.end)).await.map_err(named)?;
        if download.total_length != self.part.sealed_length {
            let how = format!("it is {} bytes long, not {}", download.total_length, self.part.sealed_length);
            return Err(damaged(&self.part, &how));
        }
        let mut into = &mut buffer.bytes_mut()[FRONT_BYTES..FRONT_BYTES + length];
        while let Some(chunk) = download.chunks.next().await {
            let chunk = chunk.map_err(named)?;
            let Some((here, rest)) = into.split_at_mut_checked(chunk.len()) else {
                return Err(damaged(&self.part, "the store sent more than was asked for"));
            };
            here.copy_from_slice(&chunk);
            into = rest;
            context.progress.add_sealed_bytes(chunk.len() as u64);
        }
        if !into.is_empty() {
            return Err(damaged(&self.part, "its body ends before its length"));
        }
        let last = self.end == self.part.sealed_length;
        Ok(FetchedPiece { part: self.part, buffer, length, first: self.offset == 0, last })
    }
}

/// The store's error on a part, in the words of somebody who restores.
pub(crate) fn name_part(error: StoreError, part: &Part) -> EngineError {
    if error.code() == "store.not_found" {
        return EngineError::new(
            "engine.part_missing",
            format!(
                "part {} is missing in the store: {}; the backup can't be restored, choose another one (`list`)",
                part.number, part.key
            ),
        )
        .with("key", &part.key);
    }
    EngineError::from(error).with("key", &part.key)
}

/// Say which part it was that could not be opened, or held no valid stream.
pub(crate) fn in_part(error: impl Into<EngineError>, part: &Part) -> EngineError {
    let mut error = error.into().with("key", &part.key);
    error.message = format!("part {} does not open: {}: {}", part.number, part.key, error.message);
    error
}

/// A part that is not what its manifest says.
pub(crate) fn damaged(part: &Part, how: &str) -> EngineError {
    EngineError::new(
        "engine.part_damaged",
        format!(
            "part {} is damaged: {how}: {}; the backup can't be restored from here, choose another one (`list`) or another copy of the store",
            part.number, part.key
        ),
    )
    .with("key", &part.key)
}
