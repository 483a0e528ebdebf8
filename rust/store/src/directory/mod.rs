//! A store in a plain folder: each key is a path below the root, each object a file.
//!
//! Invariants: a file under its own name is complete, synced and was read back; whatever is unfinished has a name that begins with
//! `.tmp-`. The root is opened once and every path is walked from it without following links, so neither a link nor a late unmount
//! can send bytes elsewhere. All file work runs on blocking threads (`work.rs`).

mod fault;
mod folder;
mod list;
mod multipart;
mod read;
mod stale;
#[cfg(test)]
mod tests;
mod work;
mod write;

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::checksum::{ChecksumAlgorithm, StoreChecksum, crc64};
use crate::error::{Place, StoreError};
use crate::key;
use crate::object::{Download, ObjectInfo, PutOptions, Receipt, UnfinishedUpload};
use crate::requests::{RequestCounter, RequestCounts, RequestKind};
use crate::{MultipartUpload, ObjectStore};

use folder::Root;
use work::Desk;

/// See the module.
pub(crate) struct DirectoryStore {
    root: Arc<Root>,
    location: String,
    counter: Arc<RequestCounter>,
    desk: Desk,
}

impl DirectoryStore {
    pub(crate) async fn open(path: PathBuf, url: &str, stall: Duration) -> Result<Self, StoreError> {
        let location = url.trim_end_matches('/').to_owned();
        let place = Place::new("open", location.clone());
        let desk = Desk::new(stall);
        let opening = desk.blocking(place.clone(), move |work| {
            work.begins("opening").map_err(|fault| fault::writing(&fault, &place, ""))?;
            Root::open(&path, &place)
        });
        let root = Arc::new(opening.await?);
        Ok(Self { root, location, counter: Arc::default(), desk })
    }

    fn place(&self, action: &'static str, key: &str) -> Place {
        Place::new(action, format!("{}/{key}", self.location))
    }

    fn begin(&self, kind: RequestKind, action: &'static str, key: &str) -> Result<Place, StoreError> {
        key::check_key(key)?;
        self.counter.count(kind);
        Ok(self.place(action, key))
    }
}

fn receipt(length: u64, crc: u64) -> Receipt {
    Receipt {
        length,
        checksum: StoreChecksum::reread(ChecksumAlgorithm::Crc64Nvme, crc),
        storage_class: None,
    }
}

#[async_trait]
impl ObjectStore for DirectoryStore {
    fn location(&self) -> &str {
        &self.location
    }

    async fn put(&self, key: &str, body: Bytes, options: &PutOptions) -> Result<Receipt, StoreError> {
        let place = self.begin(RequestKind::Put, "store", key)?;
        let (root, key, if_absent) = (Arc::clone(&self.root), key.to_owned(), options.if_absent);
        let known_crc64 = options.body_crc64;
        self.desk
            .blocking(place.clone(), move |work| {
                let store = || {
                    let mut file = write::Temporary::create(&root, &key, work)?;
                    file.write_at(&body, 0, work)?;
                    let crc = known_crc64.unwrap_or_else(|| crc64(&body));
                    file.publish(body.len() as u64, crc, if_absent, work)?;
                    Ok(receipt(body.len() as u64, crc))
                };
                store().map_err(|failure: write::Failure| failure.at(&place, &key))
            })
            .await
    }

    async fn begin_multipart(
        &self,
        key: &str,
        options: &PutOptions,
    ) -> Result<Arc<dyn MultipartUpload>, StoreError> {
        let place = self.begin(RequestKind::Other, "store", key)?;
        let (root, key, if_absent) = (Arc::clone(&self.root), key.to_owned(), options.if_absent);
        let (counter, desk) = (Arc::clone(&self.counter), self.desk.clone());
        self.desk
            .blocking(place.clone(), move |work| {
                let file =
                    write::Temporary::create(&root, &key, work).map_err(|fault| fault.at(&place, &key))?;
                Ok(Arc::new(multipart::DirectoryUpload::new(file, place, if_absent, counter, desk))
                    as Arc<dyn MultipartUpload>)
            })
            .await
    }

    async fn get(&self, key: &str, range: Option<Range<u64>>) -> Result<Download, StoreError> {
        let place = self.begin(RequestKind::Get, "read", key)?;
        let (root, key, desk) = (Arc::clone(&self.root), key.to_owned(), self.desk.clone());
        let opened = self.desk.blocking(place.clone(), move |work| {
            work.begins("opening").map_err(|fault| fault::reading(&fault, &place, &key))?;
            read::open(&root, &key, range, place, desk)
        });
        opened.await
    }

    async fn head(&self, key: &str) -> Result<ObjectInfo, StoreError> {
        let place = self.begin(RequestKind::Head, "look at", key)?;
        let (root, key) = (Arc::clone(&self.root), key.to_owned());
        self.desk
            .blocking(place.clone(), move |work| {
                let opened = work.begins("opening").and_then(|()| root.open_file(&key));
                let file = opened.map_err(|fault| fault::reading(&fault, &place, &key))?;
                let (length, modified_unix_seconds) = (file.length, Some(file.modified_unix_seconds));
                Ok(ObjectInfo { key, length, modified_unix_seconds, ..ObjectInfo::default() })
            })
            .await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, StoreError> {
        key::check_list_prefix(prefix)?;
        self.counter.count(RequestKind::List);
        let place = self.place("list", prefix);
        let (root, prefix) = (Arc::clone(&self.root), prefix.to_owned());
        self.desk
            .blocking(place.clone(), move |work| {
                list::list(&root, &prefix, work).map_err(|fault| fault::reading(&fault, &place, &prefix))
            })
            .await
    }

    async fn delete(&self, keys: &[String]) -> Result<(), StoreError> {
        keys.iter().try_for_each(|key| key::check_key(key))?;
        if keys.is_empty() {
            return Ok(());
        }
        self.counter.count(RequestKind::Delete);
        let (root, keys, location) = (Arc::clone(&self.root), keys.to_vec(), self.location.clone());
        let place = self.place("delete", "");
        self.desk.blocking(place, move |work| write::delete(&root, keys, &location, work)).await
    }

    async fn unfinished(&self, prefix: &str) -> Result<Vec<UnfinishedUpload>, StoreError> {
        key::check_list_prefix(prefix)?;
        self.counter.count(RequestKind::List);
        let place = self.place("list the unfinished uploads of", prefix);
        let (root, prefix) = (Arc::clone(&self.root), prefix.to_owned());
        self.desk
            .blocking(place.clone(), move |work| {
                list::unfinished(&root, &prefix, work)
                    .map_err(|fault| fault::reading(&fault, &place, &prefix))
            })
            .await
    }

    async fn abort_unfinished(&self, upload: &UnfinishedUpload) -> Result<(), StoreError> {
        let (path, name) = key::check_temporary(&upload.key)?;
        self.counter.count(RequestKind::Other);
        let place = self.place("end the upload of", &upload.key);
        let (root, path, name) = (Arc::clone(&self.root), path.to_owned(), name.to_owned());
        self.desk
            .blocking(place.clone(), move |work| match write::remove_unfinished(&root, &path, &name, work) {
                Err(fault) if fault::is_absent(&fault) => Ok(()),
                done => done.map_err(|fault| fault::writing(&fault, &place, &name)),
            })
            .await
    }

    fn requests(&self) -> RequestCounts {
        self.counter.snapshot()
    }
}
