//! The journal of a job: what it has done, in order, until the caller has written it down durably.
//!
//! Unlike log events nothing is ever dropped: an entry is small, there is one for each part. The job waits for the
//! caller's word where an order matters, such as before the commit marker is sent.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::sync::watch;

use super::outcome::Outcome;

#[derive(Debug)]
pub(super) struct Journal {
    state: Mutex<State>,
    written: watch::Sender<u64>,
    outcome: Arc<Outcome>,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Value>,
    appended: u64,
}

impl Journal {
    /// A journal whose entries wake whoever waits for `outcome`.
    pub(super) fn new(outcome: Arc<Outcome>) -> Self {
        Self { state: Mutex::default(), written: watch::Sender::new(0), outcome }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn append(&self, entry: Value) {
        let mut state = self.lock();
        state.waiting.push_back(entry);
        state.appended += 1;
        drop(state);
        self.outcome.nudge();
    }

    /// Takes the waiting entries, oldest first.
    pub(super) fn drain(&self) -> Vec<Value> {
        self.lock().waiting.drain(..).collect()
    }

    /// The first `count` entries ever drained are durable.
    pub(super) fn mark_written(&self, count: u64) {
        self.written.send_if_modified(|written| {
            let more = count > *written;
            *written = count.max(*written);
            more
        });
    }

    /// Resolves once everything appended so far is durable.
    pub(super) async fn settled(&self) {
        let wanted = self.lock().appended;
        // The sender lives as long as this journal, so the wait ends by the word alone.
        let _ = self.written.subscribe().wait_for(|written| *written >= wanted).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[tokio::test]
    async fn entries_keep_their_order_and_settle_by_count() {
        let journal = Journal::new(Arc::default());
        journal.settled().await;
        journal.append(json!(1));
        journal.append(json!(2));
        assert_eq!(journal.drain(), [json!(1), json!(2)]);
        journal.mark_written(1);
        let early = tokio::time::timeout(std::time::Duration::from_millis(20), journal.settled()).await;
        assert!(early.is_err(), "one entry is not durable yet");
        journal.mark_written(2);
        journal.mark_written(1);
        journal.settled().await;
        assert!(journal.drain().is_empty());
    }
}
