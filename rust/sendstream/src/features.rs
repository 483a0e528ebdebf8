//! The feature flags of a send stream: what its sender used and its receiver must know.
//!
//! Source: the `DMU_BACKUP_FEATURE_*` bits in OpenZFS `include/sys/zfs_ioctl.h`. Bits that have no
//! name here are reported, not refused: payload lengths and checksums prove a stream without them.

use std::fmt;

/// One feature of a send stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Feature {
    /// Deduplicated stream (`send -D`): `WRITE_BYREF` records point back into earlier data.
    Dedup,
    /// Like [`Feature::Dedup`], the checksum of the key is stored with its properties.
    DedupProps,
    /// System attributes may live in spill blocks.
    SaSpill,
    /// Small blocks are embedded in their block pointer (`send -e`).
    EmbedData,
    /// Payloads may be LZ4-compressed.
    Lz4,
    /// Blocks larger than 128 KiB are sent whole (`send -L`).
    LargeBlocks,
    /// A resumed stream (`send -t`): it starts in the middle.
    Resuming,
    /// A redacted stream (`send --redact`).
    Redacted,
    /// Blocks are sent as compressed on disk (`send -c`).
    Compressed,
    /// Dnodes may be larger than 512 bytes.
    LargeDnode,
    /// Blocks are sent as encrypted on disk (`send -w`).
    Raw,
    /// Payloads may be Zstandard-compressed.
    Zstd,
    /// The stream carries user holds (`send -h`).
    Holds,
    /// The receiver may switch the dataset to large blocks.
    SwitchToLargeBlocks,
    /// File names longer than 255 bytes.
    LongNames,
    /// Micro ZAPs larger than 128 KiB.
    LargeMicroZap,
}

impl Feature {
    /// Every feature that has a name, by bit.
    pub const ALL: [Self; 16] = [
        Self::Dedup,
        Self::DedupProps,
        Self::SaSpill,
        Self::EmbedData,
        Self::Lz4,
        Self::LargeBlocks,
        Self::Resuming,
        Self::Redacted,
        Self::Compressed,
        Self::LargeDnode,
        Self::Raw,
        Self::Zstd,
        Self::Holds,
        Self::SwitchToLargeBlocks,
        Self::LongNames,
        Self::LargeMicroZap,
    ];

    const fn describe(self) -> (u32, &'static str) {
        match self {
            Self::Dedup => (0, "dedup"),
            Self::DedupProps => (1, "dedup_props"),
            Self::SaSpill => (2, "sa_spill"),
            Self::EmbedData => (16, "embed_data"),
            Self::Lz4 => (17, "lz4"),
            Self::LargeBlocks => (19, "large_blocks"),
            Self::Resuming => (20, "resuming"),
            Self::Redacted => (21, "redacted"),
            Self::Compressed => (22, "compressed"),
            Self::LargeDnode => (23, "large_dnode"),
            Self::Raw => (24, "raw"),
            Self::Zstd => (25, "zstd"),
            Self::Holds => (26, "holds"),
            Self::SwitchToLargeBlocks => (27, "switch_to_large_blocks"),
            Self::LongNames => (28, "long_names"),
            Self::LargeMicroZap => (29, "large_micro_zap"),
        }
    }

    /// The mask of this feature's bit.
    #[must_use]
    pub const fn bit(self) -> u32 {
        1 << self.describe().0
    }

    /// A stable lower-case name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.describe().1
    }
}

/// The features of a stream, as BEGIN announces them (30 bits).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Features(u32);

impl Features {
    /// Features from their bits.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// The bits as they stand in the stream, bit 0 first.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Whether `feature` is used.
    #[must_use]
    pub const fn has(self, feature: Feature) -> bool {
        self.0 & feature.bit() != 0
    }

    /// The named features in use, lowest bit first.
    pub fn iter(self) -> impl Iterator<Item = Feature> {
        Feature::ALL.into_iter().filter(move |feature| self.has(*feature))
    }

    /// The bits that have no name here: a sender newer than this crate.
    #[must_use]
    pub fn unknown_bits(self) -> u32 {
        Feature::ALL.into_iter().fold(self.0, |bits, feature| bits & !feature.bit())
    }
}

impl fmt::Display for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for feature in self.iter() {
            write!(f, "{separator}{}", feature.name())?;
            separator = ",";
        }
        match self.unknown_bits() {
            0 => Ok(()),
            bits => write!(f, "{separator}unknown({bits:#x})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_names_and_leftovers() {
        let features = Features::from_bits(Feature::Raw.bit() | Feature::Dedup.bit() | 1 << 18);
        assert!(features.has(Feature::Raw) && !features.has(Feature::Zstd));
        assert_eq!(features.unknown_bits(), 1 << 18);
        assert_eq!(features.to_string(), "dedup,raw,unknown(0x40000)");
    }

    #[test]
    fn every_feature_has_its_own_bit() {
        let all = Feature::ALL.iter().fold(0, |bits, feature| bits | feature.bit());
        assert_eq!(all.count_ones() as usize, Feature::ALL.len());
        assert_eq!(Features::from_bits(all).iter().collect::<Vec<_>>(), Feature::ALL);
    }
}
