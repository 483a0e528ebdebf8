//! Runs the scripts of RECOVER.md as an operator would: bash, stock age, zstd and python3 over a store made with stock age,
//! with stand-ins for `zfs`, `aws` and `b3sum` (the integration tests use the real ones).
#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper that fails fails its test")]

mod scene;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use format::{TOMBSTONE, recover_txt};
use scene::{Outcome, Scene, run_tool, scripts};

fn truncate(path: &Path, by: u64) {
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(file.metadata().unwrap().len() - by).unwrap();
}

#[test]
fn every_script_has_a_title_and_parses() {
    let titles: BTreeSet<String> = scripts().into_iter().map(|(title, _)| title).collect();
    let places = ["directory", "s3"].iter().flat_map(|place| {
        ["list", "identity", "chain", "one backup"].iter().map(move |what| format!("{place} {what}"))
    });
    let others = ["s3 thaw", "directory check", "list of parts"].map(str::to_owned);
    assert_eq!(titles, places.chain(others).collect());
    for (title, script) in scripts() {
        run_tool("bash", &["-n"], script.as_bytes());
        assert!(script.contains("set -euo pipefail"), "{title} goes on after errors");
    }
}

#[test]
fn a_chain_is_restored_in_order_and_only_once() {
    for title in ["directory chain", "s3 chain"] {
        let scene = Scene::new();
        scene.succeeds(title, &[]);
        scene.assert_restored(3);
        let again = scene.succeeds(title, &[]);
        assert_eq!(again.matches("already there").count(), 3);
        scene.assert_restored(3);
        assert_eq!(fs::read_to_string(scene.path("zfs/receives")).unwrap().lines().count(), 3);
    }
}

#[test]
fn an_older_backup_is_restored_without_what_came_later() {
    for title in ["directory chain", "s3 chain"] {
        let scene = Scene::new();
        scene.succeeds(title, &[("MANIFEST", &scene.backups[1].key().unwrap())]);
        scene.assert_restored(2);
    }
}

#[test]
fn a_store_at_the_top_of_a_bucket_needs_no_prefix() {
    let scene = Scene::new();
    fs::rename(scene.path("buckets/my-bucket/some/where"), scene.path("buckets/top-bucket")).unwrap();
    let top = [("BUCKET", "top-bucket"), ("PREFIX", ""), ("ENDPOINT", "")];
    scene.succeeds("s3 chain", &top);
    scene.assert_restored(3);
    assert!(!scene.path("buckets/endpoints").exists(), "an endpoint was given though none was set");
    assert_eq!(scene.succeeds("s3 list", &top).lines().count(), 3);
}

#[test]
fn a_part_cut_short_or_altered_is_never_received_as_whole() {
    for title in ["directory chain", "s3 chain"] {
        for part in [0, 1] {
            let scene = Scene::new();
            let path = scene.stored(&scene.backups[2].parts[part].key);
            let sound = fs::read(&path).unwrap();
            truncate(&path, 1);
            scene.stops(title, "STOP: this part does not open");
            scene.assert_restored(2);
            let mut flipped = sound.clone();
            *flipped.last_mut().unwrap() ^= 1;
            fs::write(&path, flipped).unwrap();
            scene.stops(title, "STOP: not received");
            scene.assert_restored(2);
            fs::write(&path, sound).unwrap();
            scene.succeeds(title, &[]);
            scene.assert_restored(3);
        }
    }
}

/// Damages a store.
type Break = fn(&Scene);

#[test]
fn nothing_is_received_when_anything_is_missing() {
    for title in ["directory chain", "s3 chain"] {
        let break_it: [(&str, Break); 6] = [
            ("part missing or empty", |scene| {
                fs::remove_file(scene.stored(&scene.backups[2].parts[1].key)).unwrap();
            }),
            ("part missing or empty", |scene| scene.write(&scene.backups[2].parts[1].key, b"")),
            ("found: none", |scene| fs::remove_file(scene.stored(&scene.backups[0].key().unwrap())).unwrap()),
            ("there is no manifest", |scene| {
                fs::remove_file(scene.stored(&scene.backups[2].key().unwrap())).unwrap();
            }),
            ("RECOVER.txt (see", |scene| {
                fs::remove_file(scene.stored(&scene.backups[1].keys().unwrap().recover_txt_key())).unwrap();
            }),
            ("names something else", |scene| {
                let text = scene.backups[0].parts[0].key.clone() + "\n";
                scene.write(&scene.backups[1].keys().unwrap().recover_txt_key(), text.as_bytes());
            }),
        ];
        for (because, damage) in break_it {
            let scene = Scene::new();
            damage(&scene);
            scene.stops(title, because);
            assert!(!scene.path("zfs/receives").exists(), "{because}: something was received");
        }
    }
}

#[test]
fn circles_and_twins_among_manifests_stop() {
    for title in ["directory chain", "s3 chain", "s3 thaw"] {
        let scene = Scene::new();
        let full = scene.backups[0].key().unwrap();
        scene.write(&full.replace("-0-f000", "-0-f001"), b"{}");
        scene.stops(title, "found: ");
        let scene = Scene::new();
        fs::remove_file(scene.stored(&full)).unwrap();
        scene.write(&full.replace("~0.json", "~0000000000a1.json"), b"{}");
        scene.stops(title, "run in a circle");
    }
}

