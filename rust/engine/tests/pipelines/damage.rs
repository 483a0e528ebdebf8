//! A store that lost or changed something: the part is named, and no stream is ever completed from it.

use std::path::PathBuf;

use crate::rooms::Room;
use crate::rooms::stream::incompressible;
use serde_json::json;

struct Stored {
    room: Room,
    key: String,
    parts: Vec<PathBuf>,
}

fn stored() -> Stored {
    let room = Room::new();
    let mut request = room.push_request();
    request["part_size_bytes"] = json!(1 << 20);
    let report = room.push(&request, &incompressible(4 << 20)).unwrap();
    let parts: Vec<PathBuf> =
        room.objects().iter().filter(|key| key.contains("/part-")).map(|key| room.root().join(key)).collect();
    Stored { key: report["manifest_key"].as_str().unwrap().to_owned(), room, parts }
}

impl Stored {
    fn preflight(&self) -> Result<serde_json::Value, engine::EngineError> {
        self.room
            .ask(&json!({ "preflight": { "keys": [self.key], "identity_files": [self.room.identity()] } }))
    }

    /// Both the preflight (where it can see it) and the restore must fail, naming the part.
    fn expect(&self, part: usize, seen_by_preflight: bool, code: &str) {
        let name = self.parts[part].file_name().unwrap().to_str().unwrap();
        assert_eq!(self.preflight().is_err(), seen_by_preflight);
        let error = self.room.restore(&self.key).unwrap_err();
        assert_eq!(error.code, code, "{error}");
        assert!(error.context["key"].contains(name), "{error:?} does not name {name}");
    }
}

#[test]
fn a_whole_store_passes_the_preflight() {
    let stored = stored();
    let report = stored.preflight().unwrap();
    assert_eq!(report["parts"], stored.parts.len());
}

#[test]
fn a_missing_part_is_named() {
    let stored = stored();
    std::fs::remove_file(&stored.parts[2]).unwrap();
    stored.expect(2, true, "engine.part_missing");
}

#[test]
fn a_truncated_part_is_named() {
    let stored = stored();
    let bytes = std::fs::read(&stored.parts[1]).unwrap();
    std::fs::write(&stored.parts[1], &bytes[..bytes.len() - 1]).unwrap();
    assert!(stored.preflight().unwrap_err().message.contains("bytes long"));
    stored.expect(1, true, "engine.part_damaged");
}

#[test]
fn a_flipped_bit_is_named() {
    let stored = stored();
    let mut bytes = std::fs::read(&stored.parts[3]).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&stored.parts[3], bytes).unwrap();
    stored.expect(3, false, "engine.part_damaged");
}

#[test]
fn swapped_parts_of_one_length_are_named() {
    let stored = stored();
    let (first, second) =
        (std::fs::read(&stored.parts[1]).unwrap(), std::fs::read(&stored.parts[2]).unwrap());
    std::fs::write(&stored.parts[1], &second).unwrap();
    std::fs::write(&stored.parts[2], &first).unwrap();
    let error = stored.room.restore(&stored.key).unwrap_err();
    assert!(error.context["key"].contains("part-000001"), "{error:?}");
}

#[test]
fn a_wrong_identity_is_told_before_any_byte() {
    let stored = stored();
    let other = Room::new();
    std::fs::copy(other.identity(), stored.room.identity()).unwrap();
    for error in [stored.preflight().unwrap_err(), stored.room.restore(&stored.key).unwrap_err()] {
        assert_eq!(error.code, "seal.wrong_identity");
        assert!(error.message.contains("part-000000"), "{error}");
    }
}

#[test]
fn a_newer_format_and_an_unknown_requirement_are_refused() {
    let stored = stored();
    let path = stored.room.root().join(&stored.key);
    let text = std::fs::read_to_string(&path).unwrap();
    let mut manifest: serde_json::Value = serde_json::from_str(&text).unwrap();
    manifest["requires"] = json!(["erasure-coding"]);
    std::fs::write(&path, manifest.to_string()).unwrap();
    let error = stored.room.restore(&stored.key).unwrap_err();
    assert_eq!(error.code, "format.requires");
    assert!(error.message.contains("erasure-coding") && error.message.contains(&stored.key), "{error}");
    manifest["format"] = json!(2);
    std::fs::write(&path, manifest.to_string()).unwrap();
    assert_eq!(stored.room.restore(&stored.key).unwrap_err().code, "format.too_new");
}

#[test]
fn a_newer_repository_is_not_written_to() {
    let stored = stored();
    let repository = stored.room.root().join("repository.json");
    let text = std::fs::read_to_string(&repository).unwrap().replace("\"format\":1", "\"format\":2");
    let text = text.replace("\"format\": 1", "\"format\": 2");
    std::fs::write(&repository, text).unwrap();
    let before = stored.room.objects();
    let error = stored.room.push(&stored.room.push_request(), &incompressible(1 << 20)).unwrap_err();
    assert_eq!(error.code, "format.too_new");
    assert_eq!(stored.room.objects(), before);
}

#[test]
fn a_moved_manifest_is_refused() {
    let stored = stored();
    let path = stored.room.root().join(&stored.key);
    let moved = stored.key.replace("/tank/data/", "/tank/other/");
    let target = stored.room.root().join(&moved);
    std::fs::create_dir_all(target.parent().unwrap()).unwrap();
    std::fs::copy(path, target).unwrap();
    assert!(stored.room.restore(&moved).unwrap_err().code.starts_with("format."));
}

#[test]
fn an_emptied_manifest_is_still_listed_and_then_refused_and_a_tombstone_is_not_listed() {
    let stored = stored();
    let path = stored.room.root().join(&stored.key);
    std::fs::write(&path, b"").unwrap();
    let listed = stored.room.ask(&json!({ "list": {} })).unwrap();
    assert_eq!(listed["backups"].as_array().unwrap().len(), 1);
    assert!(stored.room.restore(&stored.key).unwrap_err().code.starts_with("format."));
    std::fs::write(&path, format::TOMBSTONE).unwrap();
    assert_eq!(stored.room.ask(&json!({ "list": {} })).unwrap()["backups"], json!([]));
}
