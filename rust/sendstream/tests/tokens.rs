//! Resume tokens: those that OpenZFS made come out byte for byte the same; whatever else is given is refused by name.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends where its token is wrong"
)]

mod streams;

use proptest::prelude::*;
use sendstream::{
    Begin, Border, NvList, NvListError, NvValue, PartialError, ResumeToken, StreamError, TokenError,
    last_border,
};
use streams::{fixture, records, token};

/// Of streams that are recorded as well.
const MADE_BY_ZFS: [&str; 5] = ["d-full", "d-lec", "e-raw", "l-lc", "z-full"];
/// By OpenZFS 2.1 and 2.3, for streams onto a base, redacted ones and one onto a redacted base.
const OTHERS_MADE_BY_ZFS: [&str; 6] =
    ["d-incr", "d-lecincr", "d-redacted", "d-redactedbase", "e-rawincr", "z-incr"];

#[test]
fn tokens_that_zfs_made_come_out_the_same() {
    for name in MADE_BY_ZFS {
        let text = token(name);
        let decoded = ResumeToken::decode(&format!(" {text}\n")).unwrap();
        assert_eq!(decoded.encode().unwrap(), text, "{name}");
    }
}

#[test]
fn so_do_those_of_both_versions_for_incremental_and_redacted_streams() {
    for name in OTHERS_MADE_BY_ZFS {
        for version in ["2.1", "2.3"] {
            let text = token(&format!("tokens/{name}-{version}"));
            let decoded = ResumeToken::decode(&text).unwrap();
            assert_eq!(decoded.from_guid.is_some(), !name.ends_with("redacted"), "{name} {version}");
            let redacted = decoded.redact_snapshot_guids.as_ref().map(Vec::len);
            assert_eq!(redacted, (name == "d-redacted").then_some(1), "{name} {version}");
            let base = decoded.redact_from_snapshot_guids.as_ref().map(Vec::len);
            assert_eq!(base, (name == "d-redactedbase").then_some(1), "{name} {version}");
            assert_eq!(decoded.raw_ok, name.starts_with("e-"), "{name} {version}");
            assert_eq!(decoded.encode().unwrap(), text, "{name} {version}");
        }
    }
}

/// A receiver names the start of the last block it has, and counts without BEGIN's header; else a token for that place is
/// the same.
#[test]
fn tokens_crafted_from_streams_are_those_that_zfs_made() {
    for name in MADE_BY_ZFS {
        let stream = fixture(name);
        let theirs = ResumeToken::decode(&token(name)).unwrap();
        let place = (theirs.object, theirs.offset);
        let seen = records(&stream);
        let behind =
            seen.iter().find(|seen| seen.border.is_some_and(|border| border.resume_place() == place));
        let behind = behind.expect("ZFS resumes at a border").record.at;
        let partial = last_border(&stream[..usize::try_from(behind).unwrap() + 312]).unwrap();
        assert_eq!((partial.saved.position, partial.token.bytes), (behind, behind), "{name}");
        let ours = ResumeToken { bytes: theirs.bytes, ..partial.token };
        assert_eq!(ours.encode().unwrap(), token(name), "{name}");
    }
}

fn any_token() -> impl Strategy<Value = ResumeToken> {
    (
        (any::<Option<u64>>(), any::<u64>(), any::<u64>(), any::<u64>(), any::<u64>()),
        "[a-z]{1,8}(/[a-zA-Z0-9 _.:-]{1,30}){0,5}@[a-zA-Z0-9_.:-]{1,40}",
        any::<[bool; 4]>(),
        proptest::option::of(proptest::collection::vec(any::<u64>(), 0..20)),
        proptest::option::of(proptest::collection::vec(any::<u64>(), 0..20)),
    )
        .prop_map(
            |(
                (from_guid, object, offset, bytes, to_guid),
                to_name,
                flags,
                redact_snapshot_guids,
                redact_from_snapshot_guids,
            )| {
                let [large_block_ok, embed_ok, compress_ok, raw_ok] = flags;
                ResumeToken {
                    from_guid,
                    object,
                    offset,
                    bytes,
                    to_guid,
                    to_name,
                    large_block_ok,
                    embed_ok,
                    compress_ok,
                    raw_ok,
                    redact_snapshot_guids,
                    redact_from_snapshot_guids,
                }
            },
        )
}

