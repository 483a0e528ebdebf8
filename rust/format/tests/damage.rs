//! Every kind of damage to a manifest is found and named; every broken chain is told apart.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

use format::{
    BackupKeys, Compression, Damage, FormatError, Hex, Manifest, ManifestKey, chain_to, check_linked,
    parse_manifest_key,
};
use proptest::prelude::*;

const FULL: &[u8] = include_bytes!("../../../tests/fixtures/format/v1/manifest-full.json");
const INCREMENTAL: &[u8] = include_bytes!("../../../tests/fixtures/format/v1/manifest-incremental.json");

/// What validation says of a sound manifest after an edit.
fn damage(document: &[u8], edit: impl FnOnce(&mut Manifest)) -> Damage {
    let mut manifest = Manifest::parse(document).unwrap();
    edit(&mut manifest);
    let error = manifest.validate().unwrap_err();
    assert_eq!(manifest.to_json().unwrap_err(), error, "what would not read must not be written");
    match error {
        FormatError::Damaged { damage, .. } => damage,
        other => panic!("{other}"),
    }
}

macro_rules! assert_damage {
    ($document:expr, $edit:expr, $kind:pat) => {
        let found = damage($document, $edit);
        assert!(matches!(found, $kind), "{found:?}");
    };
}

#[test]
fn parts_that_make_no_stream_are_found() {
    assert_damage!(FULL, |m| drop(m.parts.remove(0)), Damage::Gap { number: 1, expected: 0, .. });
    assert_damage!(FULL, |m| drop(m.parts.remove(1)), Damage::Gap { number: 2, .. });
    assert_damage!(FULL, |m| drop(m.parts.pop()), Damage::StreamLength { .. });
    assert_damage!(FULL, |m| m.parts[1].stream_offset += 1, Damage::Gap { number: 1, .. });
    assert_damage!(FULL, |m| m.parts[1].stream_offset -= 1, Damage::Overlap { number: 1, .. });
    assert_damage!(FULL, |m| m.parts[0].stream_length -= 1, Damage::Gap { number: 1, .. });
    assert_damage!(FULL, |m| m.parts[2].stream_length += 1, Damage::StreamLength { .. });
    assert_damage!(FULL, |m| m.stream_length -= 1, Damage::StreamLength { .. });
    assert_damage!(FULL, |m| m.parts[0].stream_length = 0, Damage::ZeroLength { .. });
    assert_damage!(FULL, |m| m.parts[2].sealed_length = 0, Damage::ZeroLength { .. });
    assert_damage!(FULL, |m| m.parts[2].stream_length = u64::MAX, Damage::Overflow { number: 2 });
    assert_damage!(FULL, |m| m.parts.swap(0, 1), Damage::Gap { .. });
    assert_damage!(FULL, |m| m.parts.swap(1, 2), Damage::Gap { .. });
    assert_damage!(FULL, |m| m.parts[2].number = 1, Damage::WrongOrder { number: 1, after: 1 });
    assert_damage!(FULL, |m| m.parts[1].number = 5, Damage::ForeignKey { .. });
    assert_damage!(FULL, |m| m.parts.clear(), Damage::NoParts);
}

#[test]
fn keys_that_lead_elsewhere_are_found() {
    let other = BackupKeys::new("nas-1a2b3c4d", "tank/other", Manifest::parse(FULL).unwrap().id).unwrap();
    let foreign = other.part_key(0, Hex::from_bytes([1; 4]), false).unwrap();
    assert_damage!(FULL, |m| m.parts[0].key = foreign, Damage::ForeignKey { .. });
    assert_damage!(FULL, |m| m.parts[0].key.insert_str(5, "../"), Damage::ForeignKey { .. });
    assert_damage!(FULL, |m| m.parts[0].key.push_str(".bak"), Damage::ForeignKey { .. });
    let swap = |m: &mut Manifest| m.parts[0].key = m.parts[1].key.clone();
    assert_damage!(FULL, swap, Damage::ForeignKey { .. });
    assert_damage!(FULL, |m| m.parts[0].key = m.keys().unwrap().recover_txt_key(), Damage::ForeignKey { .. });
    assert_damage!(FULL, |m| m.meta.key = other.meta_key(), Damage::ForeignKey { .. });
    assert_damage!(FULL, |m| m.meta.sealed_length = 0, Damage::ZeroLength { .. });
    assert_damage!(
        INCREMENTAL,
        |m| m.compression = Compression::None,
        Damage::UnstatedCompression { number: 0 }
    );
    // A renamed dataset or source makes every key a foreign one.
    assert_damage!(FULL, |m| m.dataset = "tank/renamed".to_owned(), Damage::ForeignKey { .. });
    assert_damage!(FULL, |m| m.source = "other-machine".to_owned(), Damage::ForeignKey { .. });
    assert_damage!(FULL, |m| m.dataset.push('/'), Damage::BadField { .. });
}

