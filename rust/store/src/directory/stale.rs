//! Leftovers of killed runs: temporary files that nobody writes any more.
//!
//! A writer holds a lock on its file as long as it lives. The age guards the moment between making a file and locking it, and covers
//! file systems where locks don't reach the other machine.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, SystemTime};

use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::list::names;
use crate::key::TEMPORARY;

/// Younger files are left alone.
const STALE_AFTER: Duration = Duration::from_hours(1);
/// Where the file system knows no locks, the age alone decides.
const STALE_WITHOUT_LOCKS: Duration = Duration::from_hours(24);

/// Remove leftovers from `folder`; failing is harmless, since nothing counts them.
pub(super) fn sweep(folder: &OwnedFd) {
    let Ok(names) = folder.try_clone().and_then(names) else { return };
    for name in names.iter().filter(|name| name.starts_with(TEMPORARY)) {
        if is_stale(folder, name).unwrap_or(false)
            && let Err(errno) = unlinkat(folder, name.as_str(), UnlinkatFlags::NoRemoveDir)
        {
            tracing::debug!(name, %errno, "a leftover temporary file stays");
        }
    }
}

fn is_stale(folder: &OwnedFd, name: &str) -> io::Result<bool> {
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
    let file = File::from(openat(folder, name, flags, Mode::empty())?);
    let about = file.metadata()?;
    let age = SystemTime::now().duration_since(about.modified()?).unwrap_or_default();
    if !about.is_file() || age < STALE_AFTER {
        return Ok(false);
    }
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(std::fs::TryLockError::WouldBlock) => Ok(false),
        Err(std::fs::TryLockError::Error(_)) => Ok(age >= STALE_WITHOUT_LOCKS),
    }
}
