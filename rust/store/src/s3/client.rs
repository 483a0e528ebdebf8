//! Building the SDK's client: time limits, retries, TLS, region, credentials.

use std::sync::Arc;
use std::time::Duration;

use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::meta::region::ProvideRegion;
use aws_config::provider_config::ProviderConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::{RetryConfig, RetryPartition, TokenBucket};
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    AppName, BehaviorVersion, Builder, Region, RequestChecksumCalculation, ResponseChecksumValidation,
    RuntimeComponents, SharedHttpClient, StalledStreamProtectionConfig,
};
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext};
use aws_smithy_http_client::{Connector, tls::TrustStore};

use super::watch::WatchedClient;
use super::{count, credentials, trust};
use crate::config::{PayloadSigning, StoreConfig};
use crate::error::StoreError;
use crate::requests::RequestCounter;

/// How long a TCP connection may take to stand.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A pooled connection that was quiet for longer may be dead without saying so (aws-sdk-rust #1417): a slow `zfs send` has such gaps.
const POOL_IDLE: Duration = Duration::from_secs(12);
/// More than anybody's patience lasts for; the SDK counts through all of them when it estimates a wait, so not without end.
const MANY_ATTEMPTS: u32 = 1000;
const FIRST_BACKOFF: Duration = Duration::from_millis(250);
pub(super) const LONGEST_BACKOFF: Duration = Duration::from_secs(20);
/// What the SDK and most servers take for an unnamed region.
const DEFAULT_REGION: &str = "us-east-1";

/// A client and what was decided while building it.
pub(super) struct Opened {
    pub(super) client: Client,
    pub(super) region: String,
    pub(super) unsigned_payload: bool,
}

pub(super) async fn open(config: &StoreConfig, counter: Arc<RequestCounter>) -> Result<Opened, StoreError> {
    let endpoint = config.checked_endpoint()?;
    let over_tls = endpoint.is_none_or(|endpoint| endpoint.starts_with("https://"));
    let trust = if over_tls { trust::from_environment()? } else { TrustStore::empty() };
    let stall = Duration::from_secs(config.stall_seconds);
    let http = SharedHttpClient::new(WatchedClient { inner: http_client(trust)?, stall });
    let region = region(config).await?;
    let provider_config = ProviderConfig::without_region()
        .with_region(Some(region.clone()))
        .with_behavior_version(Some(behavior()))
        .with_http_client(http.clone());
    let mut builder = Builder::new()
        .behavior_version(behavior())
        .http_client(http)
        .region(region.clone())
        .credentials_provider(credentials::provider(config, &provider_config)?)
        .force_path_style(config.path_style.unwrap_or(endpoint.is_some()))
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .interceptor(count::CountRequests(counter));
    builder.set_endpoint_url(endpoint.map(str::to_owned));
    builder.set_app_name(AppName::new("zfs-push-backups").ok());
    let client = Client::from_conf(with_patience(builder, config).build());
    let unsigned_payload = match config.payload_signing {
        PayloadSigning::Auto => over_tls,
        PayloadSigning::Always => false,
        PayloadSigning::Never => true,
    };
    Ok(Opened { client, region: region.to_string(), unsigned_payload })
}

/// Pinned: a new version may change retries or checksums.
fn behavior() -> BehaviorVersion {
    BehaviorVersion::v2026_01_12()
}

/// How often and how long a request is tried is decided with each (`retry.rs`); here stand the pauses between.
fn with_patience(builder: Builder, config: &StoreConfig) -> Builder {
    let retries = RetryConfig::standard()
        .with_max_attempts(config.max_attempts.unwrap_or(MANY_ATTEMPTS).clamp(1, MANY_ATTEMPTS))
        .with_initial_backoff(FIRST_BACKOFF)
        .with_max_backoff(LONGEST_BACKOFF);
    // The SDK's quota never grows back: it would end a long run for faults that were overcome days ago.
    let unlimited = RetryPartition::custom("zfs-push-backups").token_bucket(TokenBucket::unlimited()).build();
    builder
        .retry_config(retries)
        .retry_partition(unlimited)
        .timeout_config(TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).build())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
}

fn http_client(trust: TrustStore) -> Result<SharedHttpClient, StoreError> {
    let context = TlsContext::builder()
        .with_trust_store(trust)
        .build()
        .map_err(|fault| StoreError::config("endpoint", format!("TLS can't be set up: {fault}")))?;
    Ok(aws_smithy_http_client::Builder::new().build_with_connector_fn(move |settings, components| {
        let mut connector = Connector::builder();
        connector.set_connector_settings(settings.cloned());
        connector.set_sleep_impl(components.and_then(RuntimeComponents::sleep_impl));
        connector
            .pool_idle_timeout(POOL_IDLE)
            .proxy_config(ProxyConfig::from_env())
            .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
            .tls_context(context.clone())
            .build()
    }))
}

async fn region(config: &StoreConfig) -> Result<Region, StoreError> {
    if let Some(region) = config.region.as_deref() {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if region.is_empty() || !region.chars().all(plain) {
            return Err(StoreError::config("region", "it must be a name like eu-central-1 or garage"));
        }
        return Ok(Region::new(region.to_owned()));
    }
    if let Some(region) = EnvironmentVariableRegionProvider::new().region().await {
        return Ok(region);
    }
    let from_profile = credentials::profile_region(config).await;
    Ok(from_profile.unwrap_or_else(|| Region::from_static(DEFAULT_REGION)))
}
