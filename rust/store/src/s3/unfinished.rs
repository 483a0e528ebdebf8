//! Multipart uploads that nobody completed: which there are, and ending them.

use std::collections::HashSet;
use std::sync::atomic::Ordering;

use aws_sdk_s3::operation::list_multipart_uploads::ListMultipartUploadsOutput;
use aws_sdk_s3::types::MultipartUpload;
use aws_smithy_types::DateTime;

use super::{Address, Shared, error};
use crate::error::{Place, StoreError};
use crate::key;
use crate::object::UnfinishedUpload;

/// Where a page of uploads begins: behind this key and, within the key, behind this upload.
#[derive(Default, Clone, PartialEq, Eq, Hash)]
struct Marker {
    key: Option<String>,
    upload_id: Option<String>,
}

pub(super) async fn list(shared: &Shared, prefix: &str) -> Result<Vec<UnfinishedUpload>, StoreError> {
    key::check_list_prefix(prefix)?;
    let place = shared.place("list the unfinished uploads of", prefix);
    let full = key::join_unchecked(&shared.prefix, prefix);
    let own = key::join_unchecked(&shared.prefix, "");
    let (mut found, mut seen) = (Vec::new(), HashSet::new());
    let mut marker = Marker::default();
    loop {
        let page = page(shared, &full, &marker, &place).await?;
        found.extend(page.uploads().iter().filter_map(|upload| ours(upload, &own, &full)));
        if !page.is_truncated().unwrap_or(false) {
            break;
        }
        seen.insert(marker);
        marker = Marker {
            key: page.next_key_marker().map(str::to_owned),
            upload_id: page.next_upload_id_marker().map(str::to_owned),
        };
        if seen.contains(&marker) {
            let why = "the store says that there is more, but not how to get it".into();
            return Err(StoreError::Other { place, why });
        }
    }
    found.sort_unstable_by(|a, b| (&a.key, &a.upload_id).cmp(&(&b.key, &b.upload_id)));
    // A server that ignores the marker of the upload repeats those of the key.
    found.dedup();
    Ok(found)
}

async fn page(
    shared: &Shared,
    full: &str,
    marker: &Marker,
    place: &Place,
) -> Result<ListMultipartUploadsOutput, StoreError> {
    let request = shared
        .client
        .list_multipart_uploads()
        .bucket(&shared.bucket)
        .prefix(full)
        .set_key_marker(marker.key.clone())
        .set_upload_id_marker(marker.upload_id.clone());
    let page = request
        .customize()
        .config_override(shared.briefly())
        .send()
        .await
        .map_err(|error| shared.failure(&error, place))?;
    shared.bucket_seen.store(true, Ordering::Relaxed);
    Ok(page)
}

/// `None` for what can't be ours. The prefix is looked at again: to end what a careless server listed would be a loss.
fn ours(upload: &MultipartUpload, own: &str, full: &str) -> Option<UnfinishedUpload> {
    let key = upload.key().filter(|key| key.starts_with(full))?.strip_prefix(own)?;
    key::check_key(key).ok()?;
    Some(UnfinishedUpload {
        key: key.to_owned(),
        upload_id: upload.upload_id()?.to_owned(),
        begun_unix_seconds: upload.initiated().map(DateTime::secs),
    })
}

pub(super) async fn abort(shared: &Shared, address: &Address, upload_id: &str) -> Result<(), StoreError> {
    let request =
        shared.client.abort_multipart_upload().bucket(&shared.bucket).key(&address.full).upload_id(upload_id);
    match request.customize().config_override(shared.briefly()).send().await {
        Ok(_) => Ok(()),
        Err(error) if error::code(&error) == Some("NoSuchUpload") => Ok(()),
        Err(error) => Err(shared.failure(&error, &address.place)),
    }
}
