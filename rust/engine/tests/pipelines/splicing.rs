//! A run that is gone on with by what `zfs send -t` sends: the rest joins what is stored byte for byte, or nothing does.

use sendstream::{RecordKind, ResumeToken};
use serde_json::{Value, json};

use crate::rooms::Room;
use crate::rooms::kept::{Kept, PART_BYTES, SECOND_SESSION, restored_is};
use crate::rooms::resumed::{Raw, keyed, resumed, resumed_with};
use crate::rooms::stream::{compressible, incompressible, many_objects};

const THIRD_SESSION: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";

/// A run stopped behind `parts` parts, about to be gone on with.
fn stopped(bytes: &[u8], parts: usize) -> (Room, Kept, usize) {
    let (room, mut run) = (Room::new(), Kept::new());
    run.push_and_stop(&room, bytes, parts);
    let stored = run.go_on(SECOND_SESSION);
    (room, run, stored)
}

fn part_keys(room: &Room) -> Vec<String> {
    room.objects().into_iter().filter(|key| key.contains("part-")).collect()
}

fn records_of(room: &Room, report: &Value) -> Value {
    let meta = json!({ "meta": { "key": report["manifest_key"], "identity_files": [room.identity()] } });
    room.ask(&meta).unwrap()["records"].clone()
}

fn made(room: &Room, report: &Value) -> Value {
    let manifests = room.ask(&json!({ "manifests": { "keys": [report["manifest_key"]] } })).unwrap();
    manifests["manifests"][0]["manifest"]["send"]["made"].clone()
}

#[test]
fn the_rest_joins_what_is_stored_and_no_more_is_read() {
    for bytes in [incompressible(9 << 20), many_objects(15)] {
        let (room, mut run, stored) = stopped(&bytes, 4);
        let token = run.token(stored);
        let kept: Vec<Value> = run.parts()[..stored].iter().map(|part| part["key"].clone()).collect();
        let rest = resumed(&bytes, &token);
        let report = run.splice(&room, stored, &rest).unwrap();
        restored_is(&room, &report, &bytes);
        let cut = usize::try_from(run.parts()[stored - 1]["stream_offset"].as_u64().unwrap()).unwrap();
        assert!(rest.len() < bytes.len() - cut + 1024);
        assert_eq!(report["read_bytes"], rest.len());
        assert_eq!((&report["skipped_parts"], &report["made"]), (&json!(stored), &json!("spliced")));
        assert_eq!(made(&room, &report), "spliced");
        assert_eq!(run.of_kind("skipped").count(), 1, "one part was made again");
        assert_eq!(run.of_kind("begin").count(), 1);
        assert!(kept.iter().all(|key| part_keys(&room).iter().any(|stored| stored == key)));

        let once = Room::new();
        let whole = Kept::new().push(&once, 0, &bytes).unwrap();
        assert_eq!(records_of(&room, &report), records_of(&once, &whole), "what meta.age says of it");
        assert_eq!(made(&once, &whole), "zfs");
    }
}

#[test]
fn it_goes_on_behind_any_number_of_parts_within_objects_and_between_them() {
    let bytes = many_objects(18);
    let mut places = [0, 0];
    for parts in 2..9 {
        let (room, mut run, stored) = stopped(&bytes, parts);
        let token = run.token(stored);
        places[usize::from(ResumeToken::decode(&token).unwrap().offset == 0)] += 1;
        let report = run.splice(&room, stored, &resumed(&bytes, &token)).unwrap();
        restored_is(&room, &report, &bytes);
    }
    assert!(places.iter().all(|count| *count > 0), "{places:?}");
}

#[test]
fn it_is_gone_on_with_again_and_again() {
    let bytes = incompressible(12 << 20);
    let (room, mut run, stored) = stopped(&bytes, 3);
    let rest = resumed(&bytes, &run.token(stored));
    let request = run.splice_request(&room, stored);
    run.stop_at(request, &rest[..4 * PART_BYTES + PART_BYTES / 2], stored + 2);
    let more = run.go_on(THIRD_SESSION);
    assert!(more >= stored + 2);
    let report = run.splice(&room, more, &resumed(&bytes, &run.token(more))).unwrap();
    restored_is(&room, &report, &bytes);
    assert_eq!(report["skipped_parts"], more);
}

#[test]
fn what_was_spliced_on_is_proven_by_reading_the_whole_again() {
    let bytes = many_objects(18);
    let (room, mut run, stored) = stopped(&bytes, 3);
    let rest = resumed(&bytes, &run.token(stored));
    let request = run.splice_request(&room, stored);
    run.stop_at(request, &rest[..4 * PART_BYTES + PART_BYTES / 2], stored + 2);
    let more = run.go_on(THIRD_SESSION);
    let report = run.push(&room, more, &bytes).unwrap();
    restored_is(&room, &report, &bytes);
    assert_eq!(made(&room, &report), "zfs", "all of it came from one run of the sender");
}

