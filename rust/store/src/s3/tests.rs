//! How the S3 store behaves when a server or the network does not: each answer is scripted.

mod cancelling;
mod retrying;
mod scripted;
mod stalls;

use aws_smithy_types::base64;
use bytes::Bytes;
use scripted::{Answer, Request, Scripted, credentials};

use crate::checksum::crc64;
use crate::conformance::{bytes, code};
use crate::{ChecksumSetting, PayloadSigning, PutOptions, StoreConfig};

fn crc(body: &[u8]) -> String {
    base64::encode(crc64(body).to_be_bytes())
}

fn stored(request: &Request) -> Answer {
    Answer::new(200, "").with("x-amz-checksum-crc64nvme", crc(&request.body)).with("etag", "\"tag\"")
}

const PLAIN: PutOptions =
    PutOptions { storage_class: None, if_absent: false, content_type: None, body_crc64: None };
const IF_ABSENT: PutOptions =
    PutOptions { storage_class: None, if_absent: true, content_type: None, body_crc64: None };

#[tokio::test]
async fn a_busy_server_is_asked_again() {
    for status in [408, 409, 429, 499, 500, 503] {
        let server =
            Scripted::start(
                move |number, request| {
                    if number < 2 { Answer::error(status, "Busy") } else { stored(request) }
                },
            )
            .await;
        let store = server.store().await;
        store.put("k", bytes(10, 1), &PLAIN).await.unwrap();
        assert_eq!(store.requests().put, 3, "{status}: every attempt counts");
        let signatures: std::collections::BTreeSet<_> =
            server.seen().iter().map(|r| r.body.clone()).collect();
        assert_eq!(signatures.len(), 1, "each attempt carries the whole body");
    }
}

#[tokio::test]
async fn a_server_that_stays_busy_is_throttled() {
    let server = Scripted::start(|_, _| Answer::error(503, "SlowDown")).await;
    let store = server.store().await;
    assert_eq!(code(store.put("k", bytes(10, 1), &PLAIN).await), "store.throttled");
    assert_eq!(store.requests().put, 4);
}

#[tokio::test]
async fn the_checksum_is_a_header_and_never_a_trailer() {
    let server = Scripted::start(|_, request| stored(request)).await;
    let body = bytes(3_000_000, 2);
    server.store().await.put("k", body.clone(), &PLAIN).await.unwrap();
    let mut unsigned = server.config.clone();
    unsigned.payload_signing = PayloadSigning::Never;
    crate::open(&unsigned).await.unwrap().put("k", body.clone(), &PLAIN).await.unwrap();
    let seen = server.seen();
    for request in &seen {
        assert_eq!(request.header("x-amz-checksum-crc64nvme"), Some(crc(&body).as_str()));
        assert_eq!(request.header("content-encoding"), None, "no aws-chunked");
        assert_eq!(request.header("x-amz-trailer"), None);
        assert_eq!(request.uri.split('?').next(), Some("/bucket/prefix/k"));
        assert!(request.body == body);
    }
    assert_eq!(
        seen[0].header("x-amz-content-sha256").map(str::len),
        Some(64),
        "over http the payload is signed"
    );
    assert_eq!(seen[1].header("x-amz-content-sha256"), Some("UNSIGNED-PAYLOAD"));
}

#[tokio::test]
async fn a_reply_with_another_checksum_is_an_error() {
    let server =
        Scripted::start(|_, _| Answer::new(200, "").with("x-amz-checksum-crc64nvme", crc(b"other"))).await;
    assert_eq!(code(server.store().await.put("k", bytes(10, 1), &PLAIN).await), "store.checksum");
}

#[tokio::test]
async fn a_silent_reply_is_followed_by_a_question() {
    for (length, sum, expected) in [
        (10, Some(crc(&bytes(10, 1))), "ok"),
        (10, Some(crc(b"other")), "store.checksum"),
        (9, Some(crc(&bytes(10, 1))), "store.checksum"),
        (10, None, "store.unsupported"),
    ] {
        let server = Scripted::start(move |_, request| {
            let answer = Answer::new(200, "");
            if request.method != "HEAD" {
                return answer;
            }
            assert_eq!(request.header("x-amz-checksum-mode"), Some("ENABLED"));
            let answer = answer.with("content-length", format!("{length}"));
            sum.clone().map_or(Answer::new(200, "").with("content-length", format!("{length}")), |sum| {
                answer.with("x-amz-checksum-crc64nvme", sum)
            })
        })
        .await;
        let put = server.store().await.put("k", bytes(10, 1), &PLAIN).await;
        if let Err(failure) = &put
            && expected == "store.unsupported"
        {
            assert!(failure.to_string().contains("set `checksum:`"), "{failure}");
        }
        assert_eq!(code(put), expected);
    }
}

