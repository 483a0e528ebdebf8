//! age headers. The `age` crate writes and reads them; we only look over its shoulder for the file key:
//! writing, a recipient that passes everything on to the first real one sees it; reading, an identity that
//! asks the real ones does. So stanzas, labels, grease and the MAC stay the crate's business.
//!
//! Every written header is read back with the captured key: should the crate ever buffer, or derive
//! otherwise, sealing fails instead of writing what nobody can open.

use std::cell::OnceCell;
use std::collections::HashSet;
use std::io::ErrorKind;
use std::iter;

use age::{DecryptError, Decryptor, EncryptError, Encryptor};
use age_core::format::{FileKey, Stanza};
use secrecy::ExposeSecret;

use crate::payload::NONCE_BYTES;
use crate::recipients::Wrapper;
use crate::{Identities, SealError, identities};

/// No header, nonce included, is longer than this: room for 500 X25519 or 35 post-quantum recipients. It
/// bounds what a reader must fetch, and the time a hostile header can take.
pub const MAX_HEADER_BYTES: usize = 65536;

const MAGIC: &[u8] = b"age-encryption.org/v1\n";
const ARMOR: &[u8] = b"-----BEGIN AGE ENCRYPTED FILE-----";

/// A fresh header with its nonce, and the file key wrapped in it.
pub(crate) struct SealedHeader {
    pub(crate) bytes: Vec<u8>,
    pub(crate) file_key: FileKey,
}

/// The nonce of a header as [`write`] and [`read`] delimit it: its last 16 bytes.
pub(crate) fn nonce_of(header: &[u8]) -> &[u8] {
    &header[header.len().saturating_sub(NONCE_BYTES)..]
}

pub(crate) fn write(recipients: &[Wrapper]) -> Result<SealedHeader, SealError> {
    let (first, others) = recipients.split_first().ok_or(SealError::NoRecipients)?;
    let seen = OnceCell::new();
    let witness = Witness { recipient: first.as_ref(), seen: &seen };
    let all = iter::once(&witness as &dyn age::Recipient).chain(others.iter().map(|r| r.as_ref() as _));
    let encryptor = Encryptor::with_recipients(all).map_err(encrypt_error)?;
    let mut bytes = Vec::new();
    // The writer has header and nonce behind it before it is returned; the payload key in it is dropped.
    drop(encryptor.wrap_output(&mut bytes).map_err(|_| LIBRARY)?);
    let file_key = seen.into_inner().ok_or(LIBRARY)?;
    if bytes.len() > MAX_HEADER_BYTES {
        return Err(SealError::RecipientSet {
            reason: "they need more than 64 KiB of header; use fewer".into(),
        });
    }
    prove(&bytes, &file_key)?;
    Ok(SealedHeader { bytes, file_key })
}

const LIBRARY: SealError = SealError::Library { operation: "writing the age header" };

fn prove(header: &[u8], file_key: &FileKey) -> Result<(), SealError> {
    let mut rest = header;
    let known = Known(file_key);
    Decryptor::new_buffered(&mut rest)
        .and_then(|decryptor| decryptor.decrypt(iter::once(&known as &dyn age::Identity)).map(drop))
        .map_err(|_| LIBRARY)?;
    if rest.is_empty() { Ok(()) } else { Err(LIBRARY) }
}

/// Reads the header at the start of `head`: its file key and its length with the nonce.
pub(crate) fn read(head: &[u8], identities: &Identities) -> Result<(FileKey, usize), SealError> {
    check_magic(head)?;
    let window = &head[..head.len().min(MAX_HEADER_BYTES)];
    let mut rest = window;
    let decryptor = Decryptor::new_buffered(&mut rest).map_err(|error| match error {
        DecryptError::Io(io) if io.kind() == ErrorKind::UnexpectedEof && window.len() < MAX_HEADER_BYTES => {
            SealError::NeedMore
        }
        DecryptError::Io(_) => not_age("its header has no end within 64 KiB"),
        other => decrypt_error(other),
    })?;
    let seen = OnceCell::new();
    let asker = Asker { identities, seen: &seen };
    decryptor.decrypt(iter::once(&asker as &dyn age::Identity)).map(drop).map_err(decrypt_error)?;
    let file_key = seen.into_inner().ok_or(SealError::Library { operation: "reading the age header" })?;
    Ok((file_key, window.len() - rest.len()))
}

fn check_magic(head: &[u8]) -> Result<(), SealError> {
    let version_at = MAGIC.len() - 3;
    if head.starts_with(ARMOR) {
        return Err(not_age("it is armored (text); parts are stored in binary"));
    }
    if head.starts_with(MAGIC) {
        return Ok(());
    }
    if MAGIC.starts_with(head) {
        return Err(SealError::NeedMore);
    }
    if head.starts_with(&MAGIC[..version_at]) {
        return Err(not_age("it is of another version of the age format; a newer program may read it"));
    }
    Err(not_age("it does not begin with the age header (stored unencrypted, or another object)"))
}

fn not_age(reason: &str) -> SealError {
    SealError::NotAge { reason: reason.into() }
}

