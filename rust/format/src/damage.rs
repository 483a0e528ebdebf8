//! How a document can contradict itself or its key: one variant a kind, so that tests and callers can tell them apart.

/// How a document contradicts itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// A backup without parts.
    #[error("it lists no parts")]
    NoParts,
    /// A backup sealed for nobody.
    #[error("it names no recipients, so its parts could not have been sealed")]
    NoRecipients,
    /// Bytes between two parts are missing.
    #[error(
        "part {number} starts at stream byte {found}, the one before ends at {expected}: bytes are missing"
    )]
    Gap {
        /// The later part.
        number: u32,
        /// Where it should start.
        expected: u64,
        /// Where it starts.
        found: u64,
    },
    /// Two parts hold the same bytes.
    #[error("part {number} starts at stream byte {found}, the one before ends at {expected}: they overlap")]
    Overlap {
        /// The later part.
        number: u32,
        /// Where it should start.
        expected: u64,
        /// Where it starts.
        found: u64,
    },
    /// Part numbers do not ascend.
    #[error("part {number} comes after part {after}")]
    WrongOrder {
        /// The later part's number.
        number: u32,
        /// The earlier part's number.
        after: u32,
    },
    /// A length that cannot be zero is.
    #[error("{what} has length 0")]
    ZeroLength {
        /// The thing without length.
        what: String,
    },
    /// An offset plus a length does not fit 64 bits.
    #[error("part {number} ends beyond what 64 bits can count")]
    Overflow {
        /// The part.
        number: u32,
    },
    /// The parts hold another number of bytes than stated.
    #[error("its parts hold {found} stream bytes, it states {stated}")]
    StreamLength {
        /// Sum over the parts.
        found: u64,
        /// As stated.
        stated: u64,
    },
    /// A key that is not one of this backup's own.
    #[error("the key {key:?} of {what} is not one of this backup's own ({expected})")]
    ForeignKey {
        /// What the key should be of.
        what: String,
        /// The key as found.
        key: String,
        /// What it should look like.
        expected: String,
    },
    /// A compressed part in a backup that states no compression.
    #[error("part {number} is compressed, the backup states that it is not")]
    UnstatedCompression {
        /// The part.
        number: u32,
    },
    /// A full that stands on something.
    #[error("it is a full (level 0) but names a parent")]
    FullWithParent,
    /// An incremental that stands on nothing.
    #[error("it is an incremental (level {level}) but names no parent")]
    NoParent {
        /// Its level.
        level: u32,
    },
    /// An incremental on something of its own level or above.
    #[error("it is of level {level} but stands on level {parent}")]
    ParentLevel {
        /// Its level.
        level: u32,
        /// Its parent's level.
        parent: u32,
    },
    /// A field says something else than the id or key.
    #[error("its {field} is {found:?}, but {against} says {expected:?}")]
    Mismatch {
        /// The field.
        field: &'static str,
        /// Its value.
        found: String,
        /// What contradicts it.
        against: &'static str,
        /// What that says.
        expected: String,
    },
    /// A field whose value cannot be.
    #[error("its {field} {value:?} cannot be: {why}")]
    BadField {
        /// The field.
        field: &'static str,
        /// Its value.
        value: String,
        /// The rule that it breaks.
        why: String,
    },
}
