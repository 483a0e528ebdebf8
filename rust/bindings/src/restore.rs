//! `RestoreJob`: opens one backup and writes its send stream.

use std::os::fd::RawFd;

use engine::{request, start_restore};
use pyo3::prelude::*;

use crate::descriptor::duplicate;
use crate::errors::OrRaise;
use crate::job::PyJob;

/// A running restore.
#[pyclass(name = "RestoreJob", module = "zfs_push_backups._engine", extends = PyJob, frozen)]
pub(crate) struct PyRestoreJob;

#[pymethods]
impl PyRestoreJob {
    #[new]
    fn new(py: Python<'_>, request: &str, sink_fd: RawFd) -> PyResult<PyClassInitializer<Self>> {
        let request = request::parse(request).or_raise(py)?;
        let sink = duplicate(sink_fd, "the sink of the stream").or_raise(py)?;
        Ok(PyClassInitializer::from(PyJob::new(start_restore(request, sink))).add_subclass(Self))
    }
}
