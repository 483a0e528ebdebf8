//! Where credentials come from.
//!
//! A named file is the only source then. Otherwise: environment, profile files, web identity; and at AWS itself also the container's
//! and the instance's own roles, asked once and briefly, because elsewhere those addresses answer late or never.

use std::time::Duration;

use aws_config::ecs::EcsCredentialsProvider;
use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::imds::credentials::ImdsCredentialsProvider;
use aws_config::meta::credentials::CredentialsProviderChain;
use aws_config::meta::region::ProvideRegion;
use aws_config::profile::{ProfileFileCredentialsProvider, ProfileFileRegionProvider};
use aws_config::provider_config::ProviderConfig;
use aws_config::web_identity_token::WebIdentityTokenCredentialsProvider;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};
use aws_sdk_s3::config::Region;

use crate::config::StoreConfig;
use crate::error::StoreError;

/// An instance answers its own metadata service at once, or there is none.
const INSTANCE_TIMEOUT: Duration = Duration::from_secs(1);

pub(super) fn provider(
    config: &StoreConfig,
    environment: &ProviderConfig,
) -> Result<SharedCredentialsProvider, StoreError> {
    if config.credentials_file.is_some() {
        return Ok(SharedCredentialsProvider::new(profile(config, environment)?));
    }
    let web = WebIdentityTokenCredentialsProvider::builder().configure(environment).build();
    // A profile that was asked for by name must not lose to what happens to stand in the environment.
    let chain = if config.profile.is_some() {
        CredentialsProviderChain::first_try("profile", profile(config, environment)?)
    } else {
        CredentialsProviderChain::first_try("environment", EnvironmentVariableCredentialsProvider::new())
            .or_else("profile", profile(config, environment)?)
            .or_else("web identity", web)
    };
    if config.endpoint.is_some() || config.profile.is_some() {
        return Ok(SharedCredentialsProvider::new(chain));
    }
    let instance = aws_config::imds::Client::builder()
        .configure(environment)
        .connect_timeout(INSTANCE_TIMEOUT)
        .read_timeout(INSTANCE_TIMEOUT)
        .max_attempts(1)
        .build();
    let instance = ImdsCredentialsProvider::builder().configure(environment).imds_client(instance).build();
    let container = EcsCredentialsProvider::builder().configure(environment).build();
    Ok(SharedCredentialsProvider::new(chain.or_else("container", container).or_else("instance", instance)))
}

/// The region that the profile names.
pub(super) async fn profile_region(config: &StoreConfig) -> Option<Region> {
    let mut builder = ProfileFileRegionProvider::builder();
    if let Some(name) = &config.profile {
        builder = builder.profile_name(name);
    }
    builder.build().region().await
}

fn profile(
    config: &StoreConfig,
    environment: &ProviderConfig,
) -> Result<ProfileFileCredentialsProvider, StoreError> {
    let mut builder = ProfileFileCredentialsProvider::builder().configure(environment);
    if let Some(path) = &config.credentials_file {
        let refuse =
            |why: String| StoreError::config("credentials_file", format!("{}: {why}", path.display()));
        let about = std::fs::File::open(path)
            .and_then(|file| file.metadata())
            .map_err(|fault| refuse(fault.to_string()))?;
        if !about.is_file() || about.len() == 0 {
            return Err(refuse("it is empty or not a file".into()));
        }
        let files = EnvConfigFiles::builder().with_file(EnvConfigFileKind::Credentials, path).build();
        builder = builder.profile_files(files);
        // Without a name AWS_PROFILE would choose, which belongs to other files.
        builder = builder.profile_name(config.profile.as_deref().unwrap_or("default"));
    } else if let Some(name) = &config.profile {
        builder = builder.profile_name(name);
    }
    Ok(builder.build())
}
