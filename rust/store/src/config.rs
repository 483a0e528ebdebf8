//! The options of one store, as they come from the configuration file.
//!
//! They hold no secret: credentials come from the environment or from files that are named here. An endpoint with a password in it is
//! refused without being repeated.

use std::path::PathBuf;

use serde::{Deserialize, Deserializer};

use crate::checksum::ChecksumAlgorithm;
use crate::error::StoreError;
use crate::key;

/// Which checksum an S3 store declares with each object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChecksumSetting {
    /// CRC64NVME.
    #[default]
    Auto,
    /// CRC-64/NVME, full object.
    Crc64Nvme,
    /// CRC-32C.
    Crc32c,
    /// SHA-256.
    Sha256,
    /// MD5 as Content-MD5.
    Md5,
    /// None: each object is read back instead.
    None,
}

impl ChecksumSetting {
    pub(crate) fn algorithm(self) -> ChecksumAlgorithm {
        match self {
            Self::Auto | Self::Crc64Nvme => ChecksumAlgorithm::Crc64Nvme,
            Self::Crc32c => ChecksumAlgorithm::Crc32c,
            Self::Sha256 => ChecksumAlgorithm::Sha256,
            Self::Md5 => ChecksumAlgorithm::Md5,
            Self::None => ChecksumAlgorithm::None,
        }
    }
}

/// Whether the bytes of an object are hashed into the request's signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PayloadSigning {
    /// Over https no (TLS guards them, and hashing costs a pass), over http yes.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// One store. Absent and null options take their defaults.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreConfig {
    /// `s3://bucket/prefix` or `file:///folder` (percent-encoded where needed).
    pub url: String,
    /// `https://host[:port]` of an S3-compatible server; absent = AWS.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// Absent = from the environment or profile, else `us-east-1`.
    #[serde(default)]
    pub region: Option<String>,
    /// The declared checksum.
    #[serde(default, deserialize_with = "null_is_default")]
    pub checksum: ChecksumSetting,
    /// Payload signing.
    #[serde(default, deserialize_with = "null_is_default")]
    pub payload_signing: PayloadSigning,
    /// `https://host/bucket` rather than `https://bucket.host`; absent = true if there is an endpoint.
    #[serde(default)]
    pub path_style: Option<bool>,
    /// Seconds without progress after which a transfer is given up (and, on S3, tried again).
    #[serde(default = "default_stall_seconds", deserialize_with = "null_is_default_stall")]
    pub stall_seconds: u64,
    /// How long a request to S3 is tried again, in seconds since it first failed, once the store was reached. At the very
    /// first request a store that can't be reached fails after three attempts.
    #[serde(default = "default_patience_seconds", deserialize_with = "null_is_default_patience")]
    pub patience_seconds: u64,
    /// An AWS shared credentials file (INI) to take the credentials from, and from nowhere else.
    #[serde(default)]
    pub credentials_file: Option<PathBuf>,
    /// The section of the credentials files; absent = `default` (or `AWS_PROFILE`).
    #[serde(default)]
    pub profile: Option<String>,
    /// How often a request is sent at most; absent = as often as `patience_seconds` allow.
    #[serde(default)]
    pub max_attempts: Option<u32>,
}

const DEFAULT_STALL_SECONDS: u64 = 60;
/// A server that restarts or a line that is dialled anew is back by then.
const DEFAULT_PATIENCE_SECONDS: u64 = 300;

fn default_stall_seconds() -> u64 {
    DEFAULT_STALL_SECONDS
}

fn default_patience_seconds() -> u64 {
    DEFAULT_PATIENCE_SECONDS
}

fn null_is_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(from)?.unwrap_or_default())
}

fn null_is_default_stall<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    Ok(Option::<u64>::deserialize(from)?.unwrap_or(DEFAULT_STALL_SECONDS))
}

fn null_is_default_patience<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    Ok(Option::<u64>::deserialize(from)?.unwrap_or(DEFAULT_PATIENCE_SECONDS))
}

/// What a url names.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Directory(PathBuf),
    Bucket { bucket: String, prefix: String },
}

