//! Real streams of OpenZFS 2.1.11 and zfs-fuse 0.7.0: whole ones pass with the right summary, in
//! both byte orders; the kinds that are no backup are refused by name.

mod streams;

use sendstream::{Begin, Border, ByteOrder, Feature, RecordKind, ScanError, Scanner, StreamError};
use streams::{Recorder, Sums, WHOLE, encode, fixture, raw_records, records, scan, scan_pieces};

/// Fixture, snapshot name, whether full, counts of the seven kinds in the order of `kinds` below.
const EXPECTED: [(&str, &str, bool, [u64; 7]); 13] = [
    ("d-full", "tank/d@a", true, [43, 1, 47, 50, 0, 0, 0]),
    ("d-incr", "tank/d@b", false, [37, 8, 7, 44, 0, 0, 0]),
    ("d-lec", "tank/d@a", true, [43, 1, 30, 50, 0, 17, 0]),
    ("e-rawincr", "tank/e@b", false, [37, 9, 7, 44, 0, 0, 3]),
    ("x-full", "tank/x@a", true, [30, 1, 35, 36, 1, 0, 0]),
    ("e-raw", "tank/e@a", true, [43, 1, 47, 50, 0, 0, 2]),
    ("l-lc", "tank/l@a", true, [43, 3, 43, 49, 0, 0, 0]),
    ("l-split", "tank/l@a", true, [43, 3, 48, 49, 0, 0, 0]),
    ("x-incr", "tank/x@b", false, [24, 8, 6, 30, 1, 2, 0]),
    ("z-full", "tank/z@a", true, [2, 1, 48, 4, 0, 1, 0]),
    ("z-incr", "tank/z@b", false, [2, 1, 16, 4, 0, 0, 0]),
    ("fuse-full", "ss_fix/d@a", true, [12, 3, 12, 14, 0, 0, 0]),
    ("fuse-incr", "ss_fix/d@b", false, [12, 4, 3, 14, 0, 0, 0]),
];

#[test]
fn whole_streams_pass_with_the_right_summary() {
    let kinds = [
        RecordKind::Object,
        RecordKind::FreeObjects,
        RecordKind::Write,
        RecordKind::Free,
        RecordKind::Spill,
        RecordKind::WriteEmbedded,
        RecordKind::ObjectRange,
    ];
    for (name, to_name, full, counts) in EXPECTED {
        let stream = fixture(name);
        let summary = scan(&stream).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(summary.begin.to_name, to_name, "{name}");
        assert_eq!(summary.begin.from_guid == 0, full, "{name}");
        assert_eq!(kinds.map(|kind| summary.records.get(kind)), counts, "{name}");
        assert_eq!(summary.records.total(), counts.iter().sum::<u64>() + 2, "{name}");
        assert_eq!(summary.stream_bytes, stream.len() as u64, "{name}");
        assert_eq!(summary.payload_bytes + 312 * summary.records.total(), stream.len() as u64, "{name}");
        assert!(!summary.begin.big_endian && !summary.begin.compound, "{name}");
    }
}

#[test]
fn begin_tells_what_a_stream_is() {
    let begin = |name| Begin::parse(&fixture(name)).unwrap();
    let raw = begin("e-raw");
    assert_eq!((raw.to_guid, raw.from_guid), (0x712e_b9e6_154f_5d39, 0));
    assert!(raw.raw() && raw.features.has(Feature::Compressed) && raw.payload_len == 1028);
    assert_eq!(begin("d-incr").from_guid, begin("d-full").to_guid);
    assert_eq!((begin("z-full").objset_type, begin("d-full").objset_type), (3, 2));
    assert_eq!(begin("d-full").flags, 12);
    assert_eq!(begin("l-lc").features.unknown_bits(), 0);
    assert_eq!(begin("l-lc").features.to_string(), "sa_spill,lz4,large_blocks,compressed,zstd");
    assert_eq!(begin("fuse-full").creation_unix_seconds, 1_795_224_036);
}

#[test]
fn kinds_that_are_no_backup_are_refused_at_begin() {
    let cases = [
        ("d-R", StreamError::Compound, "without -R, -I and -p"),
        ("d-I", StreamError::Compound, "without -R, -I and -p"),
        ("d-props", StreamError::Compound, "without -R, -I and -p"),
        ("z-full.resumed", StreamError::Resuming, "without -t"),
        ("e-raw.resumed", StreamError::Resuming, "without -t"),
        ("fuse-dedup", StreamError::Dedup, "without -D"),
        ("d-redacted", StreamError::Redacted, "without --redact"),
    ];
    for (name, error, advice) in cases {
        let stream = fixture(name);
        let mut recorder = Recorder::default();
        assert_eq!(scan_pieces([&stream[..]], &mut recorder), Err(error.clone()), "{name}");
        assert!(recorder.0.is_empty(), "{name}: nothing of it may reach the sink");
        assert!(error.to_string().contains(advice), "{name}");
        let begin = Begin::parse(&stream).unwrap();
        assert_eq!(begin.refuse_unsupported(), Err(error), "{name}");
    }
}

