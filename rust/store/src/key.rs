//! Keys: what may name an object, and how a key relates to the store's prefix.
//!
//! The same rule holds for every store, so that a backup can be moved from one to another. A key is a relative path in disguise:
//! whatever could climb out of a directory, or hide among our temporary files, is refused before anything is sent.

use crate::error::StoreError;

/// S3's limit on a whole key, prefix included, in bytes of UTF-8.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html>
pub const MAX_KEY_BYTES: usize = 1024;

/// Files of a directory store that are not yet objects begin so.
pub(crate) const TEMPORARY: &str = ".tmp-";

fn component_fault(component: &str) -> Option<&'static str> {
    match component {
        "" => Some("it has an empty component (a leading, trailing or double slash)"),
        "." | ".." => Some("it has a component `.` or `..`"),
        _ if component.contains('\0') => Some("it contains NUL"),
        _ if component.starts_with(TEMPORARY) => {
            Some("a component begins with `.tmp-`, which marks unfinished files")
        }
        _ => None,
    }
}

fn refuse(key: &str, why: &str) -> StoreError {
    StoreError::InvalidKey { key: key.escape_debug().to_string(), why: why.to_owned() }
}

/// Whether `key` may name an object.
///
/// # Errors
/// [`StoreError::InvalidKey`] says which rule it breaks.
pub fn check_key(key: &str) -> Result<(), StoreError> {
    if key.len() > MAX_KEY_BYTES {
        return Err(refuse(key, "it is longer than 1024 bytes"));
    }
    match key.split('/').find_map(component_fault) {
        Some(why) => Err(refuse(key, why)),
        None => Ok(()),
    }
}

/// Whether `prefix` may be listed: empty, or a key whose last component may be unfinished or empty.
pub(crate) fn check_list_prefix(prefix: &str) -> Result<(), StoreError> {
    let (folders, last) = prefix.rsplit_once('/').map_or((None, prefix), |(f, l)| (Some(f), l));
    if last.contains('\0') {
        return Err(refuse(prefix, "it contains NUL"));
    }
    folders.map_or(Ok(()), check_key)
}

/// The folder and the name of a temporary file at `key`.
pub(crate) fn check_temporary(key: &str) -> Result<(&str, &str), StoreError> {
    let (folder, name) = key.rsplit_once('/').unwrap_or(("", key));
    if !name.starts_with(TEMPORARY) || name.contains('\0') {
        return Err(refuse(key, "it names no unfinished file"));
    }
    if !folder.is_empty() || key.starts_with('/') {
        check_key(folder)?;
    }
    Ok((folder, name))
}

/// `key` below `prefix` (the store's; may be empty).
pub(crate) fn join(prefix: &str, key: &str) -> Result<String, StoreError> {
    check_key(key)?;
    let full = join_unchecked(prefix, key);
    if full.len() > MAX_KEY_BYTES {
        return Err(refuse(&full, "with the store's prefix it is longer than 1024 bytes"));
    }
    Ok(full)
}

/// As [`join`], for a listing prefix that was checked already.
pub(crate) fn join_unchecked(prefix: &str, key: &str) -> String {
    if prefix.is_empty() { key.to_owned() } else { format!("{prefix}/{key}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_could_climb_or_hide_is_refused() {
        for bad in ["", "/a", "a/", "a//b", ".", "..", "a/../b", "a/./b", "a\0b", ".tmp-x", "a/.tmp-1/b"] {
            assert_eq!(check_key(bad).unwrap_err().code(), "store.invalid_key", "{bad:?}");
        }
        for good in ["a", "a/b", "data/x/@/..a/part-000000.age", ".hidden", "a b", "ü", "...", "a.tmp-b"] {
            check_key(good).unwrap();
        }
        assert!(check_key(&"k".repeat(1024)).is_ok());
        assert!(check_key(&"k".repeat(1025)).is_err());
    }

    #[test]
    fn only_temporary_files_are_ended() {
        assert_eq!(check_temporary("a/b/.tmp-1").unwrap(), ("a/b", ".tmp-1"));
        assert_eq!(check_temporary(".tmp-1").unwrap(), ("", ".tmp-1"));
        for bad in ["", "a", "a/b", "../.tmp-1", "/.tmp-1", "a/.tmp-1/b", ".tmp-\0"] {
            assert!(check_temporary(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_prefix_counts_for_the_length() {
        assert_eq!(join("p/q", "k").unwrap(), "p/q/k");
        assert_eq!(join("", "k").unwrap(), "k");
        assert!(join(&"p".repeat(1000), &"k".repeat(30)).is_err());
    }

    #[test]
    fn a_listing_prefix_may_end_anywhere_but_not_climb() {
        for good in ["", "a", "a/", "a/b", "manifests/na"] {
            check_list_prefix(good).unwrap();
        }
        for bad in ["/", "/a", "a//", "../a", "a/../", "\0"] {
            assert!(check_list_prefix(bad).is_err(), "{bad:?}");
        }
    }
}
