//! Random changes, made again by the same seed.

use sendstream::{HEADER_BYTES, Record, ScanError, StreamWriter, Visitor, Walker};

/// A generator of 64-bit numbers (SplitMix64): fast, and the same everywhere.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number below `end`, which is not 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        let end = end.max(1) as u64;
        usize::try_from(self.next() % end).unwrap_or_default()
    }

    pub(crate) fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    pub(crate) fn noise(&mut self, most: usize) -> Vec<u8> {
        let length = self.below(most);
        (0..length).map(|_| self.byte()).collect()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    /// Numbers that break arithmetic.
    pub(crate) fn edge(&mut self) -> u64 {
        match self.below(6) {
            0 => 0,
            1 => u64::MAX - self.next() % 16,
            2 => 1 << (self.next() % 64),
            3 => self.next() % 4096,
            4 => u64::from(u32::MAX) - self.next() % 8,
            _ => self.next(),
        }
    }
}

/// Flips, overwrites, cuts or repeats bytes.
pub(crate) fn bytes(random: &mut Random, bytes: &mut Vec<u8>) {
    let length = bytes.len();
    let at = random.below(length);
    match random.below(5) {
        _ if length == 0 => bytes.extend(random.noise(64)),
        0 => bytes[at] ^= 1 << random.below(8),
        1 => bytes[at] = random.byte(),
        2 => bytes.truncate(at),
        3 => {
            let number = random.edge().to_le_bytes();
            let end = length.min(at + number.len());
            bytes[at..end].copy_from_slice(&number[..end - at]);
        }
        _ => {
            let piece = bytes[at..length.min(at + random.below(1024))].to_vec();
            bytes.splice(at..at, piece);
        }
    }
}

/// A record with its payload.
pub(crate) type Piece = ([u8; HEADER_BYTES], Vec<u8>);

/// The records of a stream, as far as it can be walked.
pub(crate) fn pieces(stream: &[u8]) -> Vec<Piece> {
    let mut pieces = Pieces(Vec::new());
    let mut walker = Walker::new();
    match walker.feed(stream, &mut pieces) {
        Ok(()) | Err(ScanError::Stream(_)) => pieces.0,
        Err(ScanError::Sink(never)) => match never {},
    }
}

/// Changes records, with sums that hold, so that what stands behind the checksums is reached.
pub(crate) fn records(random: &mut Random, pieces: &mut Vec<Piece>) {
    for _ in 0..=random.below(3) {
        let at = random.below(pieces.len());
        match random.below(4) {
            _ if pieces.is_empty() => return,
            0 => drop(pieces.remove(at)),
            1 => {
                let piece = pieces[at].clone();
                pieces.insert(random.below(pieces.len()), piece);
            }
            2 => {
                let other = random.below(pieces.len());
                pieces.swap(at, other);
            }
            _ => {
                let field = random.below(13) * 8;
                pieces[at].0[field..field + 8].copy_from_slice(&random.edge().to_le_bytes());
            }
        }
    }
}

/// The bytes of those records with sums that hold, as far as the writer takes them.
pub(crate) fn written(pieces: &[Piece]) -> Vec<u8> {
    let mut writer = StreamWriter::new(Vec::new());
    for (header, payload) in pieces {
        if writer.record(header).is_err() || writer.payload(payload).is_err() {
            break;
        }
    }
    writer.into_inner()
}

struct Pieces(Vec<Piece>);

impl Visitor for Pieces {
    type Error = std::convert::Infallible;

    fn record(
        &mut self,
        _: sendstream::Place,
        _: &Record,
        header: &[u8; HEADER_BYTES],
    ) -> Result<(), Self::Error> {
        self.0.push((*header, Vec::new()));
        Ok(())
    }

    fn payload(&mut self, bytes: &[u8]) -> Result<(), Self::Error> {
        if let Some((_, payload)) = self.0.last_mut() {
            payload.extend_from_slice(bytes);
        }
        Ok(())
    }
}
