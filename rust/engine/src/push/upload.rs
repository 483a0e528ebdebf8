//! Carries sealed pieces to the store: one PUT for a part of one piece, a multipart upload for a larger one.
//!
//! As many requests run at once as there are buffers; a buffer comes back when its request is done.
//! A part counts only with the store's receipt; the key carries a nonce, so no late request can overwrite a counted part.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use format::Part;
use store::{MultipartUpload, ObjectStore, PutOptions, Receipt};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::{JoinError, JoinSet};

use super::describe;
use super::sealer::{SealResult, SealedEnd, SealedPiece};
use crate::error::EngineError;
use crate::job::JobContext;
use crate::request::JournaledPart;

/// A part that the store has acknowledged.
#[derive(Debug)]
pub(crate) struct StoredPart {
    pub(crate) number: u32,
    pub(crate) key: String,
    pub(crate) end: SealedEnd,
    pub(crate) receipt: Receipt,
}

impl StoredPart {
    /// What the manifest says of it.
    pub(crate) fn entry(&self) -> Result<Part, EngineError> {
        Ok(Part {
            number: self.number,
            key: self.key.clone(),
            stream_offset: self.end.stream.stream_offset,
            stream_length: self.end.stream.stream_length,
            sealed_length: self.end.sealed_length,
            blake3: self.end.blake3.parse()?,
            store_checksum: describe::store_checksum(&self.receipt.checksum),
        })
    }
}

/// Where parts go.
pub(crate) struct Uploader {
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) options: PutOptions,
    /// Key of a part by its number.
    pub(crate) part_key: Box<dyn Fn(u32) -> Result<String, EngineError> + Send + Sync>,
    pub(crate) context: JobContext,
}

/// How long ending unfinished multipart uploads may take; what stays is swept by the next run.
const GIVE_UP_LIMIT: Duration = Duration::from_secs(5);

type PartResult = Result<StoredPart, EngineError>;

impl Uploader {
    /// Uploads all pieces; ends when their channel closes, at the first error, or when cancelled.
    ///
    /// # Errors
    /// The store's error, with the part's key; `engine.cancelled`.
    pub(crate) async fn run(
        &self,
        pieces: &mut UnboundedReceiver<SealResult>,
    ) -> Result<Vec<StoredPart>, EngineError> {
        let mut state = UnderWay::default();
        let result = self.context.cancel.run_until_cancelled(self.carry(pieces, &mut state)).await;
        let result = result.unwrap_or_else(|| Err(EngineError::cancelled("stopped while uploading")));
        // A stream that broke off leaves its last part open; who read it says why.
        if result.is_err() || state.open.is_some() {
            tokio::select! {
                () = state.give_up() => {}
                () = self.context.patience_over(GIVE_UP_LIMIT) => {
                    tracing::warn!("unfinished uploads could not be ended in time; the next run does");
                }
            }
        }
        result
    }

    async fn carry(
        &self,
        pieces: &mut UnboundedReceiver<SealResult>,
        state: &mut UnderWay,
    ) -> Result<Vec<StoredPart>, EngineError> {
        let mut stored = Vec::new();
        loop {
            tokio::select! {
                biased;
                Some(done) = state.parts.join_next() => stored.push(self.note(done, state)?),
                piece = pieces.recv() => match piece {
                    Some(piece) => self.begin(piece?, state).await?,
                    None => break,
                },
            }
        }
        while let Some(done) = state.parts.join_next().await {
            stored.push(self.note(done, state)?);
        }
        stored.sort_by_key(|part| part.number);
        Ok(stored)
    }

    async fn begin(&self, piece: SealedPiece, state: &mut UnderWay) -> Result<(), EngineError> {
        if let (1, Some(end)) = (piece.piece_number, piece.part_end.clone()) {
            let key = (self.part_key)(piece.part_number)?;
            let options = PutOptions { body_crc64: Some(piece.crc64), ..self.options.clone() };
            let store = Arc::clone(&self.store);
            state.parts.spawn(put_part(store, options, key, piece, end));
            return Ok(());
        }
        let mut upload = match state.open.take() {
            Some(upload) => upload,
            None => self.open_upload(piece.part_number, state).await?,
        };
        upload.put(piece.piece_number, piece.bytes);
        match piece.part_end {
            Some(end) => {
                state.parts.spawn(upload.complete(end));
            }
            None => state.open = Some(upload),
        }
        Ok(())
    }

