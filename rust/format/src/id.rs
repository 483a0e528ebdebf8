//! The name of one backup: when, which level, of which snapshot, and a nonce that makes it unique.
//!
//! Text sorts by time. A guid alone does not name a stream (raw and plain sends of one snapshot share it), hence the nonce.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{FormatError, Nonce, Timestamp};

/// `<YYYYMMDDTHHMMSSZ>-<level>-<snapshot guid, 16 hex>-<nonce, 12 hex>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackupId {
    /// When the run that made it began.
    pub created: Timestamp,
    /// 0 is a full; N stands on a backup of a lower level.
    pub level: u32,
    /// The guid of the snapshot that the stream ends at.
    pub snapshot_guid: u64,
    /// Random; what children point at.
    pub nonce: Nonce,
}

impl fmt::Display for BackupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{:016x}-{}", self.created.compact(), self.level, self.snapshot_guid, self.nonce)
    }
}

impl FromStr for BackupId {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        let refuse = |why| FormatError::BadText { what: "a backup id", text: text.to_owned(), why };
        let fields: Vec<&str> = text.split('-').collect();
        let [created, level, guid, nonce] = fields[..] else {
            return Err(refuse("it must have four fields joined by hyphens"));
        };
        let id = Self {
            created: Timestamp::parse_compact(created)
                .map_err(|_| refuse("its time is not YYYYMMDDTHHMMSSZ"))?,
            level: level.parse().map_err(|_| refuse("its level is not a number"))?,
            snapshot_guid: u64::from_str_radix(guid, 16)
                .map_err(|_| refuse("its guid is not 16 hex digits"))?,
            nonce: nonce.parse().map_err(|_| refuse("its nonce is not 12 hex digits"))?,
        };
        // Rust's number parsers take signs, leading zeros and capitals; the format has one spelling.
        if id.to_string() == text {
            Ok(id)
        } else {
            Err(refuse("it is not in the one spelling that ids have"))
        }
    }
}

impl Serialize for BackupId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for BackupId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::gate::from_text(deserializer)
    }
}
