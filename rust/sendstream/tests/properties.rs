//! Properties over generated streams, splits and noise.

mod streams;

use proptest::prelude::*;
use proptest::sample::Index;
use sendstream::{Border, ByteOrder, RecordKind};
use streams::{
    Raw, Recorder, Sums, begin, compressed_write, embedded, encode, end, fixture, free, freeobjects, object,
    object_range, scan, scan_pieces, spill, write,
};

fn payload() -> impl Strategy<Value = Vec<u8>> {
    (0..20_usize, any::<u8>()).prop_map(|(longs, fill)| vec![fill; longs * 8])
}

fn any_record() -> impl Strategy<Value = Raw> {
    let place = (1..1000_u64, 0..1_u64 << 40);
    prop_oneof![
        (1..1000_u64, payload()).prop_map(|(number, bonus)| object(number, &bonus)),
        place.clone().prop_map(|(first, count)| freeobjects(first, count)),
        (place.clone(), payload()).prop_map(|((number, at), data)| write(number, at, &data)),
        (place.clone(), payload(), 1..1_u64 << 20)
            .prop_map(|((number, at), data, logical)| compressed_write(number, at, logical, &data)),
        place.clone().prop_map(|(number, at)| free(number, at, u64::MAX)),
        (1..1000_u64, any::<bool>(), payload()).prop_map(|(number, same, data)| spill(number, same, &data)),
        (place, 1..200_u64, 1..113_u32)
            .prop_map(|((number, at), length, psize)| embedded(number, at, length, psize)),
        (0..1000_u64).prop_map(object_range),
    ]
}

fn whole_records() -> impl Strategy<Value = Vec<Raw>> {
    proptest::collection::vec(any_record(), 0..30).prop_map(|mut records| {
        records.insert(0, begin(1, 1 << 2 | 1 << 24));
        records.push(end());
        records
    })
}

fn form() -> impl Strategy<Value = (ByteOrder, Sums)> {
    (
        prop_oneof![Just(ByteOrder::Little), Just(ByteOrder::Big)],
        prop_oneof![Just(Sums::EveryRecord), Just(Sums::EndOnly)],
    )
}

/// Cuts `stream` at the given places.
fn split<'a>(stream: &'a [u8], places: &[Index]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<usize> = places.iter().map(|place| place.index(stream.len() + 1)).collect();
    cuts.extend([0, stream.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect()
}

/// The cutting rule, from the encoded records themselves.
fn expected_border(before: &Raw, after: &Raw) -> Option<Border> {
    let long =
        |raw: &Raw, at: usize| raw.header[at..].first_chunk().map_or(0, |field| u64::from_le_bytes(*field));
    let object = long(before, 8);
    match (before.kind(), after.kind()) {
        (_, 1) => Some(Border::BeforeObject { object: long(after, 8) }),
        (3, _) => Some(Border::AfterWrite { object, end_offset: long(before, 24) + long(before, 32) }),
        (8, _) => Some(Border::AfterWrite { object, end_offset: long(before, 16) + long(before, 24) }),
        _ => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_split_gives_the_same_records_and_every_byte(
        records in whole_records(),
        (order, sums) in form(),
        places in proptest::collection::vec(any::<Index>(), 0..40),
    ) {
        let stream = encode(&records, order, sums);
        let (mut whole, mut pieces) = (Recorder::default(), Recorder::default());
        let summary = scan_pieces([&stream[..]], &mut whole).unwrap();
        prop_assert_eq!(&summary, &scan_pieces(split(&stream, &places), &mut pieces).unwrap());
        prop_assert_eq!(&whole.0, &pieces.0);
        prop_assert_eq!(pieces.bytes(), stream);
        prop_assert_eq!(whole.0.len(), records.len());
        for (seen, raw) in whole.0.iter().zip(&records) {
            prop_assert_eq!(seen.record.kind as u8, raw.kind());
            prop_assert_eq!(&seen.payload, &raw.payload);
            prop_assert_eq!(seen.record.unmodified, raw.kind() == 7 && raw.header[32] == 4);
        }
    }

    #[test]
    fn borders_are_where_the_rule_allows_and_nowhere_else(records in whole_records(), (order, sums) in form()) {
        let mut recorder = Recorder::default();
        scan_pieces([&encode(&records, order, sums)[..]], &mut recorder).unwrap();
        prop_assert_eq!(recorder.0[0].border, None);
        for (pair, seen) in records.windows(2).zip(&recorder.0[1..]) {
            prop_assert_eq!(seen.border, expected_border(&pair[0], &pair[1]));
        }
    }

    #[test]
    fn a_flipped_bit_is_found(records in whole_records(), (order, sums) in form(), bit in any::<Index>()) {
        let mut stream = encode(&records, order, sums);
        let bit = bit.index(stream.len() * 8);
        stream[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(scan(&stream).is_err());
    }

    #[test]
    fn noise_never_panics_and_never_passes(
        noise in proptest::collection::vec(any::<u8>(), 0..2000),
        places in proptest::collection::vec(any::<Index>(), 0..5),
    ) {
        let mut recorder = Recorder::default();
        prop_assert!(scan_pieces(split(&noise, &places), &mut recorder).is_err());
    }

    /// Noise behind a good BEGIN reaches the record parser; what went to the sink is what was fed.
    #[test]
    fn noise_behind_begin_never_panics_and_never_passes(
        kinds in proptest::collection::vec((0..12_u32, any::<[u8; 32]>(), any::<bool>()), 0..12),
        noise in proptest::collection::vec(any::<u8>(), 0..3000),
    ) {
        let mut stream = encode(&[begin(1, 0)], ByteOrder::Little, Sums::EndOnly);
        for (kind, fields, big) in kinds {
            let mut raw = Raw::new(if big { kind.swap_bytes() } else { kind });
            raw.header[16..48].copy_from_slice(&fields);
            stream.extend_from_slice(&raw.header);
        }
        stream.extend_from_slice(&noise);
        let mut recorder = Recorder::default();
        prop_assert!(scan_pieces([&stream[..]], &mut recorder).is_err());
        prop_assert!(stream.starts_with(&recorder.bytes()));
    }

    #[test]
    fn real_streams_in_any_split(places in proptest::collection::vec(any::<Index>(), 0..200)) {
        for name in ["z-incr", "fuse-incr"] {
            let stream = fixture(name);
            let mut recorder = Recorder::default();
            let summary = scan_pieces(split(&stream, &places), &mut recorder).unwrap();
            prop_assert_eq!(&summary, &scan(&stream).unwrap());
            prop_assert_eq!(summary.records.get(RecordKind::End), 1);
            prop_assert!(recorder.bytes() == stream);
        }
    }
}

#[test]
fn byte_by_byte_is_the_same_too() {
    for name in ["z-incr", "fuse-incr"] {
        let stream = fixture(name);
        let (mut whole, mut bytes) = (Recorder::default(), Recorder::default());
        let summary = scan_pieces([&stream[..]], &mut whole).unwrap();
        assert_eq!(summary, scan_pieces(stream.chunks(1), &mut bytes).unwrap());
        assert!(whole.0 == bytes.0);
    }
}
