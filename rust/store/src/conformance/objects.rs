//! Cases about whole objects.

use futures::StreamExt;

use super::{Conditional, Room, bytes, code, keys, put, read};
use crate::checksum::{self, ChecksumAlgorithm, ChecksumKind};
use crate::{PutOptions, Receipt, ThawState};

const MIB: usize = 1024 * 1024;

fn check_receipt(receipt: &Receipt, body: &[u8]) {
    assert_eq!(receipt.length, body.len() as u64);
    let sum = &receipt.checksum;
    let raw = match sum.kind {
        ChecksumKind::Reread => checksum::raw(ChecksumAlgorithm::Crc64Nvme, body),
        _ => checksum::raw(sum.algorithm, body),
    };
    assert_eq!(sum.value, aws_smithy_types::base64::encode(raw), "{sum:?}");
}

pub async fn an_object_comes_back_whole(room: &Room) {
    let store = &*room.store;
    for length in [1, 65_536, 65_537, 8 * MIB, 8 * MIB + 12_345] {
        let (key, body) = (format!("data/x/@/{length}.age"), bytes(length, 1));
        let receipt = store.put(&key, body.clone(), &PutOptions::default()).await.unwrap();
        check_receipt(&receipt, &body);
        let mut download = store.get(&key, None).await.unwrap();
        assert_eq!((download.length, download.total_length), (length as u64, length as u64));
        let mut got = Vec::new();
        while let Some(piece) = download.chunks.next().await {
            let piece = piece.unwrap();
            assert!(!piece.is_empty() && piece.len() <= MIB);
            got.extend_from_slice(&piece);
        }
        assert!(got == body, "{length} bytes differ");
        let info = store.head(&key).await.unwrap();
        assert_eq!(
            (info.key.as_str(), info.length, info.thaw),
            (key.as_str(), length as u64, ThawState::Hot)
        );
    }
    assert_eq!(keys(store, "").await.len(), 5);
}

pub async fn an_empty_object_is_an_object(room: &Room) {
    let store = &*room.store;
    let receipt = store.put("empty", bytes(0, 0), &PutOptions::default()).await.unwrap();
    check_receipt(&receipt, &[]);
    assert_eq!(store.head("empty").await.unwrap().length, 0);
    assert!(read(store, "empty").await.is_empty());
    assert_eq!(keys(store, "").await, ["empty"]);
}

pub async fn a_range_comes_back_exactly(room: &Room) {
    let (store, body) = (&*room.store, bytes(3 * MIB + 7, 2));
    put(store, "k", &body).await;
    let total = body.len() as u64;
    for (start, end) in [
        (0, 1),
        (0, total),
        (5, 12),
        (total - 1, total),
        (MIB as u64 - 1, 2 * MIB as u64 + 1),
        (7, total + 99),
    ] {
        let mut download = store.get("k", Some(start..end)).await.unwrap();
        let end = end.min(total);
        assert_eq!((download.length, download.total_length), (end - start, total));
        let mut got = Vec::new();
        while let Some(piece) = download.chunks.next().await {
            got.extend_from_slice(&piece.unwrap());
        }
        assert!(
            got == body[usize::try_from(start).unwrap()..usize::try_from(end).unwrap()],
            "{start}..{end}"
        );
    }
}

pub async fn a_range_outside_is_an_error(room: &Room) {
    let store = &*room.store;
    put(store, "k", &bytes(10, 3)).await;
    for range in [10..11, 100..200, 5..5] {
        assert_eq!(code(store.get("k", Some(range.clone())).await), "store.other", "{range:?}");
    }
}

pub async fn an_absent_object_is_not_found(room: &Room) {
    let store = &*room.store;
    put(store, "a/file", &bytes(1, 4)).await;
    for key in ["absent", "a", "a/file/below", "b/c/d"] {
        assert_eq!(code(store.head(key).await), "store.not_found", "head {key}");
        let failure = store.get(key, None).await.unwrap_err();
        assert_eq!(failure.code(), "store.not_found", "get {key}");
        assert!(failure.to_string().contains(key), "{failure}");
    }
    assert!(keys(store, "nothing/here/").await.is_empty());
}

pub async fn a_second_put_replaces(room: &Room) {
    let store = &*room.store;
    put(store, "k", &bytes(5000, 5)).await;
    let shorter = bytes(3, 6);
    put(store, "k", &shorter).await;
    assert_eq!(read(store, "k").await, shorter);
    assert_eq!(keys(store, "").await, ["k"]);
}

pub async fn a_body_with_another_crc_is_never_stored(room: &Room) {
    let (store, body) = (&*room.store, bytes(300_000, 16));
    let crc = checksum::crc64(&body);
    let with = |crc| PutOptions { body_crc64: Some(crc), ..PutOptions::default() };
    put(store, "old", &bytes(5, 17)).await;
    for key in ["new", "old"] {
        let failure = store.put(key, body.clone(), &with(crc ^ 1)).await.unwrap_err();
        assert_eq!(failure.code(), "store.checksum", "{failure}");
        assert!(failure.to_string().contains(key), "{failure}");
    }
    assert_eq!(keys(store, "").await, ["old"]);
    assert_eq!(code(store.head("new").await), "store.not_found");
    assert_eq!(read(store, "old").await, bytes(5, 17), "what stood there stays");
    check_receipt(&store.put("new", body.clone(), &with(crc)).await.unwrap(), &body);
    assert!(read(store, "new").await == body);
}

