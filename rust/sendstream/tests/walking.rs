//! The tolerant reader and the writer: every recorded stream, whatever its kind, is walked whole and
//! written again byte for byte; so are generated ones in both byte orders.

mod streams;

use proptest::prelude::*;
use proptest::sample::Index;
use sendstream::{ByteOrder, Fletcher4, Place, RecordKind, StreamError, StreamWriter, WriteError};
use streams::{
    Met, Notes, OTHERS, Raw, Sums, WHOLE, begin, byref, encode, end, fixture, freeobjects, object, package,
    redact, scan, small, walk, walk_pieces, write, write_again,
};

const FORMS: [(ByteOrder, Sums); 4] = [
    (ByteOrder::Little, Sums::EveryRecord),
    (ByteOrder::Little, Sums::EndOnly),
    (ByteOrder::Big, Sums::EveryRecord),
    (ByteOrder::Big, Sums::EndOnly),
];

fn bytes(met: &[Met]) -> Vec<u8> {
    met.iter().flat_map(|met| met.header.iter().chain(&met.payload).copied()).collect()
}

#[test]
fn every_recorded_stream_is_walked_whole_and_written_again() {
    for name in WHOLE.into_iter().chain(OTHERS) {
        let file = fixture(name);
        let met = walk(&file);
        assert!(bytes(&met) == file, "{name}: every byte, once, in order");
        assert!(write_again(&met) == file, "{name}: the writer makes the same bytes");
    }
}

#[test]
fn the_writer_needs_no_sums_but_whether_they_are_given() {
    for name in WHOLE.into_iter().chain(OTHERS) {
        let file = fixture(name);
        let mut met = walk(&file);
        for met in &mut met {
            let closing = met.header[4..].iter().all(|byte| *byte == 0);
            if met.record.kind == RecordKind::End && !closing {
                met.header[8..40].fill(0x11);
            }
            if met.record.checksum.is_some() {
                met.header[280..].fill(0x22);
            }
        }
        assert!(write_again(&met) == file, "{name}");
    }
}

#[test]
fn a_package_is_told_from_its_streams() {
    for (name, inner) in [("d-R", 2), ("d-I", 1), ("d-props", 1)] {
        let met = walk(&fixture(name));
        let own: Vec<_> =
            met.iter().filter(|met| met.place == Place::Package).map(|met| met.record.kind).collect();
        assert_eq!(own, [RecordKind::Begin, RecordKind::End, RecordKind::End], "{name}");
        for number in 0..inner {
            let of: Vec<_> = met.iter().filter(|met| met.place == Place::Stream { number }).collect();
            assert_eq!(of[0].record.kind, RecordKind::Begin, "{name}");
            assert_eq!(of[of.len() - 1].record.kind, RecordKind::End, "{name}");
        }
        assert!(!met.iter().any(|met| met.place == Place::Stream { number: inner }), "{name}");
    }
}

#[test]
fn the_streams_of_a_package_are_those_sent_alone() {
    let file = fixture("d-R");
    let of = |number| {
        let met: Vec<Met> =
            walk(&file).into_iter().filter(|met| met.place == Place::Stream { number }).collect();
        bytes(&met)
    };
    assert!(of(0) == fixture("d-full"));
    assert!(of(1) == fixture("d-incr"));
}

#[test]
fn damage_in_any_kind_of_stream_is_found_at_its_record() {
    for name in OTHERS.into_iter().filter(|name| *name != "fuse-dedup") {
        let file = fixture(name);
        let met = walk(&file);
        for pair in met.windows(2).step_by(5).filter(|pair| pair[1].record.checksum.is_some()) {
            let mut file = file.clone();
            file[usize::try_from(pair[1].record.at).unwrap() - 1] ^= 1;
            let Err(error) = walk_pieces([&file[..]], &mut Notes::default()) else {
                panic!("{name}: damage before {:?} was not found", pair[1].record)
            };
            let (at, record) = (pair[1].record.at, pair[1].record.kind);
            if pair[0].record.kind == RecordKind::Begin && pair[0].record.payload_len == 0 {
                continue;
            }
            let of_sums = matches!(error, StreamError::ChecksumMismatch { .. });
            assert!(of_sums, "{name}: {error} for damage before {record} at {at}");
        }
    }
    let mut dedup = fixture("fuse-dedup");
    dedup[2000] ^= 1;
    assert!(walk_pieces([&dedup[..]], &mut Notes::default()).is_err());
}