#[test]
fn single_backups_are_received_one_after_the_other() {
    for title in ["directory one backup", "s3 one backup"] {
        let scene = Scene::new();
        for (done, backup) in scene.backups.iter().enumerate() {
            scene.assert_restored(done);
            let data = backup.keys().unwrap().data_prefix();
            scene.succeeds(title, &[("BACKUP", data.trim_end_matches('/'))]);
        }
        scene.assert_restored(3);
        let scene = Scene::new();
        truncate(&scene.stored(&scene.backups[0].parts[1].key), 1);
        let data = scene.backups[0].keys().unwrap().data_prefix();
        let outcome = scene.run(title, &[("BACKUP", data.trim_end_matches('/'))]);
        assert!(!outcome.ok && !outcome.output.contains("done"), "{}", outcome.output);
        assert!(outcome.output.contains("incomplete stream"), "{}", outcome.output);
        scene.assert_restored(0);
    }
}

#[test]
fn lists_show_backups_and_no_tombstones() {
    let scene = Scene::new();
    let full = scene.backups[0].key().unwrap();
    scene.write(&full.replace("-0000000000a0~", "-0000000000ff~"), TOMBSTONE);
    for title in ["directory list", "s3 list"] {
        let listed = scene.succeeds(title, &[]);
        assert_eq!(listed.lines().count(), 3, "{listed}");
        for backup in &scene.backups {
            assert!(listed.contains(&backup.key().unwrap()), "{listed}");
        }
    }
}

#[test]
fn the_identity_is_tried_on_the_properties() {
    let scene = Scene::new();
    let other = scene.path("other.txt").display().to_string();
    run_tool("age-keygen", &["-o", &other], b"");
    for title in ["directory identity", "s3 identity"] {
        assert!(scene.succeeds(title, &[]).contains("lz4"));
        assert!(!scene.run(title, &[("IDENTITY", &other)]).ok);
    }
}

#[test]
fn the_check_finds_every_damaged_part() {
    let scene = Scene::new();
    let parts = || scene.backups.iter().flat_map(|backup| &backup.parts);
    let sums = parts().map(|part| {
        let sha = run_tool("sha256sum", &[], &fs::read(scene.stored(&part.key)).unwrap());
        format!("{} {}\n", String::from_utf8_lossy(&sha[..64]), part.blake3)
    });
    fs::write(scene.path("b3sums"), sums.collect::<String>()).unwrap();
    let full = scene.backups[0].key().unwrap();
    let check = || scene.run("directory check", &[("MANIFEST", &full)]);
    assert!(check().ok);
    let paths: Vec<PathBuf> = scene.backups[0].parts.iter().map(|part| scene.stored(&part.key)).collect();
    fs::remove_file(&paths[0]).unwrap();
    truncate(&paths[1], 1);
    let mut flipped = fs::read(&paths[2]).unwrap();
    flipped[500] ^= 1;
    fs::write(&paths[2], flipped).unwrap();
    let Outcome { ok, output } = check();
    assert!(!ok);
    for (what, part) in ["missing", "wrong length", "damaged"].iter().zip(&scene.backups[0].parts) {
        assert!(output.contains(&format!("{what}: {}", part.key)), "{output}");
    }
}

#[test]
fn the_list_of_parts_equals_recover_txt() {
    let scene = Scene::new();
    let file = scene.stored(&scene.backups[2].key().unwrap()).display().to_string();
    let listed = scene.succeeds("list of parts", &[("MANIFEST_FILE", &file)]);
    assert_eq!(listed, recover_txt(&scene.backups[2]));
}

#[test]
fn cold_parts_are_asked_for_once_and_reported_until_ready() {
    let scene = Scene::new();
    let state =
        |key: &str| scene.path("cold").join(format!("my-bucket_some_where_{}", key.replace('/', "_")));
    let cold: Vec<PathBuf> =
        scene.backups.iter().flat_map(|backup| &backup.parts).map(|part| state(&part.key)).collect();
    let fill = |text: &str| cold.iter().take(4).for_each(|path| fs::write(path, text).unwrap());
    fill("DEEP_ARCHIVE\tNone\tNone\n");
    fs::write(&cold[1], "INTELLIGENT_TIERING\tNone\tDEEP_ARCHIVE_ACCESS\n").unwrap();
    fs::write(&cold[4], "GLACIER_IR\tNone\tNone\n").unwrap();
    scene.stops("s3 chain", "cold?");
    scene.assert_restored(0);
    let requests = || fs::read_to_string(scene.path("buckets/requests")).unwrap();
    let expected = "waiting: 4 parts are being thawed, 2 are ready";
    assert!(scene.succeeds("s3 thaw", &[("DAYS", "5"), ("TIER", "Standard")]).contains(expected));
    assert_eq!(requests().matches(r#"{"Days":5,"GlacierJobParameters":{"Tier":"Standard"}}"#).count(), 3);
    assert_eq!(requests().matches(r#"{"GlacierJobParameters":{"Tier":"Standard"}}"#).count(), 1);
    assert!(scene.succeeds("s3 thaw", &[]).contains(expected));
    assert_eq!(requests().lines().count(), 4, "a thaw was asked for twice");
    fill("DEEP_ARCHIVE\tongoing-request=\"false\", expiry-date=\"Fri, 04 Dec 2026 00:00:00 GMT\"\tNone\n");
    assert!(scene.succeeds("s3 thaw", &[]).contains("ready: all 6 parts can be read"));
}
