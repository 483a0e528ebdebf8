//! Who opens what was sealed: identity files, and new identities.
//!
//! An identity file is a list of age identities with `#` comments, or one SSH private key. Passphrases are
//! never asked for: such a file is refused with the stock command that decrypts it. Errors name file and
//! line, never content, and what was read is wiped.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use age::NoCallbacks;
use age::plugin::IdentityPluginV1;
use age::ssh::UnsupportedKey;
use secrecy::SecretString;
use zeroize::Zeroizing;

use crate::{SealError, header};

/// Something that unwraps a file key.
pub(crate) type Unwrapper = Box<dyn age::Identity + Send + Sync>;

const MAX_FILE_BYTES: u64 = 1 << 20;

/// Identities read from files, in the order in which they are tried: plugins last, since they may want a
/// hand on a hardware key.
pub struct Identities {
    unwrappers: Vec<Unwrapper>,
}

impl Identities {
    /// Reads every identity of every file. A pipe (`/dev/fd/N`) is as good as a file.
    ///
    /// # Errors
    /// `seal.no_identities`, `seal.identity_file`, `seal.identity_encrypted`, `seal.plugin`.
    pub fn from_files(paths: &[PathBuf]) -> Result<Self, SealError> {
        if paths.is_empty() {
            return Err(SealError::NoIdentities);
        }
        let mut unwrappers = Vec::new();
        let mut plugin = Vec::new();
        for path in paths {
            let text = read_text(path)?;
            if text.contains("-----BEGIN ") || text.starts_with("age-encryption.org/") {
                unwrappers.push(parse_armored(path, &text)?);
            } else {
                parse_lines(path, &text, &mut unwrappers, &mut plugin)?;
            }
        }
        unwrappers.extend(plugin_unwrappers(&plugin)?);
        Ok(Self { unwrappers })
    }

    pub(crate) fn unwrappers(&self) -> &[Unwrapper] {
        &self.unwrappers
    }
}

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identities").field("count", &self.unwrappers.len()).finish_non_exhaustive()
    }
}

/// Makes a new X25519 identity: the secret key, and the recipient that belongs to it.
#[must_use]
pub fn generate_identity() -> (SecretString, String) {
    let identity = age::x25519::Identity::generate();
    (identity.to_string(), identity.to_public().to_string())
}

fn file_error(path: &Path, reason: impl Into<String>) -> SealError {
    SealError::IdentityFile { path: path.to_path_buf(), reason: reason.into() }
}

fn read_text(path: &Path) -> Result<Zeroizing<String>, SealError> {
    let unreadable = |error: std::io::Error| file_error(path, format!("cannot be read: {error}"));
    let file = File::open(path).map_err(unreadable)?;
    // Room for the largest file from the start: a growing buffer would leave copies of secrets behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(MAX_FILE_BYTES + 1).unwrap_or(0)));
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(file_error(path, "is larger than 1 MiB, so it is no identity file"));
    }
    // An encrypted age file is binary behind its first lines; those are all that is looked at.
    if bytes.starts_with(b"age-encryption.org/") {
        return Ok(Zeroizing::new("age-encryption.org/".into()));
    }
    match std::str::from_utf8(&bytes) {
        Ok(text) => Ok(Zeroizing::new(text.to_owned())),
        Err(_) => Err(file_error(path, "is not text; expected an age identity file or an SSH private key")),
    }
}

fn parse_lines(
    path: &Path,
    text: &str,
    native: &mut Vec<Unwrapper>,
    plugin: &mut Vec<age::plugin::Identity>,
) -> Result<(), SealError> {
    let before = native.len() + plugin.len();
    for (index, line) in text.lines().map(str::trim).enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Ok(identity) = line.parse::<age::x25519::Identity>() {
            native.push(Box::new(identity));
        } else if let Ok(identity) = line.parse::<age::plugin::Identity>() {
            plugin.push(identity);
        } else {
            return Err(file_error(path, format!("line {}: {}", index + 1, line_fault(line))));
        }
    }
    if native.len() + plugin.len() == before {
        return Err(file_error(
            path,
            "holds no identity; expected a line AGE-SECRET-KEY-1... or an SSH private key",
        ));
    }
    Ok(())
}

fn line_fault(line: &str) -> &'static str {
    let upper = line.to_ascii_uppercase();
    if upper.starts_with("AGE-SECRET-KEY-PQ-") {
        "post-quantum identities are not supported; decrypt the parts with stock age instead"
    } else if upper.starts_with("AGE-SECRET-KEY-") || upper.starts_with("AGE-PLUGIN-") {
        "the identity is damaged (its checksum does not fit); a letter may be wrong or missing"
    } else if upper.starts_with("AGE1") || upper.starts_with("SSH-") {
        "this is a public recipient; to decrypt, the secret identity that belongs to it is needed"
    } else {
        "expected AGE-SECRET-KEY-1..., AGE-PLUGIN-..., a # comment or an SSH private key"
    }
}

fn parse_armored(path: &Path, text: &str) -> Result<Unwrapper, SealError> {
    let shown = path.display();
    if text.starts_with("age-encryption.org/") || text.contains("-----BEGIN AGE ENCRYPTED FILE-----") {
        let advice = format!("(umask 077; age --decrypt --output /dev/shm/identity '{shown}')");
        return Err(SealError::IdentityEncrypted { path: path.to_path_buf(), advice });
    }
    let encrypted = || {
        let copy = "/dev/shm/identity";
        let advice = format!("(umask 077; cp '{shown}' {copy} && ssh-keygen -p -N '' -f {copy})");
        SealError::IdentityEncrypted { path: path.to_path_buf(), advice }
    };
    // The parser wants a line end behind the last line, editors do not always leave one.
    let ended = Zeroizing::new(format!("{}\n", text.trim()));
    let identity = age::ssh::Identity::from_buffer(ended.as_bytes(), None).map_err(|_| {
        let advice = "is no SSH private key that age can read; `ssh-keygen -p -f COPY` rewrites most keys in the \
                      format it reads (use a copy)";
        file_error(path, advice)
    })?;
    match &identity {
        age::ssh::Identity::Unencrypted(_) => Ok(Box::new(identity)),
        age::ssh::Identity::Encrypted(_)
        | age::ssh::Identity::Unsupported(UnsupportedKey::EncryptedPem | UnsupportedKey::EncryptedSsh(_)) => {
            Err(encrypted())
        }
        age::ssh::Identity::Unsupported(UnsupportedKey::Hardware(kind) | UnsupportedKey::Type(kind)) => Err(
            file_error(path, format!("is an SSH key of type {kind}, which age cannot use for decryption")),
        ),
    }
}

fn plugin_unwrappers(identities: &[age::plugin::Identity]) -> Result<Vec<Unwrapper>, SealError> {
    let mut names: Vec<&str> = identities.iter().map(age::plugin::Identity::plugin).collect();
    names.sort_unstable();
    names.dedup();
    names
        .into_iter()
        .map(|name| match IdentityPluginV1::new(name, identities, NoCallbacks) {
            Ok(plugin) => Ok(Box::new(plugin) as Unwrapper),
            Err(error) => Err(header::plugin_missing(&error)),
        })
        .collect()
}
