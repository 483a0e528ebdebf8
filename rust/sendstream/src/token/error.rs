//! What is wrong with a token, in words for whoever typed or stored it.

use crate::nvlist::NvListError;

/// A resume token that cannot be read or made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// It has not the four parts of a token, or they are not hexadecimal.
    #[error(
        "this is no resume token (it must look like 1-<sum>-<length>-<hex>): give it exactly as `zfs get -H -o value receive_resume_token` prints it"
    )]
    NotAToken,
    /// Another version than 1.
    #[error("the resume token has version {version}, only 1 is known: it is damaged or from a newer ZFS")]
    UnknownVersion {
        /// The version found.
        version: u64,
    },
    /// Longer than anything that ZFS makes.
    #[error("the resume token holds {length} bytes, more than the {most} that any token needs")]
    TooLong {
        /// Bytes it holds or says it holds.
        length: u64,
        /// The most that are read.
        most: u64,
    },
    /// The sum is not that of the bytes.
    #[error("the resume token is damaged: its sum is {given:x}, that of its bytes {found:x}")]
    ChecksumMismatch {
        /// The sum in the token.
        given: u64,
        /// The sum of its bytes.
        found: u64,
    },
    /// The compressed bytes cannot be unpacked, or not to the length that the token says.
    #[error("the resume token is damaged: it does not unpack to the {expected} bytes that it says")]
    BadCompression {
        /// The length that the token says.
        expected: u64,
    },
    /// What was unpacked is no list.
    #[error("the resume token is damaged: {0}")]
    BadList(#[from] NvListError),
    /// A key is missing.
    #[error("the resume token lacks `{key}`: it is damaged or from another ZFS")]
    MissingKey {
        /// The key.
        key: &'static str,
    },
    /// A key that is unknown, there twice, or of another type.
    #[error("the resume token has an unexpected `{key}`: it is damaged or from a newer ZFS")]
    UnexpectedKey {
        /// The key.
        key: String,
    },
    /// The snapshot's name is none.
    #[error("`{name}` is no snapshot's name: it must be pool/dataset@snapshot, of at most 255 bytes")]
    BadName {
        /// The name.
        name: String,
    },
}

impl TokenError {
    /// A code that stays the same over releases, for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotAToken => "token.not_a_token",
            Self::UnknownVersion { .. } => "token.unknown_version",
            Self::TooLong { .. } => "token.too_long",
            Self::ChecksumMismatch { .. } => "token.checksum_mismatch",
            Self::BadCompression { .. } => "token.bad_compression",
            Self::BadList(_) => "token.bad_list",
            Self::MissingKey { .. } => "token.missing_key",
            Self::UnexpectedKey { .. } => "token.unexpected_key",
            Self::BadName { .. } => "token.bad_name",
        }
    }
}
