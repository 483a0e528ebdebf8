//! Streams for the tests: fixtures, and an encoder that builds streams of its own in either byte
//! order, with or without sums in every record. It knows the layout independently of the crate.
#![allow(dead_code, unreachable_pub, reason = "shared by several test programs, each of which uses a part")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends where its stream is wrong"
)]

use std::convert::Infallible;

use sendstream::{
    Border, ByteOrder, Fletcher4, HEADER_BYTES, Place, Record, ScanError, Scanner, Sink, StreamError,
    StreamSummary, StreamWriter, Visitor, Walker,
};

/// Whole streams that must pass.
pub const WHOLE: [&str; 13] = [
    "d-full",
    "d-incr",
    "d-lec",
    "e-raw",
    "e-rawincr",
    "l-lc",
    "l-split",
    "x-full",
    "x-incr",
    "z-full",
    "z-incr",
    "fuse-full",
    "fuse-incr",
];

pub fn fixture(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/streams");
    std::fs::read(format!("{folder}/{name}.zs")).expect("the fixture is part of the repository")
}

/// One record as the sink got it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub record: Record,
    pub header: [u8; HEADER_BYTES],
    pub border: Option<Border>,
    pub payload: Vec<u8>,
}

#[derive(Default)]
pub struct Recorder(pub Vec<Seen>);

impl Recorder {
    pub fn bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|seen| seen.header.iter().chain(&seen.payload).copied()).collect()
    }
}

impl Sink for Recorder {
    type Error = Infallible;

    fn record(
        &mut self,
        record: &Record,
        header: &[u8; HEADER_BYTES],
        border: Option<Border>,
    ) -> Result<(), Infallible> {
        self.0.push(Seen { record: *record, header: *header, border, payload: Vec::new() });
        Ok(())
    }

    fn payload(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
        assert!(!bytes.is_empty());
        self.0.last_mut().expect("a record comes first").payload.extend_from_slice(bytes);
        Ok(())
    }
}

pub fn scan_pieces<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
    recorder: &mut Recorder,
) -> Result<StreamSummary, StreamError> {
    let mut scanner = Scanner::new();
    for piece in pieces {
        scanner.feed(piece, recorder).map_err(|error| match error {
            ScanError::Stream(error) => error,
            ScanError::Sink(never) => match never {},
        })?;
    }
    scanner.finish()
}

pub fn scan(stream: &[u8]) -> Result<StreamSummary, StreamError> {
    let mut scanner = Scanner::new();
    match scanner.feed(stream, &mut sendstream::Discard) {
        Ok(()) => scanner.finish(),
        Err(ScanError::Stream(error)) => Err(error),
        Err(ScanError::Sink(never)) => match never {},
    }
}

pub fn records(stream: &[u8]) -> Vec<Seen> {
    let mut recorder = Recorder::default();
    scan_pieces([stream], &mut recorder).expect("a whole stream");
    recorder.0
}

/// A record to encode: a little-endian header whose sums do not matter, and its payload.
#[derive(Debug, Clone)]
pub struct Raw {
    pub header: [u8; HEADER_BYTES],
    pub payload: Vec<u8>,
}

impl Raw {
    pub fn new(kind: u32) -> Self {
        Self { header: [0; HEADER_BYTES], payload: Vec::new() }.u32(0, kind)
    }

    pub fn u8(mut self, offset: usize, value: u8) -> Self {
        self.header[offset] = value;
        self
    }

