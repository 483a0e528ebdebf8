//! `StoreJob`: looks at a store, or prepares it.

use engine::{request, start_store};
use pyo3::prelude::*;

use crate::errors::OrRaise;
use crate::job::PyJob;

/// A running look at a store.
#[pyclass(name = "StoreJob", module = "zfs_push_backups._engine", extends = PyJob, frozen)]
pub(crate) struct PyStoreJob;

#[pymethods]
impl PyStoreJob {
    #[new]
    fn new(py: Python<'_>, request: &str) -> PyResult<PyClassInitializer<Self>> {
        let request = request::parse(request).or_raise(py)?;
        Ok(PyClassInitializer::from(PyJob::new(start_store(request))).add_subclass(Self))
    }
}
