//! The conformance suite against a live S3 server; see `store::conformance::s3` for the variables that name it.
//!
//! Run as `cargo test --release -p store --features conformance --test conformance_s3`. Without a server every test here fails, it never skips.
#![allow(
    clippy::unwrap_used,
    reason = "the helpers of these tests are test code too; clippy only knows the tests themselves"
)]

use std::io::Write as _;

use store::conformance::s3::{Server, put_with_wrong_checksum};
use store::conformance::{self, Room, bytes};
use store::{ChecksumKind, ChecksumSetting, PayloadSigning, PutOptions, StoreConfig, StoreError};

async fn room(case: &str) -> Room {
    let server = Server::from_environment();
    let config = server.config(case);
    server.room(&config).await
}

store::conformance_cases!(room);

async fn refused(config: &StoreConfig) -> StoreError {
    let store = store::open(config).await.unwrap();
    let by_put = store.put("k", bytes(10, 1), &PutOptions::default()).await.unwrap_err();
    let by_head = store.head("k").await.unwrap_err();
    assert_eq!(by_put.code(), by_head.code(), "{by_put} / {by_head}");
    assert_eq!(store.list("").await.unwrap_err().code(), by_put.code());
    assert_eq!(store.get("k", None).await.unwrap_err().code(), by_put.code());
    by_put
}

async fn every_checksum(setting: ChecksumSetting, kind: ChecksumKind, whole: ChecksumKind) {
    let server = Server::from_environment();
    let mut config = server.config("checksum");
    config.checksum = setting;
    let room = server.room(&config).await;
    let receipt = room.store.put("one", bytes(70_000, 2), &PutOptions::default()).await.unwrap();
    assert_eq!(receipt.checksum.kind, whole, "{receipt:?}");
    room.store.delete(&["one".to_owned()]).await.unwrap();
    let crc = matches!(setting, ChecksumSetting::Auto | ChecksumSetting::Crc32c);
    if crc && !server.strict {
        // moto computes CRCs of multipart objects only with a library that it doesn't require.
        return;
    }
    conformance::pieces_in_any_order_make_one_object(&room).await;
    let upload = room.store.begin_multipart("two", &PutOptions::default()).await.unwrap();
    upload.put_piece(1, bytes(6_000_000, 3)).await.unwrap();
    upload.put_piece(2, bytes(1, 4)).await.unwrap();
    let receipt = upload.complete().await.unwrap();
    assert_eq!(receipt.checksum.kind, kind, "{receipt:?}");
}

#[tokio::test]
async fn crc64nvme_covers_the_whole_object() {
    let (one, many) = (ChecksumKind::FullObject, ChecksumKind::FullObject);
    every_checksum(ChecksumSetting::Auto, many, one).await;
}

#[tokio::test]
async fn crc32c_is_proved() {
    every_checksum(ChecksumSetting::Crc32c, ChecksumKind::Composite, ChecksumKind::FullObject).await;
}

#[tokio::test]
async fn sha256_is_proved() {
    every_checksum(ChecksumSetting::Sha256, ChecksumKind::Composite, ChecksumKind::FullObject).await;
}

#[tokio::test]
async fn md5_is_proved() {
    every_checksum(ChecksumSetting::Md5, ChecksumKind::Composite, ChecksumKind::FullObject).await;
}

#[tokio::test]
async fn no_checksum_means_reading_back() {
    every_checksum(ChecksumSetting::None, ChecksumKind::Reread, ChecksumKind::Reread).await;
}

#[tokio::test]
async fn a_head_repeats_the_checksum() {
    let room = room("head-checksum").await;
    let receipt = room.store.put("k", bytes(1234, 5), &PutOptions::default()).await.unwrap();
    let info = room.store.head("k").await.unwrap();
    assert_eq!(info.checksum, Some(receipt.checksum));
}

#[tokio::test]
async fn every_way_of_signing_works() {
    let server = Server::from_environment();
    for signing in [PayloadSigning::Auto, PayloadSigning::Always, PayloadSigning::Never] {
        let mut config = server.config("signing");
        config.payload_signing = signing;
        let room = server.room(&config).await;
        conformance::a_second_put_replaces(&room).await;
    }
}

#[tokio::test]
async fn a_storage_class_is_kept_or_silently_dropped() {
    let server = Server::from_environment();
    let room = server.room(&server.config("class")).await;
    let options = PutOptions { storage_class: Some("STANDARD_IA".into()), ..PutOptions::default() };
    room.store.put("k", bytes(10, 6), &options).await.unwrap();
    let class = room.store.head("k").await.unwrap().storage_class;
    // Garage knows no classes and says nothing: that is what `check` has to warn about.
    let expected = if server.strict { None } else { Some("STANDARD_IA") };
    assert_eq!(class.as_deref(), expected);
}

