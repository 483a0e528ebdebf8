//! Starts a job and sees it to its end.
//!
//! Order at the end: the body has returned, the runtime is shut down (bounded), the outcome is published.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};

use super::events::attach_thread;
use super::handle::{JobContext, JobHandle, JobResult, Shared};
use super::{live, panics};
use crate::error::EngineError;

const SHUTDOWN_LIMIT: Duration = Duration::from_secs(5);
/// What idle threads need to go, even when nobody has patience.
const SHORTEST_SHUTDOWN: Duration = Duration::from_millis(20);

/// Runs `body` on a thread `zpb-<name>` with a tokio runtime of `workers` threads of its own.
///
/// Never fails itself: what prevents the start is the job's outcome. The body watches `cancel` of its context
/// and cleans up before it returns; whatever it spawned and left running is cut off when the runtime goes.
/// Keep `name` to 8 characters: the kernel shows 15 of a thread's name.
pub fn spawn<B, F>(name: &'static str, workers: usize, body: B) -> JobHandle
where
    B: FnOnce(JobContext) -> F + Send + 'static,
    F: Future<Output = JobResult>,
{
    let shared = Arc::new(Shared::new(name));
    live::note(&shared);
    let publish = PublishOnDrop(Arc::clone(&shared));
    let started = std::thread::Builder::new().name(format!("zpb-{name}")).spawn(move || {
        let shared = &publish.0;
        attach_thread(Some(Arc::clone(&shared.events)));
        let result = run(shared, workers, body);
        shared.progress.set_stage("done");
        shared.outcome.publish(result);
    });
    if let Err(error) = started {
        shared.outcome.publish(Err(cannot_start(name, &error)));
    }
    JobHandle::new(shared)
}

fn run<B, F>(shared: &Arc<Shared>, workers: usize, body: B) -> JobResult
where
    B: FnOnce(JobContext) -> F,
    F: Future<Output = JobResult>,
{
    let runtime = runtime(shared, workers).map_err(|error| cannot_start(shared.name, &error))?;
    let context = JobContext::new(shared);
    let ended = catch_unwind(AssertUnwindSafe(|| runtime.block_on(async { body(context).await })));
    shut_down(runtime, shared);
    ended.unwrap_or_else(|payload| Err(panicked(shared.name, panics::text(payload.as_ref()))))
}

fn runtime(shared: &Arc<Shared>, workers: usize) -> std::io::Result<Runtime> {
    let events = Arc::clone(&shared.events);
    Builder::new_multi_thread()
        .worker_threads(workers.max(1))
        .thread_name(format!("zpb-{}-w", shared.name))
        .on_thread_start(move || {
            attach_thread(Some(Arc::clone(&events)));
        })
        .enable_all()
        .build()
}

fn shut_down(runtime: Runtime, shared: &Shared) {
    let begun = Instant::now();
    let limit = shared.patience.left(SHUTDOWN_LIMIT).max(SHORTEST_SHUTDOWN);
    runtime.shutdown_timeout(limit);
    if begun.elapsed() >= limit {
        tracing::warn!(
            job = shared.name,
            "a thread of the job is still busy {limit:?} after its end; it is left behind"
        );
    }
}

fn cannot_start(name: &str, error: &std::io::Error) -> EngineError {
    EngineError::internal(format!(
        "cannot start the threads of the {name} job: {error}; look at the limits on processes and memory"
    ))
}

fn panicked(name: &str, text: &str) -> EngineError {
    EngineError::internal(format!(
        "the {name} job panicked: {text}; this is a fault of the program, please report it"
    ))
    .with("job", name)
}

/// Publishes an error if the thread ends any other way than with an outcome, so that no wait is for ever.
struct PublishOnDrop(Arc<Shared>);

impl Drop for PublishOnDrop {
    fn drop(&mut self) {
        if !self.0.outcome.is_set() {
            self.0.outcome.publish(Err(panicked(self.0.name, "outside of its work")));
        }
    }
}
