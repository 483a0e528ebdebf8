//! Dataset and source names, checked, and how they stand in keys.

use std::fmt;

use crate::name::{decode_component, encode_component};
use crate::{FormatError, MAX_COMPONENT_BYTES};

/// A dataset's full name, pool first, as `zfs list` shows it; checked to have no empty component and no snapshot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DatasetPath {
    name: String,
    encoded: String,
}

impl DatasetPath {
    /// Checks a name such as `tank/important`.
    ///
    /// # Errors
    /// [`FormatError::BadName`] if a component is empty or it names a snapshot or bookmark.
    pub fn parse(name: &str) -> Result<Self, FormatError> {
        let refuse = |why| Err(FormatError::BadName { what: "the dataset", name: name.to_owned(), why });
        if name.split('/').any(str::is_empty) {
            return refuse("a component is empty (write pool/dataset, without a slash in front or behind)");
        }
        if name.contains(['@', '#']) {
            return refuse("it names a snapshot or bookmark; give the dataset before the @ or #");
        }
        let components: Result<Vec<_>, _> = name.split('/').map(encode_component).collect();
        Ok(Self { name: name.to_owned(), encoded: components?.join("/") })
    }

    /// The name as ZFS has it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// The name as keys have it: every component encoded, joined by slashes.
    #[must_use]
    pub fn encoded(&self) -> &str {
        &self.encoded
    }

    /// Reads an encoded path back; `None` if a component is a hash.
    ///
    /// # Errors
    /// [`FormatError::BadName`] for a spelling that [`parse`](Self::parse) never makes.
    pub fn decode(encoded: &str) -> Result<Option<Self>, FormatError> {
        let mut names = Some(Vec::new());
        for component in encoded.split('/') {
            let name = decode_component(component)?;
            if name.as_ref().is_some_and(|name| name.contains(['/', '@', '#'])) {
                let why = "no dataset has such a name";
                return Err(FormatError::BadName { what: "component", name: component.to_owned(), why });
            }
            names = names.zip(name).map(|(mut names, name)| {
                names.push(name);
                names
            });
        }
        names.map(|names| Self::parse(&names.join("/"))).transpose()
    }
}

impl fmt::Display for DatasetPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// Encodes a source name; unlike datasets it must stay readable from its key, so it is never hashed.
pub(crate) fn encode_source(source: &str) -> Result<String, FormatError> {
    let encoded = encode_component(source)?;
    if encoded.len() > MAX_COMPONENT_BYTES || encoded.contains('~') {
        let why = "it is longer than 200 bytes once encoded; set a shorter `source:`";
        return Err(FormatError::BadName { what: "the source", name: source.to_owned(), why });
    }
    Ok(encoded)
}

/// Reads an encoded source back.
pub(crate) fn decode_source(encoded: &str) -> Result<String, FormatError> {
    decode_component(encoded)?.ok_or_else(|| FormatError::BadName {
        what: "the source",
        name: encoded.to_owned(),
        why: "sources are never hashed",
    })
}