impl StoreConfig {
    /// Defaults for `url`.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            endpoint: None,
            region: None,
            checksum: ChecksumSetting::default(),
            payload_signing: PayloadSigning::default(),
            path_style: None,
            stall_seconds: DEFAULT_STALL_SECONDS,
            patience_seconds: DEFAULT_PATIENCE_SECONDS,
            credentials_file: None,
            profile: None,
            max_attempts: None,
        }
    }

    pub(crate) fn target(&self) -> Result<Target, StoreError> {
        if let Some(rest) = self.url.strip_prefix("s3://") {
            return bucket_target(rest);
        }
        if let Some(rest) = self.url.strip_prefix("file://") {
            return directory_target(rest);
        }
        Err(StoreError::config("url", "it must begin with s3:// (a bucket) or file:/// (a folder)"))
    }

    pub(crate) fn check_times(&self) -> Result<(), StoreError> {
        if !(1..=3600).contains(&self.stall_seconds) {
            return Err(StoreError::config("stall_seconds", "it must be between 1 and 3600"));
        }
        if self.patience_seconds > 3600 {
            return Err(StoreError::config("patience_seconds", "it must be between 0 and 3600"));
        }
        Ok(())
    }

    /// The endpoint, checked; `Ok(None)` is AWS.
    pub(crate) fn checked_endpoint(&self) -> Result<Option<&str>, StoreError> {
        let Some(endpoint) = self.endpoint.as_deref() else { return Ok(None) };
        let rest = endpoint.strip_prefix("https://").or_else(|| endpoint.strip_prefix("http://"));
        let rest =
            rest.ok_or_else(|| StoreError::config("endpoint", "it must begin with https:// or http://"))?;
        if rest.contains('@') {
            let why = "it holds a user name or password; put them into the environment or a credentials file";
            return Err(StoreError::config("endpoint", why));
        }
        let host = rest.split('/').next().unwrap_or_default();
        let odd = |c: char| c.is_whitespace() || c.is_control() || "?#\\\"<>".contains(c);
        if host.is_empty() || host.starts_with(':') || rest.contains(odd) {
            return Err(StoreError::config(
                "endpoint",
                "it must look like https://host or https://host:port",
            ));
        }
        Ok(Some(endpoint.trim_end_matches('/')))
    }
}

fn bucket_target(rest: &str) -> Result<Target, StoreError> {
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if bucket.len() < 3 || bucket.len() > 255 || !bucket.chars().all(plain) {
        let why =
            "the bucket's name must have 3 to 63 letters, digits, dots or hyphens, as in s3://bucket/prefix";
        return Err(StoreError::config("url", why));
    }
    let prefix = prefix.trim_end_matches('/');
    if !prefix.is_empty() {
        key::check_key(prefix).map_err(|fault| StoreError::config("url", format!("its prefix: {fault}")))?;
    }
    Ok(Target::Bucket { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
}

fn directory_target(rest: &str) -> Result<Target, StoreError> {
    let path = rest.strip_prefix("localhost").unwrap_or(rest);
    if !path.starts_with('/') {
        return Err(StoreError::config(
            "url",
            "a folder is written with three slashes and its absolute path: file:///mnt/backup",
        ));
    }
    let decoded = percent_decode(path).ok_or_else(|| {
        StoreError::config("url", "it holds a bad percent escape (a plain % is written %25)")
    })?;
    if decoded.contains(&0) {
        return Err(StoreError::config("url", "it contains NUL"));
    }
    Ok(Target::Directory(PathBuf::from(<std::ffi::OsString as std::os::unix::ffi::OsStringExt>::from_vec(
        decoded,
    ))))
}

fn percent_decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digit = |b: u8| char::from(b).to_digit(16);
            let (high, low) = (digit(bytes.next()?)?, digit(bytes.next()?)?);
            decoded.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            decoded.push(byte);
        }
    }
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_buckets_or_folders() {
        let bucket = |b: &str, p: &str| Target::Bucket { bucket: b.into(), prefix: p.into() };
        let target = |url: &str| StoreConfig::new(url).target();
        assert_eq!(target("s3://bucket").unwrap(), bucket("bucket", ""));
        assert_eq!(target("s3://bucket/a/b/").unwrap(), bucket("bucket", "a/b"));
        assert_eq!(target("file:///mnt/x%20y").unwrap(), Target::Directory("/mnt/x y".into()));
        for bad in [
            "bucket",
            "s3://",
            "s3://a",
            "s3://b@cd",
            "s3://bucket//x",
            "s3://bucket/../x",
            "file://mnt",
            "file:///a%2",
            "http://x",
        ] {
            assert_eq!(target(bad).unwrap_err().code(), "store.invalid_config", "{bad}");
        }
    }

    #[test]
    fn an_endpoint_with_a_password_is_refused_and_not_repeated() {
        let mut config = StoreConfig::new("s3://bucket");
        config.endpoint = Some("https://user:hunter2@host".into());
        let text = config.checked_endpoint().unwrap_err().to_string();
        assert!(!text.contains("hunter2"), "{text}");
        for bad in ["host:9000", "https://", "https://a b", "ftp://x", "https://h?x=1"] {
            config.endpoint = Some(bad.into());
            assert!(config.checked_endpoint().is_err(), "{bad}");
        }
        config.endpoint = Some("http://127.0.0.1:3900/".into());
        assert_eq!(config.checked_endpoint().unwrap(), Some("http://127.0.0.1:3900"));
    }

    #[test]
    fn json_takes_nulls_and_refuses_unknown_options() {
        let config: StoreConfig = serde_json::from_str(
            r#"{"url":"s3://bucket","checksum":null,"stall_seconds":null,"profile":null}"#,
        )
        .unwrap();
        assert_eq!(config, StoreConfig::new("s3://bucket"));
        let config: StoreConfig = serde_json::from_str(r#"{"url":"s3://b","checksum":"crc64nvme"}"#).unwrap();
        assert_eq!(config.checksum, ChecksumSetting::Crc64Nvme);
        assert!(serde_json::from_str::<StoreConfig>(r#"{"url":"s3://b","regoin":"x"}"#).is_err());
    }
}
