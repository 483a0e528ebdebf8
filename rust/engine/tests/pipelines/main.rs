//! Push, restore and looks at a store, end to end, over stores in directories.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on is meant to fail")]

mod damage;
mod leftovers;
mod refusals;
mod resume;
mod rooms;
mod round_trip;
mod splicing;