    pub fn u32(mut self, offset: usize, value: u32) -> Self {
        self.header[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
        self
    }

    pub fn u64(mut self, offset: usize, value: u64) -> Self {
        self.header[offset..offset + 8].copy_from_slice(&value.to_le_bytes());
        self
    }

    pub fn payload(mut self, payload: &[u8]) -> Self {
        self.payload = payload.to_vec();
        self
    }

    pub fn kind(&self) -> u8 {
        self.header[0]
    }
}

pub const TO_GUID: u64 = 0x0123_4567_89ab_cdef;

pub fn begin(header_type: u64, features: u64) -> Raw {
    let mut raw = Raw::new(0)
        .u64(8, 0x2_f5ba_cbac)
        .u64(16, header_type | features << 2)
        .u64(24, 1_795_223_332)
        .u32(32, 2)
        .u32(36, 12)
        .u64(40, TO_GUID)
        .u64(48, 77);
    raw.header[56..67].copy_from_slice(b"tank/d@snap");
    raw
}

/// The payload is the bonus buffer, so its length must be a multiple of 8.
pub fn object(number: u64, payload: &[u8]) -> Raw {
    Raw::new(1).u64(8, number).u32(28, u32::try_from(payload.len()).unwrap()).payload(payload)
}

pub fn freeobjects(first: u64, count: u64) -> Raw {
    Raw::new(2).u64(8, first).u64(16, count)
}

pub fn write(object: u64, offset: u64, payload: &[u8]) -> Raw {
    Raw::new(3).u64(8, object).u64(24, offset).u64(32, payload.len() as u64).payload(payload)
}

pub fn compressed_write(object: u64, offset: u64, logical: u64, payload: &[u8]) -> Raw {
    write(object, offset, payload).u64(32, logical).u8(50, 15).u64(96, payload.len() as u64)
}

pub fn free(object: u64, offset: u64, length: u64) -> Raw {
    Raw::new(4).u64(8, object).u64(16, offset).u64(24, length)
}

pub fn end() -> Raw {
    Raw::new(5).u64(40, TO_GUID)
}

pub fn spill(object: u64, unmodified: bool, payload: &[u8]) -> Raw {
    Raw::new(7)
        .u64(8, object)
        .u64(16, payload.len() as u64)
        .u8(32, u8::from(unmodified) << 2)
        .payload(payload)
}

/// `psize` bytes embedded, sent rounded up to 8.
pub fn embedded(object: u64, offset: u64, length: u64, psize: u32) -> Raw {
    let payload = vec![0x5a; psize.next_multiple_of(8) as usize];
    Raw::new(8).u64(8, object).u64(16, offset).u64(24, length).u32(52, psize).payload(&payload)
}

pub fn redact(object: u64, offset: u64, length: u64) -> Raw {
    Raw::new(10).u64(8, object).u64(16, offset).u64(24, length)
}

pub fn byref(object: u64, offset: u64, length: u64) -> Raw {
    Raw::new(6).u64(8, object).u64(16, offset).u64(24, length)
}

pub fn object_range(first: u64) -> Raw {
    Raw::new(9).u64(8, first).u64(16, 32)
}

/// A small stream with every record that a modern sender uses.
pub fn small() -> Vec<Raw> {
    vec![
        begin(1, 1 << 2 | 1 << 16 | 1 << 22 | 1 << 24).u32(4, 12).payload(b"twelve bytes"),
        freeobjects(0, 1),
        object_range(0),
        object(1, &[7; 16]),
        object(2, &[9; 8]).u32(28, 5),
        free(2, 4096, u64::MAX),
        write(2, 0, &[0xa5; 64]),
        compressed_write(2, 131_072, 131_072, &[3; 24]),
        spill(2, true, &[0xee; 32]),
        object(3, &[1; 24]).u32(28, 99).u32(36, 24),
        embedded(3, 512, 112, 13),
        freeobjects(4, 60),
        end(),
    ]
}

/// Whether every record carries its sums, as modern senders do, or END's alone, as old ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sums {
    EveryRecord,
    EndOnly,
}

/// Encodes records in `order`, with right sums.
pub fn encode(records: &[Raw], order: ByteOrder, sums: Sums) -> Vec<u8> {
    let mut stream = Vec::new();
    let mut sum = Fletcher4::new(order);
    for raw in records {
        let mut header = raw.header;
        if order == ByteOrder::Big {
            let kind = header[0];
            swap(&mut header, kind);
        }
        if raw.kind() == 5 {
            put_sums(&mut header[8..40], sum.value(), order);
        }
        if raw.kind() != 0 {
            header[280..].fill(0);
            sum.update(&header[..280]);
            if sums == Sums::EveryRecord {
                put_sums(&mut header[280..], sum.value(), order);
            }
            sum.update(&header[280..]);
        } else {
            sum.update(&header);
        }
        sum.update(&raw.payload);
        stream.extend_from_slice(&header);
        stream.extend_from_slice(&raw.payload);
    }
    stream
}

fn put_sums(field: &mut [u8], sums: [u64; 4], order: ByteOrder) {
    for (field, sum) in field.chunks_exact_mut(8).zip(sums) {
        field.copy_from_slice(&match order {
            ByteOrder::Little => sum.to_le_bytes(),
            ByteOrder::Big => sum.to_be_bytes(),
        });
    }
}

