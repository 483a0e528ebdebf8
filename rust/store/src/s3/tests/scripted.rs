//! An HTTP server that answers by a script: for what no real server does on demand.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

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
}

impl Answer {
    pub(super) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into(), cut: None, silent: false }
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

/// A running server; `script` gets the number of the request (from 0) and the request.
pub(super) struct Scripted {
    pub(super) config: StoreConfig,
    seen: Arc<Mutex<Vec<Request>>>,
    _credentials: tempfile::NamedTempFile,
}

impl Scripted {
    pub(super) async fn start(script: impl Fn(usize, &Request) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::<Mutex<Vec<Request>>>::default();
        let (script, noted): (Script, _) = (Arc::new(script), Arc::clone(&seen));
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(serve(connection, Arc::clone(&script), Arc::clone(&noted)));
            }
        });
        let credentials = credentials();
        let mut config = StoreConfig::new("s3://bucket/prefix");
        config.endpoint = Some(format!("http://{address}"));
        config.credentials_file = Some(credentials.path().into());
        config.stall_seconds = 1;
        config.max_attempts = Some(4);
        Self { config, seen, _credentials: credentials }
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

async fn serve(mut connection: TcpStream, script: Script, seen: Arc<Mutex<Vec<Request>>>) {
    while let Some(request) = receive(&mut connection).await {
        let number = {
            let mut seen = seen.lock().unwrap();
            seen.push(request.clone());
            seen.len() - 1
        };
        let answer = script(number, &request);
        if answer.silent {
            std::future::pending::<()>().await;
        }
        if !send(&mut connection, &request, &answer).await {
            return;
        }
    }
}

async fn receive(connection: &mut TcpStream) -> Option<Request> {
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
    let mut body = bytes.split_off(head_end);
    let head = String::from_utf8(bytes).unwrap();
    let mut lines = head.lines();
    let mut first = lines.next()?.split(' ').map(str::to_owned);
    let headers: BTreeMap<_, _> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    if headers.get("expect").is_some_and(|expect| expect == "100-continue") {
        connection.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.ok()?;
    }
    while body.len() < length {
        if connection.read_buf(&mut body).await.ok()? == 0 {
            return None;
        }
    }
    Some(Request { method: first.next()?, uri: first.next()?, headers, body })
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
    let written =
        connection.write_all(head.as_bytes()).await.is_ok() && connection.write_all(sent).await.is_ok();
    if let Some((_, true)) = answer.cut {
        std::future::pending::<()>().await;
    }
    written && answer.cut.is_none()
}
