//! The version gate that every document passes before its fields are looked at.
//!
//! A newer format may mean anything by the same field names, so `format` is judged first, then `requires`, then the
//! rest is read. Unknown keys are ignored: that is how writers add what old readers may miss.

use std::fmt::Display;
use std::str::FromStr;

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::FormatError;

/// The format version that this crate writes, and the newest that it reads.
pub const FORMAT: u32 = 1;
/// Names in `requires` that this version understands.
pub const KNOWN_REQUIREMENTS: &[&str] = &[];

#[derive(Deserialize)]
struct VersionHead {
    format: u64,
}

#[derive(Deserialize)]
struct RequiresHead {
    #[serde(default)]
    requires: Option<Value>,
}

/// Reads a document that has passed the gate.
pub(crate) fn parse<T: DeserializeOwned>(document: &'static str, bytes: &[u8]) -> Result<T, FormatError> {
    let head: VersionHead = read(document, bytes)?;
    if head.format > u64::from(FORMAT) {
        return Err(FormatError::TooNew { document, found: head.format });
    }
    if head.format == 0 {
        return Err(FormatError::Unreadable { document, cause: "there is no format 0".to_owned() });
    }
    check_requires(document, read::<RequiresHead>(document, bytes)?.requires)?;
    read(document, bytes)
}

fn check_requires(document: &'static str, requires: Option<Value>) -> Result<(), FormatError> {
    let names: Vec<String> = match requires {
        None => return Ok(()),
        Some(value) => serde_json::from_value(value).map_err(|cause| FormatError::Unreadable {
            document,
            cause: format!("`requires` must be a list of names: {cause}"),
        })?,
    };
    let unknown: Vec<String> =
        names.into_iter().filter(|name| !KNOWN_REQUIREMENTS.contains(&name.as_str())).collect();
    if unknown.is_empty() { Ok(()) } else { Err(FormatError::Requires { document, names: unknown }) }
}

fn read<T: DeserializeOwned>(document: &'static str, bytes: &[u8]) -> Result<T, FormatError> {
    serde_json::from_slice(bytes)
        .map_err(|cause| FormatError::Unreadable { document, cause: cause.to_string() })
}

/// Writes a document as people can read it: two spaces of indent, fields in the order of the specification, a newline.
pub(crate) fn write<T: Serialize>(document: &'static str, value: &T) -> Result<Vec<u8>, FormatError> {
    let mut bytes = serde_json::to_vec_pretty(value)
        .map_err(|cause| FormatError::Unreadable { document, cause: cause.to_string() })?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Deserializes anything that has one spelling as text.
pub(crate) fn from_text<'de, D: Deserializer<'de>, T: FromStr<Err: Display>>(
    deserializer: D,
) -> Result<T, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
}
