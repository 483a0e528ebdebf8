//! Wakes a thread that polls a file descriptor when its job is stopped.

use std::io::{self, PipeReader};

use tokio_util::sync::CancellationToken;

use crate::error::EngineError;

/// A pipe end that becomes readable (end of file) once `cancel` is cancelled or the runtime ends.
///
/// # Errors
/// `engine.io` when no pipe can be made.
pub(crate) fn on_cancel(cancel: &CancellationToken) -> Result<PipeReader, EngineError> {
    let (reader, writer) = io::pipe().map_err(|error| EngineError::from_cause("engine.io", &error))?;
    let cancel = cancel.clone();
    tokio::spawn(async move {
        cancel.cancelled().await;
        drop(writer);
    });
    Ok(reader)
}
