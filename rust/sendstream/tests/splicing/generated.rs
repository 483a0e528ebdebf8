//! Generated streams of every kind that a modern ZFS sends, in its order: at every border the simulated sender's stream
//! continues them byte for byte.

use proptest::prelude::*;
use proptest::sample::Index;
use sendstream::ByteOrder;

use crate::sender::resumed;
use crate::streams::{
    Raw, Sums, begin, compressed_write, embedded, encode, end, free, freeobjects, object, object_range,
    records, spill, write,
};
use crate::{Spliced, assert_spliced, borders_at, saved_at, splice_pieces};

const RAW: u64 = 1 << 24;

/// What stands in one block of an object.
#[derive(Debug, Clone, Copy)]
enum Block {
    Plain,
    Compressed,
    Embedded,
    Hole,
    /// A large block sent in so many pieces.
    Split(u64),
    /// Unchanged since the base.
    Absent,
}

#[derive(Debug, Clone)]
struct File {
    gap: u64,
    bonus_longs: usize,
    blocks: Vec<Block>,
    /// Whether there is a spill block, and whether it changed.
    spill: Option<bool>,
    announces_end: bool,
}

fn any_file() -> impl Strategy<Value = File> {
    let block = prop_oneof![
        Just(Block::Plain),
        Just(Block::Compressed),
        Just(Block::Embedded),
        Just(Block::Hole),
        (2..9_u64).prop_map(Block::Split),
        Just(Block::Absent),
    ];
    let blocks = proptest::collection::vec(block, 0..6);
    (0..20_u64, 0..6_usize, blocks, any::<Option<bool>>(), prop::bool::weighted(0.9)).prop_map(
        |(gap, bonus_longs, blocks, spill, announces_end)| File {
            gap,
            bonus_longs,
            blocks,
            spill,
            announces_end,
        },
    )
}

const PIECE: [u8; 64] = [0; 64];
const PIECE_BYTES: u64 = PIECE.len() as u64;
const PIECES: u64 = 8;

fn put_block(sent: &mut Vec<Raw>, object: u64, at: u64, block: Block) {
    let fill = u8::try_from(at / PIECE_BYTES % 251).unwrap();
    match block {
        Block::Plain => sent.push(write(object, at, &PIECE.map(|_| fill).repeat(8))),
        Block::Compressed => sent.push(compressed_write(object, at, PIECE_BYTES * PIECES, &[fill; 24])),
        Block::Embedded => sent.push(embedded(object, at, PIECE_BYTES * PIECES, 13)),
        Block::Hole => sent.push(free(object, at, PIECE_BYTES * PIECES)),
        Block::Split(pieces) => {
            sent.extend(
                (0..pieces.min(PIECES)).map(|n| write(object, at + n * PIECE_BYTES, &PIECE.map(|_| fill))),
            );
        }
        Block::Absent => {}
    }
}

fn put_file(sent: &mut Vec<Raw>, number: u64, file: &File) {
    let block_bytes = PIECE_BYTES * PIECES;
    sent.push(object(number, &vec![7; file.bonus_longs * 8]).u32(24, u32::try_from(block_bytes).unwrap()));
    let length = block_bytes * file.blocks.len() as u64;
    if file.announces_end {
        sent.push(free(number, length, u64::MAX));
    }
    if file.spill == Some(false) {
        sent.push(spill(number, true, &[3; 16]));
    }
    for (n, block) in (0..).zip(&file.blocks) {
        put_block(sent, number, n * block_bytes, *block);
    }
    if file.spill == Some(true) {
        sent.push(spill(number, false, &[4; 16]));
    }
}

/// Objects in ascending order; in a raw stream the parameters of each 32 come before them.
fn stream_of(files: &[File], raw: bool) -> Vec<Raw> {
    let mut sent = vec![begin(1, if raw { RAW } else { 1 << 22 | 1 << 16 })];
    let mut number = 0;
    let mut ranged = None;
    for file in files {
        if file.gap > 0 {
            sent.push(freeobjects(number + 1, file.gap));
        }
        number += file.gap + 1;
        if raw && ranged != Some(number / 32) {
            ranged = Some(number / 32);
            sent.push(object_range(number / 32 * 32));
        }
        put_file(&mut sent, number, file);
    }
    sent.push(freeobjects(number + 1, 1000));
    sent.push(end());
    sent
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_border_of_a_generated_stream(
        files in proptest::collection::vec(any_file(), 0..8),
        raw in any::<bool>(),
        big in any::<bool>(),
        places in proptest::collection::vec(any::<Index>(), 0..10),
    ) {
        let order = if big { ByteOrder::Big } else { ByteOrder::Little };
        let stream = encode(&stream_of(&files, raw), order, Sums::EveryRecord);
        let records = records(&stream);
        for index in 1..records.len() {
            for border in borders_at(&records, index) {
                let saved = saved_at(&records, &stream, index, border);
                let resumed = resumed(&records, index, border, order);
                assert_spliced(&stream, &records, &saved, &resumed, "generated");
                let mut cuts: Vec<usize> = places.iter().map(|place| place.index(resumed.len() + 1)).collect();
                cuts.extend([0, resumed.len()]);
                cuts.sort_unstable();
                let mut sink = Spliced::default();
                let pieces = cuts.windows(2).map(|pair| &resumed[pair[0]..pair[1]]);
                prop_assert!(splice_pieces(&saved, pieces, &mut sink).is_ok());
                prop_assert_eq!(sink.kept.bytes(), &stream[usize::try_from(saved.position).unwrap()..]);
            }
        }
    }

    /// What a damaged or foreign resumed stream makes is never taken for the continuation.
    #[test]
    fn a_flipped_bit_of_a_resumed_stream_never_makes_another_continuation(
        files in proptest::collection::vec(any_file(), 1..6),
        raw in any::<bool>(),
        border in any::<Index>(),
        bit in any::<Index>(),
    ) {
        let stream = encode(&stream_of(&files, raw), ByteOrder::Little, Sums::EveryRecord);
        let records = records(&stream);
        let all: Vec<_> = (1..records.len())
            .flat_map(|index| borders_at(&records, index).into_iter().map(move |border| (index, border)))
            .collect();
        let (index, border) = all[border.index(all.len())];
        let saved = saved_at(&records, &stream, index, border);
        let mut resumed = resumed(&records, index, border, ByteOrder::Little);
        let bit = bit.index(resumed.len() * 8);
        resumed[bit / 8] ^= 1 << (bit % 8);
        let mut sink = Spliced::default();
        prop_assert!(splice_pieces(&saved, [&resumed[..]], &mut sink).is_err());
    }

    #[test]
    fn noise_never_panics(noise in proptest::collection::vec(any::<u8>(), 0..1000), keep in any::<Index>()) {
        let stream = encode(&stream_of(&[], false), ByteOrder::Little, Sums::EveryRecord);
        let records = records(&stream);
        let border = sendstream::Border::AfterWrite { object: 1, end_offset: 512 };
        let saved = saved_at(&records, &stream, 1, border);
        let good = &stream[..keep.index(stream.len())];
        let _ = splice_pieces(&saved, [good, &noise[..]], &mut Spliced::default());
        prop_assert!(splice_pieces(&saved, [&noise[..]], &mut Spliced::default()).is_err());
    }
}
