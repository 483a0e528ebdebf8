//! What the rule does not allow is refused, and each trap that was found with real pools stays closed.

use std::io::{ErrorKind, Read};

use sendstream::{
    Begin, Border, ByteOrder, NvListError, RecordKind, SavedBorder, SpliceError, SplicedReader, StreamError,
};

use crate::sender::{little, resumed, resumed_records};
use crate::streams::{
    Raw, Seen, Sums, begin, byref, embedded, encode, end, fixture, free, freeobjects, object, object_range,
    package, records, redact, spill, write,
};
use crate::{borders_at, saved_at, splice};

/// Object 5: two blocks, a hole, a third block; then a new spill block, and object 6.
fn original(features: u64) -> Vec<Raw> {
    vec![
        begin(1, features),
        object_range(0),
        object(5, &[1; 8]).u32(24, 64),
        free(5, 256, u64::MAX),
        write(5, 0, &[2; 64]),
        write(5, 64, &[3; 64]),
        free(5, 128, 64),
        write(5, 192, &[4; 64]),
        spill(5, false, &[5; 8]),
        object(6, &[6; 8]).u32(24, 512),
        free(6, 512, u64::MAX),
        embedded(6, 0, 512, 9),
        freeobjects(7, 25),
        end(),
    ]
}

const RAW: u64 = 1 << 24;
const AFTER_FIRST: (usize, Border) = (5, Border::AfterWrite { object: 5, end_offset: 64 });
const BEFORE_SECOND: (usize, Border) = (9, Border::BeforeObject { object: 6 });

struct Case {
    records: Vec<Seen>,
    saved: SavedBorder,
    /// What the simulated sender sends; the announcement begins behind BEGIN.
    sent: Vec<Raw>,
}

fn case(features: u64, (index, border): (usize, Border)) -> Case {
    let stream = encode(&original(features), ByteOrder::Little, Sums::EveryRecord);
    let records = records(&stream);
    let saved = saved_at(&records, &stream, index, border);
    let sent = resumed_records(&records, &little(&records, ByteOrder::Little), index, border);
    Case { records, saved, sent }
}

impl Case {
    fn error(&self) -> SpliceError {
        match splice(&self.saved, &encode(&self.sent, ByteOrder::Little, Sums::EveryRecord)) {
            Err(error) => error,
            Ok(_) => panic!("{:?}: taken, but must be refused", self.saved.border),
        }
    }

    fn passes(&self) -> bool {
        splice(&self.saved, &encode(&self.sent, ByteOrder::Little, Sums::EveryRecord)).is_ok()
    }

    /// With another record in the place `at`.
    fn with(mut self, at: usize, raw: Raw) -> Self {
        self.sent.insert(at, raw);
        self
    }
}

fn kind_of(error: &SpliceError) -> Option<RecordKind> {
    match error {
        SpliceError::Unexpected { record, .. } | SpliceError::NotAnnounced { record, .. } => Some(*record),
        _ => None,
    }
}

#[test]
fn the_cases_themselves_pass() {
    assert!(case(RAW, AFTER_FIRST).passes());
    assert!(case(RAW, BEFORE_SECOND).passes());
    // Places in what is sent: BEGIN, OBJECT_RANGE, OBJECT, FREE, then the rest.
    let kinds: Vec<u8> = case(RAW, AFTER_FIRST).sent.iter().map(Raw::kind).collect();
    assert_eq!(kinds, [0, 9, 1, 4, 3, 4, 3, 7, 1, 4, 8, 2, 5]);
    let kinds: Vec<u8> = case(RAW, BEFORE_SECOND).sent.iter().map(Raw::kind).collect();
    assert_eq!(kinds, [0, 9, 1, 4, 8, 2, 5]);
}

