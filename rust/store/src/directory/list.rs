//! Listing: a walk over the folders that a prefix can reach.

use std::io;
use std::os::fd::OwnedFd;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{Mode, SFlag, fstatat};

use super::Abandoned;
use super::folder::{Root, file_kind};
use crate::key::{TEMPORARY, join_unchecked};
use crate::object::ObjectInfo;

const FOLDER: OFlag =
    OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

pub(super) fn list(root: &Root, prefix: &str, abandoned: &Abandoned) -> io::Result<Vec<ObjectInfo>> {
    let (top, begins) = prefix.rsplit_once('/').unwrap_or(("", prefix));
    let folder = match root.folder(top, false) {
        Err(fault) if gone(&fault) => return Ok(Vec::new()),
        other => other?,
    };
    let mut walk = Walk { abandoned, found: Vec::new() };
    walk.folder(&folder, top, begins)?;
    walk.found.sort_unstable_by(|a, b| a.key.as_bytes().cmp(b.key.as_bytes()));
    Ok(walk.found)
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

struct Walk<'a> {
    abandoned: &'a Abandoned,
    found: Vec<ObjectInfo>,
}

impl Walk<'_> {
    fn folder(&mut self, folder: &OwnedFd, path: &str, begins: &str) -> io::Result<()> {
        self.abandoned.check()?;
        let listed = names(folder.try_clone()?)?;
        for name in listed.iter().filter(|name| name.starts_with(begins) && !name.starts_with(TEMPORARY)) {
            match self.entry(folder, path, name) {
                // What vanishes between the two looks was deleted: it isn't there.
                Err(fault) if gone(&fault) => {}
                other => other?,
            }
        }
        Ok(())
    }

    fn entry(&mut self, folder: &OwnedFd, path: &str, name: &str) -> io::Result<()> {
        let about = fstatat(folder, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
        let key = join_unchecked(path, name);
        match file_kind(&about) {
            SFlag::S_IFREG => {
                let length = u64::try_from(about.st_size).map_err(io::Error::other)?;
                self.found.push(ObjectInfo { key, length, ..ObjectInfo::default() });
                Ok(())
            }
            SFlag::S_IFDIR => self.folder(&openat(folder, name, FOLDER, Mode::empty())?, &key, ""),
            _ => Ok(()),
        }
    }
}

fn gone(fault: &io::Error) -> bool {
    matches!(super::fault::errno(fault), Errno::ENOENT | Errno::ENOTDIR)
}
