//! A run that keeps state: stopped anywhere, gone on with, committed once, and swept where it is given up.

use std::io::Write;
use std::time::Duration;

use engine::SourceExit;
use engine::request::parse;
use serde_json::{Value, json};

use crate::rooms::kept::{Kept, PART_BYTES, SECOND_SESSION, restored_is};
use crate::rooms::stream::{compressible, incompressible};
use crate::rooms::{Room, file_of};

#[test]
fn a_stopped_run_keeps_its_parts_and_goes_on_behind_them() {
    let (room, bytes, mut run) = (Room::new(), incompressible(6 << 20), Kept::new());
    run.push_and_stop(&room, &bytes, 3);
    let stored = run.gap_free();
    let look = run.look(&room);
    assert_eq!(
        (&look["manifest"], &look["stored"], &look["foreign"]),
        (&Value::Null, &json!(stored), &json!([]))
    );
    assert!(run.of_kind("begin").next().unwrap()["record"].as_str().unwrap().len() == 624);
    run.sessions.push(SECOND_SESSION);
    let kept: Vec<Value> = run.parts()[..stored].iter().map(|part| part["key"].clone()).collect();
    let report = run.push(&room, stored, &bytes).unwrap();
    assert_eq!(report["skipped_parts"], stored);
    assert_eq!(run.of_kind("skipped").count(), stored);
    assert_eq!(run.of_kind("committed").count(), 1);
    assert!(kept.iter().all(|key| room.objects().iter().any(|stored| stored == key)));
    restored_is(&room, &report, &bytes);
}

#[test]
fn a_gap_ends_what_counts_as_stored_and_later_parts_are_swept_before_the_commit() {
    let (room, bytes, mut run) = (Room::new(), incompressible(6 << 20), Kept::new());
    run.push_and_stop(&room, &bytes, 4);
    std::fs::remove_file(room.root().join(run.parts()[1]["key"].as_str().unwrap())).unwrap();
    let look = run.look(&room);
    assert_eq!(look["stored"], 1);
    assert!(look["problem"].as_str().unwrap().contains("part 1 is gone"), "{look}");
    run.sessions.push(SECOND_SESSION);
    let report = run.push(&room, 1, &bytes).unwrap();
    assert_eq!(report["skipped_parts"], 1);
    restored_is(&room, &report, &bytes);
    let parts = room.objects().iter().filter(|key| key.contains("part-")).count();
    assert_eq!(report["parts"], parts, "the late parts of the first session are gone");
}

#[test]
fn what_killed_sessions_left_unfinished_is_gone_before_anything_is_uploaded() {
    let (room, bytes, mut run) = (Room::new(), incompressible(6 << 20), Kept::new());
    run.push_and_stop(&room, &bytes, 3);
    let parts = run.parts();
    let late = |part: &Value| room.objects().iter().any(|key| part["key"] == key.as_str());
    assert!(late(&parts[1]) && late(&parts[2]));
    run.sessions.push(SECOND_SESSION);
    let error = run.push(&room, 1, &bytes[..PART_BYTES / 2]).unwrap_err();
    assert_eq!(error.code, "stream.truncated");
    assert!(late(&parts[0]) && !late(&parts[1]) && !late(&parts[2]), "{:?}", room.objects());
}

#[test]
fn a_part_that_was_damaged_in_the_store_does_not_count() {
    let (room, bytes, mut run) = (Room::new(), incompressible(6 << 20), Kept::new());
    run.push_and_stop(&room, &bytes, 3);
    damage(&room, &run.parts()[2]);
    assert_eq!(run.look(&room)["stored"], 2);
}

/// Changes a byte of a stored part.
fn damage(room: &Room, part: &Value) {
    let path = room.root().join(part["key"].as_str().unwrap());
    let mut sealed = std::fs::read(&path).unwrap();
    sealed[1000] ^= 1;
    std::fs::write(&path, sealed).unwrap();
}