fn copy(file_key: &FileKey) -> FileKey {
    FileKey::init_with_mut(|bytes| bytes.copy_from_slice(file_key.expose_secret()))
}

/// Stands before a recipient and keeps a copy of the file key that passes.
struct Witness<'a> {
    recipient: &'a dyn age::Recipient,
    seen: &'a OnceCell<FileKey>,
}

impl age::Recipient for Witness<'_> {
    fn wrap_file_key(&self, file_key: &FileKey) -> Result<(Vec<Stanza>, HashSet<String>), EncryptError> {
        self.seen.get_or_init(|| copy(file_key));
        self.recipient.wrap_file_key(file_key)
    }
}

/// Asks one identity after the other and keeps a copy of the file key. An identity that fails does not keep
/// the next one from being asked: a missing plugin must not hide the key that lies beside it.
struct Asker<'a> {
    identities: &'a Identities,
    seen: &'a OnceCell<FileKey>,
}

impl age::Identity for Asker<'_> {
    fn unwrap_stanza(&self, stanza: &Stanza) -> Option<Result<FileKey, DecryptError>> {
        self.ask(|identity| identity.unwrap_stanza(stanza))
    }

    fn unwrap_stanzas(&self, stanzas: &[Stanza]) -> Option<Result<FileKey, DecryptError>> {
        self.ask(|identity| identity.unwrap_stanzas(stanzas))
    }
}

impl Asker<'_> {
    fn ask(
        &self,
        unwrap: impl Fn(&identities::Unwrapper) -> Option<Result<FileKey, DecryptError>>,
    ) -> Option<Result<FileKey, DecryptError>> {
        let mut first_error = None;
        for answer in self.identities.unwrappers().iter().filter_map(unwrap) {
            match answer {
                Ok(file_key) => {
                    self.seen.get_or_init(|| copy(&file_key));
                    return Some(Ok(file_key));
                }
                Err(error) => {
                    first_error.get_or_insert(error);
                }
            }
        }
        first_error.map(Err)
    }
}

/// An identity that knows the file key already.
struct Known<'a>(&'a FileKey);

impl age::Identity for Known<'_> {
    fn unwrap_stanza(&self, _: &Stanza) -> Option<Result<FileKey, DecryptError>> {
        Some(Ok(copy(self.0)))
    }
}

fn encrypt_error(error: EncryptError) -> SealError {
    match error {
        EncryptError::Plugin(_) => plugin_refused(&error),
        EncryptError::MissingRecipients => SealError::NoRecipients,
        EncryptError::IncompatibleRecipients { .. } | EncryptError::MixedRecipientAndPassphrase => {
            SealError::RecipientSet {
                reason:
                    "some promise a property that the others lack (post-quantum ones must not be mixed with \
                         others); use one kind"
                        .into(),
            }
        }
        EncryptError::InvalidRecipientLabels(_) => {
            SealError::RecipientSet { reason: "a plugin gave malformed labels; update the plugin".into() }
        }
        EncryptError::PluginResolve(error) => plugin_missing(&error),
        EncryptError::Io(error) => plugin_died(&error),
        _ => LIBRARY,
    }
}

fn decrypt_error(error: DecryptError) -> SealError {
    match error {
        DecryptError::Plugin(_) => plugin_refused(&error),
        DecryptError::NoMatchingKeys => SealError::WrongIdentity,
        DecryptError::PluginResolve(error) => plugin_missing(&error),
        DecryptError::Io(error) => plugin_died(&error),
        DecryptError::UnknownFormat => not_age("it is of another version of the age format"),
        _ => SealError::CorruptHeader,
    }
}

/// Where the crate does not say which plugin failed.
const UNNAMED: &str = "age-plugin-*";

/// A missing plugin program, named so that it can be installed.
pub(crate) fn plugin_missing(error: &age::plugin::ResolveError) -> SealError {
    match error {
        age::plugin::ResolveError::MissingPlugin { binary_name } => SealError::Plugin {
            plugin: binary_name.clone(),
            reason: "this program is not on the PATH; install it, or remove what needs it".into(),
        },
        other => SealError::Plugin { plugin: UNNAMED.into(), reason: plain_text(&other.to_string()) },
    }
}

/// What a plugin said; the crate's error type for it is private, so only its text can be had.
fn plugin_refused(said: &impl std::fmt::Display) -> SealError {
    SealError::Plugin {
        plugin: UNNAMED.into(),
        reason: format!("refused: {}", plain_text(&said.to_string())),
    }
}

fn plugin_died(error: &std::io::Error) -> SealError {
    SealError::Plugin {
        plugin: UNNAMED.into(),
        reason: format!("ended without an answer ({}); try it with stock age", error.kind()),
    }
}

/// Foreign text for our messages: one line, without control characters or the direction marks that the
/// crate's translations put around names.
fn plain_text(text: &str) -> String {
    let unwanted = |c: char| c.is_control() || ('\u{2066}'..='\u{2069}').contains(&c);
    let parts: Vec<_> = text.split(char::is_control).map(|part| part.replace(unwanted, "")).collect();
    parts.iter().map(|part| part.trim()).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}