#[test]
fn big_endian_streams_read_the_same() {
    for name in WHOLE {
        let stream = fixture(name);
        let little = records(&stream);
        let swapped = encode(&raw_records(&stream), ByteOrder::Big, Sums::EveryRecord);
        let big = records(&swapped);
        let summary = scan(&swapped).unwrap();
        assert!(summary.begin.big_endian);
        assert_eq!(Begin { big_endian: false, ..summary.begin }, scan(&stream).unwrap().begin, "{name}");
        assert_eq!(little.len(), big.len(), "{name}");
        for (little, big) in little.iter().zip(&big) {
            let mut record = big.record;
            record.checksum = little.record.checksum;
            record.checksum_before = little.record.checksum_before;
            assert_eq!((record, big.border, &big.payload), (little.record, little.border, &little.payload));
        }
    }
}

/// The encoder of these tests, given a real stream's records, must make that very stream again.
#[test]
fn encoder_reproduces_the_fixtures() {
    for name in WHOLE {
        let stream = fixture(name);
        let sums = if name.starts_with("fuse") { Sums::EndOnly } else { Sums::EveryRecord };
        assert!(encode(&raw_records(&stream), ByteOrder::Little, sums) == stream, "{name}");
    }
}

#[test]
fn old_senders_give_sums_in_end_alone_and_new_ones_everywhere() {
    for name in WHOLE {
        let given = records(&fixture(name)).iter().filter(|seen| seen.record.checksum.is_some()).count();
        let expected = if name.starts_with("fuse") { 0 } else { records(&fixture(name)).len() - 1 };
        assert_eq!(given, expected, "{name}");
    }
}

#[test]
fn borders_name_where_the_stream_goes_on() {
    let seen = records(&fixture("z-full"));
    let writes = seen.windows(2).filter(|pair| pair[0].record.kind == RecordKind::Write);
    for pair in writes {
        let (before, after) = (&pair[0].record, &pair[1]);
        if after.record.kind == RecordKind::Object {
            assert_eq!(after.border, Some(Border::BeforeObject { object: after.record.object.unwrap() }));
        } else {
            let end_offset = before.offset.unwrap() + before.logical_len.unwrap();
            assert_eq!(after.border, Some(Border::AfterWrite { object: before.object.unwrap(), end_offset }));
        }
    }
    assert_eq!(seen.iter().filter(|seen| seen.border.is_some()).count(), 50);
}

/// Where the resumed fixture's token says it goes on, the whole stream must have a border.
#[test]
fn the_place_where_zfs_itself_resumed_is_a_border() {
    let resumed = fixture("z-full.resumed");
    let text = resumed[312..408].to_vec();
    let number = |key: &[u8]| {
        let at = text.windows(key.len()).position(|window| window == key).unwrap() + key.len();
        let value = 12 + (at - 12).next_multiple_of(8);
        u64::from_le_bytes(text[value..value + 8].try_into().unwrap())
    };
    let (object, end_offset) = (number(b"resume_object\0"), number(b"resume_offset\0"));
    let borders: Vec<_> = records(&fixture("z-full")).iter().filter_map(|seen| seen.border).collect();
    assert!(borders.contains(&Border::AfterWrite { object, end_offset }), "{object} {end_offset}");
}

#[test]
fn sums_at_a_border_run_on() {
    let stream = fixture("d-full");
    let seen = records(&stream);
    for seen in seen.iter().step_by(7) {
        let at = usize::try_from(seen.record.at).unwrap();
        assert_eq!(&stream[at..at + 312], &seen.header);
        let mut scanner = Scanner::new();
        scanner.feed(&stream[..at], &mut Recorder::default()).unwrap();
        assert_eq!(scanner.checksum(), seen.record.checksum_before);
        assert_eq!(scanner.position(), seen.record.at);
    }
}

#[test]
fn a_failed_scanner_stays_failed() {
    let mut scanner = Scanner::new();
    let mut recorder = Recorder::default();
    let stream = fixture("d-R");
    assert_eq!(scanner.feed(&stream, &mut recorder), Err(ScanError::Stream(StreamError::Compound)));
    assert_eq!(scanner.feed(&[], &mut recorder), Err(ScanError::Stream(StreamError::Compound)));
    assert_eq!(scanner.finish(), Err(StreamError::Compound));
}
