//! Cases about uploads that nobody completed, and about times.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::SystemTime;

use super::{Room, bytes, keys, put, read};
use crate::{PutOptions, UnfinishedUpload};

/// How far a server's clock may be off.
const SKEW_SECONDS: i64 = 120;

fn now_unix_seconds() -> i64 {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

/// Leave an upload to `key` as a killed writer does.
async fn strand(room: &Room, key: &str) {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    if let Some(root) = &room.folder {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = root.join(key).parent().unwrap().to_owned();
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(format!(".tmp-0-dead-{number}")), bytes(100, 40)).unwrap();
        return;
    }
    let upload = room.store.begin_multipart(key, &PutOptions::default()).await.unwrap();
    upload.put_piece(1, bytes(100, 40)).await.unwrap();
}

async fn unfinished(room: &Room, prefix: &str) -> Vec<UnfinishedUpload> {
    room.store.unfinished(prefix).await.unwrap()
}

pub async fn an_unfinished_upload_is_seen_and_ended(room: &Room) {
    let (store, body) = (&*room.store, bytes(10, 41));
    put(store, "data/one/part", &body).await;
    for key in ["data/one/part", "data/one/part", "data/one~/other", "runs/x"] {
        strand(room, key).await;
    }
    let one = unfinished(room, "data/one/").await;
    assert_eq!(one.len(), 2, "{one:?}");
    assert_ne!(one[0].upload_id, one[1].upload_id);
    for upload in &one {
        assert!(upload.key.starts_with("data/one/"), "{upload:?}");
        let begun = upload.begun_unix_seconds.unwrap();
        let off_seconds = (begun - now_unix_seconds()).abs();
        assert!(off_seconds <= SKEW_SECONDS || !room.dates_uploads, "{upload:?}");
    }
    for (prefix, count) in [("", 4), ("data/", 3), ("data/one", 3), ("runs/", 1), ("other/", 0)] {
        assert_eq!(unfinished(room, prefix).await.len(), count, "{prefix:?}");
    }
    assert_eq!(keys(store, "").await, ["data/one/part"], "they are no objects");

    store.abort_unfinished(&one[0]).await.unwrap();
    store.abort_unfinished(&one[0]).await.unwrap();
    assert_eq!(unfinished(room, "data/one/").await, [one[1].clone()], "only the one that was named");
    store.abort_unfinished(&one[1]).await.unwrap();
    let left: Vec<_> = unfinished(room, "").await.into_iter().map(|upload| upload.key).collect();
    assert_eq!(left.len(), 2, "{left:?}");
    assert!(left[0].starts_with("data/one~/") && left[1].starts_with("runs/"), "{left:?}");
    assert_eq!(read(store, "data/one/part").await, body, "the object of the same key stays");
}

pub async fn when_an_object_was_written_is_known(room: &Room) {
    let store = &*room.store;
    put(store, "k", &bytes(10, 42)).await;
    let asked = store.head("k").await.unwrap().modified_unix_seconds.unwrap();
    assert!((asked - now_unix_seconds()).abs() <= SKEW_SECONDS, "{asked}");
    assert_eq!(store.list("").await.unwrap()[0].modified_unix_seconds, Some(asked));
}
