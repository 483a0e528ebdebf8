//! Bursts of refusals, broken connections and lost answers: what was stored is found, what was not is never claimed.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::scripted::{Answer, Reading, Request, Scripted};
use super::{IF_ABSENT, PLAIN, crc, multipart_script, ranged, stored};
use crate::StoreError;
use crate::conformance::{bytes, code};

#[tokio::test]
async fn a_burst_of_refusals_is_outlived_by_every_call() {
    for refusal in [(500, "InternalError"), (503, "SlowDown"), (503, "ServiceUnavailable"), (504, "Gateway")]
    {
        let body = bytes(1000, 1);
        let served = body.clone();
        let server = Scripted::start(move |number, request| {
            if number % 3 < 2 {
                return Answer::error(refusal.0, refusal.1);
            }
            match request.method.as_str() {
                "GET" if request.uri.contains("list-type") => Answer::new(200, "<ListBucketResult/>"),
                "GET" if request.uri.contains("uploads") => Answer::new(200, "<ListMultipartUploadsResult/>"),
                "GET" => ranged(&served, request),
                "HEAD" => Answer::new(200, "").with("content-length", "1000"),
                "DELETE" => Answer::new(204, ""),
                "POST" if request.uri.contains("delete") => Answer::new(200, "<DeleteResult/>"),
                "POST" => multipart_script(request, || completed(request), || Answer::new(404, "")),
                _ => stored(request),
            }
        })
        .await;
        let store = server.store().await;
        store.put("k", body.clone(), &PLAIN).await.unwrap();
        assert_eq!(store.get_bytes("k", 2000).await.unwrap(), body);
        store.head("k").await.unwrap();
        store.list("").await.unwrap();
        store.unfinished("").await.unwrap();
        store.delete(&["a".to_owned()]).await.unwrap();
        store.delete(&["a".to_owned(), "b".to_owned()]).await.unwrap();
        assert_eq!(store.requests().total(), 3 * 7, "{refusal:?}: two refusals each");
    }
}

fn completed(request: &Request) -> Answer {
    let sum = request.header("x-amz-checksum-crc64nvme").unwrap();
    let xml = format!(
        "<CompleteMultipartUploadResult><ChecksumCRC64NVME>{sum}</ChecksumCRC64NVME></CompleteMultipartUploadResult>"
    );
    Answer::new(200, xml)
}

#[tokio::test]
async fn a_connection_reset_in_mid_body_costs_one_attempt() {
    let body = bytes(8 << 20, 2);
    let server = Scripted::reading(Reading::ResetOnceAfter(100_000), |_, request| stored(request)).await;
    let store = server.store().await;
    store.put("k", body.clone(), &PLAIN).await.unwrap();
    assert_eq!(store.requests().put, 2);
    let seen = server.seen();
    assert!(seen.len() == 1 && seen[0].body == body, "the whole body again");
}

#[tokio::test]
async fn a_put_whose_answer_was_lost_is_sent_again() {
    let server =
        Scripted::start(|number, request| if number == 0 { Answer::lost() } else { stored(request) }).await;
    let store = server.store().await;
    let body = bytes(1000, 3);
    store.put("k", body.clone(), &PLAIN).await.unwrap();
    assert_eq!(server.seen().iter().filter(|request| request.body == body).count(), 2);
}

#[tokio::test]
async fn a_conditional_put_whose_answer_was_lost_finds_itself() {
    for (stored_body, expected) in [(bytes(1000, 4), "ok"), (bytes(1000, 5), "store.already_exists")] {
        let server = Scripted::start(move |number, request| match request.method.as_str() {
            "PUT" if number == 0 => Answer::lost(),
            "PUT" => Answer::error(412, "PreconditionFailed"),
            _ => Answer::new(200, "")
                .with("content-length", "1000")
                .with("x-amz-checksum-crc64nvme", crc(&stored_body)),
        })
        .await;
        let store = server.store().await;
        assert_eq!(code(store.put("k", bytes(1000, 4), &IF_ABSENT).await), expected);
    }
}

#[tokio::test]
async fn a_conditional_put_that_came_second_is_refused_without_a_question() {
    let server = Scripted::start(|_, request| match request.method.as_str() {
        "PUT" => Answer::error(412, "PreconditionFailed"),
        _ => Answer::new(200, "")
            .with("content-length", "1000")
            .with("x-amz-checksum-crc64nvme", crc(&bytes(1000, 4))),
    })
    .await;
    let store = server.store().await;
    let put = store.put("k", bytes(1000, 4), &IF_ABSENT).await;
    assert_eq!(code(put), "store.already_exists", "equal bytes of somebody else's are not ours");
    assert_eq!(store.requests().total(), 1);
}

