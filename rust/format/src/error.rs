//! Everything that can be wrong with a store's names and documents.
//!
//! Messages say what is wrong, with which thing, and what to do; the caller adds the key or file it was reading.

use crate::{BackupId, Damage, Nonce};

/// Why a name, key, document or chain was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// A source, dataset or component that cannot be a name here.
    #[error("{what} {name:?} cannot be used: {why}")]
    BadName {
        /// Kind of name.
        what: &'static str,
        /// The name as given.
        name: String,
        /// The rule that it breaks.
        why: &'static str,
    },
    /// A key that no version-1 writer makes.
    #[error(
        "the key {key:?} is not one of this format: {why}; if people put files here, move them elsewhere"
    )]
    BadKey {
        /// The key as found.
        key: String,
        /// The rule that it breaks.
        why: String,
    },
    /// Longer than object stores take.
    #[error("the key {key:?} has {bytes} bytes, stores take at most {max}: use a shorter dataset or source name", max = crate::MAX_KEY_BYTES)]
    KeyTooLong {
        /// The key.
        key: String,
        /// Its length in bytes.
        bytes: usize,
    },
    /// Text that is not a backup id, nonce, hash or guid.
    #[error("{text:?} is not {what}: {why}")]
    BadText {
        /// What it should have been.
        what: &'static str,
        /// The text as found.
        text: String,
        /// The rule that it breaks.
        why: &'static str,
    },
    /// A document that is not the JSON it should be.
    #[error("the {document} is unreadable: {cause}; fetch it again, and if it stays so it is damaged")]
    Unreadable {
        /// Kind of document.
        document: &'static str,
        /// What the JSON reader says.
        cause: String,
    },
    /// Written by a later version.
    #[error("the {document} has format {found}, this version reads up to {known}: upgrade zfs-push-backups", known = crate::FORMAT)]
    TooNew {
        /// Kind of document.
        document: &'static str,
        /// The format that it states.
        found: u64,
    },
    /// Needs features that this version does not know.
    #[error("the {document} requires {}, which this version does not know: upgrade zfs-push-backups", names.join(", "))]
    Requires {
        /// Kind of document.
        document: &'static str,
        /// The unknown names.
        names: Vec<String>,
    },
    /// A tombstone lies where a manifest would.
    #[error(
        "this backup was swept before it was committed (a tombstone lies in its manifest's place): ignore it"
    )]
    Tombstone,
    /// A document that contradicts itself or its key.
    #[error("the {document} is damaged: {damage}; do not restore from it")]
    Damaged {
        /// Kind of document.
        document: &'static str,
        /// What contradicts what.
        damage: Damage,
    },
    /// No backup in the list has this id.
    #[error("there is no backup {id} in the store")]
    UnknownBackup {
        /// The id looked for.
        id: BackupId,
    },
    /// Two places hold one id.
    #[error("the backup id {id} is claimed by {}: remove the one that is a copy", keys.join(" and "))]
    AmbiguousBackup {
        /// The id looked for.
        id: BackupId,
        /// The manifests that claim it.
        keys: Vec<String>,
    },
    /// A backup stands on one that is gone.
    #[error(
        "backup {backup} stands on a backup with nonce {parent}, and its manifest is missing: restore another chain"
    )]
    MissingParent {
        /// The backup that cannot be restored.
        backup: BackupId,
        /// The nonce of what it stands on.
        parent: Nonce,
    },
    /// Two backups could be the parent.
    #[error("backup {backup} stands on nonce {parent}, which {} share: compare the manifests' parent ids", keys.join(" and "))]
    AmbiguousParent {
        /// The backup in question.
        backup: BackupId,
        /// The nonce of what it stands on.
        parent: Nonce,
        /// The manifests that share it.
        keys: Vec<String>,
    },
    /// Following parents comes back to where it was.
    #[error("the parents of backup {backup} run in a circle: manifests were renamed or forged")]
    Cycle {
        /// The backup met twice.
        backup: BackupId,
    },
    /// Two manifests that follow each other do not fit.
    #[error(
        "backup {child} does not fit on {parent}: {why} differs; do not restore this chain past {parent}"
    )]
    BrokenLink {
        /// The later backup.
        child: BackupId,
        /// The earlier backup.
        parent: BackupId,
        /// The field that differs.
        why: &'static str,
    },
    /// The operating system gave no random bytes.
    #[error("no random bytes from the operating system: {cause}")]
    Random {
        /// What it says.
        cause: String,
    },
}

impl FormatError {
    /// A stable name of the kind of error, for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::BadName { .. } => "format.bad_name",
            Self::BadKey { .. } => "format.bad_key",
            Self::KeyTooLong { .. } => "format.key_too_long",
            Self::BadText { .. } => "format.bad_text",
            Self::Unreadable { .. } => "format.unreadable",
            Self::TooNew { .. } => "format.too_new",
            Self::Requires { .. } => "format.requires",
            Self::Tombstone => "format.tombstone",
            Self::Damaged { .. } => "format.damaged",
            Self::UnknownBackup { .. } => "format.unknown_backup",
            Self::AmbiguousBackup { .. } => "format.ambiguous_backup",
            Self::MissingParent { .. } => "format.missing_parent",
            Self::AmbiguousParent { .. } => "format.ambiguous_parent",
            Self::Cycle { .. } => "format.cycle",
            Self::BrokenLink { .. } => "format.broken_link",
            Self::Random { .. } => "format.random",
        }
    }

    /// Every code that [`code`](Self::code) can return.
    pub const CODES: &'static [&'static str] = &[
        "format.bad_name",
        "format.bad_key",
        "format.key_too_long",
        "format.bad_text",
        "format.unreadable",
        "format.too_new",
        "format.requires",
        "format.tombstone",
        "format.damaged",
        "format.unknown_backup",
        "format.ambiguous_backup",
        "format.missing_parent",
        "format.ambiguous_parent",
        "format.cycle",
        "format.broken_link",
        "format.random",
    ];
}
