//! The texts that let a stranger restore with stock tools.

use crate::Manifest;

/// `RECOVER.md`: what to do with this store when our tool is not at hand. The same for every store of this version.
#[must_use]
pub fn recover_md() -> String {
    include_str!("recover.md").to_owned()
}

/// `RECOVER.txt`: the part keys in the stream's order, relative to the store's prefix, one a line and nothing else, so
/// that `while read -r key` works on it.
#[must_use]
pub fn recover_txt(manifest: &Manifest) -> String {
    manifest.parts.iter().flat_map(|part| [part.key.as_str(), "\n"]).collect()
}
