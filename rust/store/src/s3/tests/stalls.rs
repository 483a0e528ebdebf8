//! Servers that stop, drip or are away: every request ends, in time, with what stalled.

use std::time::{Duration, Instant};

use futures::StreamExt;

use super::scripted::{Answer, Reading, Scripted, credentials};
use super::{PLAIN, stored};
use crate::conformance::bytes;
use crate::{StoreConfig, StoreError};

const MIB: usize = 1024 * 1024;

fn stalled(failure: &StoreError, parts: &[&str]) {
    assert_eq!(failure.code(), "store.stalled", "{failure}");
    for part in ["s3://bucket/prefix/k"].iter().chain(parts) {
        assert!(failure.to_string().contains(part), "{part}: {failure}");
    }
}

#[tokio::test]
async fn a_connection_that_nobody_serves_is_given_up() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let file = credentials();
    let mut config = StoreConfig::new("s3://bucket/prefix");
    config.endpoint = Some(format!("http://{}", listener.local_addr().unwrap()));
    config.credentials_file = Some(file.path().into());
    config.stall_seconds = 1;
    let store = crate::open(&config).await.unwrap();
    let failure = store.head("k").await.unwrap_err();
    stalled(&failure, &["cannot look at", "no answer for 1 seconds"]);
    assert_eq!(store.requests().head, 3, "the kernel accepts for a server that never does");
}

#[tokio::test]
async fn a_body_half_taken_is_given_up_long_before_it_could_be_sent() {
    let mut server = Scripted::reading(Reading::StopAfter(100_000), |_, request| stored(request)).await;
    server.config.max_attempts = Some(2);
    let store = server.store().await;
    let begun = Instant::now();
    let failure = store.put("k", bytes(32 * MIB, 1), &PLAIN).await.unwrap_err();
    stalled(&failure, &["cannot store", "of 33554432 bytes were sent", "in the last 1 seconds"]);
    assert_eq!(store.requests().put, 2);
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_body_taken_and_not_answered_is_given_up() {
    let mut server = Scripted::start(|_, _| Answer::silence()).await;
    server.config.max_attempts = Some(1);
    let failure = server.store().await.put("k", bytes(10_000, 1), &PLAIN).await.unwrap_err();
    stalled(&failure, &["all 10000 bytes were sent", "no answer came for 1 seconds"]);
}

#[tokio::test]
async fn an_answer_half_sent_is_given_up() {
    let mut server = Scripted::start(|_, request| match request.method.as_str() {
        "GET" => Answer::new(200, vec![b' '; 1000]).silent_after(300),
        _ => stored(request),
    })
    .await;
    server.config.max_attempts = Some(1);
    let failure = server.store().await.list("k").await.unwrap_err();
    stalled(&failure, &["cannot list", "300 bytes of the answer came"]);
}

#[tokio::test]
async fn an_answer_that_drips_is_given_up() {
    let mut server =
        Scripted::start(|_, _| Answer::new(200, vec![b' '; 1_000_000]).dripping(Duration::from_millis(20)))
            .await;
    server.config.max_attempts = Some(1);
    let store = server.store().await;
    stalled(&store.list("k").await.unwrap_err(), &["bytes of the answer came", "in the last 1 seconds"]);
    let mut download = store.get("k", None).await.unwrap();
    let failure = loop {
        match download.chunks.next().await.unwrap() {
            Ok(_) => {}
            Err(failure) => break failure,
        }
    };
    // The server doesn't answer for the rest of the range: what stalled first is the cause.
    stalled(&failure, &["cannot read"]);
}

#[tokio::test]
async fn a_slow_reader_is_no_stall() {
    let body = bytes(3 * MIB, 2);
    let served = body.clone();
    let server = Scripted::start(move |_, _| Answer::new(200, served.to_vec())).await;
    let store = server.store().await;
    let mut download = store.get("k", None).await.unwrap();
    let mut got = Vec::new();
    while let Some(piece) = download.chunks.next().await {
        if got.is_empty() {
            tokio::time::sleep(Duration::from_millis(1500)).await;
        }
        got.extend_from_slice(&piece.unwrap());
    }
    assert!(got == body);
    assert_eq!(store.requests().get, 1, "our own slowness interrupts nothing");
}

#[tokio::test]
async fn a_download_that_breaks_after_each_byte_ends() {
    let server = Scripted::start(|_, request| {
        let start = request
            .header("range")
            .map_or(0, |range| range["bytes=".len()..].split('-').next().unwrap().parse::<usize>().unwrap());
        Answer::new(if start == 0 { 200 } else { 206 }, vec![7; 100_000 - start])
            .with("content-range", format!("bytes {start}-99999/100000"))
            .cut_after(1)
    })
    .await;
    let store = server.store().await;
    let failure = store.get_bytes("k", u64::MAX).await.unwrap_err();
    assert_eq!(failure.code(), "store.unreachable", "{failure}");
    assert_eq!(store.requests().get, 6);
}

#[tokio::test]
async fn an_address_where_nobody_listens_fails_fast() {
    let server = Scripted::start(|_, request| stored(request)).await;
    let mut config = server.config.clone();
    config.max_attempts = None;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    config.endpoint = Some(format!("http://{}", listener.local_addr().unwrap()));
    drop(listener);
    let store = crate::open(&config).await.unwrap();
    let failure = store.list("").await.unwrap_err();
    assert_eq!(failure.code(), "store.unreachable", "{failure}");
    assert_eq!(store.requests().list, 3);
}

#[tokio::test]
async fn a_server_that_is_away_for_a_while_is_waited_for() {
    let mut server = Scripted::start(|_, request| stored(request)).await;
    server.config.max_attempts = None;
    server.config.patience_seconds = 60;
    let store = server.store().await;
    store.put("k", bytes(10, 1), &PLAIN).await.unwrap();
    server.stop();
    let address = server.address();
    let back = async {
        // Long enough for more attempts than a first contact has.
        while store.requests().put < 6 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Scripted::at(address, |_, request| stored(request)).await
    };
    let (put, _back) = futures::join!(store.put("k", bytes(10, 1), &PLAIN), back);
    put.unwrap();
}

#[tokio::test]
async fn patience_has_an_end() {
    let mut server = Scripted::start(|_, request| stored(request)).await;
    server.config.max_attempts = None;
    server.config.patience_seconds = 2;
    let store = server.store().await;
    store.put("k", bytes(10, 1), &PLAIN).await.unwrap();
    server.stop();
    let failure = store.put("k", bytes(10, 1), &PLAIN).await.unwrap_err();
    assert_eq!(failure.code(), "store.unreachable", "{failure}");
    assert!(store.requests().put > 4, "{:?}", store.requests());
}
