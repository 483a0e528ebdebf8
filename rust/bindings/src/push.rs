//! `PushJob`: seals a send stream into a store and commits it.

use std::os::fd::RawFd;

use engine::{EngineError, SourceExit, SourceExitSender, request, start_push};
use pyo3::prelude::*;

use crate::descriptor::duplicate;
use crate::errors::OrRaise;
use crate::job::{PyJob, as_json};

/// A running push.
#[pyclass(name = "PushJob", module = "zfs_push_backups._engine", extends = PyJob, frozen)]
pub(crate) struct PyPushJob {
    source: SourceExitSender,
}

#[pymethods]
impl PyPushJob {
    #[new]
    fn new(
        py: Python<'_>,
        request: &str,
        head: &[u8],
        source_fd: RawFd,
    ) -> PyResult<PyClassInitializer<Self>> {
        let request = request::parse(request).or_raise(py)?;
        let source = duplicate(source_fd, "the source of the stream").or_raise(py)?;
        let push = start_push(request, head.to_vec(), source);
        Ok(PyClassInitializer::from(PyJob::new(push.job)).add_subclass(Self { source: push.source }))
    }

    /// Say how the process that makes the stream ended; the commit waits for it.
    fn source_exited(slf: &Bound<'_, Self>, status: &str, message: String) -> PyResult<()> {
        let py = slf.py();
        slf.as_super().get().handle(py)?;
        let exit = match status {
            "success" => SourceExit::Success,
            "failed" => SourceExit::Failed { message },
            "unknown" => SourceExit::Unknown,
            other => {
                let message =
                    format!("{other:?} is no status of a source: allowed are success, failed, unknown");
                return Err(EngineError::bad_request(message)).or_raise(py);
            }
        };
        slf.get().source.send(exit);
        Ok(())
    }

    /// Take what was done since the last call, oldest first, as a JSON list.
    fn drain_journal(slf: &Bound<'_, Self>) -> PyResult<String> {
        as_json(&slf.as_super().get().handle(slf.py())?.drain_journal())
    }

    /// Say that the first `count` entries ever drained are durable.
    fn journal_written(slf: &Bound<'_, Self>, count: u64) -> PyResult<()> {
        slf.as_super().get().handle(slf.py())?.journal_written(count);
        Ok(())
    }
}
