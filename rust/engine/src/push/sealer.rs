//! Seals pieces in place on every core, and takes the digest of what will lie in the store.
//!
//! Pieces come in stream order, one part after the other, so the running digest and the carried tail need no map.

use std::sync::mpsc::Receiver;

use bytes::Bytes;
use rayon::ThreadPool;
use sealing::Digest;
use tokio::sync::mpsc::UnboundedSender;

use super::piece::{PartEnd, PlainPiece};
use crate::error::EngineError;

/// Sealed bytes for one request.
#[derive(Debug)]
pub(crate) struct SealedPiece {
    pub(crate) part_number: u32,
    /// Piece number within the part, from 1 as S3 counts.
    pub(crate) piece_number: u32,
    pub(crate) bytes: Bytes,
    /// Present in the part's last piece.
    pub(crate) part_end: Option<SealedEnd>,
}

/// What is known of a part when all of it is sealed.
#[derive(Debug, Clone)]
pub(crate) struct SealedEnd {
    pub(crate) stream: PartEnd,
    pub(crate) sealed_length: u64,
    /// BLAKE3 of the sealed bytes, hex.
    pub(crate) blake3: String,
}

/// What the sealing stage hands on.
pub(crate) type SealResult = Result<SealedPiece, EngineError>;

/// The sealing stage's state between pieces.
pub(crate) struct Sealer {
    cores: ThreadPool,
    piece_bytes: usize,
    carried: Vec<u8>,
    digest: Digest,
    sealed_length: u64,
    piece_number: u32,
}

impl Sealer {
    /// A stage on `threads` cores (0: all) for pieces of `piece_bytes`.
    ///
    /// # Errors
    /// `engine.internal` when threads can't be started.
    pub(crate) fn new(threads: usize, piece_bytes: usize) -> Result<Self, EngineError> {
        let cores = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|number| format!("zpb-seal-{number}"))
            .build()
            .map_err(|error| EngineError::internal(format!("starting sealing threads: {error}")))?;
        Ok(Self {
            cores,
            piece_bytes,
            carried: Vec::new(),
            digest: Digest::new(),
            sealed_length: 0,
            piece_number: 0,
        })
    }

    /// Seals until the pieces end or nobody takes them any more.
    pub(crate) fn run(mut self, pieces: &Receiver<PlainPiece>, sealed: &UnboundedSender<SealResult>) {
        while let Ok(piece) = pieces.recv() {
            let done = match self.seal(piece) {
                Ok(done) => done.into_iter().map(Ok).collect(),
                Err(error) => vec![Err(error)],
            };
            for piece in done {
                if sealed.send(piece).is_err() {
                    return;
                }
            }
        }
    }

    fn seal(&mut self, mut piece: PlainPiece) -> Result<Vec<SealedPiece>, EngineError> {
        let last = piece.part_end.is_some();
        let bytes = piece.buffer.bytes_mut();
        if piece.first_chunk > 0 {
            bytes[..piece.front].copy_from_slice(&self.carried);
        }
        let slots = &mut bytes[piece.front..piece.end];
        self.cores.install(|| piece.seal.seal_slots(piece.first_chunk, last, slots))?;
        let whole_part = last && self.piece_number == 0;
        let piece_end = if whole_part { piece.end } else { piece.end.min(self.piece_bytes) };
        self.carried = bytes[piece_end..piece.end].to_vec();
        let digest = &mut self.digest;
        self.cores.install(|| digest.update_parallel(&bytes[..piece_end]));
        let mut done = vec![self.next_piece(piece.part_number, piece.buffer.into_shared(0..piece_end))];
        if let Some(end) = piece.part_end {
            if !self.carried.is_empty() {
                let tail = std::mem::take(&mut self.carried);
                self.digest.update(&tail);
                done.push(self.next_piece(piece.part_number, Bytes::from(tail)));
            }
            self.end_part(&mut done, end);
        }
        Ok(done)
    }

    fn next_piece(&mut self, part_number: u32, bytes: Bytes) -> SealedPiece {
        self.piece_number += 1;
        self.sealed_length += bytes.len() as u64;
        SealedPiece { part_number, piece_number: self.piece_number, bytes, part_end: None }
    }

    fn end_part(&mut self, done: &mut [SealedPiece], stream: PartEnd) {
        let digest = std::mem::replace(&mut self.digest, Digest::new());
        if let Some(last) = done.last_mut() {
            last.part_end =
                Some(SealedEnd { stream, sealed_length: self.sealed_length, blake3: digest.hex() });
        }
        self.sealed_length = 0;
        self.piece_number = 0;
    }
}
