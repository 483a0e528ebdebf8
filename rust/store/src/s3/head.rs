//! Asking about one object. A HEAD's refusal has no body, so an unclear one is followed by a question whose refusal has.

use std::sync::atomic::Ordering;
use std::time::SystemTime;

use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::operation::head_object::{HeadObjectError, HeadObjectOutput};
use aws_sdk_s3::types::{ArchiveStatus, ChecksumMode, ChecksumType, StorageClass};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;

use super::{Address, Shared, error};
use crate::checksum::{ChecksumAlgorithm, ChecksumKind, StoreChecksum};
use crate::error::StoreError;
use crate::object::{ObjectInfo, ThawState};

/// What the store says, and the `ETag` without its quotes.
pub(super) async fn head(
    shared: &Shared,
    address: &Address,
) -> Result<(ObjectInfo, Option<String>), StoreError> {
    let sent = shared
        .client
        .head_object()
        .bucket(&shared.bucket)
        .key(&address.full)
        .checksum_mode(ChecksumMode::Enabled)
        .customize()
        .config_override(shared.briefly())
        .send()
        .await;
    match sent {
        Ok(output) => {
            shared.bucket_seen.store(true, Ordering::Relaxed);
            Ok((info(&output), output.e_tag().map(|tag| tag.trim_matches('"').to_owned())))
        }
        Err(error) => Err(explain(shared, address, &error).await),
    }
}

/// 404 may mean the bucket, 400 and 403 may mean a region, a clock or a key: a listing's answer tells.
async fn explain(
    shared: &Shared,
    address: &Address,
    error: &SdkError<HeadObjectError, HttpResponse>,
) -> StoreError {
    let unclear = match error::status(error) {
        Some(404) => !shared.bucket_seen.load(Ordering::Relaxed),
        Some(400 | 403) => true,
        _ => false,
    };
    let said = shared.failure(error, &address.place);
    if !unclear
        || !matches!(
            said,
            StoreError::NotFound { .. } | StoreError::Forbidden { .. } | StoreError::Other { .. }
        )
    {
        return said;
    }
    let listing = shared.client.list_objects_v2().bucket(&shared.bucket).prefix(&address.full).max_keys(1);
    match listing.customize().config_override(shared.briefly()).send().await {
        Ok(_) => {
            shared.bucket_seen.store(true, Ordering::Relaxed);
            said
        }
        Err(clearer) => match shared.failure(&clearer, &address.place) {
            // Whoever may not list learns nothing new.
            StoreError::Forbidden { .. } => said,
            clearer => clearer,
        },
    }
}

fn info(output: &HeadObjectOutput) -> ObjectInfo {
    let class = output.storage_class().map(|class| class.as_str().to_owned());
    let archived = class.as_deref().is_some_and(is_archive)
        || matches!(
            output.archive_status(),
            Some(ArchiveStatus::ArchiveAccess | ArchiveStatus::DeepArchiveAccess)
        );
    ObjectInfo {
        key: String::new(),
        length: output.content_length().and_then(|length| u64::try_from(length).ok()).unwrap_or(0),
        storage_class: class,
        checksum: checksum(output),
        modified_unix_seconds: output.last_modified().map(DateTime::secs),
        thaw: thaw(archived, output.restore(), DateTime::from(SystemTime::now()).secs()),
    }
}

/// Classes whose objects can't be read before a restore; `GLACIER_IR` can.
pub(super) fn is_archive(class: &str) -> bool {
    class == StorageClass::Glacier.as_str() || class == StorageClass::DeepArchive.as_str()
}

fn checksum(output: &HeadObjectOutput) -> Option<StoreChecksum> {
    let values = [
        (ChecksumAlgorithm::Crc64Nvme, output.checksum_crc64_nvme()),
        (ChecksumAlgorithm::Crc32c, output.checksum_crc32_c()),
        (ChecksumAlgorithm::Sha256, output.checksum_sha256()),
    ];
    let (algorithm, value) = values.into_iter().find_map(|(algorithm, value)| Some((algorithm, value?)))?;
    // Servers that name no type mark a composite by the number of pieces alone.
    let composite = matches!(output.checksum_type(), Some(ChecksumType::Composite)) || value.contains('-');
    let kind = if composite { ChecksumKind::Composite } else { ChecksumKind::FullObject };
    Some(StoreChecksum { algorithm, kind, value: value.to_owned() })
}

/// x-amz-restore: `ongoing-request="true"`, or `ongoing-request="false", expiry-date="Fri, 21 Dec 2012 00:00:00 GMT"`
/// (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html>).
fn thaw(archived: bool, restore: Option<&str>, now_unix_seconds: i64) -> ThawState {
    if !archived {
        return ThawState::Hot;
    }
    let Some(restore) = restore else { return ThawState::Cold };
    if restore.contains("ongoing-request=\"true\"") {
        return ThawState::Warming;
    }
    let until_unix_seconds = restore
        .split_once("expiry-date=\"")
        .and_then(|(_, rest)| rest.split_once('"'))
        .and_then(|(date, _)| DateTime::from_str(date, Format::HttpDate).ok())
        .map(|until| until.secs());
    match until_unix_seconds {
        Some(until) if until <= now_unix_seconds => ThawState::Cold,
        _ => ThawState::Warm { until_unix_seconds },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thawing_is_read_from_the_object_itself() {
        let warm = r#"ongoing-request="false", expiry-date="Fri, 21 Dec 2012 00:00:00 GMT""#;
        let until = 1_356_048_000;
        assert_eq!(thaw(false, Some(warm), 0), ThawState::Hot);
        assert_eq!(thaw(true, None, 0), ThawState::Cold);
        assert_eq!(thaw(true, Some(r#"ongoing-request="true""#), 0), ThawState::Warming);
        assert_eq!(thaw(true, Some(warm), until - 1), ThawState::Warm { until_unix_seconds: Some(until) });
        assert_eq!(thaw(true, Some(warm), until), ThawState::Cold);
        assert_eq!(
            thaw(true, Some(r#"ongoing-request="false""#), 0),
            ThawState::Warm { until_unix_seconds: None }
        );
    }

    #[test]
    fn only_true_archives_are_cold() {
        assert!(is_archive("GLACIER") && is_archive("DEEP_ARCHIVE"));
        assert!(!is_archive("GLACIER_IR") && !is_archive("STANDARD_IA"));
    }
}