/// Only names, texts and numbers; no type that the crate keeps as bytes.
fn any_list() -> impl Strategy<Value = NvList> {
    let leaf = prop_oneof![
        Just(NvValue::Boolean),
        any::<u64>().prop_map(NvValue::Uint64),
        "[^\0]{0,40}".prop_map(NvValue::String),
        proptest::collection::vec(any::<u64>(), 0..9).prop_map(NvValue::Uint64Array),
        any::<[u8; 16]>().prop_map(|bytes| NvValue::Other {
            type_number: 26,
            count: 13,
            bytes: bytes.to_vec()
        }),
    ];
    let list = |value| proptest::collection::vec(("[^\0]{0,30}", value), 0..6).prop_map(NvList);
    let value = leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            list(inner.clone()).prop_map(NvValue::List),
            proptest::collection::vec(list(inner), 0..3).prop_map(NvValue::Lists),
        ]
    });
    proptest::collection::vec(("[^\0]{0,30}", value), 0..6).prop_map(NvList)
}

proptest! {
    #[test]
    fn any_token_survives(token in any_token()) {
        let text = token.encode().unwrap();
        prop_assert_eq!(&ResumeToken::decode(&text).unwrap(), &token);
        prop_assert_eq!(ResumeToken::decode(&text.to_uppercase()).unwrap(), token);
    }

    #[test]
    fn any_list_survives(list in any_list()) {
        prop_assert_eq!(NvList::decode(&list.encode()).unwrap(), list);
    }

    #[test]
    fn a_cut_list_is_refused(list in any_list(), cut in any::<prop::sample::Index>()) {
        let bytes = list.encode();
        prop_assert!(NvList::decode(&bytes[..cut.index(bytes.len())]).is_err());
    }

    #[test]
    fn noise_is_no_list(noise in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = NvList::decode(&[&[0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0][..], &noise].concat());
        let _ = NvList::decode(&noise);
    }

    #[test]
    fn a_changed_character_is_found(at in any::<prop::sample::Index>(), other in "[0-9a-f]") {
        let text = token("d-lec");
        let at = at.index(text.len());
        let changed = format!("{}{other}{}", &text[..at], &text[at + 1..]);
        prop_assume!(changed != text);
        // The last word is not whole, so the sum leaves it out; zlib's own sum has it.
        prop_assert!(ResumeToken::decode(&changed).is_err());
    }

    #[test]
    fn text_is_no_token(text in "\\PC{0,80}", hex in "1-[0-9a-f]{1,12}-[0-9a-f]{1,6}-([0-9a-f]{2}){0,60}") {
        prop_assert!(ResumeToken::decode(&text).is_err());
        prop_assert!(ResumeToken::decode(&hex).is_err());
    }
}

#[test]
fn the_lists_of_a_raw_stream_are_read_and_made_again() {
    for name in ["e-raw", "e-raw.resumed", "e-rawincr", "z-full.resumed"] {
        let stream = fixture(name);
        let length = usize::try_from(Begin::parse(&stream).unwrap().payload_len).unwrap();
        let bytes = &stream[312..312 + length];
        let list = NvList::decode(bytes).unwrap();
        assert!(list.encode() == bytes, "{name}");
        let Some(NvValue::List(keys)) = list.get("crypt_keydata") else {
            assert_eq!(name, "z-full.resumed");
            assert_eq!(
                (list.uint64("resume_object"), list.uint64("resume_offset")),
                (Some(1), Some(0x56000))
            );
            continue;
        };
        assert_eq!(keys.uint64("DSL_CRYPTO_SUITE"), Some(8));
        assert_eq!(keys.uint64("pbkdf2iters"), Some(350_000));
        assert!(matches!(keys.get("DSL_CRYPTO_IV"), Some(NvValue::Other { type_number: 26, count: 12, .. })));
    }
}

#[test]
fn a_list_of_a_big_endian_machine_is_read() {
    let mut bytes = vec![0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    bytes.extend([0, 0, 0, 32, 0, 7, 0, 0, 0, 0, 0, 1, 0, 0, 0, 8]);
    bytes.extend(*b"object\0\0\0\0\0\0\0\0\x01\x02\0\0\0\0");
    assert_eq!(NvList::decode(&bytes).unwrap().uint64("object"), Some(0x102));
}

#[test]
fn what_is_wrong_with_a_list_is_said() {
    let list = NvList(vec![("object".to_owned(), NvValue::Uint64(5))]);
    let good = list.encode();
    let with = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        NvList::decode(&bytes).unwrap_err()
    };
    assert_eq!(with(0, 1), NvListError::Encoding { encoding: 1 });
    assert_eq!(with(1, 2), NvListError::ByteOrder { order: 2 });
    assert_eq!(with(4, 1), NvListError::Version { version: 1 });
    for (at, byte) in [(12, 31), (12, 16), (16, 0), (16, 0xff), (20, 2), (24, 1)] {
        let error = with(at, byte);
        let known = matches!(error, NvListError::BadPair { at: 12 } | NvListError::BadText { at: 12 });
        assert!(known, "byte {at} = {byte}: {error}");
    }
    assert_eq!(with(12, 0xf8), NvListError::Truncated { at: good.len() });
    assert_eq!(with(30, 0), NvListError::BadText { at: 12 });
    let longer = [&good[..], &[0; 3]].concat();
    assert_eq!(NvList::decode(&longer), Err(NvListError::BytesAfterEnd { length: 3 }));
    let mut deep = NvList::default();
    for _ in 0..16 {
        deep = NvList(vec![("in".to_owned(), NvValue::List(deep))]);
    }
    assert_eq!(NvList::decode(&deep.encode()), Err(NvListError::TooDeep));
}

