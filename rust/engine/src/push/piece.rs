//! A part on its way to the store: plain bytes put into sealed-chunk slots, piece by piece.
//!
//! A piece is what one request carries. All pieces of a part but the last have the same length (some stores demand it),
//! so the chunk at a piece's end may straddle: its tail is carried to the front of the next piece after sealing.
//! A full piece is held back until another byte follows, because only the part's very last chunk bears the end mark.

use std::sync::Arc;

use sealing::{CHUNK_BYTES, PartSeal, SEALED_CHUNK_BYTES};

use crate::buffers::{Buffer, Layout};
use crate::request::PartProof;

/// What is known of a part when its last byte has been written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PartEnd {
    /// Offset in the stream of the part's first byte.
    pub(crate) stream_offset: u64,
    /// Stream bytes in the part.
    pub(crate) stream_length: u64,
    /// For runs that keep state.
    pub(crate) proof: Option<Box<PartProof>>,
}

/// Plain bytes in their slots, ready to be sealed in place.
#[derive(Debug)]
pub(crate) struct PlainPiece {
    pub(crate) part_number: u32,
    pub(crate) seal: Arc<PartSeal>,
    pub(crate) buffer: Buffer,
    /// Where the slots begin; before them: the header, or room for what the last piece carries over.
    pub(crate) front: usize,
    /// Counter of the first chunk in this piece.
    pub(crate) first_chunk: u64,
    /// End of the slots: the last one may be short.
    pub(crate) end: usize,
    /// Present in the part's last piece.
    pub(crate) part_end: Option<PartEnd>,
}

/// Fills slots of one piece.
pub(crate) struct PieceFill {
    buffer: Buffer,
    front: usize,
    first_chunk: u64,
    slots: usize,
    full_slots: usize,
    in_slot: usize,
}

impl PieceFill {
    /// Begins a part: its header stands in front of the first piece.
    pub(crate) fn first(mut buffer: Buffer, layout: Layout, header: &[u8]) -> Self {
        buffer.bytes_mut()[..header.len()].copy_from_slice(header);
        Self::at(buffer, layout, header.len(), 0)
    }

    fn at(buffer: Buffer, layout: Layout, front: usize, first_chunk: u64) -> Self {
        let slots = (layout.piece_bytes - front).div_ceil(SEALED_CHUNK_BYTES);
        Self { buffer, front, first_chunk, slots, full_slots: 0, in_slot: 0 }
    }

    /// The piece that follows this one in `buffer`, with room for the carried tail.
    pub(crate) fn following(&self, buffer: Buffer, layout: Layout) -> Self {
        let carried = self.front + self.slots * SEALED_CHUNK_BYTES - layout.piece_bytes;
        Self::at(buffer, layout, carried, self.first_chunk + self.slots as u64)
    }

    pub(crate) fn is_full(&self) -> bool {
        self.full_slots == self.slots
    }

    /// Takes as many bytes as there is room for, and says how many.
    pub(crate) fn fill(&mut self, mut bytes: &[u8]) -> usize {
        let offered = bytes.len();
        while !bytes.is_empty() && !self.is_full() {
            let take = bytes.len().min(CHUNK_BYTES - self.in_slot);
            let at = self.front + self.full_slots * SEALED_CHUNK_BYTES + self.in_slot;
            self.buffer.bytes_mut()[at..at + take].copy_from_slice(&bytes[..take]);
            bytes = &bytes[take..];
            self.in_slot += take;
            if self.in_slot == CHUNK_BYTES {
                self.full_slots += 1;
                self.in_slot = 0;
            }
        }
        offered - bytes.len()
    }

    /// The piece as it stands; `part_end` when it is the part's last.
    pub(crate) fn finish(
        self,
        part_number: u32,
        seal: Arc<PartSeal>,
        part_end: Option<PartEnd>,
    ) -> PlainPiece {
        let short = if self.in_slot == 0 { 0 } else { self.in_slot + sealing::TAG_BYTES };
        let end = self.front + self.full_slots * SEALED_CHUNK_BYTES + short;
        PlainPiece {
            part_number,
            seal,
            buffer: self.buffer,
            front: self.front,
            first_chunk: self.first_chunk,
            end,
            part_end,
        }
    }
}
