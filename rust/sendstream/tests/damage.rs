//! Damage of every kind must be found: cuts, flipped bits, bytes behind END, impossible headers.

mod streams;

use sendstream::{
    Begin, ByteOrder, Discard, HEADER_BYTES, Record, RecordKind, ScanError, Scanner, Sink, StreamError,
};
use streams::{Raw, Sums, WHOLE, begin, embedded, encode, end, fixture, object, records, scan, small, write};

const FORMS: [(ByteOrder, Sums); 4] = [
    (ByteOrder::Little, Sums::EveryRecord),
    (ByteOrder::Little, Sums::EndOnly),
    (ByteOrder::Big, Sums::EveryRecord),
    (ByteOrder::Big, Sums::EndOnly),
];

fn modern(records: &[Raw]) -> Vec<u8> {
    encode(records, ByteOrder::Little, Sums::EveryRecord)
}

#[test]
fn the_small_stream_is_whole_in_every_form() {
    for (order, sums) in FORMS {
        let summary = scan(&encode(&small(), order, sums)).unwrap();
        assert_eq!(summary.records.total(), 13);
        assert_eq!(summary.begin.big_endian, order == ByteOrder::Big);
    }
}

#[test]
fn every_single_flipped_bit_of_a_small_stream_is_found() {
    for (order, sums) in FORMS {
        let mut stream = encode(&small(), order, sums);
        for bit in 0..stream.len() * 8 {
            stream[bit / 8] ^= 1 << (bit % 8);
            assert!(scan(&stream).is_err(), "{order:?} {sums:?}: bit {} of byte {}", bit % 8, bit / 8);
            stream[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

#[test]
fn flipped_bits_of_real_streams_are_found() {
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for name in WHOLE {
        let mut stream = fixture(name);
        let headers: Vec<usize> =
            records(&stream).iter().map(|seen| usize::try_from(seen.record.at).unwrap()).collect();
        for round in 0..400 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let pick = usize::try_from(random >> 33).unwrap();
            let byte = match round % 2 {
                0 => pick % stream.len(),
                _ => headers[pick % headers.len()] + (pick / headers.len()) % HEADER_BYTES,
            };
            let mask = 1 << (random >> 30 & 7);
            stream[byte] ^= mask;
            assert!(scan(&stream).is_err(), "{name}: byte {byte}, mask {mask:#x}");
            stream[byte] ^= mask;
        }
    }
}

#[test]
fn every_bit_of_the_last_record_of_an_old_sender_counts() {
    let mut stream = fixture("fuse-incr");
    let end = stream.len() - HEADER_BYTES;
    for bit in 0..HEADER_BYTES * 8 {
        stream[end + bit / 8] ^= 1 << (bit % 8);
        assert!(scan(&stream).is_err(), "bit {} of byte {}", bit % 8, bit / 8);
        stream[end + bit / 8] ^= 1 << (bit % 8);
    }
}

#[test]
fn a_stream_cut_anywhere_is_truncated() {
    for (order, sums) in FORMS {
        let stream = encode(&small(), order, sums);
        assert_eq!(scan(&[]), Err(StreamError::Empty));
        for length in 1..stream.len() {
            let at = length as u64;
            assert_eq!(scan(&stream[..length]), Err(StreamError::Truncated { at }), "{order:?} {sums:?}");
        }
    }
}

#[test]
fn a_real_stream_cut_between_two_records_is_truncated() {
    for name in WHOLE {
        let stream = fixture(name);
        for seen in records(&stream).iter().skip(1) {
            for at in [seen.record.at - 1, seen.record.at, seen.record.at + 1] {
                let cut = &stream[..usize::try_from(at).unwrap()];
                assert_eq!(scan(cut), Err(StreamError::Truncated { at }), "{name}");
            }
        }
    }
}

#[test]
fn nothing_may_follow_end() {
    for name in ["z-incr", "fuse-incr"] {
        let stream = fixture(name);
        let at = stream.len() as u64;
        let more: [&[u8]; 3] = [&[0], &stream, &[0; 1000]];
        for more in more {
            let longer = [&stream, more].concat();
            assert_eq!(scan(&longer), Err(StreamError::BytesAfterEnd { at }));
        }
        let mut scanner = Scanner::new();
        scanner.feed(&stream, &mut Discard).unwrap();
        let late = scanner.feed(b"x", &mut Discard);
        assert_eq!(late, Err(ScanError::Stream(StreamError::BytesAfterEnd { at })));
        assert_eq!(scanner.finish(), Err(StreamError::BytesAfterEnd { at }));
    }
}

#[test]
fn damage_is_reported_at_the_next_record_that_carries_sums() {
    let mut stream = fixture("d-full");
    let seen = records(&stream);
    let hit = seen.iter().position(|seen| seen.record.kind == RecordKind::Write).unwrap();
    let next = seen[hit + 1].record;
    stream[usize::try_from(next.at).unwrap() - 1] ^= 0x80;
    assert_eq!(scan(&stream), Err(StreamError::ChecksumMismatch { at: next.at, record: next.kind }));
}

#[test]
fn a_record_whose_sums_are_zero_is_taken_as_not_given() {
    let mut stream = fixture("z-incr");
    let last = stream.len() - HEADER_BYTES;
    stream[last + 280..].fill(0);
    assert_eq!(scan(&stream).unwrap().records.get(RecordKind::End), 1);
    // In the middle the sums run over the field itself, so zeroing it shows at the next record.
    let mut stream = fixture("z-incr");
    let seen = records(&stream);
    let at = usize::try_from(seen[3].record.at).unwrap();
    stream[at + 280..at + 312].fill(0);
    let next = seen[4].record;
    assert_eq!(scan(&stream), Err(StreamError::ChecksumMismatch { at: next.at, record: next.kind }));
}

#[test]
fn an_end_without_sums_is_refused() {
    let mut stream = modern(&small());
    let end = stream.len() - HEADER_BYTES;
    stream[end + 8..end + 40].fill(0);
    stream[end + 280..].fill(0);
    let at = end as u64;
    assert_eq!(scan(&stream), Err(StreamError::ChecksumMismatch { at, record: RecordKind::End }));
}

#[test]
fn end_must_close_the_snapshot_that_begin_opened() {
    for sums in [Sums::EveryRecord, Sums::EndOnly] {
        let mut records = small();
        *records.last_mut().unwrap() = end().u64(40, 5);
        let stream = encode(&records, ByteOrder::Little, sums);
        let at = (stream.len() - HEADER_BYTES) as u64;
        let expected = streams::TO_GUID;
        assert_eq!(scan(&stream), Err(StreamError::WrongSnapshot { at, expected, found: 5 }));
    }
}

#[test]
fn bytes_that_nothing_covers_must_be_zero() {
    let mut records = small();
    *records.last_mut().unwrap() = end().u64(200, 1);
    let stream = encode(&records, ByteOrder::Little, Sums::EndOnly);
    let at = (stream.len() - HEADER_BYTES) as u64;
    assert_eq!(scan(&stream), Err(StreamError::MalformedEnd { at }));
    assert!(scan(&modern(&records)).is_ok(), "here END's own sums cover them");
}

#[test]
fn absurd_lengths_are_refused() {
    let too_long = sendstream::MAX_PAYLOAD_BYTES + 4;
    let cases = [
        (write(1, 0, &[]).u64(32, too_long), RecordKind::Write, too_long),
        (write(1, 0, &[]).u64(32, u64::MAX), RecordKind::Write, u64::MAX),
        (write(1, 0, &[]).u64(32, 510), RecordKind::Write, 510),
        (write(1, 0, &[]).u8(50, 2).u64(96, too_long), RecordKind::Write, too_long),
        (write(1, u64::MAX - 3, &[]).u64(32, 4), RecordKind::Write, 4),
        (Raw::new(7).u64(16, u64::MAX), RecordKind::Spill, u64::MAX),
        (Raw::new(7).u64(16, 8).u64(40, 3), RecordKind::Spill, 3),
        (Raw::new(1).u32(28, u32::MAX), RecordKind::Object, 1 << 32),
        (Raw::new(1).u32(36, u32::MAX), RecordKind::Object, u64::from(u32::MAX)),
        (Raw::new(8).u32(52, u32::MAX), RecordKind::WriteEmbedded, 1 << 32),
        (embedded(1, u64::MAX, 1, 8), RecordKind::WriteEmbedded, 1),
    ];
    for (raw, record, length) in cases {
        let stream = modern(&[begin(1, 0), raw, end()]);
        assert_eq!(scan(&stream), Err(StreamError::BadLength { at: 312, record, length }));
    }
    let stream = modern(&[begin(1, 0).u32(4, u32::MAX)]);
    let length = u64::from(u32::MAX);
    assert_eq!(scan(&stream), Err(StreamError::BadLength { at: 0, record: RecordKind::Begin, length }));
}

#[test]
fn the_longest_payload_passes() {
    let block = vec![0x77; 16 << 20];
    assert!(scan(&modern(&[begin(1, 1 << 19), write(1, 0, &block), end()])).is_ok());
}

#[test]
fn unknown_records_are_refused() {
    for kind in [11, 77, u32::MAX] {
        let stream = modern(&[begin(1, 0), Raw::new(kind), end()]);
        assert_eq!(scan(&stream), Err(StreamError::UnknownRecord { at: 312, kind }));
    }
}

#[test]
fn a_second_begin_is_refused() {
    let stream = modern(&[begin(1, 0), object(1, &[0; 8]), begin(1, 0), end()]);
    assert_eq!(scan(&stream), Err(StreamError::SecondBegin { at: 632 }));
}

#[test]
fn refused_kinds_by_header_type_feature_and_record() {
    let byref = Raw::new(6);
    let redact = Raw::new(10);
    let cases: [(&[Raw], StreamError); 10] = [
        (&[begin(2, 0), end()], StreamError::Compound),
        (&[begin(2, 1 << 20), end()], StreamError::Compound),
        (&[begin(1, 1 << 20), end()], StreamError::Resuming),
        (&[begin(1, 1 << 21), end()], StreamError::Redacted),
        (&[begin(1, 1), end()], StreamError::Dedup),
        (&[begin(1, 2), end()], StreamError::Dedup),
        (&[begin(1, 0), byref], StreamError::Dedup),
        (&[begin(1, 0), redact], StreamError::Redacted),
        (&[begin(0, 0), end()], StreamError::UnknownStreamType { header_type: 0 }),
        (&[begin(3, 0), end()], StreamError::UnknownStreamType { header_type: 3 }),
    ];
    for (records, error) in cases {
        assert_eq!(scan(&modern(records)), Err(error));
    }
    assert!(scan(&modern(&[begin(1, 1 << 18), end()])).is_ok(), "a feature without a name is no reason");
}

#[test]
fn what_is_no_send_stream_is_told_early() {
    for head in [&b"age-encryption.org/v1\n"[..], b"\x28\xb5\x2f\xfd", b"\0\0\0\0\0\0\0\0\xff", &[0; 500]] {
        assert_eq!(scan(head), Err(StreamError::NotASendStream));
        assert_eq!(Begin::parse(head), Err(StreamError::NotASendStream));
    }
    let record = encode(&[object(1, &[])], ByteOrder::Little, Sums::EveryRecord);
    assert_eq!(scan(&record), Err(StreamError::NotASendStream));
    assert_eq!(Begin::parse(&[]), Err(StreamError::Empty));
}

/// Takes records up to the `left`th, then fails.
struct Full {
    left: u32,
}

impl Sink for Full {
    type Error = &'static str;

    fn record(
        &mut self,
        _: &Record,
        _: &[u8; HEADER_BYTES],
        _: Option<sendstream::Border>,
    ) -> Result<(), Self::Error> {
        self.left = self.left.checked_sub(1).ok_or("full")?;
        Ok(())
    }

    fn payload(&mut self, _: &[u8]) -> Result<(), Self::Error> {
        Ok(())
    }
}

#[test]
fn a_sink_that_fails_ends_the_scan_for_good() {
    let stream = fixture("z-incr");
    let mut scanner = Scanner::new();
    let mut sink = Full { left: 2 };
    assert_eq!(scanner.feed(&stream, &mut sink), Err(ScanError::Sink("full")));
    let at = scanner.position();
    sink.left = 100;
    let abandoned = StreamError::Abandoned { at };
    assert_eq!(scanner.feed(&stream, &mut sink), Err(ScanError::Stream(abandoned.clone())));
    assert_eq!(scanner.finish(), Err(abandoned));
}
