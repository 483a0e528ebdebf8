//! How far a job has come: counters that the pipeline adds to and that anybody reads at any time.
//!
//! Counters only grow and each is read on its own, so a snapshot may be a moment apart between two fields;
//! it is for people and progress bars and never decides anything.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

const TOTAL_UNKNOWN: u64 = u64::MAX;

/// The live counters of one job.
#[derive(Debug)]
pub struct ProgressCounters {
    stage: Mutex<&'static str>,
    stream_bytes: AtomicU64,
    read_bytes: AtomicU64,
    sealed_bytes: AtomicU64,
    stored_bytes: AtomicU64,
    parts_stored: AtomicU64,
    parts_total: AtomicU64,
    requests: AtomicU64,
}

/// The counters at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// What the job is doing now, one word: `starting` first, `done` once the outcome is there.
    pub stage: &'static str,
    /// Bytes of the send stream read (push) or written (restore).
    pub stream_bytes: u64,
    /// Bytes after sealing (push) or before opening (restore).
    pub sealed_bytes: u64,
    /// Bytes the store acknowledged (push) or delivered (restore).
    pub stored_bytes: u64,
    /// Parts the store acknowledged (push) or that were written out (restore).
    pub parts_stored: u64,
    /// Parts there are in all, where that is known.
    pub parts_total: Option<u64>,
    /// Requests made to the store.
    pub requests: u64,
}

impl Default for ProgressCounters {
    fn default() -> Self {
        Self {
            stage: Mutex::new("starting"),
            stream_bytes: AtomicU64::default(),
            read_bytes: AtomicU64::default(),
            sealed_bytes: AtomicU64::default(),
            stored_bytes: AtomicU64::default(),
            parts_stored: AtomicU64::default(),
            parts_total: AtomicU64::new(TOTAL_UNKNOWN),
            requests: AtomicU64::default(),
        }
    }
}

impl ProgressCounters {
    /// Names what the job does from here on.
    pub fn set_stage(&self, stage: &'static str) {
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner) = stage;
    }

    /// Counts bytes of the send stream.
    pub fn add_stream_bytes(&self, bytes: u64) {
        self.stream_bytes.fetch_add(bytes, Relaxed);
    }

    /// Counts bytes that the source yielded; where a stream is gone on with, those are fewer than the stream's.
    pub fn add_read_bytes(&self, bytes: u64) {
        self.read_bytes.fetch_add(bytes, Relaxed);
    }

    /// Bytes that the source yielded so far.
    #[must_use]
    pub fn read_bytes(&self) -> u64 {
        self.read_bytes.load(Relaxed)
    }

    /// Counts sealed bytes.
    pub fn add_sealed_bytes(&self, bytes: u64) {
        self.sealed_bytes.fetch_add(bytes, Relaxed);
    }

    /// Counts bytes that the store acknowledged or delivered.
    pub fn add_stored_bytes(&self, bytes: u64) {
        self.stored_bytes.fetch_add(bytes, Relaxed);
    }

    /// Counts one part as finished.
    pub fn add_part(&self) {
        self.parts_stored.fetch_add(1, Relaxed);
    }

    /// Says how many parts there are in all.
    pub fn set_parts_total(&self, parts: u64) {
        self.parts_total.store(parts, Relaxed);
    }

    /// Sets the number of requests made so far; the store counts them itself.
    pub fn set_requests(&self, requests: u64) {
        self.requests.store(requests, Relaxed);
    }

    /// The counters now.
    #[must_use]
    pub fn snapshot(&self) -> Progress {
        let total = self.parts_total.load(Relaxed);
        Progress {
            stage: *self.stage.lock().unwrap_or_else(PoisonError::into_inner),
            stream_bytes: self.stream_bytes.load(Relaxed),
            sealed_bytes: self.sealed_bytes.load(Relaxed),
            stored_bytes: self.stored_bytes.load(Relaxed),
            parts_stored: self.parts_stored.load(Relaxed),
            parts_total: (total != TOTAL_UNKNOWN).then_some(total),
            requests: self.requests.load(Relaxed),
        }
    }
}
