//! The report, as plain structures. With the feature `serde` they can be serialised.

/// What a file of send streams holds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Inspection {
    /// Bytes read: all there are, or up to where the file is damaged.
    pub bytes: u64,
    /// Whether the file is whole.
    pub verdict: Verdict,
    /// The package around the streams of a compound stream.
    pub package: Option<StreamReport>,
    /// The streams, one a snapshot, in the order of the file.
    pub streams: Vec<StreamReport>,
    /// Streams that were read but of which only their number is kept.
    pub streams_left_out: u64,
}

/// Whether a file is whole.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(tag = "state", rename_all = "snake_case"))]
pub enum Verdict {
    /// Up to its last END, with every checksum right.
    Whole,
    /// It stops before its last END; what is there is right.
    Truncated {
        /// Bytes there are.
        at: u64,
        /// `stream.truncated`.
        code: &'static str,
    },
    /// Damaged, or no send stream.
    Corrupt {
        /// Where it shows: the offset of the record in hand.
        at: u64,
        /// That record's number in the file, from 0.
        record_number: u64,
        /// The error's stable code.
        code: &'static str,
        /// The error in words.
        reason: String,
    },
}

/// What one stream holds, as far as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct StreamReport {
    /// Offset of its BEGIN in the file.
    pub at: u64,
    /// Its bytes, BEGIN to END.
    pub bytes: u64,
    /// Whether its END was reached with every checksum right.
    pub whole: bool,
    /// `pool/dataset@snapshot`.
    pub to_name: String,
    /// Guid of the snapshot.
    pub to_guid: u64,
    /// Guid of what it stands on; none in a full stream.
    pub from_guid: Option<u64>,
    /// When the snapshot was made, in seconds since 1970.
    pub creation_unix_seconds: u64,
    /// `filesystem`, `volume`, or `package` around other streams.
    pub objset: &'static str,
    /// `little` or `big`.
    pub byte_order: &'static str,
    /// Names of the features in use.
    pub features: Vec<&'static str>,
    /// Feature bits that have no name here.
    pub unknown_feature_bits: u32,
    /// Names of the flags set: `clone`, `case_insensitive`, `free_records`, `spill_blocks`.
    pub flags: Vec<&'static str>,
    /// Flag bits that have no name here.
    pub unknown_flag_bits: u32,
    /// Every kind of record that is there.
    pub records: Vec<KindReport>,
    /// Objects announced.
    pub objects: u64,
    /// The highest object announced.
    pub highest_object: u64,
    /// Places where the stream may be cut and gone on with.
    pub borders: u64,
    /// Records that carry sums of their own; an old sender gives none but END's.
    pub records_with_checksum: u64,
    /// The sums that END carries of all before it.
    pub end_checksum: Option<[u64; 4]>,
    /// Where a resumed stream goes on.
    pub resumes_at: Option<ResumePlace>,
}

/// Where a resumed stream goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct ResumePlace {
    /// The object.
    pub object: u64,
    /// Where in it, in bytes.
    pub offset: u64,
}

/// The records of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct KindReport {
    /// [`crate::RecordKind::name`].
    pub kind: &'static str,
    /// How many.
    pub records: u64,
    /// Their bytes, headers included.
    pub bytes: u64,
    /// Their payload announced in headers, in bytes.
    pub payload_bytes: u64,
    /// Bytes of objects they stand for, before compression; frees to an object's end not counted.
    pub logical_bytes: u64,
}