/// An upload of two pieces whose completion is answered by `complete`, given how often it was asked before, and whose object
/// is then found by a HEAD if `there`.
async fn complete_with(
    there: bool,
    complete: impl Fn(usize, &Request) -> Answer + Send + Sync + 'static,
) -> Result<crate::Receipt, StoreError> {
    let body = bytes(100, 6);
    let sum = crc(&body);
    let asked = AtomicUsize::new(0);
    let server = Scripted::start(move |_, request| {
        let head = || {
            let found = Answer::new(200, "").with("content-length", "100");
            if there { found.with("x-amz-checksum-crc64nvme", sum.clone()) } else { Answer::new(404, "") }
        };
        let complete = || complete(asked.fetch_add(1, Ordering::Relaxed), request);
        multipart_script(request, complete, head)
    })
    .await;
    let upload = server.store().await.begin_multipart("k", &PLAIN).await.unwrap();
    upload.put_piece(1, body.slice(..60)).await.unwrap();
    upload.put_piece(2, body.slice(60..)).await.unwrap();
    upload.complete().await
}

#[tokio::test]
async fn a_completion_whose_answer_was_lost_is_found_or_refused() {
    let lost = |asked: usize, _: &Request| match asked {
        0 => Answer::lost(),
        _ => Answer::error(404, "NoSuchUpload"),
    };
    assert_eq!(complete_with(true, lost).await.unwrap().length, 100);
    let failure = complete_with(false, lost).await.unwrap_err();
    assert!(failure.to_string().contains("NoSuchUpload"), "{failure}");
}

#[tokio::test]
async fn a_completion_that_only_failed_is_asked_again() {
    for fault in [Answer::error(500, "InternalError"), Answer::error(503, "SlowDown"), Answer::lost()] {
        let fault = std::sync::Mutex::new(Some(fault));
        let again = move |_: usize, request: &Request| {
            fault.lock().unwrap().take().unwrap_or_else(|| completed(request))
        };
        assert_eq!(complete_with(false, again).await.unwrap().length, 100);
    }
}

#[tokio::test]
async fn an_error_inside_a_200_is_asked_again_and_then_believed() {
    let failed = || Answer::new(200, "<?xml version=\"1.0\"?><Error><Code>InternalError</Code></Error>");
    let once = move |asked: usize, request: &Request| if asked == 0 { failed() } else { completed(request) };
    assert_eq!(complete_with(false, once).await.unwrap().length, 100);
    let failure = complete_with(false, move |_, _| failed()).await.unwrap_err();
    assert_eq!(failure.code(), "store.unreachable", "{failure}");
}

#[tokio::test]
async fn rights_that_are_refused_are_not_asked_for_again() {
    for refusal in ["AccessDenied", "InvalidAccessKeyId"] {
        let server = Scripted::start(move |_, _| Answer::error(403, refusal)).await;
        let store = server.store().await;
        let failure = store.put("k", bytes(10, 7), &PLAIN).await.unwrap_err();
        assert!(matches!(failure.code(), "store.forbidden" | "store.credentials"), "{failure}");
        assert_eq!(store.requests().total(), 1);
    }
}

#[tokio::test]
async fn deleting_stops_at_a_store_that_is_away() {
    let server = Scripted::start(|_, request| {
        if request.method == "POST" { Answer::error(501, "NotImplemented") } else { Answer::lost() }
    })
    .await;
    let store = server.store().await;
    let keys: Vec<_> = (0..100).map(|number| format!("k{number}")).collect();
    let failure = store.delete(&keys).await.unwrap_err();
    assert_eq!(failure.code(), "store.unreachable", "{failure}");
    assert!(store.requests().delete < 60, "eight at once, four attempts each: {:?}", store.requests());
}

#[tokio::test]
async fn an_answer_longer_than_the_range_asked_for_is_refused() {
    let server =
        Scripted::start(|_, _| Answer::new(206, vec![7; 50]).with("content-range", "bytes 5-54/100")).await;
    assert!(server.store().await.get("k", Some(5..10)).await.is_err());
}
