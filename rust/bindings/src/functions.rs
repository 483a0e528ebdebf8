//! Calls that need neither a store nor a thread.

use pyo3::prelude::*;
use secrecy::ExposeSecret;

use crate::errors::OrRaise;

/// What the first bytes of a send stream say, as JSON.
#[pyfunction]
pub(crate) fn parse_begin(py: Python<'_>, head: &[u8]) -> PyResult<String> {
    engine::parse_begin(head).map(|begin| begin.to_string()).or_raise(py)
}

/// A new age identity: its secret, and its recipient.
#[pyfunction]
pub(crate) fn generate_identity() -> (String, String) {
    let (secret, recipient) = engine::generate_identity();
    (secret.expose_secret().to_owned(), recipient)
}

/// Check recipients and give each in its one spelling.
#[pyfunction]
#[allow(clippy::needless_pass_by_value, reason = "pyo3 makes the list, so nobody else has it")]
pub(crate) fn check_recipients(py: Python<'_>, lines: Vec<String>) -> PyResult<Vec<String>> {
    engine::check_recipients(&lines).or_raise(py)
}

/// A name for a new backup.
#[pyfunction]
pub(crate) fn new_backup_id(py: Python<'_>, level: u32, snapshot_guid: &str) -> PyResult<String> {
    engine::new_backup_id(level, snapshot_guid).or_raise(py)
}

/// What `zfs send -t` takes to go on with an interrupted stream; the request is JSON.
#[pyfunction]
pub(crate) fn resume_token(py: Python<'_>, request: &str) -> PyResult<String> {
    engine::request::parse(request).and_then(|request| engine::resume_token(&request)).or_raise(py)
}

/// From now on each of these signals cancels every running job, without waiting for the interpreter.
#[pyfunction]
#[allow(clippy::needless_pass_by_value, reason = "pyo3 makes the list, so nobody else has it")]
pub(crate) fn cancel_jobs_on_signals(py: Python<'_>, signals: Vec<i32>) -> PyResult<()> {
    engine::job::cancel_on_signals(&signals).or_raise(py)
}