#[test]
fn only_what_a_crash_can_have_caught_is_read_again() {
    let (room, bytes, mut run) = (Room::new(), incompressible(16 << 20), Kept::new());
    let source = file_of(room.folder.path(), &bytes);
    let push = engine::start_push(run.request(&room, 0), Vec::new(), source);
    push.source.send(SourceExit::Failed { message: "killed behind END".to_owned() });
    assert_eq!(run.finish(&push, true).unwrap_err().code, "engine.source_failed");
    let (parts, stored) = (run.parts(), run.gap_free());
    damage(&room, &parts[0]);
    assert_eq!(run.look(&room)["stored"], stored, "it was read again when it was stored");
    damage(&room, &parts[stored - 5]);
    assert_eq!(run.look(&room)["stored"], stored, "so was this one");
    damage(&room, &parts[stored - 4]);
    assert_eq!(run.look(&room)["stored"], stored - 4);
    // Mended: it will be the newest one.
    damage(&room, &parts[0]);
    std::fs::write(room.root().join(parts[1]["key"].as_str().unwrap()), b"short").unwrap();
    assert_eq!(run.look(&room)["stored"], 1, "the length of each is looked at");
}

#[test]
fn the_upload_limit_is_for_what_is_uploaded() {
    let (room, bytes, mut run) = (Room::new(), incompressible(6 << 20), Kept::new());
    let push = engine::start_push(run.request(&room, 0), Vec::new(), file_of(room.folder.path(), &bytes));
    push.source.send(SourceExit::Failed { message: "killed behind END".to_owned() });
    assert_eq!(run.finish(&push, true).unwrap_err().code, "engine.source_failed");
    run.sessions.push(SECOND_SESSION);
    let limit: u32 = 64 << 10;
    let mut request = run.request(&room, run.gap_free());
    request.limit_upload_bytes_per_second = Some(limit.into());
    let push = engine::start_push(request, Vec::new(), file_of(room.folder.path(), &bytes));
    push.source.send(SourceExit::Success);
    let report = run.finish(&push, true).unwrap();
    assert_eq!(report["read_bytes"], report["stream_bytes"]);
    // All of it was read again, and nearly none of it uploaded.
    let at_the_limit = report["read_bytes"].as_f64().unwrap() / f64::from(limit);
    assert!(report["seconds"]["total"].as_f64().unwrap() < at_the_limit / 2.0, "{report}");
    restored_is(&room, &report, &bytes);
}

#[test]
fn what_another_process_committed_meanwhile_stays_as_it_is() {
    let (room, bytes, mut run) = (Room::new(), incompressible(6 << 20), Kept::new());
    let report = run.push(&room, 0, &bytes).unwrap();
    let there = room.objects();
    // A process that looked before that, and knows the first two parts.
    run.sessions.push(SECOND_SESSION);
    let error = run.push(&room, 2, &bytes).unwrap_err();
    assert_eq!(error.code, "engine.listing");
    assert!(error.message.contains("committed it meanwhile"), "{error}");
    assert_eq!(room.objects(), there);
    restored_is(&room, &report, &bytes);
}

#[test]
fn of_two_that_go_on_with_one_run_the_later_writes_over_nothing() {
    let (room, bytes, mut late) = (Room::new(), incompressible(6 << 20), Kept::new());
    let push = engine::start_push(late.request(&room, 0), Vec::new(), file_of(room.folder.path(), &bytes));
    late.await_parts(&push, 5);
    let mut quick =
        Kept { id: late.id.clone(), sessions: late.sessions.clone(), entries: late.entries.clone() };
    let stored = quick.go_on(SECOND_SESSION);
    let report = quick.push(&room, stored, &bytes).unwrap();
    let there = room.objects();
    push.source.send(SourceExit::Success);
    let error = late.finish(&push, true).unwrap_err();
    assert_eq!(error.code, "engine.listing");
    assert!(error.message.contains("committed it meanwhile"), "{error}");
    assert_eq!(room.objects(), there);
    restored_is(&room, &report, &bytes);
    let meta = json!({ "key": report["manifest_key"], "identity_files": [room.identity()] });
    room.ask(&json!({ "meta": meta })).unwrap();
}

