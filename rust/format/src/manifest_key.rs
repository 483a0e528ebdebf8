//! What a manifest's key alone tells, so that a listing needs no reads.

use crate::dataset::{decode_source, encode_source};
use crate::{BackupId, BackupKeys, DatasetPath, FormatError, MANIFEST_PREFIX, Nonce};

/// The whole content of a tombstone: an object at a manifest's key that keeps a swept backup from being committed late.
/// No manifest is this short, so a listing tells them apart by length.
pub const TOMBSTONE: &[u8] = b"{\"tombstone\":true}\n";

/// A parsed manifest key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ManifestKey {
    /// The machine that was backed up.
    pub source: String,
    /// The dataset's full name; none where a component was hashed (the manifest has it).
    pub dataset: Option<String>,
    /// Encoded `<source>/<pool>/<dataset>`: equal for all backups of one dataset, hashed or not.
    pub folder: String,
    /// The backup.
    pub id: BackupId,
    /// The nonce of the backup that it stands on; none for a full.
    pub parent_nonce: Option<Nonce>,
}

impl ManifestKey {
    /// The key as stored.
    #[must_use]
    pub fn key(&self) -> String {
        let parent = self.parent_nonce.map_or_else(|| "0".to_owned(), |nonce| nonce.to_string());
        format!("{MANIFEST_PREFIX}{}/@/{}~{parent}.json", self.folder, self.id)
    }

    /// Whether it belongs to this source and dataset, as far as they are given; works for hashed names too.
    ///
    /// # Errors
    /// [`FormatError::BadName`] for a source or dataset that cannot be.
    pub fn is_of(&self, source: Option<&str>, dataset: Option<&str>) -> Result<bool, FormatError> {
        let Some((own_source, own_dataset)) = self.folder.split_once('/') else { return Ok(false) };
        let source_fits = source.map(encode_source).transpose()?.is_none_or(|encoded| encoded == own_source);
        let wanted = dataset.map(DatasetPath::parse).transpose()?;
        Ok(source_fits && wanted.is_none_or(|wanted| wanted.encoded() == own_dataset))
    }

    /// All keys of this backup. Needs the true dataset name: from here, or where it was hashed from the manifest.
    ///
    /// # Errors
    /// [`FormatError::BadName`] if the name given is not this key's dataset.
    pub fn backup_keys(&self, dataset: &str) -> Result<BackupKeys, FormatError> {
        if !self.is_of(None, Some(dataset))? {
            let why = "the manifest lies in another dataset's folder";
            return Err(FormatError::BadName { what: "the dataset", name: dataset.to_owned(), why });
        }
        BackupKeys::new(&self.source, dataset, self.id)
    }
}

/// Reads a key under `manifests/`.
///
/// # Errors
/// [`FormatError::BadKey`] for anything that a version-1 writer does not make; list such keys to the operator, don't fail.
pub fn parse_manifest_key(key: &str) -> Result<ManifestKey, FormatError> {
    let refuse = |why: String| FormatError::BadKey { key: key.to_owned(), why };
    let shape = || refuse("it is not manifests/<source>/<dataset>/@/<id>~<parent nonce>.json".to_owned());
    let path =
        key.strip_prefix(MANIFEST_PREFIX).and_then(|path| path.strip_suffix(".json")).ok_or_else(shape)?;
    let (folder, file) = path.rsplit_once("/@/").ok_or_else(shape)?;
    let (source, dataset) = folder.split_once('/').ok_or_else(shape)?;
    let (id, parent) = file.split_once('~').ok_or_else(shape)?;
    let id: BackupId = id.parse().map_err(|cause: FormatError| refuse(cause.to_string()))?;
    let parent_nonce = match parent {
        "0" => None,
        nonce => Some(
            nonce
                .parse()
                .map_err(|_| refuse("its parent nonce is neither 0 nor 12 hex digits".to_owned()))?,
        ),
    };
    if (id.level == 0) != parent_nonce.is_none() {
        return Err(refuse("a full (level 0) has parent nonce 0, an incremental another".to_owned()));
    }
    let parsed = ManifestKey {
        source: decode_source(source).map_err(|cause| refuse(cause.to_string()))?,
        dataset: DatasetPath::decode(dataset)
            .map_err(|cause| refuse(cause.to_string()))?
            .map(|dataset| dataset.to_string()),
        folder: folder.to_owned(),
        id,
        parent_nonce,
    };
    crate::check_key(key)?;
    Ok(parsed)
}
