//! A dropped call stops at once: nothing goes on behind its back.

use std::future::Future;
use std::time::Duration;

use super::scripted::{Answer, Reading, Scripted};
use super::{PLAIN, stored};
use crate::StoreError;
use crate::conformance::bytes;

/// Far longer than the longest pause between the first attempts.
const LATER: Duration = Duration::from_millis(1500);

/// Run `call` until the server has seen a request of it, drop it, and show that no other follows.
async fn dropped_after_one_request<T>(server: &Scripted, call: impl Future<Output = Result<T, StoreError>>) {
    let arrivals = server.arrivals();
    tokio::select! {
        _ = call => panic!("it must be under way"),
        () = arrivals.next() => {}
    }
    let before = arrivals.requests();
    tokio::time::sleep(LATER).await;
    assert_eq!(arrivals.requests(), before, "a request of a call that was dropped");
}

#[tokio::test]
async fn a_dropped_call_sends_no_more() {
    let mut server = Scripted::start(|_, _| Answer::silence()).await;
    server.config.stall_seconds = 60;
    let store = server.store().await;
    let keys = ["a", "b", "c"].map(str::to_owned);
    dropped_after_one_request(&server, store.put("k", bytes(1000, 1), &PLAIN)).await;
    dropped_after_one_request(&server, store.list("")).await;
    dropped_after_one_request(&server, store.delete(&keys)).await;
    dropped_after_one_request(&server, store.head("k")).await;
    dropped_after_one_request(&server, store.unfinished("")).await;
}

#[tokio::test]
async fn the_pause_before_another_attempt_ends_with_the_call() {
    let mut server = Scripted::start(|_, _| Answer::error(503, "SlowDown")).await;
    server.config.max_attempts = Some(100);
    let store = server.store().await;
    dropped_after_one_request(&server, store.put("k", bytes(1000, 1), &PLAIN)).await;
}

#[tokio::test]
async fn single_deletions_end_with_the_call() {
    let server = Scripted::start(|_, request| match request.method.as_str() {
        "POST" => Answer::error(501, "NotImplemented"),
        _ => Answer::new(204, ""),
    })
    .await;
    let store = server.store().await;
    let keys: Vec<_> = (0..1000).map(|number| format!("k{number}")).collect();
    let arrivals = server.arrivals();
    tokio::select! {
        _ = store.delete(&keys) => panic!("it must be under way"),
        () = async { while arrivals.requests() < 5 { arrivals.next().await; } } => {}
    }
    tokio::time::sleep(LATER).await;
    assert!(arrivals.requests() < 100, "{} of 1001 requests came", arrivals.requests());
}

#[tokio::test]
async fn a_dropped_upload_hangs_up_in_mid_body() {
    let server = Scripted::reading(Reading::StopAfter(100_000), |_, request| stored(request)).await;
    let store = server.store().await;
    let arrivals = server.arrivals();
    tokio::select! {
        _ = store.put("k", bytes(32 << 20, 1), &PLAIN) => panic!("it must be under way"),
        () = async { while arrivals.body_bytes() < 100_000 { tokio::task::yield_now().await; } } => {}
    }
    arrivals.go_on();
    arrivals.hung_up().await;
    // What the kernel held at that moment still comes, no more.
    assert!(arrivals.body_bytes() < 24 << 20, "{} bytes came", arrivals.body_bytes());
    assert_eq!(arrivals.requests(), 1);
}

#[tokio::test]
async fn a_dropped_download_hangs_up() {
    let server = Scripted::start(|_, _| Answer::new(200, vec![7; 1 << 20]).silent_after(1000)).await;
    let store = server.store().await;
    let arrivals = server.arrivals();
    let download = store.get("k", None).await.unwrap();
    drop(download);
    arrivals.hung_up().await;
    assert_eq!(arrivals.requests(), 1);
}
