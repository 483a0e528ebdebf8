//! What every store must do, as cases over `dyn ObjectStore`.
//!
//! The directory runs them in this crate's own tests; `tests/conformance_s3.rs` runs them against a live server, with the cases of `s3`
//! beside them. A case gets a [`Room`] of its own: an empty store that nobody else uses.
#![allow(
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    clippy::panic,
    missing_docs,
    reason = "test code: a case panics where the store breaks its promise, and its name says what it shows"
)]

mod multipart;
mod objects;
pub mod s3;
mod unfinished;

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use crate::{ObjectStore, PutOptions, StoreError};

pub use multipart::*;
pub use objects::*;
pub use unfinished::*;

/// What a store makes of `if_absent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conditional {
    /// The second writer is refused.
    Honours,
    /// The second writer replaces the first and hears nothing of it.
    Ignores,
}

/// One case's store and what to expect of it.
pub struct Room {
    pub store: Arc<dyn ObjectStore>,
    pub conditional: Conditional,
    /// How many objects the listing case makes; over 1000 shows paging.
    pub many: usize,
    /// Whether the store says when an upload began (moto gives all the same date).
    pub dates_uploads: bool,
    /// A directory's own folder, in which a case can leave what a killed writer leaves.
    pub folder: Option<PathBuf>,
    /// Keeps a temporary folder alive.
    pub keep: Option<Box<dyn std::any::Any + Send + Sync>>,
}

/// Make one test of each shared case, in a room from `$open`, a function from the case's name to a future of a [`Room`].
#[macro_export]
macro_rules! conformance_cases {
    ($open:path) => {
        $crate::conformance_cases!(@ $open;
            an_object_comes_back_whole, an_empty_object_is_an_object, a_range_comes_back_exactly, a_range_outside_is_an_error,
            an_absent_object_is_not_found, a_second_put_replaces, if_absent_keeps_the_first_where_honoured,
            a_hostile_key_is_refused_unsent, odd_names_survive, a_listing_is_complete_and_ordered, a_listing_keeps_to_its_prefix,
            deleting_twice_is_fine, a_body_with_another_crc_is_never_stored, requests_are_counted, get_bytes_has_a_limit,
            pieces_in_any_order_make_one_object, an_aborted_upload_leaves_nothing, a_missing_piece_is_refused,
            multipart_if_absent_keeps_the_first_where_honoured,
            an_unfinished_upload_is_seen_and_ended, when_an_object_was_written_is_known);
    };
    (@ $open:path; $($case:ident),* $(,)?) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            let room = $open(stringify!($case)).await;
            $crate::conformance::$case(&room).await;
        })*
    };
}

/// Bytes that no two offsets share for long.
#[must_use]
pub fn bytes(length: usize, seed: u64) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut made = Vec::with_capacity(length + 8);
    while made.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        made.extend_from_slice(&state.to_le_bytes());
    }
    made.truncate(length);
    made.into()
}

pub(crate) async fn read(store: &dyn ObjectStore, key: &str) -> Bytes {
    store.get_bytes(key, u64::MAX).await.unwrap()
}

pub(crate) async fn put(store: &dyn ObjectStore, key: &str, body: &Bytes) {
    store.put(key, body.clone(), &PutOptions::default()).await.unwrap();
}

pub(crate) async fn keys(store: &dyn ObjectStore, prefix: &str) -> Vec<String> {
    store.list(prefix).await.unwrap().into_iter().map(|info| info.key).collect()
}

pub(crate) fn code<T>(result: Result<T, StoreError>) -> &'static str {
    match result {
        Ok(_) => "ok",
        Err(error) => error.code(),
    }
}
