//! How the sending process ended: the commit waits for it, because a cut stream may look whole.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::error::EngineError;

/// How long a broken stream waits for the sender's own words on what went wrong.
const EXPLANATION_LIMIT: Duration = Duration::from_secs(5);

/// The end of the process that made the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceExit {
    /// It exited with status 0.
    Success,
    /// It failed; the message says how (status, signal, what it wrote).
    Failed {
        /// For people.
        message: String,
    },
    /// Nobody can know: the stream came in on standard input.
    Unknown,
}

/// Tells a push how its source ended; only the first word counts.
#[derive(Debug, Clone)]
pub struct SourceExitSender(Arc<Mutex<Option<oneshot::Sender<SourceExit>>>>);

impl SourceExitSender {
    /// Reports the end of the source.
    pub fn send(&self, exit: SourceExit) {
        let sender = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(sender) = sender {
            // The push may be over; then nobody needs the word.
            let _ = sender.send(exit);
        }
    }
}

/// The waiting end.
#[derive(Debug)]
pub(crate) struct SourceExitReceiver(Option<oneshot::Receiver<SourceExit>>);

/// A sender and its waiting end.
pub(crate) fn channel() -> (SourceExitSender, SourceExitReceiver) {
    let (sender, receiver) = oneshot::channel();
    (SourceExitSender(Arc::new(Mutex::new(Some(sender)))), SourceExitReceiver(Some(receiver)))
}

impl SourceExitReceiver {
    /// Waits until the source is known to have ended well (or that nobody can know).
    pub(crate) async fn success(&mut self) -> Result<(), EngineError> {
        match self.ended().await {
            Some(SourceExit::Success | SourceExit::Unknown) => Ok(()),
            Some(SourceExit::Failed { message }) => Err(failed(&message)),
            None => Err(EngineError::internal("nobody said how the source ended, so nothing is committed")),
        }
    }

    /// Puts the sender's own failure in the place of the broken stream that it caused.
    pub(crate) async fn explain(&mut self, error: EngineError) -> EngineError {
        if error.code != "stream.truncated" {
            return error;
        }
        match tokio::time::timeout(EXPLANATION_LIMIT, self.ended()).await {
            Ok(Some(SourceExit::Failed { message })) => failed(&message).with("stream", &error),
            _ => error,
        }
    }

    async fn ended(&mut self) -> Option<SourceExit> {
        self.0.take()?.await.ok()
    }
}

fn failed(message: &str) -> EngineError {
    EngineError::new(
        "engine.source_failed",
        format!("the sending process failed, so nothing is committed: {message}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_first_word_counts() {
        let (sender, mut receiver) = channel();
        sender.send(SourceExit::Failed { message: "exit 1".to_owned() });
        sender.send(SourceExit::Success);
        assert_eq!(receiver.success().await.unwrap_err().code, "engine.source_failed");
    }

    #[tokio::test]
    async fn a_lost_sender_commits_nothing() {
        let (sender, mut receiver) = channel();
        drop(sender);
        assert!(receiver.success().await.is_err());
    }

    #[tokio::test]
    async fn the_senders_words_explain_a_cut_stream() {
        let (sender, mut receiver) = channel();
        sender.send(SourceExit::Failed { message: "I/O error".to_owned() });
        let explained = receiver.explain(EngineError::new("stream.truncated", "cut")).await;
        assert_eq!(explained.code, "engine.source_failed");
        assert!(explained.message.contains("I/O error"));
    }
}
