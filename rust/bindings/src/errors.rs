//! The engine's error as Python exceptions that carry its stable code and its context.

use std::ffi::CStr;

use engine::EngineError;
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyType};

const ENGINE_ERROR_DOC: &CStr = c"A job or call of the engine failed; decide by `code`, show the text.";
const CANCELLED_ERROR_DOC: &CStr = c"The job ended because it was asked to, and has drained.";

static CLASSES: PyOnceLock<Classes> = PyOnceLock::new();

struct Classes {
    engine_error: Py<PyType>,
    cancelled_error: Py<PyType>,
}

impl Classes {
    fn create(py: Python<'_>) -> PyResult<Self> {
        let base = py.get_type::<PyException>();
        let engine_error = PyErr::new_type(
            py,
            c"zfs_push_backups._engine.EngineError",
            Some(ENGINE_ERROR_DOC),
            Some(&base),
            None,
        )?;
        // Class attributes, so that an exception raised from Python by these classes has them as well. Set here, not
        // handed to `new_type`: pyo3 0.30.1 drops its dict before CPython has read it.
        engine_error.bind(py).setattr("code", "engine.internal")?;
        engine_error.bind(py).setattr("context", PyDict::new(py))?;
        let cancelled_error = PyErr::new_type(
            py,
            c"zfs_push_backups._engine.CancelledError",
            Some(CANCELLED_ERROR_DOC),
            Some(engine_error.bind(py)),
            None,
        )?;
        Ok(Self { engine_error, cancelled_error })
    }
}

fn classes(py: Python<'_>) -> PyResult<&Classes> {
    CLASSES.get_or_try_init(py, || Classes::create(py))
}

pub(crate) fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let classes = classes(module.py())?;
    module.add("EngineError", &classes.engine_error)?;
    module.add("CancelledError", &classes.cancelled_error)
}

/// The exception for an error of the engine; if even that fails, the exception that says why.
pub(crate) fn raise(py: Python<'_>, error: &EngineError) -> PyErr {
    exception(py, error).unwrap_or_else(|failure| failure)
}

fn exception(py: Python<'_>, error: &EngineError) -> PyResult<PyErr> {
    let classes = classes(py)?;
    let class = if error.is_cancelled() { &classes.cancelled_error } else { &classes.engine_error };
    let value = class.bind(py).call1((error.message.as_str(),))?;
    value.setattr("code", error.code.as_ref())?;
    value.setattr("context", error.context.clone())?;
    Ok(PyErr::from_value(value))
}

/// Shortens `result.map_err(|error| raise(py, &error))`.
pub(crate) trait OrRaise<T> {
    /// The value, or the exception for the error.
    fn or_raise(self, py: Python<'_>) -> PyResult<T>;
}

impl<T> OrRaise<T> for Result<T, EngineError> {
    fn or_raise(self, py: Python<'_>) -> PyResult<T> {
        self.map_err(|error| raise(py, &error))
    }
}