#[test]
fn the_look_of_a_store_that_is_away_or_another_one_decides_nothing() {
    let (room, bytes, mut run) = (Room::new(), incompressible(6 << 20), Kept::new());
    run.push_and_stop(&room, &bytes, 3);
    let mut look = run.place();
    look["repository_id"] = room.repository();
    look["parts"] = run.parts().into();
    let away = room.folder.path().join("away");
    std::fs::rename(room.root(), &away).unwrap();
    std::fs::create_dir(room.root()).unwrap();
    let looked = || room.ask(&json!({ "resume_look": look })).map_err(|error| error.code);
    assert_eq!(looked().unwrap_err(), "engine.repository_changed");
    room.ask(&json!({ "create_repository": {} })).unwrap();
    assert_eq!(looked().unwrap_err(), "engine.repository_changed");
    std::fs::remove_dir_all(room.root()).unwrap();
    std::fs::rename(&away, room.root()).unwrap();
    assert_eq!(looked().unwrap()["stored"], run.gap_free());
}

#[test]
fn another_stream_is_never_joined_to_stored_parts() {
    let (room, bytes, mut run) = (Room::new(), incompressible(6 << 20), Kept::new());
    run.push_and_stop(&room, &bytes, 3);
    run.sessions.push(SECOND_SESSION);
    let stored = run.gap_free();
    let error = run.push(&room, stored, &compressible(6 << 20)).unwrap_err();
    assert_eq!(error.code, "engine.prefix_differs");
    let error = run.push(&room, stored, &incompressible(1 << 20)).unwrap_err();
    assert_eq!(error.code, "engine.prefix_differs", "a shorter stream");
    assert_eq!(room.ask(&json!({ "list": {} })).unwrap()["backups"], json!([]));
    assert_eq!(run.look(&room)["stored"], stored, "nothing that is stored was touched");
}

#[test]
fn the_manifest_waits_for_the_journal() {
    let (room, bytes, mut run) = (Room::new(), incompressible(2 << 20), Kept::new());
    let source = file_of(room.folder.path(), &bytes);
    let push = engine::start_push(run.request(&room, 0), Vec::new(), source);
    push.source.send(SourceExit::Success);
    while run.of_kind("committing").count() == 0 {
        assert!(push.job.wait_timeout(Duration::from_millis(50)).is_none());
        run.entries.extend(push.job.drain_journal());
    }
    assert!(!room.objects().iter().any(|key| key.starts_with("manifests/")));
    push.job.cancel("the journal can't be written");
    assert!(run.finish(&push, false).unwrap_err().is_cancelled());
    assert!(!room.objects().iter().any(|key| key.starts_with("manifests/")));

    let committing = run.of_kind("committing").next().unwrap().clone();
    let mut recommit = run.place();
    recommit["manifest_key"] = committing["manifest_key"].clone();
    recommit["manifest"] = committing["manifest"].clone();
    recommit["repository_id"] = room.repository();
    let report = room.ask(&json!({ "recommit": recommit })).unwrap();
    restored_is(&room, &report, &bytes);
    let look = run.look(&room);
    assert_eq!(look["manifest"], json!({ "key": report["manifest_key"], "tombstone": false }));
    room.ask(&json!({ "recommit": recommit })).unwrap();
}

