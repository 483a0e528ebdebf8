//! Takes a stream that arrives in pieces of any length apart into headers and payload slices.
//!
//! Memory is one header, whatever the stream; payload slices are those of the caller, uncopied.

use crate::HEADER_BYTES;

/// What comes next in a stream.
#[allow(
    clippy::large_enum_variant,
    reason = "one at a time, on the stack; a box would cost more than the copy"
)]
pub(crate) enum Frame<'a> {
    /// A whole header.
    Header([u8; HEADER_BYTES]),
    /// A piece, never empty, of the payload that the latest header announced.
    Payload(&'a [u8]),
}

/// Where in the stream's framing the caller stands.
#[derive(Debug)]
pub(crate) struct Frames {
    partial: [u8; HEADER_BYTES],
    partial_len: usize,
    payload_left: u64,
    taken: u64,
}

impl Frames {
    pub(crate) fn new() -> Self {
        Self { partial: [0; HEADER_BYTES], partial_len: 0, payload_left: 0, taken: 0 }
    }

    /// Bytes taken so far, those of a header that is not whole yet included.
    pub(crate) fn position(&self) -> u64 {
        self.taken
    }

    /// What there is of a header that is not whole yet.
    pub(crate) fn partial(&self) -> &[u8] {
        &self.partial[..self.partial_len]
    }

    /// Says how many bytes of payload follow the header just taken.
    pub(crate) fn expect_payload(&mut self, bytes: u64) {
        self.payload_left = bytes;
    }

    /// Takes the next frame off the front of `bytes`; `None` once they are used up.
    pub(crate) fn next<'a>(&mut self, bytes: &mut &'a [u8]) -> Option<Frame<'a>> {
        if bytes.is_empty() {
            None
        } else if self.payload_left > 0 {
            Some(Frame::Payload(self.payload(bytes)))
        } else {
            self.header(bytes).map(Frame::Header)
        }
    }

    fn payload<'a>(&mut self, bytes: &mut &'a [u8]) -> &'a [u8] {
        let wanted = usize::try_from(self.payload_left).unwrap_or(usize::MAX);
        let (payload, rest) = bytes.split_at(wanted.min(bytes.len()));
        *bytes = rest;
        self.payload_left -= payload.len() as u64;
        self.taken += payload.len() as u64;
        payload
    }

    fn header(&mut self, bytes: &mut &[u8]) -> Option<[u8; HEADER_BYTES]> {
        let (piece, rest) = bytes.split_at(bytes.len().min(HEADER_BYTES - self.partial_len));
        *bytes = rest;
        self.partial[self.partial_len..self.partial_len + piece.len()].copy_from_slice(piece);
        self.partial_len += piece.len();
        self.taken += piece.len() as u64;
        if self.partial_len < HEADER_BYTES {
            return None;
        }
        self.partial_len = 0;
        Some(self.partial)
    }
}
