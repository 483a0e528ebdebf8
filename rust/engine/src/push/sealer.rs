//! Seals pieces in place on every core, and takes the digest of what will lie in the store.
//!
//! Pieces come in stream order, one part after the other, so the running digest and the carried tail need no map.

use std::sync::mpsc::Receiver;

use bytes::Bytes;
use rayon::ThreadPool;
use sealing::{Digest, PartSeal, SEALED_CHUNK_BYTES, SealError};
use store::RunningCrc64;
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
    /// CRC-64/NVME of `bytes`.
    pub(crate) crc64: u64,
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

/// How many chunks are sealed before their sums are taken: a block fits into the cores' own caches.
const BLOCK_CHUNKS: usize = 32;

/// What the sealing stage hands on.
pub(crate) type SealResult = Result<SealedPiece, EngineError>;

/// The sealing stage's state between pieces.
pub(crate) struct Sealer {
    cores: ThreadPool,
    piece_bytes: usize,
    carried: Vec<u8>,
    sums: Sums,
    sealed_length: u64,
    piece_number: u32,
}

/// Checksums of sealed bytes, taken block by block while these are still in the cache.
#[derive(Default)]
struct Sums {
    /// Of the part so far.
    digest: Digest,
    /// Of the piece in hand.
    crc64: RunningCrc64,
}

impl Sums {
    /// Adds bytes, each sum on a core of its own where there are several.
    fn update(&mut self, bytes: &[u8]) {
        let Self { digest, crc64 } = self;
        rayon::join(|| digest.update_parallel(bytes), || crc64.update(bytes));
    }
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
            sums: Sums::default(),
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
        let whole_part = last && self.piece_number == 0;
        let piece_end = if whole_part { piece.end } else { piece.end.min(self.piece_bytes) };
        let (front, slots) = bytes[..piece.end].split_at_mut(piece.front);
        let sums = &mut self.sums;
        self.cores.install(|| {
            sums.update(front);
            seal_blocks(&piece.seal, piece.first_chunk, last, slots, |at, sealed| {
                let until = sealed.len().min(piece_end - front.len() - at);
                sums.update(&sealed[..until]);
            })
        })?;
        self.carried = bytes[piece_end..piece.end].to_vec();
        let crc64 = std::mem::take(&mut self.sums.crc64).value();
        let shared = piece.buffer.into_shared(0..piece_end);
        let mut done = vec![self.next_piece(piece.part_number, shared, crc64)];
        if let Some(end) = piece.part_end {
            if !self.carried.is_empty() {
                let tail = std::mem::take(&mut self.carried);
                self.sums.update(&tail);
                let crc64 = std::mem::take(&mut self.sums.crc64).value();
                done.push(self.next_piece(piece.part_number, Bytes::from(tail), crc64));
            }
            self.end_part(&mut done, end);
        }
        Ok(done)
    }

    fn next_piece(&mut self, part_number: u32, bytes: Bytes, crc64: u64) -> SealedPiece {
        self.piece_number += 1;
        self.sealed_length += bytes.len() as u64;
        SealedPiece { part_number, piece_number: self.piece_number, bytes, crc64, part_end: None }
    }

    fn end_part(&mut self, done: &mut [SealedPiece], stream: PartEnd) {
        let digest = std::mem::take(&mut self.sums.digest);
        if let Some(last) = done.last_mut() {
            last.part_end =
                Some(SealedEnd { stream, sealed_length: self.sealed_length, blake3: digest.hex() });
        }
        self.sealed_length = 0;
        self.piece_number = 0;
    }
}

/// Seals slots block by block, and shows each sealed block with its offset.
fn seal_blocks(
    seal: &PartSeal,
    first_chunk: u64,
    last: bool,
    slots: &mut [u8],
    mut sealed: impl FnMut(usize, &[u8]),
) -> Result<(), SealError> {
    const BLOCK_BYTES: usize = BLOCK_CHUNKS * SEALED_CHUNK_BYTES;
    let blocks = slots.len().div_ceil(BLOCK_BYTES);
    for (index, block) in slots.chunks_mut(BLOCK_BYTES).enumerate() {
        let chunk = first_chunk + (index * BLOCK_CHUNKS) as u64;
        seal.seal_slots(chunk, last && index + 1 == blocks, block)?;
        sealed(index * BLOCK_BYTES, block);
    }
    Ok(())
}
