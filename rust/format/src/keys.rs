//! Where everything lies, relative to the store's prefix.
//!
//! A backup's keys all come from [`BackupKeys`], checked once when it is made: no empty, `.` or `..` component, at most
//! 1024 bytes. The store counts its own prefix on top.

use crate::dataset::encode_source;
use crate::{AttemptNonce, BackupId, DatasetPath, FormatError, Nonce};

/// Holds the format version and the repository's id.
pub const REPOSITORY_KEY: &str = "repository.json";
/// The recipe for restoring with stock tools.
pub const RECOVER_MD_KEY: &str = "RECOVER.md";
/// Everything committed lies under it; the only prefix that a listing needs.
pub const MANIFEST_PREFIX: &str = "manifests/";
/// Parts lie under it; what counts there only a manifest says.
pub const DATA_PREFIX: &str = "data/";
/// Intents lie under it.
pub const INTENT_PREFIX: &str = "runs/";
/// What object stores take, in bytes.
pub const MAX_KEY_BYTES: usize = 1024;
/// Part numbers have six digits.
pub const MAX_PART_NUMBER: u32 = 999_999;

/// Checks any key relative to a store's prefix.
///
/// # Errors
/// [`FormatError::KeyTooLong`], or [`FormatError::BadKey`] for empty, `.` or `..` components and control characters.
pub fn check_key(key: &str) -> Result<(), FormatError> {
    if key.len() > MAX_KEY_BYTES {
        return Err(FormatError::KeyTooLong { key: key.to_owned(), bytes: key.len() });
    }
    let bad_component = key.split('/').find(|component| matches!(*component, "" | "." | ".."));
    if bad_component.is_some() || key.contains(char::is_control) {
        let why = "it has an empty, `.` or `..` component, or a control character".to_owned();
        return Err(FormatError::BadKey { key: key.to_owned(), why });
    }
    Ok(())
}

/// What to list for a source's manifests, or one dataset's. A dataset without a source cannot narrow a listing: all
/// manifests are listed then, and [`ManifestKey::is_of`](crate::ManifestKey::is_of) picks.
///
/// # Errors
/// [`FormatError::BadName`] for names that cannot be.
pub fn manifest_prefix(source: Option<&str>, dataset: Option<&str>) -> Result<String, FormatError> {
    let Some(source) = source else { return Ok(MANIFEST_PREFIX.to_owned()) };
    let source = encode_source(source)?;
    match dataset {
        None => Ok(format!("{MANIFEST_PREFIX}{source}/")),
        Some(dataset) => {
            Ok(format!("{MANIFEST_PREFIX}{source}/{}/@/", DatasetPath::parse(dataset)?.encoded()))
        }
    }
}

/// What to list for a source's intents.
///
/// # Errors
/// [`FormatError::BadName`] for a source that cannot be.
pub fn intent_prefix(source: &str) -> Result<String, FormatError> {
    Ok(format!("{INTENT_PREFIX}{}/", encode_source(source)?))
}

/// All keys of one backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupKeys {
    source: String,
    folder: String,
    id: BackupId,
}

impl BackupKeys {
    /// Checks the names, and that the longest key they lead to is not too long.
    ///
    /// # Errors
    /// [`FormatError::BadName`] or [`FormatError::KeyTooLong`].
    pub fn new(source: &str, dataset: &str, id: BackupId) -> Result<Self, FormatError> {
        let source = encode_source(source)?;
        let folder = format!("{source}/{}/@", DatasetPath::parse(dataset)?.encoded());
        let keys = Self { source, folder, id };
        check_key(&keys.part_key(MAX_PART_NUMBER, AttemptNonce::from_bytes([0; 4]), true)?)?;
        check_key(&keys.manifest_key(Some(id.nonce)))?;
        Ok(keys)
    }

    /// The manifest; `parent` is the parent backup's nonce, none for a full.
    #[must_use]
    pub fn manifest_key(&self, parent: Option<Nonce>) -> String {
        let parent = parent.map_or_else(|| "0".to_owned(), |nonce| nonce.to_string());
        format!("{MANIFEST_PREFIX}{}/{}~{parent}.json", self.folder, self.id)
    }

    /// What every manifest's key of this backup begins with, whatever it stands on.
    #[must_use]
    pub fn manifest_prefix(&self) -> String {
        format!("{MANIFEST_PREFIX}{}/{}~", self.folder, self.id)
    }

    /// Under it lies all the data of this backup and nothing else; ends with a slash.
    #[must_use]
    pub fn data_prefix(&self) -> String {
        format!("{DATA_PREFIX}{}/{}/", self.folder, self.id)
    }

    /// One attempt at one part.
    ///
    /// # Errors
    /// [`FormatError::BadName`] if the number has more than six digits.
    pub fn part_key(&self, number: u32, attempt: AttemptNonce, zstd: bool) -> Result<String, FormatError> {
        if number > MAX_PART_NUMBER {
            let why = "part numbers have six digits; use larger parts";
            return Err(FormatError::BadName { what: "the part number", name: number.to_string(), why });
        }
        Ok(format!("{}{}", self.data_prefix(), PartName { number, attempt, zstd }.file_name()))
    }

    /// The sealed properties and statistics.
    #[must_use]
    pub fn meta_key(&self) -> String {
        format!("{}meta.age", self.data_prefix())
    }

    /// The part keys in order.
    #[must_use]
    pub fn recover_txt_key(&self) -> String {
        format!("{}RECOVER.txt", self.data_prefix())
    }

    /// Who is writing this backup.
    #[must_use]
    pub fn intent_key(&self) -> String {
        format!("{INTENT_PREFIX}{}/{}.json", self.source, self.id)
    }
}

/// The last component of a part's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartName {
    /// Counts from 0.
    pub number: u32,
    /// Which attempt at this part.
    pub attempt: AttemptNonce,
    /// Whether the plain bytes are one zstd stream.
    pub zstd: bool,
}

impl PartName {
    /// `part-000000-<attempt nonce>[.zst].age`.
    #[must_use]
    pub fn file_name(self) -> String {
        let suffix = if self.zstd { ".zst.age" } else { ".age" };
        format!("part-{:06}-{}{suffix}", self.number, self.attempt)
    }

    /// Reads a file name back; `None` for anything else than a part's.
    #[must_use]
    pub fn parse(file_name: &str) -> Option<Self> {
        let stem = file_name.strip_prefix("part-")?.strip_suffix(".age")?;
        let (stem, zstd) = stem.strip_suffix(".zst").map_or((stem, false), |stem| (stem, true));
        let (number, attempt) = stem.split_once('-')?;
        let name = Self { number: number.parse().ok()?, attempt: attempt.parse().ok()?, zstd };
        (name.file_name() == file_name).then_some(name)
    }
}
