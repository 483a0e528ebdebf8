//! What goes in comes out, byte for byte, whatever the parts and pieces; and nothing else is ever listed.

use crate::rooms::stream::{TO_GUID, compressible, incompressible};
use crate::rooms::{Room, recorded};
use serde_json::{Value, json};

fn manifest_key(report: &Value) -> String {
    report["manifest_key"].as_str().unwrap().to_owned()
}

fn round_trip(room: &Room, request: &Value, bytes: &[u8]) -> Value {
    let report = room.push(request, bytes).unwrap();
    let (restored, stream) = room.restore_with(&manifest_key(&report), 32 << 20).unwrap();
    assert!(stream == bytes, "{} bytes came back, {} went in", stream.len(), bytes.len());
    assert_eq!(restored["stream_bytes"], bytes.len());
    report
}

#[test]
fn recorded_streams_of_every_kind_come_back() {
    for name in ["d-full.zs", "e-raw.zs", "fuse-full.zs", "l-lc.zs", "l-split.zs", "z-full.zs"] {
        let room = Room::new();
        let bytes = recorded(name);
        let begin = engine::parse_begin(&bytes[..312]).unwrap();
        let mut request = room.push_request();
        request["backup"]["snapshot_guid"] = begin["to_guid"].clone();
        request["backup"]["raw"] = begin["raw"].clone();
        round_trip(&room, &request, &bytes);
    }
}

#[test]
fn a_stream_of_many_parts_comes_back() {
    let room = Room::new();
    let mut request = room.push_request();
    request["part_size_bytes"] = json!(1 << 20);
    let report = round_trip(&room, &request, &incompressible(9 << 20));
    assert!(report["parts"].as_u64().unwrap() >= 9, "{report}");
    let listed = room.ask(&json!({ "list": {} })).unwrap();
    assert_eq!(listed["backups"].as_array().unwrap().len(), 1);
    assert_eq!(listed["backups"][0]["id"], report["id"]);
}

#[test]
fn parts_of_several_pieces_come_back_through_a_small_budget() {
    let room = Room::new();
    let mut request = room.push_request();
    request["memory_budget_bytes"] = json!(32 << 20);
    request["part_size_bytes"] = json!(27 << 20);
    let report = round_trip(&room, &request, &incompressible(70 << 20));
    assert_eq!(report["parts"], 3);
}

#[test]
fn a_limited_push_takes_its_time_and_comes_back() {
    let room = Room::new();
    let mut request = room.push_request();
    request["limit_upload_bytes_per_second"] = json!(4 << 20);
    let report = round_trip(&room, &request, &incompressible(2 << 20));
    assert!(report["seconds"]["total"].as_f64().unwrap() >= 0.4, "{report}");
}

#[test]
fn compressed_parts_come_back_and_are_smaller() {
    let room = Room::new();
    let mut request = room.push_request();
    request["compression"] = json!("zstd");
    request["part_size_bytes"] = json!(4 << 20);
    let bytes = compressible(20 << 20);
    let report = round_trip(&room, &request, &bytes);
    assert!(report["sealed_bytes"].as_u64().unwrap() < bytes.len() as u64 / 10, "{report}");
    assert!(room.objects().iter().any(|key| key.ends_with(".zst.age")));
}

#[test]
fn nothing_but_the_committed_objects_lies_in_the_store() {
    let room = Room::new();
    let report = room.push(&room.push_request(), &incompressible(3 << 20)).unwrap();
    let objects = room.objects();
    let id = report["id"].as_str().unwrap();
    assert!(!objects.iter().any(|key| key.starts_with("runs/")), "the intent is gone: {objects:?}");
    assert_eq!(objects.iter().filter(|key| key.contains(id)).count(), 4, "{objects:?}");
    assert_eq!(objects.len(), 6, "{objects:?}");
}

#[test]
fn no_plain_byte_reaches_the_store() {
    let room = Room::new();
    let report = room.push(&room.push_request(), &compressible(2 << 20)).unwrap();
    assert_eq!(report["parts"], 1);
    for key in room.objects() {
        let bytes = std::fs::read(room.root().join(&key)).unwrap();
        let leaks = bytes.windows(20).any(|window| window == b"of a log that repeat");
        assert!(!leaks, "{key} holds plain text");
    }
}

#[test]
fn the_sealed_properties_come_back() {
    let room = Room::new();
    let mut request = room.push_request();
    request["backup"]["properties"] = json!({ "compression": { "value": "lz4", "source": "local" } });
    request["backup"]["dataset_type"] = json!("filesystem");
    let report = room.push(&request, &incompressible(1 << 20)).unwrap();
    let operation = json!({ "meta": { "key": manifest_key(&report), "identity_files": [room.identity()] } });
    let meta = room.ask(&operation).unwrap();
    assert_eq!(meta["meta"]["properties"]["compression"]["value"], "lz4");
    assert_eq!(meta["meta"]["records"]["write"], 8, "{meta}");
}

#[test]
fn an_incremental_names_its_parent() {
    let room = Room::new();
    let full = room.push(&room.push_request(), &incompressible(1 << 20)).unwrap();
    let mut writer = crate::rooms::stream::StreamWriter::begin(77, TO_GUID);
    writer.object(8);
    writer.write(8, 0, &[1; 4096]);
    let mut request = room.push_request();
    request["backup"]["level"] = json!(1);
    request["backup"]["snapshot_guid"] = json!("77");
    request["backup"]["parent"] =
        json!({ "id": full["id"], "snapshot": "r", "snapshot_guid": TO_GUID.to_string() });
    let report = room.push(&request, &writer.end()).unwrap();
    let listed = room.ask(&json!({ "list": { "source": "nas-1a2b3c4d", "dataset": "tank/data" } })).unwrap();
    let backups = listed["backups"].as_array().unwrap();
    assert_eq!(backups.len(), 2);
    let entry = backups.iter().find(|entry| entry["id"] == report["id"]).unwrap();
    let parent = backups.iter().find(|entry| entry["id"] == full["id"]).unwrap();
    assert_eq!(entry["parent_nonce"], parent["nonce"]);
    assert_eq!(parent["parent_nonce"], "0");
}
