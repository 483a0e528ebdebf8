//! The stages of a push that run on threads of their own: reading (with checking and cutting) and sealing.

use std::os::fd::OwnedFd;
use std::sync::{Arc, mpsc};

use format::Compression;
use sealing::Recipients;
use sendstream::{Begin, HEADER_BYTES, StreamSummary};
use serde_json::json;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::cutter::{Cutter, Cutting, PieceLine};
use super::part_size::PartSizeRule;
use super::proof::StoredParts;
use super::reader::{Parser, Silence, Source};
use super::sealer::{SealResult, Sealer};
use super::splicing::Beginning;
use super::throttle::Throttle;
use crate::buffers::{BufferPool, Layout};
use crate::error::EngineError;
use crate::job::JobContext;
use crate::request::PushRequest;
use crate::wake;

/// The running stages; dropping it does not stop them, [`Pipeline::stop`] and [`Pipeline::end`] do.
pub(crate) struct Pipeline {
    begin: Option<oneshot::Receiver<Begin>>,
    summary: Option<oneshot::Receiver<Result<StreamSummary, EngineError>>>,
    /// Sealed pieces, in stream order; an error is the last one.
    pub(crate) sealed: UnboundedReceiver<SealResult>,
    stop: CancellationToken,
    /// Closed once their thread is done.
    running: [oneshot::Receiver<()>; 2],
}

impl Pipeline {
    pub(crate) fn start(
        request: &PushRequest,
        head: Vec<u8>,
        descriptor: OwnedFd,
        recipients: Arc<Recipients>,
        context: &JobContext,
    ) -> Result<Self, EngineError> {
        let pool = BufferPool::new(Layout::for_budget(request.memory_budget_bytes)?);
        let stop = context.cancel.child_token();
        let (pieces, plain) = mpsc::channel();
        let (sealed_out, sealed) = tokio::sync::mpsc::unbounded_channel();
        let sealer = Sealer::new(0, pool.layout().piece_bytes)?;
        let sealing = start_thread("zpb-sealing", context, move || sealer.run(&plain, &sealed_out))?;
        let runtime = tokio::runtime::Handle::current();
        let line = PieceLine { pool, pieces, runtime, cancel: stop.clone() };
        let source = Source {
            head,
            descriptor,
            cancelled: wake::on_cancel(&stop)?,
            throttle: Throttle::new(request.limit_upload_bytes_per_second),
            silence: Silence::new(request.source_warning_seconds, request.source_stall_seconds),
        };
        let stored = request.run.as_ref().map_or_else(Vec::new, |run| run.stored.clone());
        let behind = request.run.as_ref().map(Beginning::of).transpose()?.flatten();
        let unread = behind.as_ref().map_or(0, |beginning| beginning.parts as usize);
        let cutting = Cutting {
            recipients,
            rule: PartSizeRule::new(request.part_size_bytes, request.estimated_stream_bytes),
            compress: request.compression != Compression::None,
            prove: request.run.as_ref().is_some_and(|run| run.resumable),
            stored: StoredParts::new(stored, unread, context.clone())?,
            behind,
        };
        let reading = Reading { source, line, cutting, context: context.clone() };
        let (begin_out, begin) = oneshot::channel();
        let (summary_out, summary) = oneshot::channel();
        // A closed channel means that the job is over for a reason of its own.
        let reading = move || drop(summary_out.send(reading.run(begin_out)));
        let reading = start_thread("zpb-reading", context, reading)?;
        Ok(Self { begin: Some(begin), summary: Some(summary), sealed, stop, running: [reading, sealing] })
    }

    /// What stream it is, or why there is none.
    pub(crate) async fn begun(&mut self) -> Result<Begin, EngineError> {
        if let Some(begin) = self.begin.take()
            && let Ok(begin) = begin.await
        {
            return Ok(begin);
        }
        match self.summary(false).await {
            Err(error) => Err(error),
            Ok(_) => Err(EngineError::internal("the stream ended before it began")),
        }
    }

    /// Waits for the reader's result; tells it to stop first when nobody needs the rest.
    pub(crate) async fn summary(&mut self, stop_first: bool) -> Result<StreamSummary, EngineError> {
        if stop_first {
            self.stop();
        }
        match self.summary.take() {
            Some(summary) => {
                summary.await.unwrap_or_else(|_| Err(EngineError::internal("the reading thread broke")))
            }
            None => Err(EngineError::internal("the reader's result was taken twice")),
        }
    }

    /// Ends the stages: nobody needs what they would still yield.
    pub(crate) fn stop(&mut self) {
        self.stop.cancel();
        self.sealed.close();
    }

    /// Ends the stages and waits for it: then the source's descriptor is closed and no buffer is in use.
    pub(crate) async fn end(mut self) {
        self.stop();
        for running in self.running {
            // Nothing is ever sent; the thread's end closes it.
            let _ = running.await;
        }
    }
}

/// Starts a thread; what it returns is closed when the thread is done, with all that `work` owned.
fn start_thread(
    name: &str,
    context: &JobContext,
    work: impl FnOnce() + Send + 'static,
) -> Result<oneshot::Receiver<()>, EngineError> {
    let log = context.clone();
    let (running, done) = oneshot::channel();
    let started = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        log.log_here(work);
        drop(running);
    });
    started.map_err(|error| EngineError::internal(format!("starting thread {name}: {error}")))?;
    Ok(done)
}

/// Everything the reading thread works with.
struct Reading {
    source: Source,
    line: PieceLine,
    cutting: Cutting,
    context: JobContext,
}

impl Reading {
    fn run(mut self, begun: oneshot::Sender<Begin>) -> Result<StreamSummary, EngineError> {
        let behind = self.cutting.behind.clone();
        let parser = Parser::new(behind.as_ref());
        let begin = self.source.read_begin(behind.as_ref(), &self.line)?;
        if let Some(beginning) = &behind {
            self.context.progress.add_stream_bytes(beginning.saved.position);
            (0..beginning.parts).for_each(|_| self.context.progress.add_part());
        } else if self.cutting.prove {
            self.context.note(json!({ "kind": "begin", "record": hex(&self.source.head) }));
        }
        // Nobody waiting means that the job is over; the next take of a buffer will say so.
        let _ = begun.send(begin);
        let cutter = Cutter::new(self.line.clone(), self.cutting)?;
        self.source.read_all(parser, cutter, &self.line, &self.context)
    }
}

/// The stream's first record, for the journal.
fn hex(head: &[u8]) -> String {
    use std::fmt::Write;
    head.iter().take(HEADER_BYTES).fold(String::new(), |mut text, byte| {
        // Writing to a string can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
