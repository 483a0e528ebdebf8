//! The two ends of a job: [`JobHandle`] for who watches it, [`JobContext`] for the work itself.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::events::{Event, EventQueue, attach_thread};
use super::journal::Journal;
use super::outcome::Outcome;
use super::patience::Patience;
use super::progress::{Progress, ProgressCounters};
use crate::error::EngineError;

/// What a job ends with: its report, or why there is none.
pub type JobResult = Result<Value, EngineError>;

/// What handle and job share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) name: &'static str,
    pub(super) process: u32,
    pub(super) cancel: CancellationToken,
    pub(super) reason: Arc<OnceLock<String>>,
    pub(super) progress: Arc<ProgressCounters>,
    pub(super) events: Arc<EventQueue>,
    pub(super) outcome: Arc<Outcome>,
    pub(super) journal: Arc<Journal>,
    pub(super) patience: Arc<Patience>,
}

impl Shared {
    pub(super) fn new(name: &'static str) -> Self {
        let outcome = Arc::<Outcome>::default();
        Self {
            name,
            process: std::process::id(),
            cancel: CancellationToken::new(),
            reason: Arc::default(),
            progress: Arc::default(),
            events: Arc::default(),
            journal: Arc::new(Journal::new(Arc::clone(&outcome))),
            outcome,
            patience: Arc::default(),
        }
    }

    pub(super) fn cancel(&self, reason: &str) {
        let _ = self.reason.set(reason.to_owned());
        self.cancel.cancel();
    }
}

/// Watches and steers one job. The job is cancelled when the last clone of its handle is dropped.
#[derive(Clone, Debug)]
pub struct JobHandle(Arc<LastHandle>);

#[derive(Debug)]
struct LastHandle(Arc<Shared>);

impl Drop for LastHandle {
    fn drop(&mut self) {
        // In a forked child the threads are gone and a lock may be held for ever: touch nothing.
        if self.0.process == std::process::id() {
            self.0.cancel("nobody waits for the job any more");
        }
    }
}

impl JobHandle {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self(Arc::new(LastHandle(shared)))
    }

    fn shared(&self) -> &Shared {
        &self.0.0
    }

    /// Refuses a handle that came here through `fork`: its threads exist in the parent only.
    ///
    /// # Errors
    /// `engine.forked`.
    pub fn same_process(&self) -> Result<(), EngineError> {
        let shared = self.shared();
        let here = std::process::id();
        if here == shared.process {
            return Ok(());
        }
        let message = format!(
            "the {} job was started by process {} and cannot be used in process {here}, which was forked from it: start the job in the process that uses it",
            shared.name, shared.process
        );
        Err(EngineError::new("engine.forked", message))
    }

    /// Asks the job to end soon; the first reason given is the one reported. Returns at once.
    pub fn cancel(&self, reason: &str) {
        if self.same_process().is_ok() {
            self.shared().cancel(reason);
        }
    }

    /// As [`cancel`](Self::cancel), and what is left to tidy up may take at most `within`; a later word can cut it
    /// shorter.
    pub fn cancel_within(&self, reason: &str, within: Duration) {
        if self.same_process().is_ok() {
            self.shared().patience.cut(within);
            self.shared().cancel(reason);
        }
    }

    /// Takes what the job has done since the last call, oldest first; nothing is ever dropped.
    #[must_use]
    pub fn drain_journal(&self) -> Vec<Value> {
        if self.same_process().is_err() {
            return Vec::new();
        }
        self.shared().journal.drain()
    }

    /// Says that the first `count` entries that were ever drained are durable now.
    pub fn journal_written(&self, count: u64) {
        if self.same_process().is_ok() {
            self.shared().journal.mark_written(count);
        }
    }

    /// How far the job is.
    #[must_use]
    pub fn progress(&self) -> Progress {
        if self.same_process().is_err() {
            return ProgressCounters::default().snapshot();
        }
        self.shared().progress.snapshot()
    }

    /// Takes up to `max` log events, oldest first. A gap is told by an extra warning at its place.
    #[must_use]
    pub fn drain_events(&self, max: usize) -> Vec<Event> {
        if self.same_process().is_err() {
            return Vec::new();
        }
        self.shared().events.drain(max)
    }

    /// Blocks this thread for at most `limit`, or until there is something to drain; `None`: the job still runs.
    #[must_use]
    pub fn wait_timeout(&self, limit: Duration) -> Option<JobResult> {
        match self.same_process() {
            Ok(()) => self.shared().outcome.wait(limit),
            Err(error) => Some(Err(error)),
        }
    }

    /// Resolves with the outcome, on any runtime. The future keeps no handle: dropping it leaves the job alone.
    ///
    /// # Errors
    /// What the job failed with, or `engine.forked`.
    pub fn finished(&self) -> impl Future<Output = JobResult> + Send + 'static {
        let here = self.same_process();
        let shared = Arc::clone(&self.0.0);
        async move {
            here?;
            shared.outcome.published().await;
            shared
                .outcome
                .get()
                .unwrap_or_else(|| Err(EngineError::internal("the job ended without an outcome")))
        }
    }

    /// Whether the outcome is there.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.same_process().is_err() || self.shared().outcome.is_set()
    }
}

/// What the work of a job gets: its cancellation, its counters, its log.
#[derive(Clone, Debug)]
pub struct JobContext {
    /// Cancelled when the job shall end; derive a child token for each stage.
    pub cancel: CancellationToken,
    /// The counters to keep up to date.
    pub progress: Arc<ProgressCounters>,
    reason: Arc<OnceLock<String>>,
    events: Arc<EventQueue>,
    journal: Arc<Journal>,
    patience: Arc<Patience>,
}

impl JobContext {
    pub(super) fn new(shared: &Shared) -> Self {
        Self {
            cancel: shared.cancel.clone(),
            progress: Arc::clone(&shared.progress),
            reason: Arc::clone(&shared.reason),
            events: Arc::clone(&shared.events),
            journal: Arc::clone(&shared.journal),
            patience: Arc::clone(&shared.patience),
        }
    }

    /// Adds to the job's journal.
    pub fn note(&self, entry: Value) {
        self.journal.append(entry);
    }

    /// Resolves once all that was noted so far is durable.
    pub async fn notes_written(&self) {
        self.journal.settled().await;
    }

    /// Resolves after `limit`, or when the patience of who cancelled the job is at its end.
    pub async fn patience_over(&self, limit: Duration) {
        self.patience.over(limit).await;
    }

    /// The error to end with when the job was cancelled.
    #[must_use]
    pub fn cancelled_error(&self) -> EngineError {
        EngineError::cancelled(self.reason.get().map_or("no reason was given", String::as_str))
    }

    /// Runs `work` with this thread's events going to the job's log; for threads that the job's runtime does
    /// not own, such as those of a rayon pool.
    pub fn log_here<T>(&self, work: impl FnOnce() -> T) -> T {
        let before = attach_thread(Some(Arc::clone(&self.events)));
        let restored = Restore(before);
        let result = work();
        drop(restored);
        result
    }
}

struct Restore(Option<Arc<EventQueue>>);

impl Drop for Restore {
    fn drop(&mut self) {
        attach_thread(self.0.take());
    }
}
