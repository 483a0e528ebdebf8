//! The one error type of this crate. Every text says what failed, on what, why and what to do; none holds
//! key material: recipients are shortened, identity files are named by path and line.

use std::path::PathBuf;

/// Why sealing or opening did not work. [`SealError::code`] is stable, the texts are for people.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// One recipient line is not a recipient that can be encrypted to.
    #[error("recipient {shown:?} cannot be used: {reason}")]
    BadRecipient {
        /// The line, shortened; replaced where it looks like a secret key.
        shown: String,
        /// What is wrong and what to write instead.
        reason: String,
    },
    /// The recipients exclude each other or are too many for one header.
    #[error("these recipients cannot be used together: {reason}")]
    RecipientSet {
        /// Why, and what to change.
        reason: String,
    },
    /// Nothing to encrypt to.
    #[error(
        "no recipient is given, so nothing can be encrypted: name at least one (age1..., ssh-ed25519 ...)"
    )]
    NoRecipients,
    /// No identity file was named.
    #[error("no identity is given, so nothing can be decrypted: name the file that holds the secret key")]
    NoIdentities,
    /// An identity file cannot be read or does not hold an identity.
    #[error("identity file {}: {reason}", path.display())]
    IdentityFile {
        /// The file as it was named.
        path: PathBuf,
        /// Why (with the line, never its content) and what to do.
        reason: String,
    },
    /// An identity file that needs a passphrase; this program never asks for one.
    #[error("identity file {} is protected by a passphrase; decrypt it first: {advice}", path.display())]
    IdentityEncrypted {
        /// The file as it was named.
        path: PathBuf,
        /// The command that makes a usable copy.
        advice: String,
    },
    /// The header is whole, but none of the identities opens it.
    #[error(
        "none of the given identities opens this age file: it was made for other recipients (or the header \
         line for this one is damaged); give the identity that belongs to a recipient of this backup"
    )]
    WrongIdentity,
    /// The bytes are no age file of a known version.
    #[error("not an age file: {reason}")]
    NotAge {
        /// What was found.
        reason: String,
    },
    /// The given bytes end inside the header: call again with more of the file. If there is no more, the
    /// file was cut short.
    #[error("the age file ends inside its header: it was cut short")]
    NeedMore,
    /// The header is an age header, but damaged.
    #[error(
        "the age header is damaged (its checksum or a recipient line does not fit); fetch the object anew"
    )]
    CorruptHeader,
    /// A chunk of the payload is damaged: changed, moved, or its tail is missing.
    #[error(
        "chunk {chunk} of the age payload is damaged (changed, out of place or cut); fetch the object anew"
    )]
    Corrupt {
        /// Index of the first bad chunk of 64 KiB, from 0.
        chunk: u64,
    },
    /// The payload ends where more must follow.
    #[error("the age payload ends early: chunk {chunk} is missing or incomplete; fetch the object anew")]
    Truncated {
        /// Index of the first chunk that is not whole, from 0.
        chunk: u64,
    },
    /// A plugin is missing or refused.
    #[error("age plugin {plugin}: {reason}")]
    Plugin {
        /// Name of its program, `age-plugin-...`.
        plugin: String,
        /// What it said, or what to install.
        reason: String,
    },
    /// The system's OpenSSL does not offer the cipher of age payloads, as where it is held to FIPS rules.
    #[error(
        "this system's OpenSSL refuses ChaCha20-Poly1305, the cipher of every age file ({reason}); it may be \
         held to FIPS rules: let OPENSSL_CONF name a configuration that allows the default provider"
    )]
    CipherRefused {
        /// What OpenSSL said.
        reason: String,
    },
    /// The caller laid its buffer out wrongly or used a counter twice: a defect of this program. Nothing
    /// was sealed.
    #[error("internal error: {reason}; nothing was sealed or opened, please report this")]
    Layout {
        /// Which rule was broken.
        reason: &'static str,
    },
    /// A cryptographic library did what it never should.
    #[error("internal error: {operation} failed; nothing was sealed or opened, please report this")]
    Library {
        /// What was being done.
        operation: &'static str,
    },
}

impl SealError {
    /// Every code that [`SealError::code`] can return.
    pub const CODES: &'static [&'static str] = &[
        "seal.bad_recipient",
        "seal.recipient_set",
        "seal.no_recipients",
        "seal.no_identities",
        "seal.identity_file",
        "seal.identity_encrypted",
        "seal.wrong_identity",
        "seal.not_age",
        "seal.need_more",
        "seal.corrupt_header",
        "seal.corrupt",
        "seal.truncated",
        "seal.plugin",
        "seal.cipher_refused",
        "seal.layout",
        "seal.library",
    ];

    /// The stable code of this error, `seal.<kind>`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::BadRecipient { .. } => "seal.bad_recipient",
            Self::RecipientSet { .. } => "seal.recipient_set",
            Self::NoRecipients => "seal.no_recipients",
            Self::NoIdentities => "seal.no_identities",
            Self::IdentityFile { .. } => "seal.identity_file",
            Self::IdentityEncrypted { .. } => "seal.identity_encrypted",
            Self::WrongIdentity => "seal.wrong_identity",
            Self::NotAge { .. } => "seal.not_age",
            Self::NeedMore => "seal.need_more",
            Self::CorruptHeader => "seal.corrupt_header",
            Self::Corrupt { .. } => "seal.corrupt",
            Self::Truncated { .. } => "seal.truncated",
            Self::Plugin { .. } => "seal.plugin",
            Self::CipherRefused { .. } => "seal.cipher_refused",
            Self::Layout { .. } => "seal.layout",
            Self::Library { .. } => "seal.library",
        }
    }
}
