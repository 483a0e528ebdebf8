//! Makes send streams of any length, record by record, with right checksums.

use sendstream::{ByteOrder, Fletcher4, HEADER_BYTES};

const BEGIN_MAGIC: u64 = 0x2_f5ba_cbac;
/// Payload of one WRITE.
pub(crate) const RECORD_BYTES: usize = 128 << 10;
pub(crate) const TO_GUID: u64 = 0x1122_3344_5566_7788;

/// Writes records and keeps the running checksum.
pub(crate) struct StreamWriter {
    bytes: Vec<u8>,
    sums: Fletcher4,
    to_guid: u64,
}

impl StreamWriter {
    pub(crate) fn begin(to_guid: u64, from_guid: u64) -> Self {
        let mut header = [0_u8; HEADER_BYTES];
        header[8..16].copy_from_slice(&BEGIN_MAGIC.to_le_bytes());
        header[16..24].copy_from_slice(&1_u64.to_le_bytes());
        header[24..32].copy_from_slice(&1_795_223_332_u64.to_le_bytes());
        header[32..36].copy_from_slice(&2_u32.to_le_bytes());
        header[40..48].copy_from_slice(&to_guid.to_le_bytes());
        header[48..56].copy_from_slice(&from_guid.to_le_bytes());
        header[56..66].copy_from_slice(b"tank/data@");
        let mut sums = Fletcher4::new(ByteOrder::Little);
        sums.update(&header);
        Self { bytes: header.to_vec(), sums, to_guid }
    }

    fn record(&mut self, mut header: [u8; HEADER_BYTES], payload: &[u8]) {
        self.sums.update(&header[..280]);
        for (index, sum) in self.sums.value().into_iter().enumerate() {
            header[280 + 8 * index..288 + 8 * index].copy_from_slice(&sum.to_le_bytes());
        }
        self.sums.update(&header[280..]);
        self.sums.update(payload);
        self.bytes.extend_from_slice(&header);
        self.bytes.extend_from_slice(payload);
    }

    pub(crate) fn object(&mut self, object: u64) {
        let mut header = [0_u8; HEADER_BYTES];
        header[0..4].copy_from_slice(&1_u32.to_le_bytes());
        header[8..16].copy_from_slice(&object.to_le_bytes());
        header[16..20].copy_from_slice(&19_u32.to_le_bytes());
        header[24..28].copy_from_slice(&131_072_u32.to_le_bytes());
        self.record(header, &[]);
    }

    pub(crate) fn write(&mut self, object: u64, offset: u64, payload: &[u8]) {
        let mut header = [0_u8; HEADER_BYTES];
        header[0..4].copy_from_slice(&3_u32.to_le_bytes());
        header[8..16].copy_from_slice(&object.to_le_bytes());
        header[16..20].copy_from_slice(&19_u32.to_le_bytes());
        header[24..32].copy_from_slice(&offset.to_le_bytes());
        header[32..40].copy_from_slice(&(payload.len() as u64).to_le_bytes());
        self.record(header, payload);
    }

    pub(crate) fn end(mut self) -> Vec<u8> {
        let mut header = [0_u8; HEADER_BYTES];
        header[0..4].copy_from_slice(&5_u32.to_le_bytes());
        for (index, sum) in self.sums.value().into_iter().enumerate() {
            header[8 + 8 * index..16 + 8 * index].copy_from_slice(&sum.to_le_bytes());
        }
        header[40..48].copy_from_slice(&self.to_guid.to_le_bytes());
        self.record(header, &[]);
        self.bytes
    }
}

/// A full stream of at least `length` bytes that no compressor makes smaller.
pub(crate) fn incompressible(length: usize) -> Vec<u8> {
    stream(length, |state, payload| {
        for word in payload.chunks_exact_mut(8) {
            *state ^= *state << 13;
            *state ^= *state >> 7;
            *state ^= *state << 17;
            word.copy_from_slice(&state.to_le_bytes());
        }
    })
}

/// A full stream of many objects, each of three records and followed by empty ones, so that parts end within objects
/// and between them.
pub(crate) fn many_objects(objects: u64) -> Vec<u8> {
    let mut writer = StreamWriter::begin(TO_GUID, 0);
    let mut payload = vec![0; RECORD_BYTES];
    for object in (1..=objects).map(|number| number * 1000) {
        writer.object(object);
        for number in 0..3 {
            payload.fill(((object + number) % 251) as u8);
            writer.write(object, number * RECORD_BYTES as u64, &payload);
        }
        (object + 1..object + 1000).for_each(|empty| writer.object(empty));
    }
    writer.end()
}

/// A full stream of at least `length` bytes of text-like data.
pub(crate) fn compressible(length: usize) -> Vec<u8> {
    stream(length, |state, payload| {
        *state += 1;
        let line = format!("line {state} of a log that repeats itself\n");
        for (index, byte) in payload.iter_mut().enumerate() {
            *byte = line.as_bytes()[index % line.len()];
        }
    })
}

fn stream(length: usize, fill: impl Fn(&mut u64, &mut [u8])) -> Vec<u8> {
    let mut writer = StreamWriter::begin(TO_GUID, 0);
    let mut payload = vec![0; RECORD_BYTES];
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    writer.object(8);
    let mut offset = 0;
    while writer.bytes.len() < length {
        fill(&mut state, &mut payload);
        writer.write(8, offset, &payload);
        offset += RECORD_BYTES as u64;
    }
    writer.end()
}
