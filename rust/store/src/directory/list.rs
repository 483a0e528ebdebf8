//! Listing: a walk over the folders that a prefix can reach.

use std::io;
use std::os::fd::OwnedFd;

use nix::dir::Dir;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstatat};

use super::folder::{Root, file_kind};
use super::work::Work;
use super::{fault, stale};
use crate::key::{TEMPORARY, join_unchecked};
use crate::object::{ObjectInfo, UnfinishedUpload};

const FOLDER: OFlag =
    OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

pub(super) fn list(root: &Root, prefix: &str, work: &Work) -> io::Result<Vec<ObjectInfo>> {
    let mut found = Vec::new();
    walk(root, prefix, work, &mut |file| {
        if !file.name.starts_with(TEMPORARY) {
            let length = u64::try_from(file.about.st_size).map_err(io::Error::other)?;
            let modified_unix_seconds = Some(file.about.st_mtime);
            found.push(ObjectInfo { key: file.key, length, modified_unix_seconds, ..ObjectInfo::default() });
        }
        Ok(())
    })?;
    found.sort_unstable_by(|a, b| a.key.as_bytes().cmp(b.key.as_bytes()));
    Ok(found)
}

/// Temporary files that no living process writes.
pub(super) fn unfinished(root: &Root, prefix: &str, work: &Work) -> io::Result<Vec<UnfinishedUpload>> {
    let mut found = Vec::new();
    walk(root, prefix, work, &mut |file| {
        if file.name.starts_with(TEMPORARY) && stale::unattended(file.folder, file.name)?.is_some() {
            let (upload_id, begun_unix_seconds) = (file.name.to_owned(), Some(file.about.st_mtime));
            found.push(UnfinishedUpload { key: file.key, upload_id, begun_unix_seconds });
        }
        Ok(())
    })?;
    found.sort_unstable_by(|a, b| a.key.as_bytes().cmp(b.key.as_bytes()));
    Ok(found)
}

/// Show `visit` every file whose key begins with `prefix`, the temporary ones too.
fn walk(
    root: &Root,
    prefix: &str,
    work: &Work,
    visit: &mut dyn FnMut(Found<'_>) -> io::Result<()>,
) -> io::Result<()> {
    let (top, begins) = prefix.rsplit_once('/').unwrap_or(("", prefix));
    work.begins("listing")?;
    match root.folder(top, false) {
        Err(fault) if fault::is_absent(&fault) => Ok(()),
        folder => Walk { work, visit }.folder(&folder?, top, begins),
    }
}

/// Names in a folder that are text; our keys are.
pub(super) fn names(folder: OwnedFd) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in Dir::from_fd(folder)?.iter() {
        if let Ok(name) = entry?.file_name().to_str()
            && name != "."
            && name != ".."
        {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

/// A regular file on the way.
struct Found<'a> {
    folder: &'a OwnedFd,
    name: &'a str,
    key: String,
    about: FileStat,
}

struct Walk<'a> {
    work: &'a Work,
    visit: &'a mut dyn FnMut(Found<'_>) -> io::Result<()>,
}

impl Walk<'_> {
    fn folder(&mut self, folder: &OwnedFd, path: &str, begins: &str) -> io::Result<()> {
        self.work.begins("listing")?;
        let listed = names(folder.try_clone()?)?;
        for name in listed.iter().filter(|name| name.starts_with(begins)) {
            match self.entry(folder, path, name) {
                // What vanishes between the two looks was deleted: it isn't there.
                Err(fault) if fault::is_absent(&fault) => {}
                other => other?,
            }
        }
        Ok(())
    }

    fn entry(&mut self, folder: &OwnedFd, path: &str, name: &str) -> io::Result<()> {
        self.work.begins("listing")?;
        let about = fstatat(folder, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
        let key = join_unchecked(path, name);
        match file_kind(&about) {
            SFlag::S_IFREG => (self.visit)(Found { folder, name, key, about }),
            SFlag::S_IFDIR if !name.starts_with(TEMPORARY) => {
                self.folder(&openat(folder, name, FOLDER, Mode::empty())?, &key, "")
            }
            _ => Ok(()),
        }
    }
}