/// A list array that says it has more lists than there are bytes must not reserve room for them.
#[test]
fn counts_are_not_believed() {
    let lists = NvList(vec![("l".to_owned(), NvValue::Lists(vec![NvList::default(); 2]))]);
    let mut bytes = lists.encode();
    bytes[20..24].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(NvList::decode(&bytes), Err(NvListError::BadPair { at: 12 }));
}

/// Puts a list's bytes into the outside of a token with the right sum.
fn sealed(list: &[u8], length: usize) -> String {
    use flate2::{Compression, write::ZlibEncoder};
    use std::io::Write;
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::new(6));
    zlib.write_all(list).unwrap();
    outside(&zlib.finish().unwrap(), length)
}

fn outside(compressed: &[u8], length: usize) -> String {
    let mut sums = sendstream::Fletcher4::new(sendstream::ByteOrder::Little);
    sums.update(compressed);
    let start = format!("1-{:x}-{length:x}-", sums.value()[0]);
    compressed.iter().fold(start, |token, byte| format!("{token}{byte:02x}"))
}

#[test]
fn what_is_no_token_is_told_from_what_is_damaged() {
    let good = token("d-full");
    for text in ["", "1", "1-2-3", "1--3-00", "1-2-3-4-5", "1-2-3-0g", "1-2-3-123", "1-+2-3-00", "1-2-3-"] {
        assert_eq!(ResumeToken::decode(text), Err(TokenError::NotAToken), "{text:?}");
    }
    let newer = format!("2{}", &good[1..]);
    assert_eq!(ResumeToken::decode(&newer), Err(TokenError::UnknownVersion { version: 2 }));
    let cut = &good[..good.len() - 2];
    assert_eq!(ResumeToken::decode(cut), Err(TokenError::BadCompression { expected: 0xb8 }));
    let cut = &good[..good.len() - 4];
    assert!(matches!(ResumeToken::decode(cut), Err(TokenError::ChecksumMismatch { .. })));
    let other_length = good.replacen("-b8-", "-b9-", 1);
    assert_eq!(ResumeToken::decode(&other_length), Err(TokenError::BadCompression { expected: 0xb9 }));
}

#[test]
fn a_token_cannot_make_the_reader_use_memory() {
    let zeros = vec![0; 50 << 20];
    let bomb = sealed(&zeros, 1 << 16);
    assert_eq!(ResumeToken::decode(&bomb), Err(TokenError::BadCompression { expected: 1 << 16 }));
    let claims = sealed(&zeros, zeros.len());
    assert!(matches!(ResumeToken::decode(&claims), Err(TokenError::TooLong { .. })));
    let long = format!("1-0-10-{}", "00".repeat(1 << 20));
    assert!(matches!(ResumeToken::decode(&long), Err(TokenError::TooLong { .. })));
}

#[test]
fn bytes_behind_the_compressed_ones_are_refused() {
    let text = token("l-lc");
    let longer = format!("{text}00");
    assert_eq!(ResumeToken::decode(&longer), Err(TokenError::BadCompression { expected: 0xf8 }));
}

fn pairs(token: &ResumeToken) -> NvList {
    let text = token.encode().unwrap();
    let hex = text.rsplit('-').next().unwrap();
    let compressed: Vec<u8> =
        (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect();
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::ZlibDecoder::new(&compressed[..]), &mut bytes).unwrap();
    NvList::decode(&bytes).unwrap()
}