#[test]
fn nothing_below_the_border_is_kept() {
    let cases = [
        (8, write(5, 0, &[2; 64]), RecordKind::Write),
        (8, embedded(5, 0, 64, 9), RecordKind::WriteEmbedded),
        (8, free(5, 0, 64), RecordKind::Free),
        (4, free(5, 0, u64::MAX), RecordKind::Free),
        (4, write(4, 999, &[2; 64]), RecordKind::Write),
        (9, spill(4, false, &[1; 8]), RecordKind::Spill),
        (9, spill(5, true, &[1; 8]), RecordKind::Spill),
        (9, object(5, &[1; 8]), RecordKind::Object),
        (9, object(4, &[1; 8]), RecordKind::Object),
        (9, freeobjects(5, 1), RecordKind::FreeObjects),
        (9, freeobjects(0, 3), RecordKind::FreeObjects),
        (9, object_range(0), RecordKind::ObjectRange),
        (3, object(5, &[1; 8]), RecordKind::Object),
    ];
    for (at, raw, kind) in cases {
        let error = case(RAW, AFTER_FIRST).with(at, raw).error();
        assert!(matches!(error, SpliceError::Unexpected { .. }), "{error}");
        assert_eq!(kind_of(&error), Some(kind));
    }
    for raw in [object(6, &[6; 8]), object(5, &[6; 8]), freeobjects(6, 1), write(5, 1 << 40, &[1; 64])] {
        let error = case(RAW, BEFORE_SECOND).with(5, raw).error();
        assert!(matches!(error, SpliceError::Unexpected { .. }), "{error}");
    }
}

#[test]
fn a_write_that_reaches_over_the_border_is_refused() {
    let error = case(RAW, AFTER_FIRST).with(4, write(5, 32, &[2; 64])).error();
    assert_eq!(kind_of(&error), Some(RecordKind::Write));
    let error = case(RAW, AFTER_FIRST).with(4, embedded(5, 0, 65, 9)).error();
    assert_eq!(kind_of(&error), Some(RecordKind::WriteEmbedded));
}

#[test]
fn the_object_must_be_announced_first() {
    let mut silent = case(RAW, AFTER_FIRST);
    silent.sent.drain(2..4);
    assert!(matches!(silent.error(), SpliceError::NotAnnounced { record: RecordKind::Write, .. }));
    let mut other = case(RAW, AFTER_FIRST);
    other.sent[2] = object(6, &[1; 8]);
    assert!(matches!(other.error(), SpliceError::NotAnnounced { record: RecordKind::Object, .. }));
    let mut empty = case(RAW, AFTER_FIRST);
    empty.sent.drain(1..12);
    assert!(matches!(empty.error(), SpliceError::NotAnnounced { record: RecordKind::End, .. }));
    let mut silent = case(RAW, BEFORE_SECOND);
    silent.sent.remove(2);
    assert!(matches!(silent.error(), SpliceError::NotAnnounced { record: RecordKind::Free, .. }));
    let mut later = case(RAW, BEFORE_SECOND);
    later.sent[2] = object(7, &[1; 8]);
    assert!(matches!(later.error(), SpliceError::NotAnnounced { record: RecordKind::Object, .. }));
}

#[test]
fn object_range_is_repeated_in_raw_streams_only_and_only_around_the_object() {
    for place in [AFTER_FIRST, BEFORE_SECOND] {
        let error = case(0, place).error();
        assert_eq!(kind_of(&error), Some(RecordKind::ObjectRange), "{place:?}");
        for first in [32, 64] {
            let mut elsewhere = case(RAW, place);
            elsewhere.sent[1] = object_range(first);
            assert_eq!(kind_of(&elsewhere.error()), Some(RecordKind::ObjectRange));
        }
        let error = case(RAW, place).with(2, object_range(0)).error();
        assert_eq!(kind_of(&error), Some(RecordKind::ObjectRange), "twice");
    }
    // Behind the border the next range is part of the stream.
    let mut stream = original(RAW);
    stream.splice(12..12, [object_range(32), object(40, &[9; 8])]);
    let encoded = encode(&stream, ByteOrder::Little, Sums::EveryRecord);
    let records = records(&encoded);
    let saved = saved_at(&records, &encoded, AFTER_FIRST.0, AFTER_FIRST.1);
    let sent = resumed(&records, AFTER_FIRST.0, AFTER_FIRST.1, ByteOrder::Little);
    crate::assert_spliced(&encoded, &records, &saved, &sent, "a later range");
}

/// Frees of the object behind the border are part of the stream, also where the announcement ends with one.
#[test]
fn frees_behind_the_border_are_kept() {
    let tail = [free(5, 128, 64), free(5, 256, u64::MAX), freeobjects(6, 10)];
    for count in 1..=tail.len() {
        let mut stream = original(0);
        stream.remove(1);
        stream.truncate(5);
        stream.extend_from_slice(&tail[..count]);
        stream.push(end());
        let encoded = encode(&stream, ByteOrder::Little, Sums::EveryRecord);
        let records = records(&encoded);
        let border = Border::AfterWrite { object: 5, end_offset: 128 };
        let saved = saved_at(&records, &encoded, 5, border);
        let sent = resumed(&records, 5, border, ByteOrder::Little);
        crate::assert_spliced(&encoded, &records, &saved, &sent, "frees");
    }
}

