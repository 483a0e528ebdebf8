//! Properties of names, keys, ids and readers, over arbitrary input.
#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::collections::HashMap;

use format::{
    BackupId, BackupKeys, Hex, Intent, MAX_COMPONENT_BYTES, Manifest, Meta, Nonce, PartName, Repository,
    Timestamp, check_key, decode_component, encode_component, manifest_prefix, parse_manifest_key,
    recover_md,
};
use proptest::prelude::*;

const FULL: &[u8] = include_bytes!("../../../tests/fixtures/format/v1/manifest-full.json");

/// Names of every kind: any unicode, the format's own marks, dots, and up to 255 bytes.
fn any_name() -> impl Strategy<Value = String> {
    prop_oneof![
        "\\PC{1,85}",
        "[a-z./%~@ -]{1,40}",
        "\\.{1,4}",
        "[a-zß日 %]{60,120}".prop_filter("at most 255 bytes", |name| name.len() <= 255),
        any::<String>().prop_filter("not empty", |name| !name.is_empty()),
    ]
}

fn dataset_component() -> impl Strategy<Value = String> {
    any_name().prop_map(|name| name.replace(['/', '@', '#'], "_"))
}

fn any_id() -> impl Strategy<Value = BackupId> {
    let seconds = 0_i64..253_402_300_800;
    let level = prop_oneof![Just(0), any::<u32>()];
    (seconds, level, any::<u64>(), any::<[u8; 6]>()).prop_map(|(seconds, level, snapshot_guid, nonce)| {
        BackupId {
            created: Timestamp::from_unix_seconds(seconds).unwrap(),
            level,
            snapshot_guid,
            nonce: Nonce::from_bytes(nonce),
        }
    })
}

proptest! {
    #[test]
    fn components_are_safe_and_decode_to_their_name(name in any_name()) {
        let encoded = encode_component(&name).unwrap();
        prop_assert!(encoded.len() <= MAX_COMPONENT_BYTES && MAX_COMPONENT_BYTES <= 250);
        prop_assert!(!matches!(encoded.as_str(), "" | "." | ".." | "@"));
        prop_assert!(encoded.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-%~".contains(&byte)));
        match decode_component(&encoded).unwrap() {
            Some(decoded) => prop_assert_eq!(decoded, name),
            None => prop_assert!(encoded.contains('~')),
        }
    }

    #[test]
    fn encoding_is_injective(names in proptest::collection::hash_set(any_name(), 1..50)) {
        let mut seen = HashMap::new();
        for name in names {
            let before = seen.insert(encode_component(&name).unwrap(), name.clone());
            prop_assert_eq!(before, None, "two names share the component of {:?}", name);
        }
    }

    #[test]
    fn long_names_that_differ_only_at_the_end_stay_apart(head in "[a-z ]{201,240}", one in "[a-z]", other in "[a-z]") {
        let (left, right) = (encode_component(&(head.clone() + &one)).unwrap(), encode_component(&(head + &other)).unwrap());
        prop_assert_eq!(left == right, one == other);
        prop_assert_eq!(&left[..158], &right[..158]);
    }

    #[test]
    fn what_decodes_is_what_encoding_gives(text in prop_oneof![any::<String>(), "[a-zA-Z0-9%.~_-]{1,30}", "(%[0-9A-Fa-f]{2}){1,4}"]) {
        if let Ok(Some(name)) = decode_component(&text) {
            prop_assert_eq!(encode_component(&name).unwrap(), text);
        }
    }

    #[test]
    fn manifest_keys_read_back(
        source in "[a-zA-Z0-9. _-]{1,60}",
        dataset in proptest::collection::vec(dataset_component(), 1..4),
        id in any_id(),
        parent in any::<[u8; 6]>(),
    ) {
        let dataset = dataset.join("/");
        let parent = (id.level > 0).then_some(Nonce::from_bytes(parent));
        let keys = BackupKeys::new(&source, &dataset, id).unwrap();
        let key = keys.manifest_key(parent);
        check_key(&key).unwrap();
        let parsed = parse_manifest_key(&key).unwrap();
        prop_assert_eq!(parsed.key(), key.clone());
        prop_assert_eq!((&parsed.source, parsed.id, parsed.parent_nonce), (&source, id, parent));
        prop_assert_eq!(parsed.dataset.is_none(), parsed.folder.contains('~'));
        prop_assert!(parsed.dataset.as_ref().is_none_or(|name| *name == dataset));
        prop_assert!(parsed.is_of(Some(&source), Some(&dataset)).unwrap());
        prop_assert!(!parsed.is_of(Some(&source), Some(&(dataset.clone() + "/child"))).unwrap());
        prop_assert!(!parsed.is_of(Some(&(source.clone() + "x")), None).unwrap());
        prop_assert_eq!(parsed.backup_keys(&dataset).unwrap(), keys);
        prop_assert!(key.starts_with(&manifest_prefix(Some(&source), Some(&dataset)).unwrap()));
        prop_assert!(key.starts_with(&manifest_prefix(Some(&source), None).unwrap()));
    }

    #[test]
    fn ids_read_back_and_sort_by_time(one in any_id(), other in any_id()) {
        prop_assert_eq!(one.to_string().parse::<BackupId>().unwrap(), one);
        if one.created != other.created {
            prop_assert_eq!(one.to_string() < other.to_string(), one.created < other.created);
            prop_assert_eq!(one < other, one.created < other.created);
        }
    }

    #[test]
    fn times_read_back(seconds in 0_i64..253_402_300_800) {
        let moment = Timestamp::from_unix_seconds(seconds).unwrap();
        prop_assert_eq!(moment.unix_seconds(), seconds);
        prop_assert_eq!(moment.to_string().parse::<Timestamp>().unwrap(), moment);
        prop_assert_eq!(Timestamp::parse_compact(&moment.compact()).unwrap(), moment);
    }

    #[test]
    fn part_names_read_back(number in 0_u32..=999_999, attempt in any::<[u8; 4]>(), zstd in any::<bool>()) {
        let name = PartName { number, attempt: Hex::from_bytes(attempt), zstd };
        prop_assert_eq!(PartName::parse(&name.file_name()), Some(name));
    }

    #[test]
    fn reading_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300), text in any::<String>()) {
        let _ = (Repository::parse(&bytes), Intent::parse(&bytes), Manifest::parse(&bytes), Meta::parse(&bytes));
        let _ = (parse_manifest_key(&text), text.parse::<BackupId>(), PartName::parse(&text), text.parse::<Timestamp>());
        let _ = parse_manifest_key(&format!("manifests/{text}.json"));
    }

    #[test]
    fn damaged_manifests_never_panic(at in 0..FULL.len(), byte in any::<u8>(), cut in 0..FULL.len()) {
        let mut flipped = FULL.to_vec();
        flipped[at] = byte;
        let _ = Manifest::parse(&flipped);
        prop_assert!(Manifest::parse(&FULL[..cut.min(FULL.len() - 3)]).is_err());
    }
}

