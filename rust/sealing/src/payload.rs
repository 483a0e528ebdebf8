//! The payload key of one age file and its chunk cipher (<https://c2sp.org/age#payload>): HKDF-SHA-256 of the
//! file key salted with the nonce, then ChaCha20-Poly1305 per chunk under an 11-byte big-endian counter and
//! a last-chunk byte. The AEAD is aws-lc-rs: the TLS stack carries it anyway, and per core it was measured as
//! quick as ring and well ahead of the `RustCrypto` implementation that the `age` crate uses.

use age_core::format::FileKey;
use aws_lc_rs::{aead, hkdf};
use secrecy::ExposeSecret;
use zeroize::Zeroizing;

use crate::SealError;
use crate::layout::TAG_BYTES;

/// Bytes of the nonce between header and payload.
pub(crate) const NONCE_BYTES: usize = 16;

/// A key for the chunks of exactly one age file; the library wipes it when it is dropped.
pub(crate) struct PayloadKey(aead::LessSafeKey);

impl PayloadKey {
    pub(crate) fn derive(file_key: &FileKey, nonce: &[u8]) -> Result<Self, SealError> {
        let failed = |_| SealError::Library { operation: "deriving the payload key" };
        let mut bytes = Zeroizing::new([0_u8; 32]);
        hkdf::Salt::new(hkdf::HKDF_SHA256, nonce)
            .extract(file_key.expose_secret())
            .expand(&[b"payload"], hkdf::HKDF_SHA256)
            .and_then(|okm| okm.fill(bytes.as_mut_slice()))
            .map_err(failed)?;
        let key = aead::UnboundKey::new(&aead::CHACHA20_POLY1305, bytes.as_slice()).map_err(failed)?;
        Ok(Self(aead::LessSafeKey::new(key)))
    }

    /// Seals one slot in place; its last 16 bytes become the tag.
    pub(crate) fn seal(&self, counter: u64, last: bool, slot: &mut [u8]) -> Result<(), SealError> {
        let failed = SealError::Library { operation: "sealing a chunk" };
        let Some((plain, spare)) = slot.split_last_chunk_mut::<TAG_BYTES>() else { return Err(failed) };
        match self.0.seal_in_place_separate_tag(nonce(counter, last), aead::Aad::empty(), plain) {
            Ok(tag) => {
                spare.copy_from_slice(tag.as_ref());
                Ok(())
            }
            Err(_) => Err(failed),
        }
    }

    /// Opens one slot in place. On `false` the chunk is not authentic and the slot was wiped.
    #[must_use]
    pub(crate) fn open(&self, counter: u64, last: bool, slot: &mut [u8]) -> bool {
        let opened = match slot.split_last_chunk_mut::<TAG_BYTES>() {
            Some((sealed, tag)) => self
                .0
                .open_in_place_separate_tag(nonce(counter, last), aead::Aad::empty(), tag, sealed)
                .is_ok(),
            None => false,
        };
        if !opened {
            slot.fill(0);
        }
        opened
    }
}

fn nonce(counter: u64, last: bool) -> aead::Nonce {
    let mut bytes = [0; aead::NONCE_LEN];
    bytes[3..11].copy_from_slice(&counter.to_be_bytes());
    bytes[11] = u8::from(last);
    aead::Nonce::assume_unique_for_key(bytes)
}
