//! An HTTP server that answers by a script: for what no real server does on demand.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use crate::{ObjectStore, StoreConfig};

/// The first byte of a TLS connection (RFC 8446, 5.1).
const TLS_HANDSHAKE: u8 = 22;

/// A request as it came.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) uri: String,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Vec<u8>,
}

impl Request {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// What to do about it.
pub(super) struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    /// Announce the whole body, send this much, then close (`Some(true)`: fall silent instead).
    cut: Option<(usize, bool)>,
    silent: bool,
    /// One byte each so often, without end.
    drip: Option<Duration>,
    /// Hang up without a word, and with a reset.
    reset: bool,
}

/// What the server does with a request's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    All,
    /// Take so many bytes, then none until `go_on`.
    StopAfter(usize),
    /// Take so many bytes, then reset the connection; only with the first request.
    ResetOnceAfter(usize),
}

impl Answer {
    pub(super) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.into(),
            cut: None,
            silent: false,
            drip: None,
            reset: false,
        }
    }

    pub(super) fn error(status: u16, code: &str) -> Self {
        Self::new(
            status,
            format!(
                "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>as scripted</Message></Error>"
            ),
        )
    }

    pub(super) fn silence() -> Self {
        Self { silent: true, ..Self::new(200, "") }
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The request was received, and its answer is lost.
    pub(super) fn lost() -> Self {
        Self { reset: true, ..Self::new(200, "") }
    }

    pub(super) fn dripping(mut self, every: Duration) -> Self {
        self.drip = Some(every);
        self
    }

    pub(super) fn cut_after(mut self, bytes: usize) -> Self {
        self.cut = Some((bytes, false));
        self
    }

    pub(super) fn silent_after(mut self, bytes: usize) -> Self {
        self.cut = Some((bytes, true));
        self
    }
}

type Script = Arc<dyn Fn(usize, &Request) -> Answer + Send + Sync>;

/// What came in so far, whole or not.
#[derive(Default)]
pub(super) struct Arrivals {
    requests: AtomicUsize,
    body_bytes: AtomicUsize,
    came: Notify,
    hung_up: Notify,
    goes_on: Notify,
}

impl Arrivals {
    pub(super) fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }

    pub(super) fn body_bytes(&self) -> usize {
        self.body_bytes.load(Ordering::Relaxed)
    }

    /// Wait for the head of a request.
    pub(super) async fn next(&self) {
        self.came.notified().await;
    }

    /// Let a server that stopped read on.
    pub(super) fn go_on(&self) {
        self.goes_on.notify_one();
    }

    /// Wait until a client has closed its connection.
    pub(super) async fn hung_up(&self) {
        self.hung_up.notified().await;
    }
}

/// A running server; `script` gets the number of the request (from 0) and the request.
pub(super) struct Scripted {
    pub(super) config: StoreConfig,
    address: std::net::SocketAddr,
    seen: Arc<Mutex<Vec<Request>>>,
    arrivals: Arc<Arrivals>,
    accepting: tokio::task::JoinHandle<()>,
    _credentials: tempfile::NamedTempFile,
}

impl Scripted {
    pub(super) async fn start(script: impl Fn(usize, &Request) -> Answer + Send + Sync + 'static) -> Self {
        Self::reading(Reading::All, script).await
    }

    pub(super) async fn reading(
        reading: Reading,
        script: impl Fn(usize, &Request) -> Answer + Send + Sync + 'static,
    ) -> Self {
        Self::listening(TcpListener::bind("127.0.0.1:0").await.unwrap(), reading, script)
    }

    /// A server at the address of one that was stopped.
    pub(super) async fn at(
        address: std::net::SocketAddr,
        script: impl Fn(usize, &Request) -> Answer + Send + Sync + 'static,
    ) -> Self {
        Self::listening(TcpListener::bind(address).await.unwrap(), Reading::All, script)
    }

    fn listening(
        listener: TcpListener,
        reading: Reading,
        script: impl Fn(usize, &Request) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let address = listener.local_addr().unwrap();
        let (seen, arrivals) = (Arc::<Mutex<Vec<Request>>>::default(), Arc::<Arrivals>::default());
        let (script, noted, arriving): (Script, _, _) =
            (Arc::new(script), Arc::clone(&seen), Arc::clone(&arrivals));
        let accepting = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((connection, _)) = listener.accept().await {
                let (script, seen, arrivals) =
                    (Arc::clone(&script), Arc::clone(&noted), Arc::clone(&arriving));
                connections.spawn(serve(connection, reading, script, seen, arrivals));
            }
        });
        let credentials = credentials();
        let mut config = StoreConfig::new("s3://bucket/prefix");
        config.endpoint = Some(format!("http://{address}"));
        config.credentials_file = Some(credentials.path().into());
        config.stall_seconds = 1;
        config.max_attempts = Some(4);
        Self { config, address, seen, arrivals, accepting, _credentials: credentials }
    }

    /// Close the port and every connection.
    pub(super) fn stop(&self) {
        self.accepting.abort();
    }

    pub(super) fn address(&self) -> std::net::SocketAddr {
        self.address
    }

    pub(super) fn arrivals(&self) -> Arc<Arrivals> {
        Arc::clone(&self.arrivals)
    }

    pub(super) async fn store(&self) -> Arc<dyn ObjectStore> {
        crate::open(&self.config).await.unwrap()
    }

    pub(super) fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }
}

