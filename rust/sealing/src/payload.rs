//! The payload key of one age file and its chunk cipher (<https://c2sp.org/age#payload>): HKDF-SHA-256 of the
//! file key salted with the nonce, then ChaCha20-Poly1305 per chunk under an 11-byte big-endian counter and
//! a last-chunk byte. The AEAD is the system's OpenSSL: it has code for AVX-512, with which a core seals 1.6
//! times what aws-lc-rs does, and is as quick elsewhere; the `age` crate's own reached less than half of either.

use age_core::format::FileKey;
use openssl::cipher::Cipher;
use openssl::cipher_ctx::CipherCtx;
use openssl::error::ErrorStack;
use openssl::md::Md;
use openssl::pkey::Id;
use openssl::pkey_ctx::PkeyCtx;
use secrecy::{ExposeSecret, ExposeSecretMut, SecretBox};

use crate::SealError;
use crate::layout::TAG_BYTES;

/// Bytes of the nonce between header and payload.
pub(crate) const NONCE_BYTES: usize = 16;

const KEY_BYTES: usize = 32;
/// Bytes of the nonce of one chunk.
const CHUNK_NONCE_BYTES: usize = 12;

/// A key for the chunks of exactly one age file; it is wiped when it is dropped.
pub(crate) struct PayloadKey {
    bytes: SecretBox<[u8; KEY_BYTES]>,
    cipher: Cipher,
}

impl PayloadKey {
    pub(crate) fn derive(file_key: &FileKey, nonce: &[u8]) -> Result<Self, SealError> {
        let cipher = fetch_cipher()?;
        let mut bytes = SecretBox::new(Box::new([0; KEY_BYTES]));
        hkdf_sha256(file_key.expose_secret(), nonce, bytes.expose_secret_mut())
            .map_err(|_| SealError::Library { operation: "deriving the payload key" })?;
        Ok(Self { bytes, cipher })
    }

    /// A cipher context for any number of chunks, one after the other.
    pub(crate) fn sealer(&self) -> Result<ChunkSealer, SealError> {
        let key = Some(self.bytes.expose_secret().as_slice());
        let context = CipherCtx::new().and_then(|mut context| {
            context.encrypt_init(Some(&self.cipher), key, None)?;
            Ok(context)
        });
        let failed = |_| SealError::Library { operation: "preparing to seal" };
        Ok(ChunkSealer(context.map_err(failed)?))
    }

    /// The same for opening.
    pub(crate) fn opener(&self) -> Result<ChunkOpener, SealError> {
        let key = Some(self.bytes.expose_secret().as_slice());
        let context = CipherCtx::new().and_then(|mut context| {
            context.decrypt_init(Some(&self.cipher), key, None)?;
            Ok(context)
        });
        let failed = |_| SealError::Library { operation: "preparing to open" };
        Ok(ChunkOpener(context.map_err(failed)?))
    }
}

/// Seals chunks with one key. OpenSSL wipes its copy of the key when the context is freed.
pub(crate) struct ChunkSealer(CipherCtx);

impl ChunkSealer {
    /// Seals one slot in place; its last 16 bytes become the tag.
    pub(crate) fn seal(&mut self, counter: u64, last: bool, slot: &mut [u8]) -> Result<(), SealError> {
        let failed = SealError::Library { operation: "sealing a chunk" };
        let Some((plain, tag)) = slot.split_last_chunk_mut::<TAG_BYTES>() else { return Err(failed) };
        self.seal_detached(&nonce(counter, last), plain, tag).map_err(|_| failed)
    }

    fn seal_detached(&mut self, nonce: &[u8], plain: &mut [u8], tag: &mut [u8]) -> Result<(), ErrorStack> {
        self.0.encrypt_init(None, None, Some(nonce))?;
        self.0.cipher_update_inplace(plain, plain.len())?;
        self.0.cipher_final(&mut [])?;
        self.0.tag(tag)
    }
}

/// Opens chunks with one key. OpenSSL wipes its copy of the key when the context is freed.
pub(crate) struct ChunkOpener(CipherCtx);

impl ChunkOpener {
    /// Opens one slot in place. On `false` the chunk is not authentic and the slot was wiped.
    #[must_use]
    pub(crate) fn open(&mut self, counter: u64, last: bool, slot: &mut [u8]) -> bool {
        let opened = match slot.split_last_chunk_mut::<TAG_BYTES>() {
            Some((sealed, tag)) => self.open_detached(&nonce(counter, last), sealed, tag).is_ok(),
            None => false,
        };
        if !opened {
            slot.fill(0);
        }
        opened
    }

    fn open_detached(&mut self, nonce: &[u8], sealed: &mut [u8], tag: &[u8]) -> Result<(), ErrorStack> {
        self.0.decrypt_init(None, None, Some(nonce))?;
        self.0.set_tag(tag)?;
        self.0.cipher_update_inplace(sealed, sealed.len())?;
        self.0.cipher_final(&mut [])?;
        Ok(())
    }
}

/// Asks for the cipher by name, because that is where a provider that refuses it says so.
fn fetch_cipher() -> Result<Cipher, SealError> {
    openssl::init();
    Cipher::fetch(None, "ChaCha20-Poly1305", None).map_err(|refusal| {
        let reason = refusal.errors().first().and_then(openssl::error::Error::reason);
        SealError::CipherRefused { reason: reason.unwrap_or("no reason given").into() }
    })
}

fn hkdf_sha256(key: &[u8], salt: &[u8], into: &mut [u8]) -> Result<(), ErrorStack> {
    let mut context = PkeyCtx::new_id(Id::HKDF)?;
    context.derive_init()?;
    context.set_hkdf_md(Md::sha256())?;
    context.set_hkdf_key(key)?;
    context.set_hkdf_salt(salt)?;
    context.add_hkdf_info(b"payload")?;
    context.derive(Some(into))?;
    Ok(())
}

fn nonce(counter: u64, last: bool) -> [u8; CHUNK_NONCE_BYTES] {
    let mut bytes = [0; CHUNK_NONCE_BYTES];
    bytes[3..11].copy_from_slice(&counter.to_be_bytes());
    bytes[11] = u8::from(last);
    bytes
}
