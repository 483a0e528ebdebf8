//! Leftovers of killed runs: temporary files that nobody writes any more.
//!
//! A writer holds a lock on its file as long as it lives; who takes one away holds that lock meanwhile, and a writer that got none or
//! whose file has gone makes another. The age covers file systems where locks don't reach the other machine.

use std::fs::{File, TryLockError};
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, SystemTime};

use nix::errno::Errno;
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
        if let Ok(Some(held)) = unattended(folder, name)
            && held.age >= STALE_AFTER
            && let Err(errno) = unlinkat(folder, name.as_str(), UnlinkatFlags::NoRemoveDir)
        {
            tracing::debug!(name, %errno, "a leftover temporary file stays");
        }
    }
}

/// A temporary file that nobody writes; as long as this lives, nobody can begin to think that it is his.
pub(super) struct Unattended {
    age: Duration,
    _locked: File,
}

/// `None` if a living process has the file.
pub(super) fn unattended(folder: &OwnedFd, name: &str) -> io::Result<Option<Unattended>> {
    let file = open(folder, name)?;
    let about = file.metadata()?;
    let age = SystemTime::now().duration_since(about.modified()?).unwrap_or_default();
    let free = about.is_file()
        && match file.try_lock() {
            Ok(()) => true,
            Err(TryLockError::WouldBlock) => false,
            Err(TryLockError::Error(_)) => age >= STALE_WITHOUT_LOCKS,
        };
    Ok(free.then_some(Unattended { age, _locked: file }))
}

/// To write, because NFS locks no file that was opened to read; to read where nothing can be written.
fn open(folder: &OwnedFd, name: &str) -> io::Result<File> {
    let open = |how: OFlag| {
        let flags = how | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
        openat(folder, name, flags, Mode::empty())
    };
    match open(OFlag::O_RDWR) {
        Err(Errno::EROFS | Errno::EACCES) => Ok(open(OFlag::O_RDONLY)?.into()),
        opened => Ok(opened?.into()),
    }
}
