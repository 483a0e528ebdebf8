//! What can go wrong at a store, sorted by what the operator does next.
//!
//! Each text says what failed, on what, why, and what to do. Texts are made of our own words, the store's error code and message with
//! anything that looks like a key id taken out; never of headers, requests or credentials.

use std::fmt;

/// What was being done, and to what: the beginning of every message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// A verb: "store", "read", "list".
    pub action: &'static str,
    /// The full address: `s3://bucket/prefix/key` or `file:///path/key`.
    pub target: String,
}

impl Place {
    /// `action` on `target`.
    #[must_use]
    pub fn new(action: &'static str, target: String) -> Self {
        Self { action, target }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {}", self.action, self.target)
    }
}

/// Every code that [`StoreError::code`] can return.
pub const ERROR_CODES: [&str; 20] = [
    "store.not_found",
    "store.already_exists",
    "store.forbidden",
    "store.credentials",
    "store.no_such_bucket",
    "store.wrong_region",
    "store.unreachable",
    "store.tls",
    "store.clock_skew",
    "store.throttled",
    "store.checksum",
    "store.full",
    "store.read_only",
    "store.invalid_key",
    "store.invalid_config",
    "store.archived",
    "store.stalled",
    "store.unsupported",
    "store.io",
    "store.other",
];

/// A failed store call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[allow(
    missing_docs,
    reason = "the message of each variant is its documentation; `why` is the cause in the store's words"
)]
pub enum StoreError {
    #[error("{place}: there is no such object")]
    NotFound { place: Place },
    #[error("{place}: an object of that name exists already and was not replaced")]
    AlreadyExists { place: Place },
    #[error(
        "{place}: access denied ({why}); check the rights of these credentials (or this user) on the bucket or folder"
    )]
    Forbidden { place: Place, why: String },
    #[error(
        "{place}: the credentials are missing or not accepted ({why}); set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, `credentials_file` or `profile`"
    )]
    Credentials { place: Place, why: String },
    #[error("{place}: there is no bucket `{bucket}` here; create it or correct `url` and `endpoint`")]
    NoSuchBucket { place: Place, bucket: String },
    #[error("{place}: the region `{used}` is wrong ({why}); set `region: {}`", expected.as_deref().unwrap_or("<the bucket's region>"))]
    WrongRegion { place: Place, used: String, expected: Option<String>, why: String },
    #[error(
        "{place}: the store can't be reached or fails ({why}); check `endpoint`, the network and the server, then run again"
    )]
    Unreachable { place: Place, why: String },
    #[error(
        "{place}: no secure connection ({why}); if the certificate is not trusted, name its issuer's PEM file in AWS_CA_BUNDLE; else check that `endpoint` speaks https"
    )]
    Tls { place: Place, why: String },
    #[error(
        "{place}: this machine's clock and the store's differ too much ({why}); set the clock, for instance with NTP"
    )]
    ClockSkew { place: Place, why: String },
    #[error("{place}: the store asks to slow down ({why}) and did so after every retry; run again later")]
    Throttled { place: Place, why: String },
    #[error(
        "{place}: the bytes at the store are not the bytes sent ({why}); the object does not count, run again"
    )]
    Checksum { place: Place, why: String },
    #[error("{place}: no space left ({why}); make room and run again")]
    Full { place: Place, why: String },
    #[error("{place}: the file system is read-only ({why}); remount it writable")]
    ReadOnly { place: Place, why: String },
    #[error("the key `{key}` is refused: {why}")]
    InvalidKey { key: String, why: String },
    #[error("store option `{option}`: {why}")]
    InvalidConfig { option: &'static str, why: String },
    #[error("{place}: the object is archived ({why}); ask for its thaw first, then read it when it is warm")]
    Archived { place: Place, why: String },
    #[error(
        "{place}: the store stopped moving bytes ({why}); check the network, or raise `stall_timeout`, and run again"
    )]
    Stalled { place: Place, why: String },
    #[error("{place}: {why}")]
    Unsupported { place: Place, why: String },
    #[error("{place}: {why}")]
    Io { place: Place, why: String },
    #[error("{place}: {why}")]
    Other { place: Place, why: String },
}

impl StoreError {
    /// A stable name for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "store.not_found",
            Self::AlreadyExists { .. } => "store.already_exists",
            Self::Forbidden { .. } => "store.forbidden",
            Self::Credentials { .. } => "store.credentials",
            Self::NoSuchBucket { .. } => "store.no_such_bucket",
            Self::WrongRegion { .. } => "store.wrong_region",
            Self::Unreachable { .. } => "store.unreachable",
            Self::Tls { .. } => "store.tls",
            Self::ClockSkew { .. } => "store.clock_skew",
            Self::Throttled { .. } => "store.throttled",
            Self::Checksum { .. } => "store.checksum",
            Self::Full { .. } => "store.full",
            Self::ReadOnly { .. } => "store.read_only",
            Self::InvalidKey { .. } => "store.invalid_key",
            Self::InvalidConfig { .. } => "store.invalid_config",
            Self::Archived { .. } => "store.archived",
            Self::Stalled { .. } => "store.stalled",
            Self::Unsupported { .. } => "store.unsupported",
            Self::Io { .. } => "store.io",
            Self::Other { .. } => "store.other",
        }
    }

    /// What was being done when it failed; configuration and key errors have no place.
    #[must_use]
    pub fn place(&self) -> Option<&Place> {
        match self {
            Self::InvalidKey { .. } | Self::InvalidConfig { .. } => None,
            Self::NotFound { place }
            | Self::AlreadyExists { place }
            | Self::Forbidden { place, .. }
            | Self::Credentials { place, .. }
            | Self::NoSuchBucket { place, .. }
            | Self::WrongRegion { place, .. }
            | Self::Unreachable { place, .. }
            | Self::Tls { place, .. }
            | Self::ClockSkew { place, .. }
            | Self::Throttled { place, .. }
            | Self::Checksum { place, .. }
            | Self::Full { place, .. }
            | Self::ReadOnly { place, .. }
            | Self::Archived { place, .. }
            | Self::Stalled { place, .. }
            | Self::Unsupported { place, .. }
            | Self::Io { place, .. }
            | Self::Other { place, .. } => Some(place),
        }
    }

    pub(crate) fn config(option: &'static str, why: impl Into<String>) -> Self {
        Self::InvalidConfig { option, why: why.into() }
    }
}
