//! The outcome of a job: set once, awaited by threads and by tasks of any runtime.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::handle::JobResult;

#[derive(Debug, Default)]
pub(super) struct Outcome {
    state: Mutex<State>,
    news: Condvar,
    // A token is a latch that tasks can await without a missed wake-up.
    latch: CancellationToken,
}

#[derive(Debug, Default)]
struct State {
    result: Option<JobResult>,
    /// Somebody shall look up from waiting, though there is no result yet.
    nudged: bool,
}

impl Outcome {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends one wait early.
    pub(super) fn nudge(&self) {
        self.lock().nudged = true;
        self.news.notify_all();
    }

    /// Sets the outcome unless it stands already, and wakes everybody.
    pub(super) fn publish(&self, result: JobResult) {
        self.lock().result.get_or_insert(result);
        self.news.notify_all();
        self.latch.cancel();
    }

    pub(super) fn get(&self) -> Option<JobResult> {
        self.lock().result.clone()
    }

    pub(super) fn is_set(&self) -> bool {
        self.lock().result.is_some()
    }

    /// Blocks the thread until the outcome is there, there is a nudge, or `limit` has passed.
    pub(super) fn wait(&self, limit: Duration) -> Option<JobResult> {
        let idle = |state: &mut State| state.result.is_none() && !state.nudged;
        let waited = self.news.wait_timeout_while(self.lock(), limit, idle);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.nudged = false;
        state.result.clone()
    }

    /// Resolves once the outcome is there; dropping the future leaves the job alone.
    pub(super) async fn published(&self) {
        self.latch.cancelled().await;
    }
}
