//! Counting requests by what they cost: a dry run proves itself with these numbers, and users pay by them.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

/// Requests sent, by kind; every retry counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct RequestCounts {
    /// Objects and pieces of objects written.
    pub put: u64,
    /// Objects or ranges read.
    pub get: u64,
    /// Questions about one object or about the bucket.
    pub head: u64,
    /// Pages listed.
    pub list: u64,
    /// Deletions (a batch is one).
    pub delete: u64,
    /// Beginning, completing or aborting a multipart upload.
    pub other: u64,
}

impl RequestCounts {
    /// The sum of all kinds.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.put + self.get + self.head + self.list + self.delete + self.other
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RequestKind {
    Put,
    Get,
    Head,
    List,
    Delete,
    Other,
}

/// The running counters of one store.
#[derive(Debug, Default)]
pub(crate) struct RequestCounter {
    put: AtomicU64,
    get: AtomicU64,
    head: AtomicU64,
    list: AtomicU64,
    delete: AtomicU64,
    other: AtomicU64,
}

impl RequestCounter {
    pub(crate) fn count(&self, kind: RequestKind) {
        let counter = match kind {
            RequestKind::Put => &self.put,
            RequestKind::Get => &self.get,
            RequestKind::Head => &self.head,
            RequestKind::List => &self.list,
            RequestKind::Delete => &self.delete,
            RequestKind::Other => &self.other,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self) -> RequestCounts {
        RequestCounts {
            put: self.put.load(Ordering::Relaxed),
            get: self.get.load(Ordering::Relaxed),
            head: self.head.load(Ordering::Relaxed),
            list: self.list.load(Ordering::Relaxed),
            delete: self.delete.load(Ordering::Relaxed),
            other: self.other.load(Ordering::Relaxed),
        }
    }
}