#[tokio::test]
async fn without_a_checksum_the_bytes_are_read_back() {
    for (back, expected) in
        [(bytes(10, 1), "ok"), (bytes(10, 2), "store.checksum"), (bytes(9, 1), "store.checksum")]
    {
        let mut server = Scripted::start(move |_, request| {
            Answer::new(200, if request.method == "GET" { back.to_vec() } else { Vec::new() })
        })
        .await;
        server.config.checksum = ChecksumSetting::None;
        assert_eq!(code(server.store().await.put("k", bytes(10, 1), &PLAIN).await), expected);
        let seen = server.seen();
        assert!(
            !seen[0].headers.keys().any(|name| name.starts_with("x-amz-checksum") || name == "content-md5")
        );
    }
}

#[tokio::test]
async fn an_etag_that_is_no_md5_proves_nothing() {
    for (tag, gets) in [("\"8fe4c11451281c094a6578e6ddbf5eed\"", 0), ("\"opaque\"", 1)] {
        let mut server = Scripted::start(move |_, request| match request.method.as_str() {
            "GET" => Answer::new(200, "xyzzy"),
            _ => Answer::new(200, "").with("etag", tag),
        })
        .await;
        server.config.checksum = ChecksumSetting::Md5;
        let store = server.store().await;
        let put = store.put("k", Bytes::from_static(b"xyzzy"), &PLAIN).await;
        let md5 = "1271ed5ef305aadabc605b1609e24c52";
        let matches = tag.contains(md5);
        assert!(matches || store.requests().get == 1, "{put:?} {gets}");
        put.unwrap();
    }
}

#[tokio::test]
async fn a_server_without_conditions_is_remembered() {
    let server = Scripted::start(|_, request| match request.header("if-none-match") {
        Some("*") => Answer::error(501, "NotImplemented"),
        _ => stored(request),
    })
    .await;
    let store = server.store().await;
    assert!(!store.refuses_conditional_writes());
    store.put("k", bytes(1, 1), &IF_ABSENT).await.unwrap();
    assert!(store.refuses_conditional_writes());
    store.put("k", bytes(1, 1), &IF_ABSENT).await.unwrap();
    assert_eq!(store.requests().put, 3);
}

fn multipart_script(
    request: &Request,
    complete: impl FnOnce() -> Answer,
    head: impl FnOnce() -> Answer,
) -> Answer {
    match (request.method.as_str(), request.uri.contains("uploads")) {
        ("POST", true) => Answer::new(
            200,
            "<?xml version=\"1.0\"?><InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>",
        ),
        ("PUT", _) => stored(request),
        ("POST", false) => complete(),
        _ => head(),
    }
}

#[tokio::test]
async fn a_completed_upload_whose_answer_was_lost_is_found() {
    let body = bytes(100, 3);
    for (sum, expected) in [(crc(&body), "ok"), (crc(b"somebody else's"), "store.other")] {
        let server = Scripted::start(move |_, request| {
            let head = || {
                Answer::new(200, "")
                    .with("content-length", "100")
                    .with("x-amz-checksum-crc64nvme", sum.clone())
            };
            multipart_script(request, || Answer::error(404, "NoSuchUpload"), head)
        })
        .await;
        let upload = server.store().await.begin_multipart("k", &PLAIN).await.unwrap();
        upload.put_piece(1, body.slice(..60)).await.unwrap();
        upload.put_piece(2, body.slice(60..)).await.unwrap();
        assert_eq!(code(upload.complete().await), expected);
        let complete = server
            .seen()
            .into_iter()
            .find(|request| request.method == "POST" && !request.uri.contains("uploads"));
        let complete = complete.unwrap();
        assert_eq!(complete.header("x-amz-checksum-crc64nvme"), Some(crc(&body).as_str()));
        assert_eq!(complete.header("x-amz-checksum-type"), Some("FULL_OBJECT"));
    }
}

#[tokio::test]
async fn a_completion_that_fails_inside_a_200_is_an_error() {
    let server = Scripted::start(|_, request| {
        let late = || Answer::new(200, "<?xml version=\"1.0\"?><Error><Code>InternalError</Code></Error>");
        multipart_script(request, late, || Answer::new(404, ""))
    })
    .await;
    let upload = server.store().await.begin_multipart("k", &PLAIN).await.unwrap();
    upload.put_piece(1, bytes(10, 4)).await.unwrap();
    assert!(upload.complete().await.is_err());
}

fn ranged(body: &Bytes, request: &Request) -> Answer {
    let total = body.len();
    let Some(range) = request.header("range") else {
        return Answer::new(200, body.to_vec()).with("etag", "\"tag\"");
    };
    let (start, end) = range.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
    let (start, end): (usize, usize) = (start.parse().unwrap(), end.parse().unwrap());
    Answer::new(206, body[start..=end].to_vec())
        .with("content-range", format!("bytes {start}-{end}/{total}"))
        .with("etag", "\"tag\"")
}

