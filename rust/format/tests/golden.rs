//! Documents of released versions: they must read for ever, and what we write today is byte for byte what stands there.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

use format::{
    BackupId, BackupKeys, ChecksumAlgorithm, ChecksumKind, Compression, Damage, DatasetType, FormatError,
    Intent, Made, Manifest, Meta, PropertySource, Repository, TOMBSTONE, check_linked, encode_component,
    parse_manifest_key, recover_txt,
};
use serde_json::{Value, json};

const REPOSITORY: &[u8] = include_bytes!("../../../tests/fixtures/format/v1/repository.json");
const INTENT: &[u8] = include_bytes!("../../../tests/fixtures/format/v1/intent.json");
const FULL: &[u8] = include_bytes!("../../../tests/fixtures/format/v1/manifest-full.json");
const INCREMENTAL: &[u8] = include_bytes!("../../../tests/fixtures/format/v1/manifest-incremental.json");
const META: &[u8] = include_bytes!("../../../tests/fixtures/format/v1/meta.json");
const FORMAT_MD: &str = include_str!("../FORMAT.md");

fn edited(document: &[u8], edit: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut value: Value = serde_json::from_slice(document).unwrap();
    edit(&mut value);
    serde_json::to_vec(&value).unwrap()
}

#[test]
fn version_1_documents_read_and_are_written_the_same() {
    assert_eq!(Repository::parse(REPOSITORY).unwrap().to_json().unwrap(), REPOSITORY);
    assert_eq!(Intent::parse(INTENT).unwrap().to_json().unwrap(), INTENT);
    assert_eq!(Manifest::parse(FULL).unwrap().to_json().unwrap(), FULL);
    assert_eq!(Manifest::parse(INCREMENTAL).unwrap().to_json().unwrap(), INCREMENTAL);
    assert_eq!(Meta::parse(META).unwrap().to_json().unwrap(), META);
}

#[test]
fn version_1_fields_mean_what_they_meant() {
    let full = Manifest::parse(FULL).unwrap();
    assert_eq!(
        (full.snapshot_guid, full.dataset_guid),
        (0xb9a8_d8f5_a1b2_c3d4, Some(9_000_000_000_000_000_001))
    );
    assert_eq!((full.level, full.send.made, full.send.raw), (0, Made::Zfs, false));
    assert_eq!(full.committed.unix_seconds(), 1_795_223_100);
    assert_eq!(full.parts[1].store_checksum.algorithm, ChecksumAlgorithm::Sha256);
    assert_eq!(full.parts[2].store_checksum.kind, ChecksumKind::Reread);
    let incremental = Manifest::parse(INCREMENTAL).unwrap();
    assert_eq!((incremental.compression, incremental.send.made), (Compression::Zstd, Made::Stdin));
    assert_eq!(incremental.parent.as_ref().unwrap().id, full.id);
    check_linked(&[full, incremental]).unwrap();
    let meta = Meta::parse(META).unwrap();
    assert_eq!(meta.end_checksum.0[3], 0xfedc_ba98_7654_3210);
    assert_eq!(meta.dataset_type, Some(DatasetType::Filesystem));
    assert_eq!(meta.properties["org.example:note"].source, PropertySource::Received);
    assert_eq!(Intent::parse(INTENT).unwrap().pid, Some(4711));
}

#[test]
fn keys_of_version_1_stay() {
    let full = Manifest::parse(FULL).unwrap();
    let id = "20261121T010203Z-0-b9a8d8f5a1b2c3d4-0f1e2d3c4b5a";
    let folder = "nas-1a2b3c4d/tank/important/@";
    assert_eq!(full.key().unwrap(), format!("manifests/{folder}/{id}~0.json"));
    let keys = full.keys().unwrap();
    assert_eq!(keys.data_prefix(), format!("data/{folder}/{id}/"));
    assert_eq!(keys.meta_key(), format!("data/{folder}/{id}/meta.age"));
    assert_eq!(keys.recover_txt_key(), format!("data/{folder}/{id}/RECOVER.txt"));
    assert_eq!(keys.intent_key(), format!("runs/nas-1a2b3c4d/{id}.json"));
    assert_eq!(
        keys.part_key(7, "0a0b0c0d".parse().unwrap(), true).unwrap(),
        format!("data/{folder}/{id}/part-000007-0a0b0c0d.zst.age")
    );
    let incremental = Manifest::parse(INCREMENTAL).unwrap();
    assert!(incremental.key().unwrap().ends_with("-a1b2c3d4e5f6~0f1e2d3c4b5a.json"));
}

#[test]
fn recover_txt_is_the_part_keys_and_nothing_else() {
    let full = Manifest::parse(FULL).unwrap();
    let text = recover_txt(&full);
    assert!(text.ends_with(".age\n"));
    let keys: Vec<&str> = full.parts.iter().map(|part| part.key.as_str()).collect();
    assert_eq!(text.lines().collect::<Vec<_>>(), keys);
}

#[test]
fn unknown_keys_are_ignored() {
    let future = edited(FULL, |value| {
        value["later"] = json!({"anything": [1, 2.5, null]});
        value["parts"][0]["later"] = json!("x");
        value["send"]["later"] = json!(true);
    });
    assert_eq!(Manifest::parse(&future).unwrap(), Manifest::parse(FULL).unwrap());
    let future = edited(REPOSITORY, |value| value["created"] = json!("2026-11-21T01:02:03Z"));
    assert_eq!(Repository::parse(&future).unwrap(), Repository::parse(REPOSITORY).unwrap());
}