#[test]
fn a_file_cut_anywhere_is_truncated() {
    for name in ["d-props", "z-full.resumed"] {
        let file = fixture(name);
        let places = walk(&file).into_iter().skip(1).flat_map(|met| [met.record.at - 1, met.record.at]);
        for at in places.chain([file.len() as u64 - 1]) {
            let cut = &file[..usize::try_from(at).unwrap()];
            assert_eq!(
                walk_pieces([cut], &mut Notes::default()),
                Err(StreamError::Truncated { at }),
                "{name}"
            );
        }
    }
    assert_eq!(walk_pieces([], &mut Notes::default()), Err(StreamError::Empty));
    assert_eq!(walk_pieces([&b"PK"[..]], &mut Notes::default()), Err(StreamError::NotASendStream));
}

#[test]
fn what_does_not_belong_into_a_package_is_refused() {
    let inner = encode(&small(), ByteOrder::Little, Sums::EveryRecord);
    let whole = package(std::slice::from_ref(&inner), &[], ByteOrder::Little);
    assert!(walk_pieces([&whole[..]], &mut Notes::default()).is_ok());
    let within = |middle: &[u8]| [&whole[..624], middle, &whole[624..]].concat();
    let error = |file: &[u8]| walk_pieces([file], &mut Notes::default()).unwrap_err();
    let lost = encode(&[object(1, &[])], ByteOrder::Little, Sums::EveryRecord);
    assert_eq!(error(&within(&lost)), StreamError::OutsideStream { at: 624, record: RecordKind::Object });
    assert_eq!(error(&within(&whole)), StreamError::SecondBegin { at: 624 });
    let second_end = whole[312..624].to_vec();
    let mismatch = StreamError::ChecksumMismatch { at: 624, record: RecordKind::End };
    assert_eq!(error(&within(&second_end)), mismatch);
    // No `zfs receive` takes a package whose contents no END closed.
    let closing = &whole[whole.len() - 312..];
    let unclosed = StreamError::ChecksumMismatch { at: 312, record: RecordKind::End };
    assert_eq!(error(&[&whole[..312], closing].concat()), unclosed);
    let begin_in_begin = StreamError::SecondBegin { at: 312 };
    assert_eq!(error(&[&whole[..312], &inner, closing].concat()), begin_in_begin);
    let at = whole.len() as u64;
    assert_eq!(error(&[&whole[..], &[0]].concat()), StreamError::BytesAfterEnd { at });
    assert_eq!(
        error(&[&inner[..], &inner[..]].concat()),
        StreamError::BytesAfterEnd { at: inner.len() as u64 }
    );
}

#[test]
fn the_end_of_a_packages_contents_is_proven_as_any_other() {
    let inner = encode(&small(), ByteOrder::Little, Sums::EveryRecord);
    let whole = package(std::slice::from_ref(&inner), &[7; 16], ByteOrder::Little);
    let end = 312 + 16;
    for bit in 0..312 * 8 {
        let mut damaged = whole.clone();
        damaged[end + bit / 8] ^= 1 << (bit % 8);
        assert!(walk_pieces([&damaged[..]], &mut Notes::default()).is_err(), "bit {bit}");
    }
    let mut own = Fletcher4::new(ByteOrder::Little);
    own.update(&whole[..end + 280]);
    let mut given = whole;
    for (place, sum) in own.value().into_iter().enumerate() {
        given[end + 280 + place * 8..][..8].copy_from_slice(&sum.to_le_bytes());
    }
    assert!(walk_pieces([&given[..]], &mut Notes::default()).is_ok());
    given[end + 280] ^= 1;
    let wrong = StreamError::ChecksumMismatch { at: end as u64, record: RecordKind::End };
    assert_eq!(walk_pieces([&given[..]], &mut Notes::default()), Err(wrong));
}

#[test]
fn the_ends_of_a_package_may_be_written_from_zeros() {
    let inner = encode(&small(), ByteOrder::Little, Sums::EveryRecord);
    let whole = package(std::slice::from_ref(&inner), &[7; 16], ByteOrder::Little);
    let mut met = walk(&whole);
    met[1].header[4..].fill(0);
    assert!(write_again(&met) == whole);
}

#[test]
fn a_changed_record_gets_sums_that_hold() {
    let mut met = walk(&fixture("d-full"));
    met[0].header[56..66].copy_from_slice(b"pool/new@a");
    met[9].header[17] ^= 1;
    let changed = write_again(&met);
    assert_eq!(scan(&changed).unwrap().begin.to_name, "pool/new@a");
}

