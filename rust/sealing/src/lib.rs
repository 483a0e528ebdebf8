//! age files, sealed and opened in place on every core; BLAKE3 digests of what was sealed.
//!
//! The format is age-encryption.org/v1 (<https://c2sp.org/age>), so stock `age` reads what is written here
//! and the other way round. The `age` crate makes and reads the headers: recipients, labels, MAC. The
//! payload is ours, because its writer works on one core and copies: `STREAM` over 64 KiB chunks whose
//! nonce is a counter, so any chunk can be sealed by any core, in the buffer it already lies in.
//!
//! Invariants: every part has a file key of its own; no counter of a part is sealed twice; plain bytes of
//! a chunk that failed its check are wiped, never handed out; no error text holds a secret.
#![forbid(unsafe_code)]

mod claims;
mod digest;
mod error;
mod header;
mod identities;
mod layout;
mod open;
mod payload;
mod recipients;
mod seal;
mod whole;

pub use digest::Digest;
pub use error::SealError;
pub use header::MAX_HEADER_BYTES;
pub use identities::{Identities, generate_identity};
pub use layout::{
    CHUNK_BYTES, SEALED_CHUNK_BYTES, TAG_BYTES, chunk_count, fill_slots, plain_chunks, plain_len, sealed_len,
    slot_position, slots_len,
};
pub use open::PartOpen;
pub use recipients::Recipients;
pub use seal::PartSeal;
pub use whole::{open_bytes, seal_bytes};