#[test]
fn the_keys_of_a_token_are_checked() {
    let list = pairs(&ResumeToken::decode(&token("d-lec")).unwrap());
    let decode = |list: &NvList| {
        let bytes = list.encode();
        ResumeToken::decode(&sealed(&bytes, bytes.len()))
    };
    assert!(decode(&list).is_ok());
    for key in ["object", "offset", "bytes", "toguid", "toname"] {
        let mut less = list.clone();
        less.0.retain(|(name, _)| name != key);
        assert_eq!(decode(&less), Err(TokenError::MissingKey { key }));
    }
    for (key, value) in [
        ("object", NvValue::Uint64(1)),
        ("rawok", NvValue::Uint64(1)),
        ("savedok", NvValue::Boolean),
        ("toname", NvValue::String("x@y".to_owned())),
    ] {
        let mut more = list.clone();
        more.0.push((key.to_owned(), value));
        assert_eq!(decode(&more), Err(TokenError::UnexpectedKey { key: key.to_owned() }));
    }
    for name in ["", "tank/d", "@a", "tank/d@", "a@b@c", &format!("tank/{}@a", "x".repeat(250))] {
        let token = ResumeToken { to_name: name.to_owned(), ..ResumeToken::decode(&token("d-lec")).unwrap() };
        assert_eq!(token.encode(), Err(TokenError::BadName { name: name.to_owned() }));
    }
}

#[test]
fn the_longest_name_and_many_redaction_snapshots_fit() {
    let mut longest = ResumeToken::decode(&token("d-full")).unwrap();
    longest.to_name = format!("tank/{}@a", "x".repeat(248));
    longest.redact_snapshot_guids =
        Some((0..7000_u64).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect());
    assert_eq!(ResumeToken::decode(&longest.encode().unwrap()).unwrap(), longest);
    longest.redact_snapshot_guids = Some(vec![0; 9000]);
    assert!(matches!(longest.encode(), Err(TokenError::TooLong { .. })));
}

#[test]
fn the_last_border_of_a_stream_cut_anywhere_is_the_last_that_is_vouched_for() {
    for name in ["d-incr", "x-full", "z-full", "e-rawincr", "l-split"] {
        let stream = fixture(name);
        let seen = records(&stream);
        let headers = seen.iter().map(|seen| usize::try_from(seen.record.at).unwrap());
        for cut in (0..stream.len()).step_by(3301).chain(headers) {
            let known = seen.iter().take_while(|seen| seen.record.at + 312 <= cut as u64);
            let wanted = known.filter_map(|seen| Some((seen.border?, seen.record))).last();
            match (last_border(&stream[..cut]), wanted) {
                (Ok(partial), Some((border, record))) => {
                    assert_eq!((partial.saved.border, partial.saved.position), (border, record.at));
                    assert_eq!(partial.saved.sums, record.checksum_before);
                    assert_eq!(partial.broken, StreamError::Truncated { at: cut as u64 });
                }
                (Err(PartialError::NoBorder(error)), None) => {
                    assert_eq!(error, StreamError::Truncated { at: cut as u64 });
                }
                (Err(PartialError::Stream(_)), None) => assert!(cut < 312, "{name} {cut}"),
                (got, wanted) => panic!("{name} cut at {cut}: {got:?}, wanted {wanted:?}"),
            }
        }
    }
}

#[test]
fn damage_is_not_gone_on_from() {
    let mut stream = fixture("d-full");
    let seen = records(&stream);
    let hit = 60;
    stream[usize::try_from(seen[hit].record.at).unwrap() - 1] ^= 1;
    let partial = last_border(&stream[..]).unwrap();
    let before = seen[..hit].iter().rfind(|seen| seen.border.is_some()).unwrap();
    assert_eq!(Some(partial.saved.border), before.border);
    assert!(matches!(partial.broken, StreamError::ChecksumMismatch { .. }));
}

#[test]
fn what_cannot_be_resumed_is_refused() {
    let refused = |name: &str, most: usize| last_border(&fixture(name)[..most]).unwrap_err();
    assert!(matches!(refused("d-full", 790_136), PartialError::Whole { bytes: 790_136 }));
    assert!(matches!(refused("fuse-full", 50_000), PartialError::NoSums));
    assert!(matches!(refused("d-R", 50_000), PartialError::Stream(StreamError::Compound)));
    assert!(matches!(refused("z-full.resumed", 50_000), PartialError::Stream(StreamError::Resuming)));
    assert!(matches!(refused("d-full", 0), PartialError::Stream(StreamError::Empty)));
}

#[test]
fn a_border_before_an_object_has_offset_zero() {
    assert_eq!(Border::BeforeObject { object: 7 }.resume_place(), (7, 0));
    assert_eq!(Border::AfterWrite { object: 7, end_offset: 512 }.resume_place(), (7, 512));
}