/// 1 MiB blocks sent without `-L` come as WRITEs of 128 KiB, and a border in a block makes ZFS send up to seven again.
#[test]
fn pieces_of_a_large_block_are_not_sent_twice() {
    let stream = fixture("l-split");
    let records = records(&stream);
    let mut most = 0;
    for index in 1..records.len() {
        for border in borders_at(&records, index) {
            let saved = saved_at(&records, &stream, index, border);
            let sent = resumed(&records, index, border, ByteOrder::Little);
            let (sink, _) = splice(&saved, &sent).unwrap();
            let again = sink.dropped.iter().filter(|(record, ..)| record.kind == RecordKind::Write).count();
            most = most.max(again);
            assert!(again <= 7);
        }
    }
    assert!(most > 0, "the fixture has a block in pieces");
}

/// An incremental repeats the SPILL that did not change; in a full the SPILL behind the border is new.
#[test]
fn an_unmodified_spill_goes_and_a_new_one_stays() {
    for (name, dropped, kept) in [("x-incr", 1, 0), ("x-full", 0, 1)] {
        let stream = fixture(name);
        let records = records(&stream);
        let at = records.iter().position(|seen| seen.record.kind == RecordKind::Spill).unwrap();
        let object = records[at].record.object;
        let is_inside = |index: &usize| {
            let before = &records[index - 1].record;
            before.object == object && before.write_end().is_some()
        };
        let index = (1..records.len()).find(is_inside).unwrap();
        let border = borders_at(&records, index)[0];
        let saved = saved_at(&records, &stream, index, border);
        let (sink, _) = splice(&saved, &resumed(&records, index, border, ByteOrder::Little)).unwrap();
        let spills = sink.dropped.iter().filter(|(record, ..)| record.kind == RecordKind::Spill);
        assert_eq!(spills.count(), dropped, "{name}");
        let of_object = |seen: &&Seen| seen.record.kind == RecordKind::Spill && seen.record.object == object;
        assert_eq!(sink.kept.0.iter().filter(of_object).count(), kept, "{name}");
    }
}

type Change = fn(Raw) -> Raw;

#[test]
fn another_snapshot_or_another_way_of_sending_is_refused() {
    let fields: [(&str, Change); 6] = [
        ("snapshot guid", |begin| begin.u64(40, 1)),
        ("base guid", |begin| begin.u64(48, 1)),
        ("creation time", |begin| begin.u64(24, 1)),
        ("objset type", |begin| begin.u32(32, 3)),
        ("flags", |begin| begin.u32(36, 4)),
        ("features", |begin| begin.u64(16, 1 | (RAW | 1 << 20 | 1 << 19) << 2)),
    ];
    for (name, change) in fields {
        let mut case = case(RAW, AFTER_FIRST);
        case.sent[0] = change(case.sent[0].clone());
        let error = case.error();
        assert!(matches!(error, SpliceError::OtherStream { field, .. } if field == name), "{name}: {error}");
    }
    let big = case(RAW, AFTER_FIRST);
    let sent = encode(&big.sent, ByteOrder::Big, Sums::EveryRecord);
    let Err(SpliceError::OtherStream { field, .. }) = splice(&big.saved, &sent) else { panic!("taken") };
    assert_eq!(field, "byte order");
}

#[test]
fn a_renamed_dataset_is_no_reason() {
    let mut case = case(RAW, AFTER_FIRST);
    case.sent[0].header[56..67].copy_from_slice(b"pool/x@snap");
    assert!(case.passes());
}

#[test]
fn kinds_that_are_no_continuation_are_refused() {
    let with_features = |features: u64| {
        let mut case = case(RAW, AFTER_FIRST);
        case.sent[0] = case.sent[0].clone().u64(16, 1 | features << 2);
        case.error()
    };
    assert_eq!(with_features(RAW), SpliceError::NotResumed);
    assert_eq!(with_features(RAW | 1 << 20 | 1 << 21), StreamError::Redacted.into());
    assert_eq!(with_features(RAW | 1 << 20 | 1), StreamError::Dedup.into());
    let plain = case(RAW, AFTER_FIRST);
    let compound = package(&[], &[], ByteOrder::Little);
    assert_eq!(splice(&plain.saved, &compound).err(), Some(StreamError::Compound.into()));
    assert_eq!(splice(&plain.saved, b"cannot resume send").err(), Some(StreamError::NotASendStream.into()));
    assert_eq!(splice(&plain.saved, b"").err(), Some(StreamError::Empty.into()));
    assert_eq!(case(RAW, AFTER_FIRST).with(8, byref(9, 0, 1)).error(), StreamError::Dedup.into());
    assert_eq!(case(RAW, AFTER_FIRST).with(8, redact(9, 0, 1)).error(), StreamError::Redacted.into());
    let error = case(RAW, AFTER_FIRST).with(8, begin(1, 0)).error();
    assert!(matches!(error, SpliceError::Stream(StreamError::SecondBegin { .. })));
}

