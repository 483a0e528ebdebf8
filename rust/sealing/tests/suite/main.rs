//! Sealing and opening against stock `age`, against the `age` crate, and against damage.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod batches;
mod common;
mod damage;
mod identities;
mod interop;
mod plugins;
mod properties;
mod recipients;
