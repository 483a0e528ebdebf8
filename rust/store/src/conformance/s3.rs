//! What a live S3 server must show beyond the shared cases. The server is named by the environment:
//! `ZPB_TEST_S3_ENDPOINT`, `ZPB_TEST_S3_BUCKET`, `ZPB_TEST_S3_REGION`, `ZPB_TEST_S3_CONDITIONAL` = honours|ignores, and the usual credentials.
//!
//! `ZPB_TEST_S3_STRICT` = yes|no says whether it checks signatures, regions and checksums; absent = yes but for a server that honours
//! conditions (moto checks nothing).

use std::sync::Arc;

use crate::checksum::{self, ChecksumAlgorithm};
use crate::config::Target;
use crate::s3::S3Store;
use crate::{ChecksumSetting, Receipt, StoreConfig, StoreError};

use super::{Conditional, Room, bytes};

/// A server for tests.
pub struct Server {
    endpoint: String,
    bucket: String,
    region: String,
    pub conditional: Conditional,
    pub strict: bool,
}

impl Server {
    /// The server that the environment names.
    ///
    /// # Panics
    /// If it names none: this target is only run where one is wanted.
    #[must_use]
    pub fn from_environment() -> Self {
        let variable = |name: &str| {
            std::env::var(name).unwrap_or_else(|_| panic!("{name} must name the S3 server to test against"))
        };
        let conditional = match variable("ZPB_TEST_S3_CONDITIONAL").as_str() {
            "honours" => Conditional::Honours,
            "ignores" => Conditional::Ignores,
            other => panic!("ZPB_TEST_S3_CONDITIONAL is {other:?}, allowed are honours and ignores"),
        };
        let strict = std::env::var("ZPB_TEST_S3_STRICT");
        let strict = strict.map_or(conditional == Conditional::Ignores, |strict| strict == "yes");
        Self {
            endpoint: variable("ZPB_TEST_S3_ENDPOINT"),
            bucket: variable("ZPB_TEST_S3_BUCKET"),
            region: variable("ZPB_TEST_S3_REGION"),
            conditional,
            strict,
        }
    }

    /// A store under a prefix of its own.
    #[must_use]
    pub fn config(&self, case: &str) -> StoreConfig {
        let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_nanos();
        let mut config = StoreConfig::new(format!("s3://{}/conformance/{case}-{since:x}", self.bucket));
        config.endpoint = Some(self.endpoint.clone());
        config.region = Some(self.region.clone());
        config.stall_seconds = 30;
        // moto answers some refusals with a 500.
        config.patience_seconds = 5;
        if !self.strict {
            // moto computes CRCs of multipart objects only with a library that it doesn't require.
            config.checksum = ChecksumSetting::Sha256;
        }
        config
    }

    /// A room for the shared cases.
    pub async fn room(&self, config: &StoreConfig) -> Room {
        let store = crate::open(config).await.unwrap();
        // Garage answers each small PUT after a sync: paging is shown where that costs nothing.
        let many = if self.strict { 60 } else { 1203 };
        Room {
            store,
            conditional: self.conditional,
            many,
            dates_uploads: self.strict,
            folder: None,
            keep: None,
        }
    }
}

/// Store with a declared checksum that is wrong.
///
/// # Errors
/// What the server said, which a good server does.
pub async fn put_with_wrong_checksum(config: &StoreConfig) -> Result<Receipt, StoreError> {
    let Target::Bucket { bucket, prefix } = config.target()? else { panic!("an s3 url is needed") };
    let store = Arc::new(S3Store::open(config, bucket, prefix).await?);
    let wrong = checksum::raw(config.checksum.algorithm(), b"other bytes");
    assert_ne!(config.checksum.algorithm(), ChecksumAlgorithm::None);
    store.put_declaring("wrong", bytes(1000, 30), wrong).await
}
