//! Walking from the root's descriptor to a folder or file, one component at a time, never through a link.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstatat, mkdirat};

use super::fault;
use crate::error::{Place, StoreError};

/// Backups are nobody else's business: only the owner enters the folders.
const FOLDER_MODE: Mode = Mode::S_IRWXU;
const FOLDER: OFlag =
    OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// The store's folder, held open: it keeps its file system mounted as long as the store lives.
pub(super) struct Root {
    fd: OwnedFd,
    /// Folders whose leftovers were looked for already.
    swept: Mutex<HashSet<String>>,
}

/// A regular file, open for reading.
pub(super) struct OpenFile {
    pub(super) file: File,
    pub(super) length: u64,
    pub(super) modified_unix_seconds: i64,
}

impl Root {
    pub(super) fn open(path: &Path, place: &Place) -> Result<Self, StoreError> {
        let opened = File::open(path)
            .and_then(|file| if file.metadata()?.is_dir() { Ok(file) } else { Err(Errno::ENOTDIR.into()) });
        match opened {
            Ok(file) => Ok(Self { fd: file.into(), swept: Mutex::default() }),
            Err(fault) if fault::errno(&fault) == Errno::ENOENT => {
                let why = format!("there is no folder {}; mount it, or make it with mkdir", path.display());
                Err(StoreError::Io { place: place.clone(), why })
            }
            Err(fault) if fault::errno(&fault) == Errno::ENOTDIR => Err(StoreError::Io {
                place: place.clone(),
                why: format!("{} is not a folder", path.display()),
            }),
            Err(fault) => Err(fault::writing(&fault, place, "")),
        }
    }

    /// Whether this is the first visit to the folder of that name.
    pub(super) fn first_visit(&self, folder: &str) -> bool {
        self.swept.lock().unwrap_or_else(PoisonError::into_inner).insert(folder.to_owned())
    }

    /// Open the folder `path` ("" is the root); with `create` the missing ones are made, each durably.
    pub(super) fn folder(&self, path: &str, create: bool) -> io::Result<OwnedFd> {
        let mut here = self.fd.try_clone()?;
        for name in path.split('/').filter(|name| !name.is_empty()) {
            here = step(here.as_fd(), name, create)?;
        }
        Ok(here)
    }

    /// Open the file at `key`; a folder there counts as nothing.
    pub(super) fn open_file(&self, key: &str) -> io::Result<OpenFile> {
        let (folder, name) = split(key);
        let folder = self.folder(folder, false)?;
        // Opening a FIFO would block without O_NONBLOCK; on files the flag has no effect.
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
        let file = File::from(openat(&folder, name, flags, Mode::empty())?);
        let about = file.metadata()?;
        if !about.is_file() {
            return Err(Errno::ENOENT.into());
        }
        Ok(OpenFile { file, length: about.len(), modified_unix_seconds: about.mtime() })
    }
}

/// A key's folder ("" for none) and its last component.
pub(super) fn split(key: &str) -> (&str, &str) {
    key.rsplit_once('/').unwrap_or(("", key))
}

pub(super) fn sync_folder(folder: BorrowedFd<'_>) -> io::Result<()> {
    match nix::unistd::fsync(folder) {
        // Some network and FUSE file systems cannot sync a folder; they say so with EINVAL.
        Ok(()) | Err(Errno::EINVAL) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

pub(super) fn file_kind(about: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(about.st_mode & SFlag::S_IFMT.bits())
}

fn step(here: BorrowedFd<'_>, name: &str, create: bool) -> io::Result<OwnedFd> {
    match openat(here, name, FOLDER, Mode::empty()) {
        Ok(folder) => Ok(folder),
        Err(Errno::ENOENT) if create => {
            match mkdirat(here, name, FOLDER_MODE) {
                Ok(()) => sync_folder(here)?,
                Err(Errno::EEXIST) => {}
                Err(errno) => return Err(errno.into()),
            }
            Ok(openat(here, name, FOLDER, Mode::empty())?)
        }
        // A link to a folder answers ENOTDIR too, and must not pass for "nothing here".
        Err(Errno::ENOTDIR) if is_link(here, name) => Err(Errno::ELOOP.into()),
        Err(errno) => Err(errno.into()),
    }
}

fn is_link(here: BorrowedFd<'_>, name: &str) -> bool {
    fstatat(here, name, AtFlags::AT_SYMLINK_NOFOLLOW).is_ok_and(|about| file_kind(&about) == SFlag::S_IFLNK)
}
