//! The one error of the engine: a stable code for programs, a text for people, a context for logs.
//!
//! Callers decide by `code` alone, so a code once released keeps its meaning. The text of a lower crate's
//! error is kept as it stands and its cause stays reachable through `source()`; secrets never enter a message
//! or a context, because both go to logs.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

mod codes;

pub use codes::ERROR_CODES;

/// A failed job or call. Cheap to clone, so that every waiter gets the same one.
#[derive(Clone, Debug)]
pub struct EngineError {
    /// Stable, `<area>.<kind>`; one of [`ERROR_CODES`].
    pub code: Cow<'static, str>,
    /// What failed, on what, why, and what to do next.
    pub message: String,
    /// Values a log wants apart from the text, such as `key` or `location`.
    pub context: BTreeMap<String, String>,
    cause: Option<Arc<dyn Error + Send + Sync>>,
}

impl EngineError {
    /// An error of this crate.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code: Cow::Borrowed(code), message: message.into(), context: BTreeMap::new(), cause: None }
    }

    /// The job ended because somebody asked it to; nothing is wrong with what it did until then.
    #[must_use]
    pub fn cancelled(reason: &str) -> Self {
        Self::new("engine.cancelled", format!("cancelled: {reason}"))
    }

    /// The caller asked for something that cannot be done: an unknown field, a missing value.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new("engine.bad_request", message)
    }

    /// A fault of this program, not of its surroundings.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new("engine.internal", message)
    }

    /// Flattens a borrowed error and its causes into the message; `source()` is then empty.
    pub fn from_cause(code: &'static str, cause: &(dyn Error + 'static)) -> Self {
        Self::new(code, text_with_causes(cause))
    }

    /// Takes an error as the cause: its text becomes the message, its own source stays reachable.
    pub fn wrap(code: impl Into<Cow<'static, str>>, cause: impl Error + Send + Sync + 'static) -> Self {
        let message = text_with_causes(&cause);
        Self { code: code.into(), message, context: BTreeMap::new(), cause: Some(Arc::new(cause)) }
    }

    /// Adds one value to the context; the first value under a key stands, since it was nearest to the fault.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl fmt::Display) -> Self {
        self.context.entry(key.to_owned()).or_insert_with(|| value.to_string());
        self
    }

    /// Names the object that this is about: in the context, and in the text unless it stands there already.
    #[must_use]
    pub fn about(mut self, key: &str) -> Self {
        if !self.message.contains(key) {
            self.message = format!("{key}: {}", self.message);
        }
        self.with("key", key)
    }

    /// Whether the job ended because it was asked to.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.code == "engine.cancelled"
    }
}

impl fmt::Display for EngineError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl Error for EngineError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        // The message already is the cause's text, so the chain goes on behind it.
        self.cause.as_deref().and_then(|cause| cause.source())
    }
}

macro_rules! from_crate_errors {
    ($($crate_error:ty),+ $(,)?) => {$(
        impl From<$crate_error> for EngineError {
            fn from(error: $crate_error) -> Self {
                Self::wrap(error.code(), error)
            }
        }
    )+};
}

from_crate_errors!(
    format::FormatError,
    sealing::SealError,
    sendstream::PartialError,
    sendstream::SpliceError,
    sendstream::StreamError,
    sendstream::TokenError,
    store::StoreError,
);

/// Joins an error with its causes, leaving out those whose text the outer one already tells.
fn text_with_causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let more = cause.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests;