#[tokio::test]
async fn an_archived_object_is_cold() {
    let server = Server::from_environment();
    let room = server.room(&server.config("cold")).await;
    let options = PutOptions { storage_class: Some("DEEP_ARCHIVE".into()), ..PutOptions::default() };
    room.store.put("k", bytes(10, 7), &options).await.unwrap();
    let info = room.store.head("k").await.unwrap();
    let listed = room.store.list("").await.unwrap();
    if server.strict {
        assert_eq!(info.thaw, store::ThawState::Hot);
    } else {
        assert_eq!(info.thaw, store::ThawState::Cold);
        assert_eq!(listed[0].thaw, store::ThawState::Cold);
        assert_eq!(room.store.get("k", None).await.unwrap_err().code(), "store.archived");
    }
}

#[tokio::test]
async fn a_wrong_checksum_is_refused() {
    let server = Server::from_environment();
    if !server.strict {
        return;
    }
    for setting in
        [ChecksumSetting::Auto, ChecksumSetting::Crc32c, ChecksumSetting::Sha256, ChecksumSetting::Md5]
    {
        let mut config = server.config("wrong");
        config.checksum = setting;
        let failure = put_with_wrong_checksum(&config).await;
        // Whether the server refuses it or stores it: it never counts.
        let failure = failure.expect_err("a wrong checksum must never be acknowledged");
        assert_eq!(failure.code(), "store.checksum", "{setting:?}: {failure}");
    }
}

#[tokio::test]
async fn a_body_with_another_crc_is_refused_whatever_is_declared() {
    let server = Server::from_environment();
    for setting in [
        ChecksumSetting::Auto,
        ChecksumSetting::Crc32c,
        ChecksumSetting::Sha256,
        ChecksumSetting::Md5,
        ChecksumSetting::None,
    ] {
        // moto believes what is declared, so there only what is compared before sending can be found.
        if server.strict || setting != ChecksumSetting::Auto {
            let mut config = server.config("crc");
            config.checksum = setting;
            conformance::a_body_with_another_crc_is_never_stored(&server.room(&config).await).await;
        }
    }
}

#[tokio::test]
async fn an_unknown_bucket_is_named() {
    let server = Server::from_environment();
    let mut config = server.config("bucket");
    config.url = "s3://no-such-bucket-anywhere/prefix".into();
    let failure = refused(&config).await;
    // A server with real rights may hide from strangers whether a bucket exists.
    assert_eq!(failure.code(), "store.no_such_bucket", "{failure}");
    assert!(failure.to_string().contains("no-such-bucket-anywhere"), "{failure}");
}

#[tokio::test]
async fn bad_credentials_are_named_and_never_shown() {
    let server = Server::from_environment();
    if !server.strict {
        return;
    }
    let own = std::env::var("AWS_ACCESS_KEY_ID").unwrap();
    for (id, secret) in [
        ("GK000000000000000000000000", "not-the-secret-0123456789"),
        (own.as_str(), "not-the-secret-0123456789"),
    ] {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        write!(file, "[backup]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n").unwrap();
        let mut config = server.config("credentials");
        config.credentials_file = Some(file.path().into());
        config.profile = Some("backup".into());
        let failure = refused(&config).await;
        let text = format!("{failure} {failure:?}");
        assert!(matches!(failure.code(), "store.credentials" | "store.forbidden"), "{text}");
        assert!(!text.contains(id) && !text.contains(secret), "{text}");
    }
}

#[tokio::test]
async fn a_credentials_file_serves() {
    let server = Server::from_environment();
    let variable = |name: &str| std::env::var(name).unwrap();
    let (id, secret) = (variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY"));
    let mut file = tempfile::NamedTempFile::new().unwrap();
    write!(file, "[default]\naws_access_key_id={id}\naws_secret_access_key={secret}\n").unwrap();
    let mut config = server.config("file");
    config.credentials_file = Some(file.path().into());
    let room = server.room(&config).await;
    conformance::a_second_put_replaces(&room).await;
}

#[tokio::test]
async fn a_wrong_region_names_the_right_one() {
    let server = Server::from_environment();
    if !server.strict {
        return;
    }
    let mut config = server.config("region");
    let right = config.region.replace("mars-north-1".into()).unwrap();
    let failure = refused(&config).await;
    assert_eq!(failure.code(), "store.wrong_region", "{failure}");
    assert!(failure.to_string().contains(&format!("region: {right}")), "{failure}");
}

#[tokio::test]
async fn opening_asks_nothing() {
    assert_eq!(room("open").await.store.requests().total(), 0);
}