#[tokio::test]
async fn a_broken_download_goes_on_where_it_broke() {
    for silent in [false, true] {
        let body = bytes(300_000, 5);
        let served = body.clone();
        let server = Scripted::start(move |number, request| {
            let answer = ranged(&served, request);
            match (number, silent) {
                (0, false) => answer.cut_after(100_000),
                (0, true) => answer.silent_after(100_000),
                _ => answer,
            }
        })
        .await;
        let store = server.store().await;
        assert!(store.get_bytes("k", u64::MAX).await.unwrap() == body);
        let seen = server.seen();
        assert_eq!(seen.len(), 2);
        assert_eq!(seen[1].header("range"), Some("bytes=100000-299999"));
        assert_eq!(
            seen[1].header("if-match"),
            Some("\"tag\""),
            "another object of that name must not be spliced on"
        );
        assert_eq!(store.requests().get, 2);
    }
}

#[tokio::test]
async fn a_server_that_ignores_ranges_is_refused() {
    let server = Scripted::start(|_, _| Answer::new(200, vec![7; 100])).await;
    assert_eq!(code(server.store().await.get("k", Some(5..10)).await), "store.unsupported");
}

#[tokio::test]
async fn a_silent_server_is_given_up() {
    let mut server = Scripted::start(|_, _| Answer::silence()).await;
    server.config.max_attempts = Some(2);
    let store = server.store().await;
    assert_eq!(code(store.head("k").await), "store.stalled");
    assert_eq!(store.requests().head, 2);
}

#[tokio::test]
async fn a_server_without_batches_gets_single_deletions() {
    let server = Scripted::start(|_, request| match request.method.as_str() {
        "POST" => Answer::error(501, "NotImplemented"),
        _ if request.uri.contains("absent") => Answer::error(404, "NoSuchKey"),
        _ => Answer::new(204, ""),
    })
    .await;
    let store = server.store().await;
    let keys = ["a", "absent", "c"].map(str::to_owned);
    store.delete(&keys).await.unwrap();
    store.delete(&keys).await.unwrap();
    assert_eq!(
        server.seen().iter().filter(|request| request.method == "POST").count(),
        1,
        "asked once, then remembered"
    );
}

#[tokio::test]
async fn a_key_that_cannot_be_deleted_is_named() {
    let server = Scripted::start(|_, request| {
        assert!(
            request.headers.keys().any(|name| name.starts_with("x-amz-checksum") || name == "content-md5")
        );
        let errors = "<DeleteResult><Error><Key>prefix/a</Key><Code>NoSuchKey</Code></Error>\
             <Error><Key>prefix/b</Key><Code>AccessDenied</Code><Message>no</Message></Error></DeleteResult>";
        Answer::new(200, errors)
    })
    .await;
    let failure = server.store().await.delete(&["a".to_owned(), "b".to_owned()]).await.unwrap_err();
    assert_eq!(failure.code(), "store.forbidden");
    assert!(failure.to_string().contains("s3://bucket/prefix/b"), "{failure}");
}

#[tokio::test]
async fn a_listing_takes_every_page_and_only_our_keys() {
    let server = Scripted::start(|_, request| {
        let object = |key: &str| format!("<Contents><Key>{key}</Key><Size>1</Size></Contents>");
        let (more, keys) = if request.uri.contains("continuation-token=next") {
            ("<IsTruncated>false</IsTruncated>", ["prefix/a", "prefix/folder/"])
        } else {
            (
                "<IsTruncated>true</IsTruncated><NextContinuationToken>next</NextContinuationToken>",
                ["prefix/c", "prefix/b"],
            )
        };
        let objects: String = keys.iter().map(|key| object(key)).collect();
        Answer::new(200, format!("<ListBucketResult>{more}{objects}</ListBucketResult>"))
    })
    .await;
    let store = server.store().await;
    let keys: Vec<_> = store.list("").await.unwrap().into_iter().map(|info| info.key).collect();
    assert_eq!(keys, ["a", "b", "c"]);
    assert_eq!(store.requests().list, 2);
}

fn uploads_page(more: &str, keys: &[&str]) -> Answer {
    let one = |key: &&str| {
        format!(
            "<Upload><Key>{key}</Key><UploadId>u-{key}</UploadId>\
             <Initiated>2024-01-02T03:04:05.000Z</Initiated></Upload>"
        )
    };
    let uploads: String = keys.iter().map(one).collect();
    Answer::new(200, format!("<ListMultipartUploadsResult>{more}{uploads}</ListMultipartUploadsResult>"))
}

