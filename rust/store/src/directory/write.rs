//! Writing a file so that its name never stands for anything but its whole, durable, re-read content; and deleting.

use std::cell::Cell;
use std::fs::{File, TryLockError};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use nix::errno::Errno;
use nix::fcntl::{
    AtFlags, OFlag, PosixFadviseAdvice, RenameFlags, openat, posix_fadvise, renameat, renameat2,
};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, linkat, unlinkat};

use super::folder::{Root, split, sync_folder};
use super::work::Work;
use super::{fault, stale};
use crate::checksum::RunningCrc64;
use crate::error::{Place, StoreError};
use crate::key::TEMPORARY;

/// How much is written or re-read between two looks at whether the caller is still there.
const STRIDE_BYTES: usize = 1024 * 1024;
/// How much may wait in the page cache, so that no single sync takes long enough to look like a dead disk.
const SYNC_BYTES: usize = 32 * 1024 * 1024;
/// How often a folder or file that another run removes under our feet is made anew.
const FOLDER_ATTEMPTS: u32 = 32;

/// Why a write failed.
pub(super) enum Failure {
    Io(io::Error),
    Reread(String),
}

impl From<io::Error> for Failure {
    fn from(fault: io::Error) -> Self {
        Self::Io(fault)
    }
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        Self::Io(errno.into())
    }
}

impl Failure {
    pub(super) fn at(self, place: &Place, key: &str) -> StoreError {
        match self {
            Self::Io(fault) => fault::writing(&fault, place, key),
            Self::Reread(why) => StoreError::Checksum { place: place.clone(), why },
        }
    }
}

/// A file that isn't an object yet; gone when dropped unpublished.
pub(super) struct Temporary {
    folder: OwnedFd,
    name: String,
    final_name: String,
    file: File,
    unsynced_bytes: Cell<usize>,
    published: bool,
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.published {
            // The next visit to the folder sweeps what can't be removed now.
            let _ = unlinkat(&self.folder, self.name.as_str(), UnlinkatFlags::NoRemoveDir);
        }
    }
}

impl Temporary {
    pub(super) fn create(root: &Root, key: &str, work: &Work) -> Result<Self, Failure> {
        let (path, final_name) = split(key);
        let mut attempt = 1;
        loop {
            work.begins("making a file")?;
            match Self::try_create(root, path, final_name, work) {
                Err(fault) if fault::errno(&fault) == Errno::ENOENT && attempt < FOLDER_ATTEMPTS => {
                    attempt += 1;
                }
                other => return other.map_err(Failure::Io),
            }
        }
    }

    fn try_create(root: &Root, path: &str, final_name: &str, work: &Work) -> io::Result<Self> {
        let folder = root.folder(path, true)?;
        if root.first_visit(path) {
            stale::sweep(&folder);
        }
        let name = temporary_name();
        let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let file = File::from(openat(&folder, name.as_str(), flags, Mode::S_IRUSR | Mode::S_IWUSR)?);
        let made = Self {
            folder,
            name,
            final_name: final_name.to_owned(),
            file,
            unsynced_bytes: Cell::new(0),
            published: false,
        };
        work.begins("locking")?;
        // Where locks don't exist, a sweeper goes by the age.
        let locked_by_a_sweeper = matches!(made.file.try_lock(), Err(TryLockError::WouldBlock));
        if locked_by_a_sweeper || made.file.metadata()?.nlink() == 0 {
            return Err(Errno::ENOENT.into());
        }
        Ok(made)
    }

    pub(super) fn write_at(&self, bytes: &[u8], offset: u64, work: &Work) -> Result<(), Failure> {
        let mut at = offset;
        for stride in bytes.chunks(STRIDE_BYTES) {
            work.begins("writing")?;
            self.file.write_all_at(stride, at)?;
            at += stride.len() as u64;
            work.moved(stride.len());
            self.unsynced_bytes.set(self.unsynced_bytes.get() + stride.len());
            if self.unsynced_bytes.get() >= SYNC_BYTES {
                work.begins("syncing the file")?;
                self.file.sync_data()?;
                self.unsynced_bytes.set(0);
            }
        }
        Ok(())
    }

    /// Make the content durable, prove it, and give it its name.
    pub(super) fn publish(
        &mut self,
        length: u64,
        crc: u64,
        if_absent: bool,
        work: &Work,
    ) -> Result<(), Failure> {
        work.begins("syncing the file")?;
        self.file.sync_all()?;
        self.prove(length, crc, work)?;
        work.begins("renaming")?;
        if if_absent {
            self.name_unless_taken()?;
        } else {
            renameat(&self.folder, self.name.as_str(), &self.folder, self.final_name.as_str())?;
        }
        self.published = true;
        work.begins("syncing the folder")?;
        Ok(sync_folder(self.folder.as_fd())?)
    }