#[test]
fn unknown_requirements_are_refused_by_name() {
    let future = |document| edited(document, |value| value["requires"] = json!(["erasure-coding", "sparse"]));
    let errors = [
        Repository::parse(&future(REPOSITORY)).unwrap_err(),
        Intent::parse(&future(INTENT)).unwrap_err(),
        Manifest::parse(&future(FULL)).unwrap_err(),
        Meta::parse(&future(META)).unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.code(), "format.requires");
        assert!(
            matches!(&error, FormatError::Requires { names, .. } if names == &["erasure-coding", "sparse"])
        );
        assert!(error.to_string().contains("erasure-coding, sparse"), "{error}");
        assert!(error.to_string().contains("upgrade zfs-push-backups"), "{error}");
    }
}

#[test]
fn newer_formats_are_refused_whatever_else_they_say() {
    let newer = br#"{"format": 2, "requires": {"not": "a list"}, "id": 17}"#;
    for error in [
        Repository::parse(newer).unwrap_err(),
        Intent::parse(newer).unwrap_err(),
        Manifest::parse(newer).unwrap_err(),
        Meta::parse(newer).unwrap_err(),
    ] {
        assert_eq!(error.code(), "format.too_new");
        assert!(error.to_string().contains("upgrade zfs-push-backups"), "{error}");
    }
}

#[test]
fn documents_without_a_sound_head_are_refused() {
    for text in
        ["", "[]", "{}", r#"{"format": 0}"#, r#"{"format": "1"}"#, r#"{"format": 1, "requires": [1]}"#]
    {
        let error = Manifest::parse(text.as_bytes()).unwrap_err();
        assert_eq!(error.code(), "format.unreadable", "{text}");
    }
    let twice = String::from_utf8(REPOSITORY.to_vec()).unwrap().replace("\"id\"", "\"id\": \"0\", \"id\"");
    assert_eq!(Repository::parse(twice.as_bytes()).unwrap_err().code(), "format.unreadable");
}

#[test]
fn a_tombstone_is_no_manifest_and_an_empty_object_is_damage() {
    assert_eq!(Manifest::parse(TOMBSTONE).unwrap_err(), FormatError::Tombstone);
    assert_eq!(TOMBSTONE.len(), 19, "RECOVER.md and FORMAT.md leave out files of 19 bytes");
    assert_eq!(Manifest::parse(b"").unwrap_err().code(), "format.unreadable");
}

#[test]
fn a_manifest_at_another_key_is_refused() {
    let full = Manifest::parse(FULL).unwrap();
    let own = parse_manifest_key(&full.key().unwrap()).unwrap();
    assert_eq!(Manifest::parse_at(&own, FULL).unwrap(), full);
    let other = BackupKeys::new("nas-1a2b3c4d", "tank/other", full.id).unwrap().manifest_key(None);
    let error = Manifest::parse_at(&parse_manifest_key(&other).unwrap(), FULL).unwrap_err();
    assert!(matches!(error, FormatError::Damaged { damage: Damage::Mismatch { field: "own key", .. }, .. }));
}

#[test]
fn ids_read_in_one_spelling_only() {
    let good = "20261121T010203Z-0-b9a8d8f5a1b2c3d4-0f1e2d3c4b5a";
    assert_eq!(good.parse::<BackupId>().unwrap().to_string(), good);
    for bad in [
        "",
        "20261121T010203Z-00-b9a8d8f5a1b2c3d4-0f1e2d3c4b5a",
        "20261121T010203Z-+1-b9a8d8f5a1b2c3d4-0f1e2d3c4b5a",
        "20261121T010203Z-4294967296-b9a8d8f5a1b2c3d4-0f1e2d3c4b5a",
        "20261121T010203Z-0-B9A8d8f5a1b2c3d4-0f1e2d3c4b5a",
        "20261121T010203Z-0-b9a8d8f5a1b2c3d-0f1e2d3c4b5a",
        "20261121T010203Z-0-b9a8d8f5a1b2c3d4-0f1e2d3c4b5",
        "20261121T010203Z-0-b9a8d8f5a1b2c3d4-0f1e2d3c4b5a-",
        "20260230T010203Z-0-b9a8d8f5a1b2c3d4-0f1e2d3c4b5a",
        "20261121T010260Z-0-b9a8d8f5a1b2c3d4-0f1e2d3c4b5a",
        "19691231T235959Z-0-b9a8d8f5a1b2c3d4-0f1e2d3c4b5a",
        "20261121 010203Z-0-b9a8d8f5a1b2c3d4-0f1e2d3c4b5a",
    ] {
        assert_eq!(bad.parse::<BackupId>().unwrap_err().code(), "format.bad_text", "{bad}");
    }
}

fn examples(title: &str) -> Vec<Vec<Value>> {
    let fence = format!("```json examples: {title}\n");
    let (_, block) = FORMAT_MD.split_once(&fence).expect("FORMAT.md has the block");
    block.split("```").next().unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn the_examples_of_the_specification_hold() {
    let names = examples("names");
    assert!(names.len() > 10);
    for pair in names {
        assert_eq!(encode_component(pair[0].as_str().unwrap()).unwrap(), pair[1].as_str().unwrap());
    }
    let hashed = examples("hashed names");
    assert!(hashed.len() > 2);
    for row in hashed {
        let count = usize::try_from(row[2].as_u64().unwrap()).unwrap();
        let name = row[0].as_str().unwrap().to_owned() + &row[1].as_str().unwrap().repeat(count);
        assert_eq!(encode_component(&name).unwrap(), row[3].as_str().unwrap(), "{name}");
    }
}

#[test]
fn the_list_of_error_codes_is_complete() {
    let source = include_str!("../src/error.rs");
    let returned: Vec<&str> =
        source.split("=> \"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert_eq!(returned, FormatError::CODES);
}