#[test]
fn everything_is_stored_and_only_the_end_is_made_again() {
    let bytes = incompressible(5 << 20);
    let (room, mut run) = (Room::new(), Kept::new());
    let request = run.request(&room, 0);
    let source = crate::rooms::file_of(room.folder.path(), &bytes);
    let push = engine::start_push(request, Vec::new(), source);
    push.source.send(engine::SourceExit::Failed { message: "killed behind END".to_owned() });
    assert_eq!(run.finish(&push, true).unwrap_err().code, "engine.source_failed");
    let stored = run.go_on(SECOND_SESSION);
    assert_eq!(run.parts()[stored - 1]["proof"]["border"], Value::Null, "the last part is stored");
    let report = run.splice(&room, stored, &resumed(&bytes, &run.token(stored))).unwrap();
    assert_eq!((&report["parts"], &report["skipped_parts"]), (&json!(stored), &json!(stored)));
    restored_is(&room, &report, &bytes);
}

/// Refused with `code`: nothing is added, nothing is committed, and the whole stream can still be sent.
fn refused(bytes: &[u8], code: &str, make: impl FnOnce(&str) -> Vec<u8>) {
    let (room, mut run, stored) = stopped(bytes, 4);
    let rest = make(&run.token(stored));
    let before = part_keys(&room);
    let error = run.splice(&room, stored, &rest).unwrap_err();
    assert_eq!(error.code, code, "{error}");
    assert!(part_keys(&room).iter().all(|key| before.contains(key)), "nothing was added");
    assert_eq!(run.gap_free(), stored);
    assert_eq!(run.of_kind("committing").count(), 0);
    run.go_on(THIRD_SESSION);
    let report = run.push(&room, stored, bytes).unwrap();
    restored_is(&room, &report, bytes);
}

fn first_write(raws: &mut [Raw]) -> &mut Raw {
    raws.iter_mut().find(|raw| raw.record.kind == RecordKind::Write).unwrap()
}

#[test]
fn another_rest_is_never_joined() {
    let bytes = incompressible(9 << 20);
    refused(&bytes, "engine.prefix_differs", |token| {
        resumed_with(&bytes, token, |raws| first_write(raws).payload[77] ^= 1)
    });
    refused(&bytes, "engine.prefix_differs", |token| resumed(&compressible(9 << 20), token));
    refused(&bytes, "engine.splice_refused", |_| bytes.clone());
    refused(&bytes, "engine.splice_refused", |token| {
        // The object got another number of slots since.
        resumed_with(&bytes, token, |raws| raws[1].header[50] ^= 1)
    });
    refused(&bytes, "engine.splice_refused", |token| {
        resumed_with(&bytes, token, |raws| drop(raws.remove(1)))
    });
    refused(&bytes, "engine.splice_refused", |token| {
        let mut rest = resumed(&bytes, token);
        rest[PART_BYTES / 2] ^= 1;
        rest
    });
    refused(&bytes, "stream.truncated", |token| resumed(&bytes, token)[..PART_BYTES / 2].to_vec());
    refused(&bytes, "stream.truncated", |_| Vec::new());
}

#[test]
fn after_the_key_of_a_dataset_was_changed_the_rest_is_never_joined() {
    let plain = incompressible(9 << 20);
    let bytes = keyed(&plain, 1);
    refused(&bytes, "engine.splice_refused", |token| resumed(&keyed(&plain, 2), token));
    refused(&bytes, "engine.splice_refused", |token| resumed(&plain, token));

    let (room, mut run, stored) = stopped(&bytes, 3);
    let rest = resumed(&bytes, &run.token(stored));
    let request = run.splice_request(&room, stored);
    run.stop_at(request, &rest[..4 * PART_BYTES + PART_BYTES / 2], stored + 2);
    let more = run.go_on(THIRD_SESSION);
    let report = run.splice(&room, more, &resumed(&bytes, &run.token(more))).unwrap();
    restored_is(&room, &report, &bytes);
}

#[test]
fn a_record_that_does_not_belong_there_ends_it_however_late() {
    let bytes = many_objects(18);
    let (room, mut run, stored) = stopped(&bytes, 3);
    let rest = resumed_with(&bytes, &run.token(stored), |raws| {
        // A WRITE of an object that lies before the border, just before END.
        let mut late = resumed_record(&bytes);
        late.header[8..16].copy_from_slice(&1000_u64.to_le_bytes());
        let end = raws.len() - 1;
        raws.insert(end, late);
    });
    let error = run.splice(&room, stored, &rest).unwrap_err();
    assert_eq!(error.code, "engine.splice_refused", "{error}");
    assert_eq!(room.ask(&json!({ "list": {} })).unwrap()["backups"], json!([]));
}

fn resumed_record(bytes: &[u8]) -> Raw {
    let write = |raw: &Raw| raw.record.kind == RecordKind::Write;
    crate::rooms::resumed::records(bytes).into_iter().find(write).unwrap()
}

#[test]
fn without_two_parts_or_state_there_is_nothing_to_splice_onto() {
    let bytes = incompressible(9 << 20);
    let (room, mut run, _) = stopped(&bytes, 3);
    assert_eq!(run.splice(&room, 1, &bytes).unwrap_err().code, "engine.bad_request");
    let mut request = run.splice_request(&room, 3);
    request.run.as_mut().unwrap().resumable = false;
    let push = engine::start_push(request, Vec::new(), crate::rooms::file_of(room.folder.path(), &bytes));
    push.source.send(engine::SourceExit::Success);
    assert_eq!(run.finish(&push, true).unwrap_err().code, "engine.bad_request");
}
