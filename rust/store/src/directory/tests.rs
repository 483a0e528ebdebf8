//! The conformance suite in a temporary folder, and what only a folder can get wrong.

mod hanging;

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::conformance::{Conditional, Room, bytes, keys, put, read};
use crate::{ObjectStore, PutOptions, StoreConfig, StoreError, UnfinishedUpload};

async fn open(path: &Path) -> Result<Arc<dyn ObjectStore>, StoreError> {
    crate::open(&StoreConfig::new(format!("file://{}", path.display()))).await
}

async fn room(_case: &str) -> Room {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await.unwrap();
    Room {
        store,
        conditional: Conditional::Honours,
        many: 1203,
        dates_uploads: true,
        folder: Some(folder.path().to_owned()),
        keep: Some(Box::new(folder)),
    }
}

crate::conformance_cases!(room);

fn files(path: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.is_symlink() {
            found.push(path.clone());
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

#[tokio::test]
async fn a_missing_root_is_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("not-mounted");
    let failure = open(&root).await.map(drop).unwrap_err();
    assert_eq!(failure.code(), "store.io");
    assert!(failure.to_string().contains("mount it, or make it with mkdir"), "{failure}");
    assert!(!root.exists());
    std::fs::write(&root, "a file").unwrap();
    assert!(open(&root).await.map(drop).unwrap_err().to_string().contains("not a folder"));
}

#[tokio::test]
async fn files_are_for_their_owner_only() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await.unwrap();
    put(&*store, "a/b", &bytes(10, 1)).await;
    let mode = |path: &str| folder.path().join(path).metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("a"), mode("a/b")), (0o700, 0o600));
}

#[tokio::test]
async fn links_are_not_followed() {
    let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(outside.path().join("secret"), "outside").unwrap();
    symlink(outside.path(), folder.path().join("way-out")).unwrap();
    symlink(outside.path().join("secret"), folder.path().join("file")).unwrap();
    let store = open(folder.path()).await.unwrap();
    for failure in [
        store.put("way-out/new", bytes(1, 2), &PutOptions::default()).await.map(drop).unwrap_err(),
        store.get("way-out/secret", None).await.map(drop).unwrap_err(),
        store.get("file", None).await.map(drop).unwrap_err(),
        store.head("way-out/secret").await.map(drop).unwrap_err(),
        store.list("way-out/").await.map(drop).unwrap_err(),
        store.delete(&["way-out/secret".to_owned()]).await.unwrap_err(),
    ] {
        assert_eq!(failure.code(), "store.io", "{failure}");
        assert!(failure.to_string().contains("symbolic link"), "{failure}");
    }
    assert!(keys(&*store, "").await.is_empty());
    // A link in the place of an object is replaced, not written through.
    put(&*store, "file", &bytes(3, 3)).await;
    assert_eq!(std::fs::read_to_string(outside.path().join("secret")).unwrap(), "outside");
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 1);
    assert_eq!(read(&*store, "file").await, bytes(3, 3));
}

#[tokio::test]
async fn nothing_temporary_stays() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await.unwrap();
    let options = PutOptions { if_absent: true, ..PutOptions::default() };
    store.put("x/k", bytes(10, 4), &options).await.unwrap();
    store.put("x/k", bytes(10, 5), &options).await.unwrap_err();
    let upload = store.begin_multipart("x/m", &options).await.unwrap();
    upload.put_piece(1, bytes(10, 6)).await.unwrap();
    assert_eq!(files(folder.path()).len(), 3, "the folder, the object and the upload under way");
    drop(upload);
    assert_eq!(files(folder.path()), [folder.path().join("x"), folder.path().join("x/k")]);
    store.delete(&["x/k".to_owned()]).await.unwrap();
    assert!(files(folder.path()).is_empty(), "empty folders go too");
}

#[tokio::test]
async fn leftovers_of_the_dead_are_swept_those_of_the_living_not() {
    let folder = tempfile::tempdir().unwrap();
    let leave = |name: &str, age: u64| {
        let path = folder.path().join("x").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let file = std::fs::File::create(&path).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
        (path, file)
    };
    let (dead, file) = leave(".tmp-dead", 7200);
    drop(file);
    let (young, file) = leave(".tmp-young", 60);
    drop(file);
    let (living, file) = leave(".tmp-living", 7200);
    file.lock().unwrap();
    let store = open(folder.path()).await.unwrap();
    assert!(store.list("").await.unwrap().is_empty(), "unfinished files are no objects");
    assert!(dead.exists(), "a listing changes nothing");
    put(&*store, "x/k", &bytes(1, 7)).await;
    assert!(!dead.exists() && young.exists() && living.exists());
}