#[test]
fn a_stop_before_the_manifest_keeps_what_can_be_committed_though_it_cannot_be_sent_again() {
    let (room, bytes, mut run) = (Room::new(), incompressible(2 << 20), Kept::new());
    let mut request = run.request(&room, 0);
    request.run.as_mut().unwrap().resumable = false;
    let push = engine::start_push(request, Vec::new(), file_of(room.folder.path(), &bytes));
    push.source.send(SourceExit::Unknown);
    while run.of_kind("committing").count() == 0 {
        assert!(push.job.wait_timeout(Duration::from_millis(50)).is_none());
        run.entries.extend(push.job.drain_journal());
    }
    push.job.cancel("the test stops it");
    assert!(run.finish(&push, false).unwrap_err().is_cancelled());
    let committing = run.of_kind("committing").next().unwrap().clone();
    let mut recommit = run.place();
    recommit["manifest_key"] = committing["manifest_key"].clone();
    recommit["manifest"] = committing["manifest"].clone();
    recommit["repository_id"] = room.repository();
    let report = room.ask(&json!({ "recommit": recommit })).unwrap();
    restored_is(&room, &report, &bytes);
}

#[test]
fn a_file_of_somebody_else_keeps_no_backup_from_being_committed() {
    let (room, bytes, mut run) = (Room::new(), incompressible(6 << 20), Kept::new());
    run.push_and_stop(&room, &bytes, 2);
    let folder = room.root().join(run.parts()[0]["key"].as_str().unwrap());
    let junk = folder.with_file_name(".nfs000000000000beef");
    std::fs::write(&junk, b"silly").unwrap();
    run.sessions.push(SECOND_SESSION);
    let report = run.push(&room, 2, &bytes).unwrap();
    restored_is(&room, &report, &bytes);
    assert!(junk.exists());
}

#[test]
fn what_is_not_whole_any_more_is_not_committed_later() {
    for spoil in [damage, lose] {
        let (room, bytes, mut run) = (Room::new(), incompressible(2 << 20), Kept::new());
        run.push(&room, 0, &bytes).unwrap();
        let committing = run.of_kind("committing").next().unwrap().clone();
        let key = committing["manifest_key"].as_str().unwrap();
        std::fs::remove_file(room.root().join(key)).unwrap();
        spoil(&room, &run.parts()[0]);
        let mut recommit = run.place();
        recommit["manifest_key"] = key.into();
        recommit["manifest"] = committing["manifest"].clone();
        recommit["repository_id"] = room.repository();
        assert_eq!(room.ask(&json!({ "recommit": recommit })).unwrap_err().code, "engine.listing");
        assert_eq!(room.ask(&json!({ "list": {} })).unwrap()["backups"], json!([]));
    }
}

/// Takes a stored part away.
fn lose(room: &Room, part: &Value) {
    std::fs::remove_file(room.root().join(part["key"].as_str().unwrap())).unwrap();
}

#[test]
fn parts_of_an_unknown_session_stop_the_commit_and_stay() {
    let (room, bytes, mut run) = (Room::new(), incompressible(6 << 20), Kept::new());
    run.push_and_stop(&room, &bytes, 2);
    let key = run.parts()[0]["key"].as_str().unwrap().to_owned();
    let foreign = key.replace("part-000000", "part-000009");
    std::fs::copy(room.root().join(&key), room.root().join(&foreign)).unwrap();
    assert_eq!(run.look(&room)["foreign"], json!([foreign]));
    run.sessions.push(SECOND_SESSION);
    let error = run.push(&room, 2, &bytes).unwrap_err();
    assert_eq!(error.code, "engine.foreign_parts");
    assert!(room.objects().contains(&foreign));
    let done = room.ask(&sweep(&room, &run, &json!([]), false)).unwrap();
    assert_eq!(done["removed"][0]["id"], run.id.as_str());
    let tombstone = format!("manifests/nas-1a2b3c4d/tank/data/@/{}~0.json", run.id);
    assert!(room.objects().contains(&tombstone), "whoever else goes on with it can't commit it any more");
}

fn sweep(room: &Room, run: &Kept, keep: &Value, dry_run: bool) -> Value {
    json!({ "sweep": {
        "repository_id": room.repository(), "source": "nas-1a2b3c4d", "keep": keep, "dry_run": dry_run,
        "own": { run.id.clone(): { "sessions": run.sessions, "may_be_committed": false } },
        "grace_seconds": 86_400,
    }})
}

