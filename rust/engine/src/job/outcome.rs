//! The outcome of a job: set once, awaited by threads and by tasks of any runtime.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::handle::JobResult;

#[derive(Debug, Default)]
pub(super) struct Outcome {
    result: Mutex<Option<JobResult>>,
    published: Condvar,
    // A token is a latch that tasks can await without a missed wake-up.
    latch: CancellationToken,
}

impl Outcome {
    fn lock(&self) -> MutexGuard<'_, Option<JobResult>> {
        self.result.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the outcome unless it stands already, and wakes everybody.
    pub(super) fn publish(&self, result: JobResult) {
        self.lock().get_or_insert(result);
        self.published.notify_all();
        self.latch.cancel();
    }

    pub(super) fn get(&self) -> Option<JobResult> {
        self.lock().clone()
    }

    pub(super) fn is_set(&self) -> bool {
        self.lock().is_some()
    }

    /// Blocks the thread until the outcome is there or `limit` has passed.
    pub(super) fn wait(&self, limit: Duration) -> Option<JobResult> {
        let waited = self.published.wait_timeout_while(self.lock(), limit, |result| result.is_none());
        let (result, _) = waited.unwrap_or_else(PoisonError::into_inner);
        result.clone()
    }

    /// Resolves once the outcome is there; dropping the future leaves the job alone.
    pub(super) async fn published(&self) {
        self.latch.cancelled().await;
    }
}