#[test]
fn the_writer_holds_the_caller_to_the_announced_length() {
    let record = write(1, 0, &[1; 16]);
    let opening = encode(&[begin(1, 0)], ByteOrder::Little, Sums::EveryRecord);
    let opened = || {
        let mut writer = StreamWriter::new(Vec::new());
        writer.record(opening.first_chunk().unwrap()).unwrap();
        writer.record(&record.header).unwrap();
        writer
    };
    let refused = |result| matches!(result, Err(WriteError::PayloadLength { announced: 16, at: 624 }));
    assert!(refused(opened().payload(&[0; 17])));
    assert!(refused(opened().record(&end().header)));
    let mut nothing_open = StreamWriter::new(Vec::new());
    assert!(matches!(
        nothing_open.record(&record.header),
        Err(WriteError::Stream(StreamError::NotASendStream))
    ));
}

#[test]
fn redacted_resumed_and_dedup_records_are_walked() {
    let records = [
        begin(1, 1 | 1 << 20 | 1 << 21).u32(4, 8).payload(&[1; 8]),
        object(7, &[1; 8]),
        redact(7, 0, 131_072),
        byref(7, 131_072, 131_072),
        freeobjects(8, 24),
        end(),
    ];
    for (order, sums) in FORMS {
        let file = encode(&records, order, sums);
        let met = walk(&file);
        assert_eq!((met[2].record.object, met[2].record.logical_len), (Some(7), Some(131_072)));
        assert_eq!(met[3].record.offset, Some(131_072));
        assert!(write_again(&met) == file);
    }
}

/// Any record, also of the kinds that no backup has.
fn any_record() -> impl Strategy<Value = Raw> {
    let place = (1..1000_u64, 0..1_u64 << 40);
    let payload = (0..20_usize, any::<u8>()).prop_map(|(longs, fill)| vec![fill; longs * 8]);
    prop_oneof![
        proptest::sample::select(small())
            .prop_filter("inner records only", |raw| ![0, 5].contains(&raw.kind())),
        (place.clone(), payload).prop_map(|((number, at), data)| write(number, at, &data)),
        place.clone().prop_map(|(number, at)| redact(number, at, 512)),
        place.prop_map(|(number, at)| byref(number, at, 512)),
    ]
}

fn any_file() -> impl Strategy<Value = Vec<u8>> {
    let stream = proptest::collection::vec(any_record(), 0..12);
    let form = proptest::sample::select(FORMS.to_vec());
    (proptest::collection::vec(stream, 1..4), form, any::<bool>(), 0..5_usize).prop_map(
        |(streams, (order, sums), compound, longs)| {
            let encoded: Vec<Vec<u8>> = streams
                .into_iter()
                .map(|mut records| {
                    records.insert(0, begin(1, 1 << 21));
                    records.push(end());
                    encode(&records, order, sums)
                })
                .collect();
            if compound { package(&encoded, &vec![7; longs * 8], order) } else { encoded[0].clone() }
        },
    )
}

proptest! {
    #[test]
    fn generated_files_are_walked_in_any_split_and_written_again(
        file in any_file(),
        places in proptest::collection::vec(any::<Index>(), 0..30),
    ) {
        let mut cuts: Vec<usize> = places.iter().map(|place| place.index(file.len() + 1)).collect();
        cuts.extend([0, file.len()]);
        cuts.sort_unstable();
        let mut notes = Notes::default();
        let length = walk_pieces(cuts.windows(2).map(|pair| &file[pair[0]..pair[1]]), &mut notes).unwrap();
        prop_assert_eq!(length, file.len() as u64);
        prop_assert_eq!(&notes.0, &walk(&file));
        prop_assert!(write_again(&notes.0) == file);
    }

    #[test]
    fn a_flipped_bit_is_found(file in any_file(), bit in any::<Index>()) {
        let bit = bit.index(file.len() * 8);
        let mut damaged = file;
        damaged[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(walk_pieces([&damaged[..]], &mut Notes::default()).is_err());
    }

    #[test]
    fn noise_never_panics(noise in proptest::collection::vec(any::<u8>(), 0..2000), file in any_file(), keep in any::<Index>()) {
        prop_assert!(walk_pieces([&noise[..]], &mut Notes::default()).is_err());
        let kept = &file[..keep.index(file.len())];
        let _ = walk_pieces([kept, &noise[..]], &mut Notes::default());
    }
}