    /// Read back what the disk has, not what the page cache remembers.
    fn prove(&self, length: u64, crc: u64, work: &Work) -> Result<(), Failure> {
        // Only advice: where it isn't taken the check still guards the way to the page cache.
        let _ = posix_fadvise(&self.file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
        let mut buffer = vec![0; STRIDE_BYTES];
        let (mut running, mut at) = (RunningCrc64::default(), 0_u64);
        loop {
            work.begins("reading back")?;
            match self.file.read_at(&mut buffer, at)? {
                0 => break,
                read => {
                    running.update(&buffer[..read]);
                    at += read as u64;
                }
            }
        }
        if at != length || running.value() != crc {
            let why = format!(
                "{length} bytes with CRC64NVME {crc:016x} were written, {at} with {:016x} read back",
                running.value()
            );
            return Err(Failure::Reread(why));
        }
        Ok(())
    }

    fn name_unless_taken(&self) -> Result<(), Failure> {
        let (folder, from, to) = (&self.folder, self.name.as_str(), self.final_name.as_str());
        match linkat(folder, from, folder, to, AtFlags::empty()) {
            Ok(()) => Ok(unlinkat(folder, from, UnlinkatFlags::NoRemoveDir)?),
            // FAT and some network file systems have no hard links.
            Err(Errno::EPERM | Errno::EOPNOTSUPP | Errno::ENOSYS | Errno::EMLINK) => {
                Ok(renameat2(folder, from, folder, to, RenameFlags::RENAME_NOREPLACE)?)
            }
            Err(errno) => Err(errno.into()),
        }
    }
}

fn temporary_name() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{TEMPORARY}{}-{:x}-{number}", std::process::id(), since.as_nanos())
}

/// Remove the temporary file `name` from the folder `path`, unless a living process writes it.
pub(super) fn remove_unfinished(root: &Root, path: &str, name: &str, work: &Work) -> io::Result<()> {
    work.begins("deleting")?;
    let folder = root.folder(path, false)?;
    let Some(_held) = stale::unattended(&folder, name)? else {
        return Err(io::Error::other("a living process writes it"));
    };
    unlinkat(&folder, name, UnlinkatFlags::NoRemoveDir)?;
    sync_folder(folder.as_fd())?;
    remove_empty(root, path);
    Ok(())
}

/// Delete files, then the folders that became empty; goes on after a failure and returns the first.
pub(super) fn delete(
    root: &Root,
    mut keys: Vec<String>,
    location: &str,
    work: &Work,
) -> Result<(), StoreError> {
    keys.sort_unstable();
    let mut first_failure = None;
    for group in keys.chunk_by(|a, b| split(a).0 == split(b).0) {
        for (key, fault) in delete_from_folder(root, group, work) {
            let place = Place::new("delete", format!("{location}/{key}"));
            first_failure.get_or_insert_with(|| fault::writing(&fault, &place, key));
        }
    }
    first_failure.map_or(Ok(()), Err)
}

fn delete_from_folder<'a>(root: &Root, keys: &'a [String], work: &Work) -> Vec<(&'a String, io::Error)> {
    let Some(first) = keys.first() else { return Vec::new() };
    let path = split(first).0;
    let folder = match work.begins("deleting").and_then(|()| root.folder(path, false)) {
        Ok(folder) => folder,
        Err(fault) if fault::is_absent(&fault) => return Vec::new(),
        Err(fault) => return vec![(first, fault)],
    };
    let mut failures = Vec::new();
    for key in keys {
        let removed = work.begins("deleting").and_then(|()| {
            unlinkat(&folder, split(key).1, UnlinkatFlags::NoRemoveDir).map_err(io::Error::from)
        });
        match removed {
            // A folder of that name isn't the object: as in S3, nothing was there.
            Err(fault) if fault::is_absent(&fault) || fault::errno(&fault) == Errno::EISDIR => {}
            Err(fault) => failures.push((key, fault)),
            Ok(()) => {}
        }
    }
    stale::sweep(&folder);
    if let Err(fault) = work.begins("syncing the folder").and_then(|()| sync_folder(folder.as_fd())) {
        failures.push((first, fault));
    }
    remove_empty(root, path);
    failures
}

/// Tidiness only: a folder that stays, for whatever reason, changes nothing.
fn remove_empty(root: &Root, path: &str) {
    let mut path = path;
    while !path.is_empty() {
        let (parent, name) = split(path);
        let removed = root
            .folder(parent, false)
            .and_then(|parent| unlinkat(&parent, name, UnlinkatFlags::RemoveDir).map_err(io::Error::from));
        if removed.is_err() {
            return;
        }
        path = parent;
    }
}
