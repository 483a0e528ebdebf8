//! Cases about objects that arrive in pieces.

use super::{Conditional, Room, bytes, code, keys, put, read};
use crate::checksum::{self, ChecksumAlgorithm, ChecksumKind};
use crate::{PutOptions, ThawState};

/// The shortest piece that S3 allows but for the last.
const PIECE: usize = 5 * 1024 * 1024;

pub async fn pieces_in_any_order_make_one_object(room: &Room) {
    let store = &*room.store;
    let body = bytes(2 * PIECE + 4321, 20);
    let upload = store.begin_multipart("data/big", &PutOptions::default()).await.unwrap();
    for (number, range) in [(3, 2 * PIECE..body.len()), (1, 0..PIECE), (2, PIECE..2 * PIECE)] {
        assert!(keys(store, "").await.is_empty(), "an upload under way is no object");
        upload.put_piece(number, body.slice(range)).await.unwrap();
    }
    let receipt = upload.complete().await.unwrap();
    assert_eq!(receipt.length, body.len() as u64);
    let sum = &receipt.checksum;
    if sum.kind != ChecksumKind::Composite {
        let crc = checksum::raw(ChecksumAlgorithm::Crc64Nvme, &body);
        assert_eq!(sum.value, aws_smithy_types::base64::encode(crc), "{sum:?}");
    }
    assert!(read(store, "data/big").await == body, "the bytes differ");
    let info = store.head("data/big").await.unwrap();
    assert_eq!((info.length, info.thaw), (body.len() as u64, ThawState::Hot));
    assert_eq!(keys(store, "").await, ["data/big"]);
}

pub async fn an_aborted_upload_leaves_nothing(room: &Room) {
    let store = &*room.store;
    let upload = store.begin_multipart("x/y/gone", &PutOptions::default()).await.unwrap();
    upload.put_piece(1, bytes(PIECE, 21)).await.unwrap();
    upload.abort().await.unwrap();
    upload.abort().await.unwrap();
    assert!(keys(store, "").await.is_empty());
    assert_eq!(code(store.head("x/y/gone").await), "store.not_found");
    assert!(upload.complete().await.is_err(), "what was aborted can't be completed");
    assert_eq!(code(store.head("x/y/gone").await), "store.not_found");
}

pub async fn a_missing_piece_is_refused(room: &Room) {
    let store = &*room.store;
    let upload = store.begin_multipart("gap", &PutOptions::default()).await.unwrap();
    assert_eq!(code(upload.put_piece(0, bytes(1, 22)).await), "store.unsupported");
    assert_eq!(code(upload.complete().await), "store.unsupported");
    upload.abort().await.unwrap();
    let upload = store.begin_multipart("gap", &PutOptions::default()).await.unwrap();
    upload.put_piece(2, bytes(10, 22)).await.unwrap();
    assert_eq!(code(upload.complete().await), "store.unsupported");
    upload.abort().await.unwrap();
    assert!(keys(store, "").await.is_empty());
}

pub async fn multipart_if_absent_keeps_the_first_where_honoured(room: &Room) {
    let store = &*room.store;
    let (first, second) = (bytes(10, 23), bytes(20, 24));
    put(store, "k", &first).await;
    let options = PutOptions { if_absent: true, ..PutOptions::default() };
    let upload = store.begin_multipart("k", &options).await.unwrap();
    upload.put_piece(1, second.clone()).await.unwrap();
    let completed = code(upload.complete().await);
    match room.conditional {
        Conditional::Honours => {
            assert_eq!(completed, "store.already_exists");
            assert_eq!(read(store, "k").await, first);
            upload.abort().await.unwrap();
        }
        Conditional::Ignores => {
            assert_eq!(completed, "ok");
            assert_eq!(read(store, "k").await, second);
        }
    }
}