/// Turns the integer fields of a header of that kind round.
fn swap(header: &mut [u8; HEADER_BYTES], kind: u8) {
    let (words, longs): (&[usize], &[usize]) = match kind {
        0 => (&[32, 36], &[8, 16, 24, 40, 48]),
        1 => (&[16, 20, 24, 28, 36], &[8, 40, 56]),
        2 | 9 => (&[], &[8, 16, 24]),
        3 => (&[16, 20], &[8, 24, 32, 40, 56, 64, 72, 80, 88, 96]),
        4 | 10 => (&[], &[8, 16, 24, 32]),
        5 => (&[], &[40]),
        7 => (&[84], &[8, 16, 24, 40]),
        6 => (&[], &[8, 16, 24, 32, 40, 48, 56, 88, 96]),
        8 => (&[48, 52], &[8, 16, 24, 32]),
        other => panic!("no layout for record type {other}"),
    };
    for at in [0, 4].iter().chain(words) {
        header[*at..*at + 4].reverse();
    }
    for at in longs {
        header[*at..*at + 8].reverse();
    }
}

pub fn raw_records(stream: &[u8]) -> Vec<Raw> {
    records(stream).into_iter().map(|seen| Raw { header: seen.header, payload: seen.payload }).collect()
}

/// Every recorded stream that is no whole backup: redacted, compound, resumed, deduplicated.
pub const OTHERS: [&str; 10] = [
    "d-redacted",
    "d-I",
    "d-R",
    "d-props",
    "d-full.resumed",
    "d-lec.resumed",
    "e-raw.resumed",
    "l-lc.resumed",
    "z-full.resumed",
    "fuse-dedup",
];

/// One record as a visitor got it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Met {
    pub place: Place,
    pub record: Record,
    pub header: [u8; HEADER_BYTES],
    pub payload: Vec<u8>,
}

/// Walks a file and keeps all of it.
#[derive(Default)]
pub struct Notes(pub Vec<Met>);

impl Visitor for Notes {
    type Error = Infallible;

    fn record(
        &mut self,
        place: Place,
        record: &Record,
        header: &[u8; HEADER_BYTES],
    ) -> Result<(), Infallible> {
        self.0.push(Met { place, record: *record, header: *header, payload: Vec::new() });
        Ok(())
    }

    fn payload(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
        assert!(!bytes.is_empty());
        self.0.last_mut().expect("a record comes first").payload.extend_from_slice(bytes);
        Ok(())
    }
}

pub fn walk_pieces<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
    notes: &mut Notes,
) -> Result<u64, StreamError> {
    let mut walker = Walker::new();
    for piece in pieces {
        walker.feed(piece, notes).map_err(|error| match error {
            ScanError::Stream(error) => error,
            ScanError::Sink(never) => match never {},
        })?;
    }
    walker.finish()
}

/// Every record of a file that must be whole.
pub fn walk(file: &[u8]) -> Vec<Met> {
    let mut notes = Notes::default();
    walk_pieces([file], &mut notes).expect("a whole file");
    notes.0
}

/// What the writer makes of the records met.
pub fn write_again(met: &[Met]) -> Vec<u8> {
    let mut writer = StreamWriter::new(Vec::new());
    for met in met {
        writer.record(&met.header).expect("a record that was read");
        writer.payload(&met.payload).expect("its payload");
    }
    writer.into_inner()
}

/// A compound stream around whole streams, as `zfs send -R` packs them.
pub fn package(streams: &[Vec<u8>], contents: &[u8], order: ByteOrder) -> Vec<u8> {
    let opening = begin(2, 0).u64(40, 0).u32(4, u32::try_from(contents.len()).unwrap()).payload(contents);
    let mut file = encode(&[opening, Raw::new(5)], order, Sums::EndOnly);
    file.extend(streams.concat());
    file.extend(encode(&[Raw::new(5)], order, Sums::EndOnly));
    file
}

/// What `receive -s` gave after the first 60 % of a recorded stream.
pub fn token(name: &str) -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/streams");
    let text = std::fs::read_to_string(format!("{folder}/{name}.token"));
    text.expect("the fixture is part of the repository").trim().to_owned()
}

/// Turns a header of a big-endian stream round, so that [`encode`] takes it.
pub fn swap_from_big(header: &mut [u8; HEADER_BYTES]) {
    swap(header, header[3]);
}