#[test]
fn a_sweep_takes_the_dead_run_and_nothing_else() {
    let (room, bytes, mut run) = (Room::new(), incompressible(6 << 20), Kept::new());
    run.push_and_stop(&room, &bytes, 3);
    let folder = run.parts()[0]["key"].as_str().unwrap().rsplit_once('/').unwrap().0.to_owned();
    let alike = [
        format!("{folder}/part-000001.age"),
        format!("{folder}/notes.txt"),
        folder.replace(&run.id, "20200101T000000Z-0-00000000000000aa-00000000000a")
            + "/part-000000-00000000.age",
        "runs/nas-1a2b3c4d/notes.json".to_owned(),
        "runs/other/20200101T000000Z-0-00000000000000aa-00000000000a.json".to_owned(),
    ];
    for key in &alike {
        std::fs::create_dir_all(room.root().join(key).parent().unwrap()).unwrap();
        std::fs::write(room.root().join(key), b"{}").unwrap();
    }
    let before = room.objects();
    let kept = room.ask(&sweep(&room, &run, &json!([run.id]), false)).unwrap();
    assert_eq!(
        (&kept["removed"], room.objects()),
        (&json!([]), before.clone()),
        "a run that goes on is kept"
    );
    let dry = room.ask(&sweep(&room, &run, &json!([]), true)).unwrap();
    assert_eq!(room.objects(), before, "a dry run touches nothing");
    let done = room.ask(&sweep(&room, &run, &json!([]), false)).unwrap();
    assert_eq!(dry["keys"], done["keys"]);
    let gone: Vec<&String> = before.iter().filter(|key| !room.objects().contains(key)).collect();
    assert_eq!(json!(gone), done["keys"]);
    assert!(alike.iter().all(|key| room.objects().contains(key)), "{:?}", room.objects());
    assert_eq!(room.ask(&sweep(&room, &run, &json!([]), false)).unwrap()["removed"], json!([]));
}

#[test]
fn a_sweep_of_a_committed_run_takes_only_what_does_not_count() {
    let (room, bytes, mut run) = (Room::new(), incompressible(3 << 20), Kept::new());
    let report = run.push(&room, 0, &bytes).unwrap();
    let key = run.parts()[0]["key"].as_str().unwrap().to_owned();
    let late = key.replace("part-000000", "part-000007");
    std::fs::copy(room.root().join(&key), room.root().join(&late)).unwrap();
    let intent = json!({ "format": 1, "requires": [], "repository": room.repository(), "source": "nas-1a2b3c4d",
        "dataset": "tank/data", "id": run.id, "started": "2026-01-01T00:00:00Z", "pid": null, "host": null });
    std::fs::create_dir_all(room.root().join("runs/nas-1a2b3c4d")).unwrap();
    std::fs::write(room.root().join(format!("runs/nas-1a2b3c4d/{}.json", run.id)), intent.to_string())
        .unwrap();
    let done = room.ask(&sweep(&room, &run, &json!([]), false)).unwrap();
    assert_eq!(done["committed"], json!([run.id]));
    assert!(!room.objects().contains(&late));
    restored_is(&room, &report, &bytes);
}

#[test]
fn a_manifest_that_cannot_be_read_keeps_its_data_and_no_other_sweep() {
    let (room, bytes) = (Room::new(), incompressible(3 << 20));
    let (mut odd, mut dead) = (Kept::new(), Kept::new());
    odd.push_and_stop(&room, &bytes, 1);
    dead.push_and_stop(&room, &bytes, 1);
    let manifest_key = format!("manifests/nas-1a2b3c4d/tank/data/@/{}~0.json", odd.id);
    std::fs::create_dir_all(room.root().join(&manifest_key).parent().unwrap()).unwrap();
    std::fs::write(room.root().join(&manifest_key), b"{\"format\":2}").unwrap();
    let mut request = sweep(&room, &odd, &json!([]), false);
    request["sweep"]["own"][&dead.id] = json!({ "sessions": dead.sessions, "may_be_committed": false });
    let done = room.ask(&request).unwrap();
    assert_eq!(done["waiting"][0]["id"], odd.id.as_str(), "{done}");
    assert_eq!(done["removed"][0]["id"], dead.id.as_str(), "{done}");
    assert!(room.objects().contains(&odd.parts()[0]["key"].as_str().unwrap().to_owned()));
}