#[tokio::test]
async fn what_a_living_process_writes_is_not_unfinished() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await.unwrap();
    let upload = store.begin_multipart("x/m", &PutOptions::default()).await.unwrap();
    upload.put_piece(1, bytes(10, 6)).await.unwrap();
    assert!(store.unfinished("").await.unwrap().is_empty());
    let [_, file] = &files(folder.path())[..] else { panic!("a folder and a file are there") };
    let key = format!("x/{}", file.file_name().unwrap().display());
    let living = UnfinishedUpload { key, upload_id: "any".into(), begun_unix_seconds: None };
    let refused = store.abort_unfinished(&living).await.unwrap_err();
    assert!(refused.to_string().contains("living"), "{refused}");
    upload.complete().await.unwrap();
    assert_eq!(read(&*store, "x/m").await, bytes(10, 6));
    let object = UnfinishedUpload { key: "x/m".into(), ..living };
    assert_eq!(store.abort_unfinished(&object).await.unwrap_err().code(), "store.invalid_key");
}

#[tokio::test]
async fn a_dropped_put_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await.unwrap();
    let body = bytes(64 * 1024 * 1024, 8);
    let options = PutOptions::default();
    let put = store.put("k", body, &options);
    assert!(tokio::time::timeout(Duration::from_millis(1), put).await.is_err(), "too fast to be cancelled");
    // The blocking thread notices within one stride; nothing signals its end, so look until it is so.
    for _ in 0..500 {
        if files(folder.path()).is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("left behind: {:?}", files(folder.path()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_that_vanishes_meanwhile_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await.unwrap();
    let churn = |name: &'static str| {
        let store = Arc::clone(&store);
        async move {
            for _ in 0..60 {
                put(&*store, &format!("a/b/{name}"), &bytes(5, 9)).await;
                store.delete(&[format!("a/b/{name}")]).await.unwrap();
            }
        }
    };
    tokio::join!(tokio::spawn(churn("x")), tokio::spawn(churn("y"))).0.unwrap();
    assert!(keys(&*store, "").await.is_empty());
}

#[tokio::test]
async fn a_folder_is_not_an_object_and_an_object_not_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await.unwrap();
    put(&*store, "a/b", &bytes(1, 10)).await;
    let below = store.put("a/b/c", bytes(1, 11), &PutOptions::default()).await.unwrap_err();
    assert!(below.to_string().contains("where a folder is needed"), "{below}");
    store.put("a", bytes(1, 12), &PutOptions::default()).await.unwrap_err();
    store.delete(&["a".to_owned()]).await.unwrap();
    assert_eq!(keys(&*store, "").await, ["a/b"]);
}

#[tokio::test]
async fn a_full_disk_says_so() {
    // /dev/full's error, without a full disk: the translation is what matters.
    let place = crate::Place::new("store", "file:///x/k".into());
    let from =
        |errno: i32| super::fault::writing(&std::io::Error::from_raw_os_error(errno), &place, "k").code();
    assert_eq!(from(nix::libc::ENOSPC), "store.full");
    assert_eq!(from(nix::libc::EDQUOT), "store.full");
    assert_eq!(from(nix::libc::EROFS), "store.read_only");
    assert_eq!(from(nix::libc::EACCES), "store.forbidden");
    assert_eq!(from(nix::libc::ENAMETOOLONG), "store.invalid_key");
    assert_eq!(from(nix::libc::EIO), "store.io");
}

#[tokio::test]
async fn a_name_too_long_for_the_file_system_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await.unwrap();
    let failure = store.put(&"n".repeat(300), bytes(1, 13), &PutOptions::default()).await.unwrap_err();
    assert_eq!(failure.code(), "store.invalid_key", "{failure}");
}

#[tokio::test]
async fn a_recording_store_proves_what_was_called() {
    let room = room("recording").await;
    let store = crate::RecordingStore::new(Arc::clone(&room.store));
    store.list("a").await.unwrap();
    store.head("k").await.unwrap_err();
    store.unfinished("u").await.unwrap();
    assert!(store.calls().iter().all(|call| !call.operation.changes()));
    put(&store, "k", &bytes(1, 14)).await;
    let upload = store.begin_multipart("m", &PutOptions::default()).await.unwrap();
    upload.put_piece(1, bytes(1, 15)).await.unwrap();
    upload.complete().await.unwrap();
    store.delete(&["k".to_owned(), "m".to_owned()]).await.unwrap();
    let gone =
        UnfinishedUpload { key: ".tmp-gone".into(), upload_id: ".tmp-gone".into(), begun_unix_seconds: None };
    store.abort_unfinished(&gone).await.unwrap();
    assert!(store.calls().last().unwrap().operation.changes());
    let calls: Vec<_> =
        store.calls().into_iter().map(|call| format!("{:?} {}", call.operation, call.key)).collect();
    let expected = [
        "List a",
        "Head k",
        "Unfinished u",
        "Put k",
        "BeginMultipart m",
        "PutPiece m",
        "CompleteMultipart m",
        "Delete k",
        "Delete m",
        "AbortUnfinished .tmp-gone",
    ];
    assert_eq!(calls, expected);
    assert_eq!(store.requests(), room.store.requests());
}
