//! How long a job that was asked to stop may still take. Each word can only cut it shorter.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

#[derive(Debug)]
pub(super) struct Patience(watch::Sender<Option<Instant>>);

impl Default for Patience {
    fn default() -> Self {
        Self(watch::Sender::new(None))
    }
}

impl Patience {
    /// From now on at most `within`.
    pub(super) fn cut(&self, within: Duration) {
        let Some(end) = Instant::now().checked_add(within) else { return };
        self.0.send_if_modified(|current| {
            let shorter = current.is_none_or(|current| end < current);
            if shorter {
                *current = Some(end);
            }
            shorter
        });
    }

    /// What is left of it, at most `limit`.
    pub(super) fn left(&self, limit: Duration) -> Duration {
        let end = *self.0.borrow();
        end.map_or(limit, |end| end.saturating_duration_since(Instant::now()).min(limit))
    }

    /// Resolves when it has run out, or after `limit`.
    pub(super) async fn over(&self, limit: Duration) {
        let mut changes = self.0.subscribe();
        let last = Instant::now() + limit;
        loop {
            let end = changes.borrow_and_update().map_or(last, |end| end.min(last));
            tokio::select! {
                () = tokio::time::sleep_until(end) => return,
                Ok(()) = changes.changed() => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_mins(10);
    const SHORT: Duration = Duration::from_millis(5);

    #[tokio::test]
    async fn a_later_word_can_only_cut_it_shorter() {
        let patience = Patience::default();
        assert_eq!(patience.left(LONG), LONG);
        patience.cut(SHORT);
        patience.cut(LONG);
        assert!(patience.left(LONG) <= SHORT);
        patience.over(LONG).await;
        assert_eq!(patience.left(LONG), Duration::ZERO);
    }

    #[tokio::test]
    async fn a_word_reaches_those_who_wait_already() {
        let patience = Patience::default();
        let cutting = async { patience.cut(SHORT) };
        tokio::join!(patience.over(LONG), cutting);
        assert_eq!(patience.left(LONG), Duration::ZERO);
    }
}
