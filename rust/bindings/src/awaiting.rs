//! `Job.finished()`: asyncio waits for a job.
//!
//! pyo3-async-runtimes drops the Rust future when the asyncio future is cancelled; here that future only
//! watches the job, so nothing is lost. It has one watching thread for the process, started when first used.

use std::sync::OnceLock;

use engine::job::JobResult;
use engine::{EngineError, JobHandle};
use pyo3::prelude::*;
use pyo3::types::PyString;
use tokio::runtime::Builder;

use crate::errors::OrRaise;
use crate::job::report;

/// Says what the watching runtime shall be like; it does not start here.
pub(crate) fn install() {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(1).thread_name("zpb-await").enable_all();
    pyo3_async_runtimes::tokio::init(builder);
}

pub(crate) fn finished<'py>(py: Python<'py>, handle: &JobHandle) -> PyResult<Bound<'py, PyAny>> {
    same_process().or_raise(py)?;
    // The handle goes along: who awaits a job without keeping it must not thereby cancel it.
    let handle = handle.clone();
    pyo3_async_runtimes::tokio::future_into_py(py, async move { Ok(Finished(handle.finished().await)) })
}

/// The watching thread does not survive a fork, and there is no second one to be had.
fn same_process() -> Result<(), EngineError> {
    static PROCESS: OnceLock<u32> = OnceLock::new();
    let here = std::process::id();
    let first = *PROCESS.get_or_init(|| here);
    if first == here {
        return Ok(());
    }
    let message = format!(
        "process {first} awaited a job before it forked process {here}, which therefore cannot: use wait() here"
    );
    Err(EngineError::new("engine.forked", message))
}

/// Turned into Python objects only where pyo3-async-runtimes holds the GIL anyway.
struct Finished(JobResult);

impl<'py> IntoPyObject<'py> for Finished {
    type Target = PyString;
    type Output = Bound<'py, PyString>;
    type Error = PyErr;

    fn into_pyobject(self, py: Python<'py>) -> PyResult<Self::Output> {
        report(py, self.0).map(|text| PyString::new(py, &text))
    }
}