#[test]
fn a_run_that_may_be_committed_gets_a_tombstone_before_it_goes() {
    let (room, bytes, mut run) = (Room::new(), incompressible(3 << 20), Kept::new());
    run.push_and_stop(&room, &bytes, 1);
    let manifest_key = format!("manifests/nas-1a2b3c4d/tank/data/@/{}~0.json", run.id);
    let mut request = sweep(&room, &run, &json!([]), false);
    request["sweep"]["own"][&run.id]["may_be_committed"] = true.into();
    let done = room.ask(&request).unwrap();
    assert_eq!(done["removed"][0]["id"], run.id.as_str());
    assert_eq!(std::fs::read(room.root().join(&manifest_key)).unwrap(), b"{\"tombstone\":true}\n");
    assert_eq!(room.ask(&json!({ "list": {} })).unwrap()["backups"], json!([]));
    run.sessions.push(SECOND_SESSION);
    assert_eq!(run.look(&room)["manifest"], json!({ "key": manifest_key, "tombstone": true }));
    let error = run.push(&room, 0, &bytes).unwrap_err();
    assert_eq!(error.code, "engine.foreign_parts", "{error}");
    assert!(error.message.contains("swept it meanwhile, so the next push begins anew"), "{error}");
}

#[test]
fn a_late_commit_meets_the_tombstone() {
    let (room, bytes, mut run) = (Room::new(), incompressible(2 << 20), Kept::new());
    run.push(&room, 0, &bytes).unwrap();
    let committing = run.of_kind("committing").next().unwrap().clone();
    let manifest_key = room.root().join(committing["manifest_key"].as_str().unwrap());
    std::fs::write(&manifest_key, b"{\"tombstone\":true}\n").unwrap();
    let mut recommit = run.place();
    recommit["manifest_key"] = committing["manifest_key"].clone();
    recommit["manifest"] = committing["manifest"].clone();
    recommit["repository_id"] = room.repository();
    assert_eq!(room.ask(&json!({ "recommit": recommit })).unwrap_err().code, "engine.listing");
    assert_eq!(std::fs::read(&manifest_key).unwrap(), b"{\"tombstone\":true}\n");
}

#[test]
fn a_run_that_is_not_resumable_leaves_nothing() {
    let (room, bytes) = (Room::new(), incompressible(3 << 20));
    let run = Kept::new();
    let mut request = run.request(&room, 0);
    request.run.as_mut().unwrap().resumable = false;
    let push = engine::start_push(request, Vec::new(), file_of(room.folder.path(), &bytes));
    push.source.send(SourceExit::Failed { message: "exit status 1".to_owned() });
    let mut run = run;
    assert_eq!(run.finish(&push, true).unwrap_err().code, "engine.source_failed");
    assert!(room.only_repository_left(), "{:?}", room.objects());
    assert_eq!(run.of_kind("part").count(), 0, "no digest of plain bytes is taken where none is needed");
}

#[test]
fn a_source_that_is_silent_for_too_long_counts_as_dead() {
    let (room, bytes) = (Room::new(), incompressible(1 << 20));
    let mut request = room.push_request();
    request["source_stall_seconds"] = 1.into();
    let (reader, mut writer) = std::io::pipe().unwrap();
    let push = engine::start_push(parse(&request.to_string()).unwrap(), Vec::new(), reader.into());
    writer.write_all(&bytes[..bytes.len() / 2]).unwrap();
    let error = crate::rooms::wait(&push.job).unwrap_err();
    assert_eq!(error.code, "engine.source_stalled");
    assert!(error.message.contains(&format!("{} bytes", bytes.len() / 2)), "{error}");
    drop(writer);
}
