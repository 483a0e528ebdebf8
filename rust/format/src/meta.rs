//! `meta.age`, opened: what only the holder of a key may know of a backup.
//!
//! Sealed because properties and record counts tell of the plain bytes. Restoring the stream does not need it.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::{FORMAT, FormatError, gate};

const DOCUMENT: &str = "meta.age";

/// Properties and statistics of one backup.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Meta {
    /// Format version.
    pub format: u32,
    /// Features that a reader must know.
    #[serde(default)]
    pub requires: Vec<String>,
    /// ZFS properties that were set on the dataset itself or received.
    #[serde(default)]
    pub properties: BTreeMap<String, Property>,
    /// What the dataset is, where known.
    #[serde(default)]
    pub dataset_type: Option<DatasetType>,
    /// Records of the stream, by kind.
    #[serde(default)]
    pub records: BTreeMap<String, u64>,
    /// The checksum that the stream's END record carries.
    pub end_checksum: EndChecksum,
    /// The stream's BEGIN record, for people and programs that look; restoring does not use it.
    #[serde(default)]
    pub begin: Map<String, Value>,
}

impl Meta {
    /// An empty one of this version.
    #[must_use]
    pub fn new(end_checksum: EndChecksum) -> Self {
        Self {
            format: FORMAT,
            requires: Vec::new(),
            properties: BTreeMap::new(),
            dataset_type: None,
            records: BTreeMap::new(),
            end_checksum,
            begin: Map::new(),
        }
    }

    /// Reads the opened bytes of `meta.age`.
    ///
    /// # Errors
    /// [`FormatError::TooNew`], [`FormatError::Requires`] or [`FormatError::Unreadable`].
    pub fn parse(bytes: &[u8]) -> Result<Self, FormatError> {
        gate::parse(DOCUMENT, bytes)
    }

    /// The JSON to seal.
    ///
    /// # Errors
    /// None in practice; the JSON writer's signature has one.
    pub fn to_json(&self) -> Result<Vec<u8>, FormatError> {
        gate::write(DOCUMENT, self)
    }
}

/// One ZFS property.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Property {
    /// As `zfs get -Hp` prints it.
    pub value: String,
    /// Where it was set.
    pub source: PropertySource,
}

/// Where a property was set; inherited ones are not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PropertySource {
    /// On the dataset itself.
    Local,
    /// By an earlier `zfs receive`.
    Received,
}

/// What a dataset is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DatasetType {
    /// A file system.
    Filesystem,
    /// A block device.
    Volume,
}

/// The four fletcher-4 sums of END: 16 lower-case hex digits each, joined by colons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndChecksum(pub [u64; 4]);

impl fmt::Display for EndChecksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, second, third, fourth] = self.0;
        write!(f, "{first:016x}:{second:016x}:{third:016x}:{fourth:016x}")
    }
}

impl FromStr for EndChecksum {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        let sums: Option<Vec<u64>> = text.split(':').map(|sum| u64::from_str_radix(sum, 16).ok()).collect();
        let checksum = sums.and_then(|sums| sums.try_into().ok()).map(Self);
        checksum.filter(|checksum| checksum.to_string() == text).ok_or_else(|| FormatError::BadText {
            what: "a stream checksum",
            text: text.to_owned(),
            why: "it must have four times 16 lower-case hex digits, joined by colons",
        })
    }
}

impl Serialize for EndChecksum {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EndChecksum {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        gate::from_text(deserializer)
    }
}