#[test]
fn levels_and_parents_that_do_not_fit_are_found() {
    let parent = Manifest::parse(INCREMENTAL).unwrap().parent;
    assert_damage!(FULL, |m| m.parent = parent, Damage::FullWithParent);
    assert_damage!(INCREMENTAL, |m| m.parent = None, Damage::NoParent { level: 1 });
    assert_damage!(
        INCREMENTAL,
        |m| m.parent.as_mut().unwrap().id = m.id,
        Damage::ParentLevel { level: 1, parent: 1 }
    );
    let guid = |m: &mut Manifest| m.parent.as_mut().unwrap().snapshot_guid += 1;
    assert_damage!(INCREMENTAL, guid, Damage::Mismatch { field: "parent's snapshot_guid", .. });
    assert_damage!(FULL, |m| m.level = 1, Damage::Mismatch { field: "level", .. });
    assert_damage!(FULL, |m| m.snapshot_guid += 1, Damage::Mismatch { field: "snapshot_guid", .. });
    assert_damage!(FULL, |m| m.recipients.clear(), Damage::NoRecipients);
    assert_damage!(FULL, |m| m.recipients[0] = " ".to_owned(), Damage::BadField { field: "recipients", .. });
    assert_damage!(FULL, |m| m.snapshot = "tank/a@b".to_owned(), Damage::BadField { field: "snapshot", .. });
    assert_damage!(FULL, |m| m.format = 2, Damage::BadField { field: "format", .. });
}

#[test]
fn manifests_that_do_not_stand_on_each_other_are_found() {
    let (full, incremental) = (Manifest::parse(FULL).unwrap(), Manifest::parse(INCREMENTAL).unwrap());
    let broken = |edit: &dyn Fn(&mut Manifest)| {
        let mut parent = full.clone();
        edit(&mut parent);
        match check_linked(&[parent, incremental.clone()]).unwrap_err() {
            FormatError::BrokenLink { why, .. } => why,
            other => panic!("{other}"),
        }
    };
    assert_eq!(broken(&|m| m.id.created = incremental.id.created), "the parent's id");
    assert_eq!(broken(&|m| m.repository = Hex::from_bytes([0; 16])), "the repository");
    assert_eq!(broken(&|m| m.source.push('x')), "the source");
    assert_eq!(broken(&|m| m.dataset.push('x')), "the dataset");
    assert_eq!(broken(&|m| m.send.raw = true), "raw or not raw");
    assert_eq!(check_linked(&[incremental]).unwrap_err().code(), "format.missing_parent");
}

/// A manifest key with a level, nonce and parent of the test's choosing.
fn key(dataset: &str, level: u32, nonce: u8, parent: Option<u8>) -> ManifestKey {
    let hex = |byte: u8| format!("{byte:012x}");
    let parent = parent.map_or("0".to_owned(), hex);
    let id = format!("20261121T0102{nonce:02}Z-{level}-00000000000000{nonce:02x}-{}", hex(nonce));
    parse_manifest_key(&format!("manifests/nas/{dataset}/@/{id}~{parent}.json")).unwrap()
}

#[test]
fn chains_run_from_the_full_to_the_target() {
    let keys = vec![
        key("tank", 2, 3, Some(2)),
        key("tank", 0, 1, None),
        key("tank", 1, 4, Some(1)),
        key("tank", 1, 2, Some(1)),
        key("tank", 0, 5, None),
        key("tank/child", 1, 2, Some(1)),
        key("tank", 1, 2, Some(1)),
    ];
    let chain = chain_to(&keys, &keys[0].id).unwrap();
    assert_eq!(chain, [&keys[1], &keys[3], &keys[0]]);
    assert_eq!(chain_to(&keys, &keys[4].id).unwrap(), [&keys[4]]);
}

#[test]
fn broken_chains_are_told_apart() {
    let (full, child) = (key("tank", 0, 1, None), key("tank", 1, 2, Some(1)));
    let code = |keys: &[ManifestKey], target: &ManifestKey| chain_to(keys, &target.id).unwrap_err().code();
    assert_eq!(code(std::slice::from_ref(&full), &child), "format.unknown_backup");
    assert_eq!(code(std::slice::from_ref(&child), &child), "format.missing_parent");
    let elsewhere = key("tank/child", 0, 1, None);
    assert_eq!(code(&[elsewhere, child.clone()], &child), "format.missing_parent");
    let mut twin = full.clone();
    twin.id.snapshot_guid += 1;
    assert_eq!(code(&[full, twin, child.clone()], &child), "format.ambiguous_parent");
    let circle = [key("tank", 1, 1, Some(3)), key("tank", 2, 2, Some(1)), key("tank", 3, 3, Some(2))];
    assert_eq!(code(&circle, &circle[2]), "format.cycle");
    let own = key("tank", 1, 1, Some(1));
    assert_eq!(code(std::slice::from_ref(&own), &own), "format.cycle");
    assert_eq!(code(&[child.clone(), key("tank", 1, 2, Some(9))], &child), "format.ambiguous_backup");
}

proptest! {
    #[test]
    fn chains_never_panic_and_always_link(links in proptest::collection::vec((0_u32..4, 0_u8..12, 0_u8..12), 1..20)) {
        let keys: Vec<ManifestKey> =
            links.iter().map(|(level, nonce, parent)| key("tank", *level, *nonce, (*level > 0).then_some(*parent))).collect();
        if let Ok(chain) = chain_to(&keys, &keys[0].id) {
            prop_assert_eq!(chain.last().unwrap().id, keys[0].id);
            prop_assert_eq!(chain[0].parent_nonce, None);
            for pair in chain.windows(2) {
                prop_assert_eq!(pair[1].parent_nonce, Some(pair[0].id.nonce));
            }
        }
    }
}