#[test]
fn a_beginning_that_is_no_backup_is_not_continued() {
    let mut compound = case(RAW, AFTER_FIRST);
    compound.saved.begin = Begin { compound: true, ..compound.saved.begin };
    assert_eq!(compound.error(), StreamError::Compound.into());
}

#[test]
fn the_place_in_begin_must_be_the_border() {
    for (index, border) in [AFTER_FIRST, BEFORE_SECOND] {
        let (object, offset) = border.resume_place();
        for (found_object, found_offset) in
            [(object + 1, offset), (object, offset + 64), (object - 1, offset)]
        {
            let mut case = case(RAW, (index, border));
            let named = Border::AfterWrite { object: found_object, end_offset: found_offset };
            case.sent[0] = crate::sender::begin(&little(&case.records, ByteOrder::Little)[0], named);
            let error = case.error();
            assert_eq!(error, SpliceError::OtherPlace { object, offset, found_object, found_offset });
        }
    }
    let list = |payload: &[u8]| {
        let mut case = case(RAW, AFTER_FIRST);
        case.sent[0] = case.sent[0].clone().u32(4, u32::try_from(payload.len()).unwrap()).payload(payload);
        case.error()
    };
    assert_eq!(list(&[]), SpliceError::NoResumePlace);
    assert_eq!(list(&sendstream::NvList::default().encode()), SpliceError::NoResumePlace);
    assert_eq!(list(&[1; 16]), NvListError::Encoding { encoding: 1 }.into());
    let too_long = list(&vec![0; (1 << 20) + 4]);
    assert!(matches!(too_long, SpliceError::Stream(StreamError::BadLength { .. })), "{too_long}");
}

#[test]
fn damage_and_cuts_are_found() {
    let case = case(RAW, AFTER_FIRST);
    let good = encode(&case.sent, ByteOrder::Little, Sums::EveryRecord);
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        // The name may change (a dataset may be renamed), but the next record's sums tell damage.
        assert!(splice(&case.saved, &bad).is_err(), "bit {} of byte {}", bit % 8, bit / 8);
    }
    for length in 1..good.len() {
        let error = splice(&case.saved, &good[..length]).err();
        assert_eq!(error, Some(StreamError::Truncated { at: length as u64 }.into()), "{length}");
    }
    let longer = [&good[..], &[0]].concat();
    let at = good.len() as u64;
    assert_eq!(splice(&case.saved, &longer).err(), Some(StreamError::BytesAfterEnd { at }.into()));
    let unsummed = encode(&case.sent, ByteOrder::Little, Sums::EndOnly);
    let error = splice(&case.saved, &unsummed).err();
    assert!(matches!(error, Some(SpliceError::NoSums { record: RecordKind::ObjectRange, .. })));
}

#[test]
fn end_must_close_the_same_snapshot() {
    let mut other = case(RAW, AFTER_FIRST);
    *other.sent.last_mut().unwrap() = end().u64(40, 5);
    assert!(matches!(other.error(), SpliceError::Stream(StreamError::WrongSnapshot { found: 5, .. })));
}

#[test]
fn a_reader_ends_only_when_all_was_proven() {
    let case = case(RAW, AFTER_FIRST);
    let good = encode(&case.sent, ByteOrder::Little, Sums::EveryRecord);
    let mut reader = SplicedReader::new(case.saved.clone(), &good[..good.len() - 1]);
    let error = reader.read_to_end(&mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<SpliceError>());
    assert_eq!(inner, Some(&StreamError::Truncated { at: good.len() as u64 - 1 }.into()));
    assert!(reader.read(&mut [0]).is_err(), "and it stays so");
    assert!(reader.summary().is_none());
    let mut bad = good.clone();
    bad[1400] ^= 1;
    let mut reader = SplicedReader::new(case.saved, &bad[..]);
    assert!(reader.read_to_end(&mut Vec::new()).is_err());
}
