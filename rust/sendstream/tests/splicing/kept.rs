//! A kept beginning and a resumed stream that is there already: the border is found, or refused, in what was kept.

use std::io::{ErrorKind, Read};

use sendstream::{
    ByteOrder, HEADER_BYTES, KeptBeginning, PartialError, ResumedStream, SpliceError, SplicedReader,
    StreamError,
};

use crate::recorded::modern;
use crate::sender::resumed;
use crate::streams::{Sums, encode, fixture, raw_records, records};
use crate::{borders_at, saved_at};

fn find(kept: &[u8], resumed: &[u8]) -> Result<KeptBeginning, PartialError> {
    ResumedStream::open(resumed).unwrap().border_in(kept)
}

fn refusal(resumed: &[u8]) -> SpliceError {
    let error = ResumedStream::open(resumed).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    error.downcast().unwrap()
}

#[test]
fn every_border_is_found_by_both_its_names_in_both_byte_orders_and_the_splice_is_whole() {
    for name in modern() {
        for order in [ByteOrder::Little, ByteOrder::Big] {
            let stream = encode(&raw_records(&fixture(name)), order, Sums::EveryRecord);
            let records = records(&stream);
            for index in (1..records.len()).step_by(5) {
                for border in borders_at(&records, index) {
                    let resumed = resumed(&records, index, border, order);
                    let position = usize::try_from(records[index].record.at).unwrap();
                    let kept = find(&stream[..position + HEADER_BYTES], &resumed).unwrap();
                    assert_eq!(kept.saved, saved_at(&records, &stream, index, border), "{name}");
                    assert_eq!(kept.proven_bytes, (position + HEADER_BYTES) as u64);

                    let mut whole = stream[..position].to_vec();
                    let bytes = ResumedStream::open(&resumed[..]).unwrap();
                    SplicedReader::new(kept.saved, bytes).read_to_end(&mut whole).unwrap();
                    assert!(whole == stream, "{name}");
                }
            }
        }
    }
}

#[test]
fn all_that_was_kept_is_looked_at_and_what_is_proven_is_told() {
    let (stream, resumed) = (fixture("z-full"), fixture("z-full.resumed"));
    let found = find(&stream[..300_000], &resumed).unwrap();
    assert_eq!(found.saved.position, 230_856);
    let last =
        records(&stream).iter().map(|seen| seen.record.at).filter(|at| at + 312 <= 300_000).max().unwrap();
    assert_eq!(found.proven_bytes, last + 312);
    // Damage behind the border takes nothing from it, but for the proof.
    let mut damaged = stream[..300_000].to_vec();
    damaged[250_000] ^= 1;
    let found = find(&damaged, &resumed).unwrap();
    assert_eq!(found.saved.position, 230_856);
    assert!((230_856 + 312..=250_000).contains(&found.proven_bytes), "{}", found.proven_bytes);
}

#[test]
fn what_no_record_vouches_for_is_not_taken() {
    let (stream, resumed) = (fixture("z-full"), fixture("z-full.resumed"));
    for kept in [230_856 + 311, 230_856, 230_855, 100_000] {
        let refused = find(&stream[..kept], &resumed).unwrap_err();
        assert_eq!(refused.code(), "partial.other_place", "{kept}");
        assert!(refused.to_string().contains("object 1, offset 352256"), "{refused}");
    }
    let mut damaged = stream[..231_168].to_vec();
    damaged[230_000] ^= 1;
    assert_eq!(find(&damaged, &resumed).unwrap_err().code(), "partial.other_place");
}

#[test]
fn another_stream_is_told_apart_from_another_place() {
    let resumed = fixture("z-full.resumed");
    let refused = find(&fixture("d-full")[..400_000], &resumed).unwrap_err();
    assert_eq!(refused.code(), "splice.other_stream");
    assert_eq!(find(&fixture("z-full"), &resumed).unwrap_err().code(), "partial.whole");
    assert_eq!(find(&resumed, &resumed).unwrap_err().code(), "stream.resuming");
}

#[test]
fn a_stream_that_does_not_resume_is_refused_before_anything_is_kept() {
    assert_eq!(refusal(&fixture("z-full")), SpliceError::NotResumed);
    assert_eq!(refusal(&fixture("d-R")), StreamError::Compound.into());
    assert_eq!(refusal(b""), StreamError::Empty.into());
    assert_eq!(refusal(&[7; 400]), StreamError::NotASendStream.into());
    let resumed = fixture("z-full.resumed");
    for cut in 1..HEADER_BYTES + 96 {
        assert_eq!(refusal(&resumed[..cut]), StreamError::Truncated { at: cut as u64 }.into());
    }
    let mut hostile = resumed.clone();
    hostile[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(refusal(&hostile).code(), "stream.bad_length");
    hostile[4..8].copy_from_slice(&0_u32.to_le_bytes());
    assert_eq!(refusal(&hostile), SpliceError::NoResumePlace);
    let mut hostile = resumed;
    hostile[HEADER_BYTES..HEADER_BYTES + 96].fill(9);
    assert_eq!(refusal(&hostile).code(), "splice.bad_list");
}

#[test]
fn after_the_key_was_changed_nothing_is_joined() {
    let mut raws = raw_records(&fixture("e-raw"));
    let key = raws[0].payload.windows(6).position(|name| name == b"MASTER").unwrap() + 24;
    raws[0].payload[key] ^= 1;
    let other = encode(&raws, ByteOrder::Little, Sums::EveryRecord);
    let error = find(&other[..other.len() - HEADER_BYTES], &fixture("e-raw.resumed")).unwrap_err();
    assert!(matches!(error, PartialError::Splice(SpliceError::OtherKeys)), "{error}");
}
