//! Deleting: a thousand keys a request, one by one where a server has no batches.

use std::sync::atomic::Ordering;

use aws_sdk_s3::types::{ChecksumAlgorithm, Delete, Error as KeyError, ObjectIdentifier};
use futures::StreamExt;

use super::{Address, Shared, error};
use crate::error::{Place, StoreError};

/// S3's limit (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html>).
const BATCH_KEYS: usize = 1000;
/// Single deletions under way at once.
const AT_ONCE: usize = 8;

pub(super) async fn delete(shared: &Shared, keys: &[String]) -> Result<(), StoreError> {
    let addresses = keys.iter().map(|key| shared.address("delete", key)).collect::<Result<Vec<_>, _>>()?;
    let mut first_failure = None;
    for batch in addresses.chunks(BATCH_KEYS) {
        let done = match batch {
            [only] => one(shared, only).await,
            _ if shared.refuses_batch_delete.load(Ordering::Relaxed) => singly(shared, batch).await,
            _ => together(shared, batch).await,
        };
        if let Err(failure) = done {
            if is_away(&failure) {
                return Err(failure);
            }
            first_failure.get_or_insert(failure);
        }
    }
    first_failure.map_or(Ok(()), Err)
}

/// Whether the store as a whole failed, after all patience: trying each further key would take as long again.
fn is_away(failure: &StoreError) -> bool {
    matches!(
        failure,
        StoreError::Unreachable { .. }
            | StoreError::Stalled { .. }
            | StoreError::Throttled { .. }
            | StoreError::Tls { .. }
            | StoreError::Credentials { .. }
    )
}

async fn together(shared: &Shared, batch: &[Address]) -> Result<(), StoreError> {
    let place = shared.place("delete", "");
    let identifiers = batch.iter().map(|address| ObjectIdentifier::builder().key(&address.full).build());
    let wanted = identifiers
        .collect::<Result<Vec<_>, _>>()
        .and_then(|objects| Delete::builder().quiet(true).set_objects(Some(objects)).build())
        .map_err(|fault| StoreError::Other { place: place.clone(), why: fault.to_string() })?;
    let request = shared
        .client
        .delete_objects()
        .bucket(&shared.bucket)
        .delete(wanted)
        .checksum_algorithm(ChecksumAlgorithm::Crc32);
    match request.customize().config_override(shared.briefly()).send().await {
        Ok(output) => output
            .errors()
            .iter()
            .find(|error| error.code() != Some("NoSuchKey"))
            .map_or(Ok(()), |error| Err(key_failure(shared, error))),
        Err(refused) if no_batches(error::status(&refused), error::code(&refused)) => {
            shared.refuses_batch_delete.store(true, Ordering::Relaxed);
            singly(shared, batch).await
        }
        Err(error) => Err(shared.failure(&error, &place)),
    }
}

/// How servers say that they know no batches, or not with this checksum.
fn no_batches(status: Option<u16>, code: Option<&str>) -> bool {
    matches!(status, Some(404 | 405 | 501)) && code != Some("NoSuchBucket")
        || matches!(
            code,
            Some(
                "NotImplemented"
                    | "MethodNotAllowed"
                    | "MalformedXML"
                    | "InvalidDigest"
                    | "MissingContentMD5"
                    | "InvalidRequest"
            )
        )
}

fn key_failure(shared: &Shared, error: &KeyError) -> StoreError {
    let target = format!("s3://{}/{}", shared.bucket, error.key().unwrap_or("(a key it did not name)"));
    let place = Place::new("delete", target);
    let code = error.code().unwrap_or("no code");
    let why = format!("{code}: {}", error.message().unwrap_or("no reason given"));
    match code {
        "AccessDenied" => StoreError::Forbidden { place, why },
        "SlowDown" | "ServiceUnavailable" => StoreError::Throttled { place, why },
        _ => StoreError::Other { place, why },
    }
}

async fn singly(shared: &Shared, batch: &[Address]) -> Result<(), StoreError> {
    let deletions: Vec<_> = batch.iter().map(|address| one(shared, address)).collect();
    let mut done = futures::stream::iter(deletions).buffer_unordered(AT_ONCE);
    let mut first_failure = None;
    while let Some(deleted) = done.next().await {
        if let Err(failure) = deleted {
            if is_away(&failure) {
                return Err(failure);
            }
            first_failure.get_or_insert(failure);
        }
    }
    first_failure.map_or(Ok(()), Err)
}

async fn one(shared: &Shared, address: &Address) -> Result<(), StoreError> {
    let request = shared.client.delete_object().bucket(&shared.bucket).key(&address.full);
    match request.customize().config_override(shared.briefly()).send().await {
        Ok(_) => Ok(()),
        Err(error) => match shared.failure(&error, &address.place) {
            StoreError::NotFound { .. } => Ok(()),
            failure => Err(failure),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_missing_feature_leads_to_single_deletions() {
        assert!(no_batches(Some(501), Some("NotImplemented")));
        assert!(no_batches(Some(400), Some("MissingContentMD5")));
        assert!(no_batches(Some(405), None));
        assert!(!no_batches(Some(404), Some("NoSuchBucket")));
        assert!(!no_batches(Some(403), Some("AccessDenied")));
        assert!(!no_batches(Some(503), Some("SlowDown")));
    }
}
