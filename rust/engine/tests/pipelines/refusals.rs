//! What is not a whole, right stream is never committed, and leaves nothing behind.

use std::io::Write;
use std::time::{Duration, Instant};

use crate::rooms::stream::{StreamWriter, TO_GUID, incompressible};
use crate::rooms::{Room, file_of, push_with, recorded, wait};
use engine::SourceExit;
use serde_json::json;

fn refused(room: &Room, bytes: &[u8]) -> String {
    let error = room.push(&room.push_request(), bytes).unwrap_err();
    assert!(room.only_repository_left(), "{:?}", room.objects());
    assert_eq!(room.ask(&json!({ "list": {} })).unwrap()["backups"], json!([]));
    error.code.into_owned()
}

#[test]
fn damaged_streams_commit_nothing() {
    let room = Room::new();
    let whole = incompressible(3 << 20);
    assert_eq!(refused(&room, &whole[..whole.len() - 1]), "stream.truncated");
    assert_eq!(refused(&room, &whole[..whole.len() - 312]), "stream.truncated");
    assert_eq!(refused(&room, &whole[..100]), "stream.truncated");
    assert_eq!(refused(&room, &[]), "stream.truncated");
    assert_eq!(refused(&room, &vec![7; 4096]), "stream.not_a_send_stream");
    let mut flipped = whole.clone();
    flipped[2 << 20] ^= 4;
    assert_eq!(refused(&room, &flipped), "stream.checksum_mismatch");
    let mut longer = whole.clone();
    longer.push(0);
    assert_eq!(refused(&room, &longer), "stream.bytes_after_end");
}

#[test]
fn unsupported_streams_are_refused_before_anything_is_written() {
    let room = Room::new();
    for (name, code) in [
        ("d-R.zs", "stream.compound"),
        ("d-I.zs", "stream.compound"),
        ("z-full.resumed.zs", "stream.resuming"),
    ] {
        let error = room.push(&room.push_request(), &recorded(name)).unwrap_err();
        assert_eq!(error.code, code);
        assert_eq!(room.objects(), Vec::<String>::new());
    }
}

#[test]
fn a_sender_that_failed_after_a_whole_stream_commits_nothing() {
    let room = Room::new();
    let source = file_of(room.folder.path(), &incompressible(2 << 20));
    let exit = SourceExit::Failed { message: "exit status 1: cannot send: I/O error".to_owned() };
    let error = push_with(&room.push_request(), source, exit).unwrap_err();
    assert_eq!(error.code, "engine.source_failed");
    assert!(error.message.contains("I/O error"));
    assert!(room.only_repository_left());
}

#[test]
fn another_snapshot_than_planned_is_refused() {
    let room = Room::new();
    let mut request = room.push_request();
    request["backup"]["snapshot_guid"] = json!("42");
    let error = room.push(&request, &incompressible(1 << 20)).unwrap_err();
    assert_eq!(error.code, "engine.wrong_stream");
    assert!(error.message.contains(&TO_GUID.to_string()), "{error}");
    assert_eq!(room.objects(), Vec::<String>::new());
}

#[test]
fn another_repository_than_planned_is_refused() {
    let room = Room::new();
    room.ask(&json!({ "create_repository": {} })).unwrap();
    let mut request = room.push_request();
    request["repository_id"] = json!("00112233445566778899aabbccddeeff");
    let error = room.push(&request, &incompressible(1 << 20)).unwrap_err();
    assert_eq!(error.code, "engine.repository_changed");
    assert!(room.only_repository_left());
}

#[test]
fn a_repository_that_changes_in_mid_run_is_noticed() {
    let room = Room::new();
    room.ask(&json!({ "create_repository": {} })).unwrap();
    let request = engine::request::parse(&room.push_request().to_string()).unwrap();
    let (reader, mut writer) = std::io::pipe().unwrap();
    let push = engine::start_push(request, Vec::new(), reader.into());
    let bytes = incompressible(1 << 20);
    writer.write_all(&bytes[..bytes.len() - 312]).unwrap();
    while !room.objects().iter().any(|key| key.starts_with("runs/")) {
        std::thread::yield_now();
    }
    let other = Room::new();
    other.ask(&json!({ "create_repository": {} })).unwrap();
    std::fs::copy(other.root().join("repository.json"), room.root().join("repository.json")).unwrap();
    writer.write_all(&bytes[bytes.len() - 312..]).unwrap();
    drop(writer);
    push.source.send(SourceExit::Success);
    assert_eq!(wait(&push.job).unwrap_err().code, "engine.repository_changed");
    assert!(room.only_repository_left(), "{:?}", room.objects());
}

#[test]
fn cancelling_leaves_nothing_and_is_quick() {
    let room = Room::new();
    let mut request = room.push_request();
    request["part_size_bytes"] = json!(1 << 20);
    let request = engine::request::parse(&request.to_string()).unwrap();
    let (reader, mut writer) = std::io::pipe().unwrap();
    let push = engine::start_push(request, Vec::new(), reader.into());
    let bytes = incompressible(5 << 20);
    writer.write_all(&bytes[..4 << 20]).unwrap();
    while !room.objects().iter().any(|key| key.contains("/part-")) {
        std::thread::yield_now();
    }
    let asked = Instant::now();
    push.job.cancel("the test says so");
    let error = wait(&push.job).unwrap_err();
    assert_eq!(error.code, "engine.cancelled");
    assert!(error.message.contains("the test says so"), "{error}");
    assert!(asked.elapsed() < Duration::from_secs(5), "a silent source must not hold up the stop");
    assert!(room.only_repository_left(), "{:?}", room.objects());
}

#[test]
fn a_wrong_recipient_uploads_nothing() {
    let room = Room::new();
    for recipients in [json!([]), json!(["age1nonsense"]), json!(["hello"])] {
        let mut request = room.push_request();
        request["recipients"] = recipients;
        let error = room.push(&request, &incompressible(1 << 20)).unwrap_err();
        assert!(error.code.starts_with("seal."), "{}", error.code);
        assert_eq!(room.objects(), Vec::<String>::new());
    }
}

#[test]
fn an_incremental_stream_on_another_base_is_refused() {
    let room = Room::new();
    let full = room.push(&room.push_request(), &incompressible(1 << 20)).unwrap();
    let mut writer = StreamWriter::begin(TO_GUID, 78);
    writer.object(8);
    let mut request = room.push_request();
    request["backup"]["level"] = json!(1);
    request["backup"]["parent"] = json!({ "id": full["id"], "snapshot": "r", "snapshot_guid": "77" });
    assert_eq!(room.push(&request, &writer.end()).unwrap_err().code, "engine.wrong_stream");
}