#[tokio::test]
async fn unfinished_uploads_are_listed_from_every_page() {
    let server = Scripted::start(|_, request| {
        let more = "<IsTruncated>true</IsTruncated><NextKeyMarker>prefix/a/2</NextKeyMarker>\
                    <NextUploadIdMarker>u-prefix/a/2</NextUploadIdMarker>";
        if request.uri.contains("key-marker=prefix%2Fa%2F2&") {
            assert!(request.uri.contains("upload-id-marker=u-prefix%2Fa%2F2"), "{}", request.uri);
            return uploads_page("<IsTruncated>false</IsTruncated>", &["prefix/a/1", "elsewhere/a/9"]);
        }
        uploads_page(more, &["prefix/a/2", "prefix/b/3", "prefix/a/2"])
    })
    .await;
    let store = server.store().await;
    let found = store.unfinished("a/").await.unwrap();
    let named: Vec<_> = found.iter().map(|u| (u.key.as_str(), u.upload_id.as_str())).collect();
    assert_eq!(named, [("a/1", "u-prefix/a/1"), ("a/2", "u-prefix/a/2")], "and no stranger's");
    assert_eq!(found[0].begun_unix_seconds, Some(1_704_164_645));
    assert_eq!(store.requests().list, 2);
}

#[tokio::test]
async fn a_server_that_goes_in_circles_is_left() {
    for marker in ["", "<NextKeyMarker>prefix/a</NextKeyMarker>"] {
        let more = format!("<IsTruncated>true</IsTruncated>{marker}");
        let server = Scripted::start(move |_, _| uploads_page(&more, &["prefix/a"])).await;
        let failure = server.store().await.unfinished("").await.unwrap_err();
        assert!(failure.to_string().contains("not how to get it"), "{failure}");
        assert!(server.seen().len() <= 2);
    }
}

#[tokio::test]
async fn a_server_that_lists_no_uploads_says_so() {
    let server = Scripted::start(|_, _| Answer::error(501, "NotImplemented")).await;
    assert_eq!(code(server.store().await.unfinished("").await), "store.unsupported");
}

#[tokio::test]
async fn what_is_no_s3_server_is_said_so() {
    let server = Scripted::start(|_, _| Answer::new(200, "<html>welcome</html>")).await;
    let failure = server.store().await.list("").await.unwrap_err();
    assert!(failure.to_string().contains("check `endpoint`"), "{failure}");
}

#[tokio::test]
async fn a_closed_port_is_unreachable() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let file = credentials();
    let mut config = StoreConfig::new("s3://bucket");
    config.endpoint = Some(format!("http://{address}"));
    config.credentials_file = Some(file.path().into());
    config.max_attempts = Some(3);
    let store = crate::open(&config).await.unwrap();
    let failure = store.list("").await.unwrap_err();
    assert_eq!(failure.code(), "store.unreachable");
    assert!(failure.to_string().contains("refused"), "{failure}");
    assert_eq!(store.requests().list, 3);
    config.endpoint = Some("http://no-such-host.invalid:1".into());
    let failure = crate::open(&config).await.unwrap().list("").await.unwrap_err();
    assert_eq!(failure.code(), "store.unreachable", "{failure}");
}

#[tokio::test]
async fn https_to_a_server_without_it_speaks_of_tls() {
    let mut server = Scripted::start(|_, _| Answer::new(200, "")).await;
    server.config.endpoint = server.config.endpoint.map(|endpoint| endpoint.replace("http://", "https://"));
    let failure = server.store().await.list("").await.unwrap_err();
    assert_eq!(failure.code(), "store.tls", "{failure}");
}

#[tokio::test]
async fn missing_credentials_are_said_so_and_a_secret_never() {
    let mut server = Scripted::start(|_, _| Answer::error(403, "SignatureDoesNotMatch")).await;
    let failure = server.store().await.list("").await.unwrap_err();
    assert_eq!(failure.code(), "store.credentials");
    let text = format!("{failure} {failure:?} {:?}", server.config);
    assert!(!text.contains("AKIA") && !text.contains("hush"), "{text}");
    server.config.profile = Some("absent".into());
    let failure = server.store().await.list("").await.unwrap_err();
    assert_eq!(failure.code(), "store.credentials", "{failure}");
    server.config.credentials_file = Some("/nonexistent/credentials".into());
    let failure = crate::open(&server.config).await.map(drop).unwrap_err();
    assert_eq!(failure.code(), "store.invalid_config", "{failure}");
}

#[tokio::test]
async fn a_404_without_a_body_may_mean_the_bucket() {
    let server = Scripted::start(|_, request| match request.method.as_str() {
        "HEAD" => Answer::new(404, ""),
        _ => Answer::error(404, "NoSuchBucket"),
    })
    .await;
    assert_eq!(code(server.store().await.head("k").await), "store.no_such_bucket");
}