    async fn open_upload(&self, number: u32, state: &mut UnderWay) -> Result<OpenUpload, EngineError> {
        let key = (self.part_key)(number)?;
        let begun = self.store.begin_multipart(&key, &self.options).await;
        let upload = begun.map_err(|error| EngineError::from(error).with("key", &key))?;
        state.multipart.push((number, Arc::clone(&upload)));
        Ok(OpenUpload { number, key, upload, pieces: JoinSet::new() })
    }

    fn note(
        &self,
        done: Result<PartResult, JoinError>,
        state: &mut UnderWay,
    ) -> Result<StoredPart, EngineError> {
        let part = joined(done)?;
        self.journal(&part)?;
        state.multipart.retain(|(number, _)| *number != part.number);
        self.context.progress.add_stored_bytes(part.end.sealed_length);
        self.context.progress.add_part();
        self.context.progress.set_requests(self.store.requests().total());
        tracing::info!(
            part = part.number,
            key = %part.key,
            stream_bytes = part.end.stream.stream_length,
            sealed_bytes = part.end.sealed_length,
            "part stored"
        );
        Ok(part)
    }

    fn journal(&self, part: &StoredPart) -> Result<(), EngineError> {
        let Some(proof) = part.end.stream.proof.as_deref() else { return Ok(()) };
        let entry = JournaledPart { part: part.entry()?, proof: *proof };
        let mut entry =
            serde_json::to_value(entry).map_err(|error| EngineError::internal(error.to_string()))?;
        entry["kind"] = "part".into();
        self.context.note(entry);
        Ok(())
    }
}

/// What runs at the moment, so that giving up leaves nothing in the store that is billed and unseen.
#[derive(Default)]
struct UnderWay {
    parts: JoinSet<PartResult>,
    open: Option<OpenUpload>,
    multipart: Vec<(u32, Arc<dyn MultipartUpload>)>,
}

impl UnderWay {
    /// Drops every request and aborts every unfinished multipart upload; a failure is only logged, since the
    /// cause that led here matters more.
    async fn give_up(mut self) {
        self.parts.shutdown().await;
        if let Some(mut open) = self.open.take() {
            open.pieces.shutdown().await;
        }
        for (part, upload) in self.multipart {
            if let Err(error) = upload.abort().await {
                tracing::warn!(part, %error, "an unfinished multipart upload could not be aborted");
            }
        }
    }
}

async fn put_part(
    store: Arc<dyn ObjectStore>,
    options: PutOptions,
    key: String,
    piece: SealedPiece,
    end: SealedEnd,
) -> PartResult {
    let put = store.put(&key, piece.bytes, &options).await;
    let receipt = put.map_err(|error| EngineError::from(error).with("key", &key))?;
    checked(StoredPart { number: piece.part_number, key, end, receipt })
}

/// A part whose pieces are under way.
struct OpenUpload {
    number: u32,
    key: String,
    upload: Arc<dyn MultipartUpload>,
    pieces: JoinSet<Result<(), EngineError>>,
}

impl OpenUpload {
    fn put(&mut self, piece_number: u32, bytes: Bytes) {
        let (upload, key) = (Arc::clone(&self.upload), self.key.clone());
        self.pieces.spawn(async move {
            let put = upload.put_piece(piece_number, bytes).await;
            put.map_err(|error| EngineError::from(error).with("key", key).with("piece", piece_number))
        });
    }

    async fn complete(mut self, end: SealedEnd) -> PartResult {
        while let Some(piece) = self.pieces.join_next().await {
            joined(piece)?;
        }
        let completed = self.upload.complete().await;
        let receipt = completed.map_err(|error| EngineError::from(error).with("key", &self.key))?;
        checked(StoredPart { number: self.number, key: self.key, end, receipt })
    }
}

fn checked(part: StoredPart) -> PartResult {
    if part.receipt.length == part.end.sealed_length {
        return Ok(part);
    }
    let (have, want) = (part.receipt.length, part.end.sealed_length);
    Err(EngineError::new(
        "engine.part_length",
        format!("the store acknowledged {have} bytes of {} where {want} were sent: nothing is committed, run again", part.key),
    )
    .with("key", &part.key))
}

fn joined<T>(done: Result<Result<T, EngineError>, JoinError>) -> Result<T, EngineError> {
    done.map_err(|error| EngineError::internal(format!("an upload task broke: {error}")))?
}