/// A credentials file as users have it.
pub(super) fn credentials() -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(
        b"[default]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = hush-hush-secret\n",
    )
    .unwrap();
    file
}

async fn serve(
    mut connection: TcpStream,
    reading: Reading,
    script: Script,
    seen: Arc<Mutex<Vec<Request>>>,
    arrivals: Arc<Arrivals>,
) {
    while let Some(request) = receive(&mut connection, reading, &arrivals).await {
        let number = {
            let mut seen = seen.lock().unwrap();
            seen.push(request.clone());
            seen.len() - 1
        };
        let answer = script(number, &request);
        if answer.silent {
            hold(&mut connection).await;
            break;
        }
        if answer.reset {
            connection.set_zero_linger().unwrap();
            return;
        }
        if !send(&mut connection, &request, &answer).await {
            break;
        }
    }
    arrivals.hung_up.notify_one();
}

/// Keep the connection until the other side ends it.
async fn hold(connection: &mut TcpStream) {
    let mut rest = [0; 1024];
    while connection.read(&mut rest).await.is_ok_and(|read| read > 0) {}
}

async fn receive(connection: &mut TcpStream, reading: Reading, arrivals: &Arrivals) -> Option<Request> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        if connection.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
        if bytes.first() == Some(&TLS_HANDSHAKE) {
            // What a plain HTTP server says to a client that speaks TLS.
            connection.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.ok()?;
            return None;
        }
    };
    let body = bytes.split_off(head_end);
    let head = String::from_utf8(bytes).unwrap();
    let mut lines = head.lines();
    let mut first = lines.next()?.split(' ').map(str::to_owned);
    let headers: BTreeMap<_, _> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let earlier = arrivals.requests.fetch_add(1, Ordering::Relaxed);
    arrivals.came.notify_one();
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    if headers.get("expect").is_some_and(|expect| expect == "100-continue") {
        connection.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.ok()?;
    }
    let body = take(connection, body, length, reading, earlier == 0, arrivals).await?;
    Some(Request { method: first.next()?, uri: first.next()?, headers, body })
}

async fn take(
    connection: &mut TcpStream,
    mut body: Vec<u8>,
    length: usize,
    mut reading: Reading,
    first: bool,
    arrivals: &Arrivals,
) -> Option<Vec<u8>> {
    arrivals.body_bytes.fetch_add(body.len(), Ordering::Relaxed);
    while body.len() < length {
        match reading {
            Reading::StopAfter(limit) if body.len() >= limit => {
                arrivals.goes_on.notified().await;
                reading = Reading::All;
            }
            Reading::ResetOnceAfter(limit) if first && body.len() >= limit => {
                connection.set_zero_linger().unwrap();
                return None;
            }
            _ => {}
        }
        let read = connection.read_buf(&mut body).await.ok()?;
        arrivals.body_bytes.fetch_add(read, Ordering::Relaxed);
        if read == 0 {
            arrivals.hung_up.notify_one();
            return None;
        }
    }
    Some(body)
}

async fn send(connection: &mut TcpStream, request: &Request, answer: &Answer) -> bool {
    let mut head = format!("HTTP/1.1 {} As Scripted\r\n", answer.status);
    if !answer.headers.iter().any(|(name, _)| *name == "content-length") {
        write!(head, "content-length: {}\r\n", answer.body.len()).unwrap();
    }
    for (name, value) in &answer.headers {
        write!(head, "{name}: {value}\r\n").unwrap();
    }
    head += "\r\n";
    let body: &[u8] = if request.method == "HEAD" { &[] } else { &answer.body };
    let sent = &body[..answer.cut.map_or(body.len(), |(bytes, _)| bytes)];
    if connection.write_all(head.as_bytes()).await.is_err() {
        return false;
    }
    if let Some(every) = answer.drip {
        return drip(connection, body, every).await;
    }
    let written = connection.write_all(sent).await.is_ok();
    if let Some((_, true)) = answer.cut {
        hold(connection).await;
    }
    written && answer.cut.is_none()
}

async fn drip(connection: &mut TcpStream, body: &[u8], every: Duration) -> bool {
    let mut due = tokio::time::interval(every);
    for byte in body {
        due.tick().await;
        if connection.write_all(&[*byte]).await.is_err() {
            return false;
        }
    }
    true
}
