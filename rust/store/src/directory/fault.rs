//! What the operating system says, in the store's words.

use std::io;

use nix::errno::Errno;

use crate::error::{Place, StoreError};

/// An error while reading: what isn't there, or lies below a file, is `NotFound` as in S3.
pub(super) fn reading(fault: &io::Error, place: &Place, key: &str) -> StoreError {
    match errno(fault) {
        Errno::ENOENT | Errno::ENOTDIR => StoreError::NotFound { place: place.clone() },
        _ => writing(fault, place, key),
    }
}

/// An error while writing or deleting.
pub(super) fn writing(fault: &io::Error, place: &Place, key: &str) -> StoreError {
    let (place, why) = (place.clone(), fault.to_string());
    match errno(fault) {
        Errno::ENOSPC | Errno::EDQUOT => StoreError::Full { place, why },
        Errno::EROFS => StoreError::ReadOnly { place, why },
        Errno::EACCES | Errno::EPERM => StoreError::Forbidden { place, why },
        Errno::EEXIST => StoreError::AlreadyExists { place },
        Errno::ENAMETOOLONG => StoreError::InvalidKey {
            key: key.to_owned(),
            why: "this file system allows no name as long as that".into(),
        },
        Errno::ELOOP => {
            let why =
                "a symbolic link lies on the way and is not followed; put a real folder or file there".into();
            StoreError::Io { place, why }
        }
        Errno::ENOTDIR | Errno::EISDIR => StoreError::Io {
            place,
            why: format!("a file lies where a folder is needed, or the other way round ({why})"),
        },
        _ => StoreError::Io { place, why },
    }
}

/// Whether nothing is there, or something else than a folder lies on the way.
pub(super) fn is_absent(fault: &io::Error) -> bool {
    matches!(errno(fault), Errno::ENOENT | Errno::ENOTDIR)
}

pub(super) fn errno(fault: &io::Error) -> Errno {
    fault.raw_os_error().map_or(Errno::UnknownErrno, Errno::from_raw)
}
