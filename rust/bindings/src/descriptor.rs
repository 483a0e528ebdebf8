//! A file descriptor from Python, duplicated so that each side closes its own.

use std::os::fd::{BorrowedFd, OwnedFd, RawFd};

use engine::EngineError;

/// Duplicates `number` with close-on-exec, so that no child of this process inherits it.
pub(crate) fn duplicate(number: RawFd, what: &str) -> Result<OwnedFd, EngineError> {
    if number < 0 {
        return Err(refused(number, what, "a descriptor is not negative"));
    }
    #[allow(unsafe_code, reason = "a number is all that Python has of a descriptor")]
    // SAFETY: not -1, and used for nothing but the duplication, which the kernel refuses when it is not open.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    borrowed.try_clone_to_owned().map_err(|error| refused(number, what, &error.to_string()))
}

fn refused(number: RawFd, what: &str, why: &str) -> EngineError {
    EngineError::bad_request(format!("file descriptor {number} cannot be used as {what}: {why}"))
}
