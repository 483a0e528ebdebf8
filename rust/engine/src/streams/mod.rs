//! Send streams in files and pipes, without a store: look into one, make the token for one that broke off, splice.
//!
//! The work blocks on descriptors, so it has a thread of its own; stopping wakes its polls.

mod kept;
mod reader;
mod report;
mod splice;

use std::io::PipeReader;
use std::os::fd::OwnedFd;

use sendstream::HEADER_BYTES;
use serde_json::json;
use tokio::sync::oneshot;

use self::kept::Kept;
use self::reader::PolledReader;
use crate::error::EngineError;
use crate::job::{JobContext, JobResult};
use crate::restore::StreamSink;
use crate::wake;

/// What to do with send streams.
#[derive(Debug)]
pub enum StreamWork {
    /// Say what is in a stream of any kind, and whether it is whole.
    Inspect {
        /// The stream.
        stream: OwnedFd,
    },
    /// Make the token with which a stream that broke off can be gone on with.
    Token {
        /// Its beginning.
        stream: OwnedFd,
    },
    /// Make the whole stream.
    Splice {
        /// The beginning, a regular file: it is read more than once.
        kept: OwnedFd,
        /// What `zfs send -t` sent.
        resumed: OwnedFd,
        /// Where the whole stream goes; the END is written only once everything was proven.
        whole: OwnedFd,
    },
}

/// Runs one of them; the report is what there is to say.
///
/// # Errors
/// The context's `stream` says which of the streams it is about, counted as they stand in [`StreamWork`].
///
/// `stream.*`, `partial.*`, `splice.*`, `token.*`, `engine.source_read`, `engine.sink_write`, `engine.cancelled`. A
/// stream that is found damaged by an inspection is no error but its report.
pub(crate) async fn run(work: StreamWork, context: JobContext) -> JobResult {
    let cancelled = wake::on_cancel(&context.cancel)?;
    let (done, result) = oneshot::channel();
    let log = context.clone();
    std::thread::Builder::new()
        .name("zpb-records".to_owned())
        .spawn(move || drop(done.send(log.log_here(|| work_on(work, cancelled, &context)))))
        .map_err(|error| EngineError::internal(format!("starting the thread that reads streams: {error}")))?;
    result.await.unwrap_or_else(|_| Err(EngineError::internal("the thread that reads streams broke")))
}

fn work_on(work: StreamWork, cancelled: PipeReader, context: &JobContext) -> JobResult {
    match work {
        StreamWork::Inspect { stream } => {
            context.progress.set_stage("inspecting");
            let found = sendstream::inspect(PolledReader::new(stream, cancelled, context.clone()));
            report::inspection(&found.map_err(reader::failure).map_err(about(0))?)
        }
        StreamWork::Token { stream } => {
            context.progress.set_stage("searching");
            token(PolledReader::new(stream, cancelled, context.clone())).map_err(about(0))
        }
        StreamWork::Splice { kept, resumed, whole } => {
            context.progress.set_stage("splicing");
            let mine = cancelled.try_clone().map_err(|error| EngineError::from_cause("engine.io", &error))?;
            let sink = StreamSink::new(whole, mine, context.clone())?;
            let resumed = PolledReader::new(resumed, cancelled, context.clone());
            splice::splice(Kept::new(kept, context.clone()), resumed, sink, context)
        }
    }
}

/// Notes in an error which stream it is about.
fn about(stream: usize) -> impl FnOnce(EngineError) -> EngineError {
    move |error| error.with("stream", stream)
}

fn token(stream: PolledReader) -> JobResult {
    let partial = sendstream::last_border(stream).map_err(kept::refused)?;
    let (object, offset) = partial.saved.border.resume_place();
    Ok(json!({
        "token": partial.token.encode()?,
        // With the header behind the border, whose sums are those of all before it: a splice can prove what was kept.
        "keep_bytes": partial.saved.position + HEADER_BYTES as u64,
        "border_bytes": partial.saved.position,
        "object": object,
        "offset": offset,
        "broken": {
            "code": partial.broken.code(),
            "reason": partial.broken.to_string(),
            "at": partial.broken.at(),
        },
        "begin": crate::push::begin_json(&partial.saved.begin),
    }))
}
