//! What lies in a store: names, keys, documents, and which backups make a chain.
//!
//! Pure: no I/O, no network, no clock; the one impure function is [`Hex::random`]. `FORMAT.md` beside this crate is
//! the specification; code and text are held together by the tests. Everything read from a store is hostile until it
//! is parsed here: parsing never panics, and refuses what a later version may have meant differently.
#![forbid(unsafe_code)]

mod chain;
mod damage;
mod dataset;
mod decimal;
mod error;
mod gate;
mod hex;
mod id;
mod intent;
mod keys;
mod manifest;
mod manifest_key;
mod meta;
mod name;
mod recover;
mod repository;
mod timestamp;
mod validate;

pub use chain::{chain_to, check_linked};
pub use damage::Damage;
pub use dataset::DatasetPath;
pub use error::FormatError;
pub use gate::{FORMAT, KNOWN_REQUIREMENTS};
pub use hex::{AttemptNonce, Blake3Hash, Hex, Nonce, RepositoryId, TreeGroup};
pub use id::BackupId;
pub use intent::Intent;
pub use keys::{
    BackupKeys, DATA_PREFIX, INTENT_PREFIX, MANIFEST_PREFIX, MAX_KEY_BYTES, MAX_PART_NUMBER, PartName,
    RECOVER_MD_KEY, REPOSITORY_KEY, check_key, intent_prefix, manifest_prefix,
};
pub use manifest::{
    ChecksumAlgorithm, ChecksumKind, Compression, Made, Manifest, MetaObject, Parent, Part, SendInfo,
    StoreChecksum, Tool, ZfsVersions,
};
pub use manifest_key::{ManifestKey, TOMBSTONE, parse_manifest_key};
pub use meta::{DatasetType, EndChecksum, Meta, Property, PropertySource};
pub use name::{MAX_COMPONENT_BYTES, decode_component, encode_component};
pub use recover::{recover_md, recover_txt};
pub use repository::Repository;
pub use timestamp::Timestamp;
