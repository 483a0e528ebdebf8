//! The pipelines that move and guard bytes, run as jobs on threads of their own.
//!
//! Knows nothing of Python: `bindings` wraps what is public here. Every job ends with a report or an
//! [`EngineError`] whose code is stable, and a job that has ended has drained: nothing of it runs on.
#![forbid(unsafe_code)]

pub mod error;
pub mod job;
pub mod request;

mod attempts;
mod buffers;
mod manifests;
mod marker;
mod push;
mod repository;
mod restore;
mod store_choice;
mod store_jobs;
mod stored_checksum;
mod streams;
mod wake;

use std::os::fd::OwnedFd;
use std::sync::Arc;

use serde_json::Value;
use store::ObjectStore;

pub use buffers::{Layout, SMALLEST_BUDGET_BYTES};
pub use error::{ERROR_CODES, EngineError};
pub use job::{JobContext, JobHandle};
pub use push::{SourceExit, SourceExitSender};
pub use streams::StreamWork;

use push::PushInput;
use request::{PushRequest, RestoreRequest, StoreRequest, TokenRequest};
use store_choice::StoreChoice;

/// Threads that wait for the network; sealing and opening have a pool of their own.
const NETWORK_THREADS: usize = 2;

/// A push that runs: its job, and where to report how the source ended.
#[derive(Clone, Debug)]
pub struct PushHandle {
    /// The job.
    pub job: JobHandle,
    /// The commit waits for this word.
    pub source: SourceExitSender,
}

/// Starts a push of the stream that `source` yields after `head` (bytes that the caller has read from it already).
#[must_use]
pub fn start_push(request: PushRequest, head: Vec<u8>, source: OwnedFd) -> PushHandle {
    push(request, StoreChoice::AsRequested, head, source)
}

/// As [`start_push`], into a store that is open already; what the request says of a store is not used.
#[must_use]
pub fn start_push_into(store: Arc<dyn ObjectStore>, request: PushRequest, source: OwnedFd) -> PushHandle {
    push(request, StoreChoice::Given(store), Vec::new(), source)
}

fn push(request: PushRequest, store: StoreChoice, head: Vec<u8>, source: OwnedFd) -> PushHandle {
    let (sender, exit) = push::source_exit_channel();
    let input = PushInput { head, source, exit };
    let job = job::spawn("push", NETWORK_THREADS, |context| push::run(request, store, input, context));
    PushHandle { job, source: sender }
}

/// Starts a restore that writes the send stream to `sink`.
#[must_use]
pub fn start_restore(request: RestoreRequest, sink: OwnedFd) -> JobHandle {
    job::spawn("restore", NETWORK_THREADS, |context| {
        restore::run(request, StoreChoice::AsRequested, sink, context)
    })
}

/// As [`start_restore`], from a store that is open already.
#[must_use]
pub fn start_restore_from(store: Arc<dyn ObjectStore>, request: RestoreRequest, sink: OwnedFd) -> JobHandle {
    job::spawn("restore", NETWORK_THREADS, |context| {
        restore::run(request, StoreChoice::Given(store), sink, context)
    })
}

/// Starts a look at a store.
#[must_use]
pub fn start_store(request: StoreRequest) -> JobHandle {
    job::spawn("store", NETWORK_THREADS, |context| store_jobs::run(request, context))
}

/// Starts work on send streams that lie in files or come through pipes.
#[must_use]
pub fn start_stream(work: StreamWork) -> JobHandle {
    job::spawn("stream", 1, |context| streams::run(work, context))
}

/// What the first 312 bytes of a send stream say, as JSON.
///
/// # Errors
/// `stream.*` when it is none, or one that can't be backed up (compound, resuming, redacted, deduplicated).
pub fn parse_begin(head: &[u8]) -> Result<Value, EngineError> {
    let begin = sendstream::Begin::parse(head)?;
    begin.refuse_unsupported()?;
    Ok(Value::Object(push::begin_json(&begin)))
}

/// A name for a new backup.
///
/// # Errors
/// `engine.bad_request` for a guid that is no decimal number; `format.random`.
pub fn new_backup_id(level: u32, snapshot_guid: &str) -> Result<String, EngineError> {
    Ok(push::new_id(level, snapshot_guid)?.to_string())
}

/// What `zfs send -t` takes to go on with an interrupted stream one part before the end of what is stored; a push whose
/// request says `spliced_onto` takes what it sends.
///
/// # Errors
/// `engine.bad_request` where that part ends at no place to go on at, or the snapshot's name is none; `stream.*` and
/// `format.*` for a damaged BEGIN record.
pub fn resume_token(request: &TokenRequest) -> Result<String, EngineError> {
    push::resume_token(request)
}

/// Checks recipients and gives each in its one spelling.
///
/// # Errors
/// `seal.*` naming the recipient that is none.
pub fn check_recipients(lines: &[String]) -> Result<Vec<String>, EngineError> {
    Ok(sealing::Recipients::parse(lines)?.canonical())
}

/// A new age identity: its secret line and its recipient.
#[must_use]
pub fn generate_identity() -> (secrecy::SecretString, String) {
    sealing::generate_identity()
}