pub async fn if_absent_keeps_the_first_where_honoured(room: &Room) {
    let store = &*room.store;
    let options = PutOptions { if_absent: true, ..PutOptions::default() };
    let (first, second) = (bytes(10, 7), bytes(20, 8));
    store.put("k", first.clone(), &options).await.unwrap();
    let again = code(store.put("k", second.clone(), &options).await);
    match room.conditional {
        Conditional::Honours => {
            assert_eq!(again, "store.already_exists");
            assert_eq!(read(store, "k").await, first);
        }
        Conditional::Ignores => {
            assert_eq!(again, "ok");
            assert_eq!(read(store, "k").await, second);
        }
    }
    assert_eq!(keys(store, "").await, ["k"]);
}

pub async fn a_hostile_key_is_refused_unsent(room: &Room) {
    let store = &*room.store;
    let before = store.requests();
    for key in ["", "/etc/x", "../up", "a/../../b", "a//b", "a/", "./a", "a\0b", "a/.tmp-1"] {
        let owned = [key.to_owned()];
        assert_eq!(
            code(store.put(key, bytes(1, 9), &PutOptions::default()).await),
            "store.invalid_key",
            "put {key:?}"
        );
        assert_eq!(
            code(store.begin_multipart(key, &PutOptions::default()).await),
            "store.invalid_key",
            "begin {key:?}"
        );
        assert_eq!(code(store.get(key, None).await), "store.invalid_key", "get {key:?}");
        assert_eq!(code(store.head(key).await), "store.invalid_key", "head {key:?}");
        assert_eq!(code(store.delete(&owned).await), "store.invalid_key", "delete {key:?}");
    }
    assert_eq!(code(store.list("../").await), "store.invalid_key");
    assert_eq!(store.requests(), before, "a refused key must cost no request");
}

pub async fn odd_names_survive(room: &Room) {
    let store = &*room.store;
    let mut odd = [
        "a b",
        "ü/é",
        "100%",
        "%41",
        "a+b",
        "a&b=c",
        "q?x#y",
        "it's",
        "semi;colon",
        "@/x~0.json",
        "~",
        "a:b",
        "(1)",
        "-",
        "...",
    ];
    for name in odd {
        put(store, name, &bytes(name.len(), 10)).await;
    }
    odd.sort_unstable();
    assert_eq!(keys(store, "").await, odd);
    for name in odd {
        assert_eq!(read(store, name).await, bytes(name.len(), 10), "{name}");
    }
    store.delete(&odd.map(str::to_owned)).await.unwrap();
    assert!(keys(store, "").await.is_empty());
}

pub async fn a_listing_is_complete_and_ordered(room: &Room) {
    let store = &*room.store;
    let mut wanted: Vec<_> =
        (0..room.many).map(|number| format!("many/{}/{number:05}", number % 7)).collect();
    let body = bytes(3, 11);
    for batch in wanted.chunks(16) {
        futures::future::join_all(batch.iter().map(|key| put(store, key, &body))).await;
    }
    wanted.sort_unstable();
    let listed = store.list("many/").await.unwrap();
    assert!(listed.iter().all(|info| info.length == 3));
    assert!(
        listed.iter().map(|info| &info.key).eq(wanted.iter()),
        "{} listed of {}",
        listed.len(),
        wanted.len()
    );
    store.delete(&wanted).await.unwrap();
    assert!(keys(store, "").await.is_empty());
}

pub async fn a_listing_keeps_to_its_prefix(room: &Room) {
    let store = &*room.store;
    for key in ["a/1", "a/2", "a-b", "a/c/1", "ab/1", "b"] {
        put(store, key, &bytes(1, 12)).await;
    }
    assert_eq!(keys(store, "a/").await, ["a/1", "a/2", "a/c/1"]);
    assert_eq!(keys(store, "a").await, ["a-b", "a/1", "a/2", "a/c/1", "ab/1"]);
    assert_eq!(keys(store, "a/c").await, ["a/c/1"]);
    assert_eq!(keys(store, "").await, ["a-b", "a/1", "a/2", "a/c/1", "ab/1", "b"]);
    assert!(keys(store, "b/").await.is_empty());
}

pub async fn deleting_twice_is_fine(room: &Room) {
    let store = &*room.store;
    put(store, "x/keep", &bytes(1, 13)).await;
    put(store, "x/go", &bytes(1, 13)).await;
    let both = ["x/go".to_owned(), "x/never-there".to_owned(), "y/z/never".to_owned()];
    store.delete(&both).await.unwrap();
    store.delete(&both).await.unwrap();
    store.delete(&both[..1]).await.unwrap();
    store.delete(&[]).await.unwrap();
    assert_eq!(keys(store, "").await, ["x/keep"]);
}

pub async fn requests_are_counted(room: &Room) {
    let store = &*room.store;
    assert_eq!(store.requests().total(), 0, "opening asks nothing");
    put(store, "k", &bytes(9, 14)).await;
    let counts = store.requests();
    assert_eq!((counts.put, counts.list, counts.delete), (1, 0, 0));
    assert!(counts.total() <= 2, "{counts:?}");
    let before = store.requests();
    read(store, "k").await;
    store.head("k").await.unwrap();
    store.list("").await.unwrap();
    store.delete(&["k".to_owned()]).await.unwrap();
    let after = store.requests();
    assert_eq!((after.get - before.get, after.head - before.head), (1, 1));
    assert_eq!((after.list - before.list, after.delete - before.delete, after.put), (1, 1, 1));
    store.delete(&[]).await.unwrap();
    assert_eq!(store.requests(), after, "deleting nothing asks nothing");
}

pub async fn get_bytes_has_a_limit(room: &Room) {
    let store = &*room.store;
    let body = bytes(1000, 15);
    put(store, "k", &body).await;
    assert_eq!(store.get_bytes("k", 1000).await.unwrap(), body);
    assert_eq!(code(store.get_bytes("k", 999).await), "store.unsupported");
}
