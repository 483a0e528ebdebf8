//! `zfs_push_backups._engine`: the engine's jobs as Python classes. Conversion only, no decisions.
//!
//! - No Python code runs on a thread of the engine: logs and progress are polled, never called back.
//! - Requests and reports cross as JSON text, file descriptors as numbers that are duplicated at once.
//! - A call that waits gives up the GIL and looks for signals every 100 ms.
//!
//! The names and their documentation for Python are in `python/zfs_push_backups/_engine.pyi`.

mod awaiting;
mod descriptor;
mod errors;
mod functions;
mod job;
mod push;
mod restore;
mod store;
mod stream;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

#[pymodule]
fn _engine(module: &Bound<'_, PyModule>) -> PyResult<()> {
    engine::job::install();
    awaiting::install();
    let py = module.py();
    module.add_class::<job::PyJob>()?;
    module.add_class::<push::PyPushJob>()?;
    module.add_class::<restore::PyRestoreJob>()?;
    module.add_class::<store::PyStoreJob>()?;
    module.add_class::<stream::PyStreamJob>()?;
    module.add_function(wrap_pyfunction!(functions::parse_begin, module)?)?;
    module.add_function(wrap_pyfunction!(functions::generate_identity, module)?)?;
    module.add_function(wrap_pyfunction!(functions::check_recipients, module)?)?;
    module.add_function(wrap_pyfunction!(functions::new_backup_id, module)?)?;
    module.add_function(wrap_pyfunction!(functions::resume_token, module)?)?;
    module.add_function(wrap_pyfunction!(functions::cancel_jobs_on_signals, module)?)?;
    module.add("ERROR_CODES", PyTuple::new(py, engine::ERROR_CODES)?)?;
    module.add("BUILD_INFO", build_info(py)?)?;
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    errors::add_to(module)
}

fn build_info(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let info = PyDict::new(py);
    info.set_item("version", env!("CARGO_PKG_VERSION"))?;
    info.set_item("target", format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS))?;
    info.set_item("profile", if cfg!(debug_assertions) { "debug" } else { "release" })?;
    Ok(info)
}
