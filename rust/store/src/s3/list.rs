//! Listing, page by page.

use std::sync::atomic::Ordering;

use aws_sdk_s3::types::Object;
use aws_smithy_types::DateTime;

use super::Shared;
use super::head::is_archive;
use crate::error::StoreError;
use crate::key;
use crate::object::{ObjectInfo, ThawState};

pub(super) async fn list(shared: &Shared, prefix: &str) -> Result<Vec<ObjectInfo>, StoreError> {
    key::check_list_prefix(prefix)?;
    let place = shared.place("list", prefix);
    let full = key::join_unchecked(&shared.prefix, prefix);
    let own = key::join_unchecked(&shared.prefix, "");
    let (mut found, mut token) = (Vec::new(), None::<String>);
    loop {
        let request = shared
            .client
            .list_objects_v2()
            .bucket(&shared.bucket)
            .prefix(&full)
            .set_continuation_token(token.clone());
        let page = request
            .customize()
            .config_override(shared.briefly())
            .send()
            .await
            .map_err(|error| shared.failure(&error, &place))?;
        shared.bucket_seen.store(true, Ordering::Relaxed);
        found.extend(page.contents().iter().filter_map(|object| info(object, &own)));
        let next = page.next_continuation_token().map(str::to_owned);
        if !page.is_truncated().unwrap_or(false) {
            break;
        }
        if next.is_none() || next == token {
            let why = "the store says that there is more, but not how to get it".into();
            return Err(StoreError::Other { place, why });
        }
        token = next;
    }
    found.sort_unstable_by(|a, b| a.key.as_bytes().cmp(b.key.as_bytes()));
    Ok(found)
}

/// `None` for what can't be ours, such as the folder markers that consoles make.
fn info(object: &Object, own: &str) -> Option<ObjectInfo> {
    let key = object.key()?.strip_prefix(own)?;
    key::check_key(key).ok()?;
    let class = object.storage_class().map(|class| class.as_str().to_owned());
    let cold = class.as_deref().is_some_and(is_archive);
    Some(ObjectInfo {
        key: key.to_owned(),
        length: u64::try_from(object.size()?).ok()?,
        thaw: if cold { ThawState::Cold } else { ThawState::Hot },
        storage_class: class,
        checksum: None,
        modified_unix_seconds: object.last_modified().map(DateTime::secs),
    })
}
