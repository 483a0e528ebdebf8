//! Resume tokens: what `zfs send -t` takes to go on in the middle of a stream.
//!
//! A token is `1-<c>-<n>-<hex>`: a zlib stream of a list in native encoding; `n` its length before
//! compression, `c` the first fletcher-4 sum of the compressed bytes, whole words only. Model:
//! `get_receive_resume_token_impl` in OpenZFS `module/zfs/dsl_dataset.c`.

mod error;
mod text;

use crate::nvlist::{NvList, NvValue};
use crate::{Feature, SavedBorder};
pub use error::TokenError;

/// The longest `pool/dataset@snapshot` that ZFS knows (`ZFS_MAX_DATASET_NAME_LEN`), without its NUL.
const MAX_NAME_BYTES: usize = 255;

/// What a resume token says.
#[expect(clippy::struct_excessive_bools, reason = "four flags, each a key of its own in the token")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResumeToken {
    /// Guid of the snapshot or bookmark that the stream stands on; none in a full one.
    pub from_guid: Option<u64>,
    /// The object to go on with.
    pub object: u64,
    /// Where in the object, in bytes.
    pub offset: u64,
    /// Bytes of the stream before this place; only progress reports use it.
    pub bytes: u64,
    /// Guid of the snapshot sent.
    pub to_guid: u64,
    /// `pool/dataset@snapshot`.
    pub to_name: String,
    /// Blocks above 128 KiB are sent whole (`send -L`).
    pub large_block_ok: bool,
    /// Small blocks are sent embedded (`send -e`).
    pub embed_ok: bool,
    /// Blocks are sent as compressed on disk (`send -c`).
    pub compress_ok: bool,
    /// Blocks are sent as encrypted on disk (`send -w`).
    pub raw_ok: bool,
    /// Guids of the snapshots that the stream is redacted with (`redact_snaps`, from `send --redact`).
    pub redact_snapshot_guids: Option<Vec<u64>>,
    /// Guids of the snapshots of the redaction bookmark that it stands on (`book_redact_snaps`).
    pub redact_from_snapshot_guids: Option<Vec<u64>>,
}

impl ResumeToken {
    /// The token with which `zfs send -t` goes on at a saved border.
    ///
    /// The name is the one that the stream had; change [`ResumeToken::to_name`] if the dataset was renamed.
    #[must_use]
    pub fn at(saved: &SavedBorder) -> Self {
        let (object, offset) = saved.border.resume_place();
        let begin = &saved.begin;
        let has = |feature| begin.features.has(feature);
        Self {
            from_guid: (begin.from_guid != 0).then_some(begin.from_guid),
            object,
            offset,
            bytes: saved.position,
            to_guid: begin.to_guid,
            to_name: begin.to_name.clone(),
            large_block_ok: has(Feature::LargeBlocks),
            embed_ok: has(Feature::EmbedData),
            compress_ok: has(Feature::Compressed),
            raw_ok: has(Feature::Raw),
            redact_snapshot_guids: None,
            redact_from_snapshot_guids: None,
        }
    }

    /// Decodes a token; white space around it is ignored.
    ///
    /// # Errors
    /// [`TokenError`] says what is wrong with it.
    pub fn decode(token: &str) -> Result<Self, TokenError> {
        Self::from_list(NvList::decode(&text::unpack(token.trim_ascii())?)?)
    }

    /// Encodes the token, byte for byte as OpenZFS does.
    ///
    /// # Errors
    /// [`TokenError::BadName`] if [`ResumeToken::to_name`] is none that ZFS could take, [`TokenError::TooLong`] if
    /// there are too many redaction snapshots.
    pub fn encode(&self) -> Result<String, TokenError> {
        self.check_name()?;
        text::pack(&self.to_list().encode())
    }

    fn check_name(&self) -> Result<(), TokenError> {
        let name = &self.to_name;
        let short = name.len() <= MAX_NAME_BYTES;
        let halves = name.split_once('@').is_some_and(|(dataset, snapshot)| {
            !dataset.is_empty() && !snapshot.is_empty() && !snapshot.contains('@')
        });
        if short && halves && !name.contains('\0') {
            return Ok(());
        }
        Err(TokenError::BadName { name: name.clone() })
    }

