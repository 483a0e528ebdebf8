//! `StreamJob`: looks into send streams in files and pipes, and splices them.

use std::os::fd::RawFd;

use engine::{EngineError, StreamWork, start_stream};
use pyo3::prelude::*;

use crate::descriptor::duplicate;
use crate::errors::OrRaise;
use crate::job::PyJob;

/// Running work on send streams.
#[pyclass(name = "StreamJob", module = "zfs_push_backups._engine", extends = PyJob, frozen)]
pub(crate) struct PyStreamJob;

#[pymethods]
impl PyStreamJob {
    #[new]
    #[allow(clippy::needless_pass_by_value, reason = "pyo3 makes the list, so nobody else has it")]
    fn new(py: Python<'_>, operation: &str, descriptors: Vec<RawFd>) -> PyResult<PyClassInitializer<Self>> {
        let work = work(operation, &descriptors).or_raise(py)?;
        Ok(PyClassInitializer::from(PyJob::new(start_stream(work))).add_subclass(Self))
    }
}

fn work(operation: &str, descriptors: &[RawFd]) -> Result<StreamWork, EngineError> {
    let source = |number: RawFd| duplicate(number, "the source of a stream");
    match (operation, descriptors) {
        ("inspect", &[stream]) => Ok(StreamWork::Inspect { stream: source(stream)? }),
        ("token", &[stream]) => Ok(StreamWork::Token { stream: source(stream)? }),
        ("splice", &[kept, resumed, whole]) => Ok(StreamWork::Splice {
            kept: source(kept)?,
            resumed: source(resumed)?,
            whole: duplicate(whole, "the sink of a stream")?,
        }),
        (other, _) => Err(EngineError::bad_request(format!(
            "{other:?} with {} descriptors is no work on streams: allowed are inspect and token with one, splice with three",
            descriptors.len()
        ))),
    }
}
