//! Guids in JSON: decimal strings, because readers of JSON numbers lose bits beyond 2^53.
//!
//! One spelling each: no sign, no leading zero. Used with `#[serde(with = "decimal")]`.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::FormatError;

pub(crate) fn parse(text: &str) -> Result<u64, FormatError> {
    text.parse::<u64>().ok().filter(|number| number.to_string() == text).ok_or_else(|| FormatError::BadText {
        what: "a 64-bit number in decimal",
        text: text.to_owned(),
        why: "it must have only digits, no leading zero, and fit 64 bits",
    })
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference to the field")]
pub(crate) fn serialize<S: Serializer>(number: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(number)
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
}

/// The same for a value that may be null.
pub(crate) mod option {
    use super::{Deserialize, Deserializer, Serialize, Serializer, de, parse};

    #[expect(clippy::ref_option, reason = "serde hands a reference to the field")]
    pub(crate) fn serialize<S: Serializer>(number: &Option<u64>, serializer: S) -> Result<S::Ok, S::Error> {
        number.map(|number| number.to_string()).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| parse(&text)).transpose().map_err(de::Error::custom)
    }
}