    fn to_list(&self) -> NvList {
        let mut list = NvList::default();
        let mut put = |key: &str, value| list.0.push((key.to_owned(), value));
        if let Some(guid) = self.from_guid {
            put("fromguid", NvValue::Uint64(guid));
        }
        put("object", NvValue::Uint64(self.object));
        put("offset", NvValue::Uint64(self.offset));
        put("bytes", NvValue::Uint64(self.bytes));
        put("toguid", NvValue::Uint64(self.to_guid));
        put("toname", NvValue::String(self.to_name.clone()));
        let flags = [
            ("largeblockok", self.large_block_ok),
            ("embedok", self.embed_ok),
            ("compressok", self.compress_ok),
            ("rawok", self.raw_ok),
        ];
        for (key, _) in flags.into_iter().filter(|(_, set)| *set) {
            put(key, NvValue::Boolean);
        }
        for (key, guids) in [
            ("redact_snaps", &self.redact_snapshot_guids),
            ("book_redact_snaps", &self.redact_from_snapshot_guids),
        ] {
            if let Some(guids) = guids {
                put(key, NvValue::Uint64Array(guids.clone()));
            }
        }
        list
    }

    fn from_list(list: NvList) -> Result<Self, TokenError> {
        let mut found = Found::default();
        for (key, value) in list.0 {
            found.take(key, value)?;
        }
        let missing = |key| TokenError::MissingKey { key };
        let token = Self {
            from_guid: found.from_guid,
            object: found.object.ok_or(missing("object"))?,
            offset: found.offset.ok_or(missing("offset"))?,
            bytes: found.bytes.ok_or(missing("bytes"))?,
            to_guid: found.to_guid.ok_or(missing("toguid"))?,
            to_name: found.to_name.ok_or(missing("toname"))?,
            large_block_ok: found.large_block_ok.is_some(),
            embed_ok: found.embed_ok.is_some(),
            compress_ok: found.compress_ok.is_some(),
            raw_ok: found.raw_ok.is_some(),
            redact_snapshot_guids: found.redact_snapshot_guids,
            redact_from_snapshot_guids: found.redact_from_snapshot_guids,
        };
        token.check_name()?;
        Ok(token)
    }
}

/// What was met so far of a token's list.
#[derive(Default)]
struct Found {
    from_guid: Option<u64>,
    object: Option<u64>,
    offset: Option<u64>,
    bytes: Option<u64>,
    to_guid: Option<u64>,
    to_name: Option<String>,
    large_block_ok: Option<()>,
    embed_ok: Option<()>,
    compress_ok: Option<()>,
    raw_ok: Option<()>,
    redact_snapshot_guids: Option<Vec<u64>>,
    redact_from_snapshot_guids: Option<Vec<u64>>,
}

impl Found {
    fn take(&mut self, key: String, value: NvValue) -> Result<(), TokenError> {
        let known = match (key.as_str(), value) {
            ("fromguid", NvValue::Uint64(number)) => self.from_guid.replace(number).is_none(),
            ("object", NvValue::Uint64(number)) => self.object.replace(number).is_none(),
            ("offset", NvValue::Uint64(number)) => self.offset.replace(number).is_none(),
            ("bytes", NvValue::Uint64(number)) => self.bytes.replace(number).is_none(),
            ("toguid", NvValue::Uint64(number)) => self.to_guid.replace(number).is_none(),
            ("toname", NvValue::String(name)) => self.to_name.replace(name).is_none(),
            ("largeblockok", NvValue::Boolean) => self.large_block_ok.replace(()).is_none(),
            ("embedok", NvValue::Boolean) => self.embed_ok.replace(()).is_none(),
            ("compressok", NvValue::Boolean) => self.compress_ok.replace(()).is_none(),
            ("rawok", NvValue::Boolean) => self.raw_ok.replace(()).is_none(),
            ("redact_snaps", NvValue::Uint64Array(guids)) => {
                self.redact_snapshot_guids.replace(guids).is_none()
            }
            ("book_redact_snaps", NvValue::Uint64Array(guids)) => {
                self.redact_from_snapshot_guids.replace(guids).is_none()
            }
            _ => false,
        };
        if known { Ok(()) } else { Err(TokenError::UnexpectedKey { key }) }
    }
}
