//! `Job`, the base of all jobs: wait, cancel, look, await.

use std::time::Duration;

use engine::JobHandle;
use engine::job::JobResult;
use pyo3::intern;
use pyo3::prelude::*;

use crate::awaiting;
use crate::errors::{OrRaise, raise};

/// The longest time for which a waiting thread sees neither signals nor its `on_tick`.
const TICK: Duration = Duration::from_millis(100);

/// A running job of the engine. Dropping the last reference cancels it.
#[pyclass(name = "Job", module = "zfs_push_backups._engine", subclass, frozen)]
pub(crate) struct PyJob(JobHandle);

impl PyJob {
    pub(crate) fn new(handle: JobHandle) -> Self {
        Self(handle)
    }

    pub(crate) fn handle(&self, py: Python<'_>) -> PyResult<&JobHandle> {
        self.0.same_process().or_raise(py)?;
        Ok(&self.0)
    }
}

#[pymethods]
impl PyJob {
    /// Wait until the job has drained and return its report as JSON.
    #[pyo3(signature = (on_tick=None))]
    fn wait(&self, py: Python<'_>, on_tick: Option<&Bound<'_, PyAny>>) -> PyResult<String> {
        let handle = self.handle(py)?;
        let mut waiting = Waiting { handle, on_tick, raised: None };
        loop {
            match py.detach(|| handle.wait_timeout(TICK)) {
                Some(outcome) => return waiting.end(py, outcome),
                None => waiting.tick(py),
            }
        }
    }

    /// Ask the job to end soon; returns at once.
    #[pyo3(signature = (reason, within_seconds=None))]
    fn cancel(&self, py: Python<'_>, reason: &str, within_seconds: Option<f64>) -> PyResult<()> {
        let handle = self.handle(py)?;
        match within_seconds {
            None => handle.cancel(reason),
            Some(seconds) => {
                let within = Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX);
                handle.cancel_within(reason, within);
            }
        }
        Ok(())
    }

    /// How far the job is, as JSON.
    fn snapshot(&self, py: Python<'_>) -> PyResult<String> {
        as_json(&self.handle(py)?.progress())
    }

    /// Take the waiting log events, oldest first, as a JSON list.
    #[pyo3(signature = (max_events=1000))]
    fn drain_events(&self, py: Python<'_>, max_events: usize) -> PyResult<String> {
        as_json(&self.handle(py)?.drain_events(max_events))
    }

    /// An awaitable of the report. Cancelling it leaves the job alone.
    fn finished<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        awaiting::finished(py, self.handle(py)?)
    }

    /// Whether events of level debug are recorded, for every job of this process.
    #[staticmethod]
    fn log_debug(enabled: bool) {
        engine::job::log_debug(enabled);
    }
}

pub(crate) fn as_json<T: serde::Serialize>(value: &T) -> PyResult<String> {
    serde_json::to_string(value).map_err(|error| pyo3::exceptions::PyValueError::new_err(error.to_string()))
}

/// One wait: what is called on each tick, and what was raised and waits for the drain.
struct Waiting<'a, 'py> {
    handle: &'a JobHandle,
    on_tick: Option<&'a Bound<'py, PyAny>>,
    raised: Option<PyErr>,
}

impl Waiting<'_, '_> {
    /// Runs signal handlers, then `on_tick`. What they raise cancels the job; the first exception is kept.
    fn tick(&mut self, py: Python<'_>) {
        if let Err(error) = py.check_signals() {
            self.keep(py, error);
        }
        // After a signal the ticks go on, since they carry the log of the drain; after their own failure not.
        if let Some(Err(error)) = self.on_tick.map(Bound::call0) {
            self.on_tick = None;
            self.keep(py, error);
        }
    }

    fn keep(&mut self, py: Python<'_>, error: PyErr) {
        let name =
            error.get_type(py).name().map_or_else(|_| "an exception".to_owned(), |name| name.to_string());
        self.handle.cancel(&format!("{name} was raised while waiting for the job"));
        if self.raised.is_none() {
            self.raised = Some(error);
        }
    }

    fn end(self, py: Python<'_>, outcome: JobResult) -> PyResult<String> {
        let Some(raised) = self.raised else { return report(py, outcome) };
        let note = match outcome {
            Ok(_) => "the job was done nevertheless".to_owned(),
            Err(error) if error.is_cancelled() => "the job was cancelled and has drained".to_owned(),
            Err(error) => format!("the job was cancelled and ended with {}: {error}", error.code),
        };
        // A note that can't be added must not hide the exception itself.
        let _ = raised.value(py).call_method1(intern!(py, "add_note"), (note,));
        Err(raised)
    }
}

/// A job's outcome as Python has it: the report's JSON, or the exception.
pub(crate) fn report(py: Python<'_>, outcome: JobResult) -> PyResult<String> {
    outcome.map(|report| report.to_string()).map_err(|error| raise(py, &error))
}