#[test]
fn times_outside_the_range_are_refused() {
    for seconds in [-1, 253_402_300_800, i64::MIN, i64::MAX] {
        assert_eq!(Timestamp::from_unix_seconds(seconds).unwrap_err().code(), "format.bad_text");
    }
}

#[test]
fn names_that_cannot_be_are_refused() {
    let id: BackupId = "20261121T010203Z-0-b9a8d8f5a1b2c3d4-0f1e2d3c4b5a".parse().unwrap();
    let code = |source: &str, dataset: &str| BackupKeys::new(source, dataset, id).unwrap_err().code();
    for dataset in ["", "/", "tank/", "/tank", "tank//a", "tank@snap", "tank#mark"] {
        assert_eq!(code("nas", dataset), "format.bad_name", "{dataset}");
    }
    assert_eq!(code("", "tank"), "format.bad_name");
    assert_eq!(code(&"x".repeat(201), "tank"), "format.bad_name");
    assert_eq!(code("nas", &["y".repeat(200).as_str(); 6].join("/")), "format.key_too_long");
    let keys = BackupKeys::new("nas", "tank", id).unwrap();
    assert_eq!(
        keys.part_key(1_000_000, Hex::from_bytes([0; 4]), false).unwrap_err().code(),
        "format.bad_name"
    );
}

#[test]
fn foreign_manifest_keys_are_refused() {
    let id = "20261121T010203Z-0-b9a8d8f5a1b2c3d4-0f1e2d3c4b5a";
    let incremental = "20261121T010203Z-1-b9a8d8f5a1b2c3d4-0f1e2d3c4b5a";
    assert!(parse_manifest_key(&format!("manifests/nas/tank/@/{id}~0.json")).is_ok());
    for key in [
        format!("data/nas/tank/@/{id}~0.json"),
        format!("manifests/nas/@/{id}~0.json"),
        format!("manifests/nas/tank/{id}~0.json"),
        format!("manifests/nas/tank/@/sub/@/{id}~0.json"),
        format!("manifests/nas/tank//@/{id}~0.json"),
        format!("manifests/nas/tank/../@/{id}~0.json"),
        format!("manifests/nas/t%61nk/@/{id}~0.json"),
        format!("manifests/nas/tank%2Fa/@/{id}~0.json"),
        format!("manifests/nas/tank/@/{id}.json"),
        format!("manifests/nas/tank/@/{id}~00.json"),
        format!("manifests/nas/tank/@/{id}~0f1e2d3c4b5a.json"),
        format!("manifests/nas/tank/@/{incremental}~0.json"),
        format!("manifests/nas/tank/@/.tmp-{id}~0.json"),
        format!("manifests/nas/{}~short/@/{id}~0.json", "a".repeat(160)),
    ] {
        assert_eq!(parse_manifest_key(&key).unwrap_err().code(), "format.bad_key", "{key}");
    }
}

#[test]
fn keys_that_could_leave_the_prefix_are_refused() {
    for key in ["", "/a", "a/", "a//b", "./a", "a/../b", "a/..", "a\0b", "a\nb"] {
        assert_eq!(check_key(key).unwrap_err().code(), "format.bad_key", "{key:?}");
    }
    assert!(check_key(&"k".repeat(1024)).is_ok());
    assert_eq!(check_key(&"k".repeat(1025)).unwrap_err().code(), "format.key_too_long");
}

#[test]
fn random_values_differ() {
    assert_ne!(Nonce::random().unwrap(), Nonce::random().unwrap());
}

#[test]
fn the_recipe_names_what_a_stranger_needs() {
    let text = recover_md();
    for word in [
        "zfs receive -u",
        "age -d -i",
        "zstd -d",
        "restore-object",
        "zfs load-key",
        "RECOVER.txt",
        "pipefail",
    ] {
        assert!(text.contains(word), "RECOVER.md says nothing of {word}");
    }
}
