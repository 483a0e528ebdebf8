//! Name-value lists in native encoding, as resume tokens and the payload of BEGIN hold them.
//!
//! Layout (OpenZFS `module/nvpair/nvpair.c`, native operations): bytes encoding 0, byte order, two
//! spare; version i32 0; flags u32; pairs; i32 0. A pair: size i32, name length i16 with its NUL, i16
//! spare, element count i32, type i32, the name padded so that 16 + name is a multiple of 8, the
//! value padded to 8. The pairs of a list within a list follow its pair, closed by an i32 0 of their own;
//! its version and flags stand in the pair.

mod decode;
mod encode;

/// A list of named values, in the order of the bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NvList(pub Vec<(String, NvValue)>);

/// A value in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum NvValue {
    /// Type 1: says something by being there.
    Boolean,
    /// Type 8.
    Uint64(u64),
    /// Type 9.
    String(String),
    /// Type 16.
    Uint64Array(Vec<u64>),
    /// Type 19.
    List(NvList),
    /// Type 20.
    Lists(Vec<NvList>),
    /// Any other type, its bytes as they came.
    Other {
        /// `data_type_t` of OpenZFS `include/sys/nvpair.h`.
        type_number: u32,
        /// How many elements the value has.
        count: usize,
        /// The value without the lists in it, padded to 8, in the byte order of the encoding.
        bytes: Vec<u8>,
    },
}

/// Why bytes are no list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NvListError {
    /// The first byte says another encoding; 1 is XDR, which packages (`-R`) use.
    #[error("the list is in encoding {encoding}, not in the native one (0)")]
    Encoding {
        /// The encoding found.
        encoding: u8,
    },
    /// The second byte is neither 0 (big-endian) nor 1 (little-endian).
    #[error("the list has the unknown byte order {order}")]
    ByteOrder {
        /// The byte order found.
        order: u8,
    },
    /// Another version than 0.
    #[error("the list has the unknown version {version}")]
    Version {
        /// The version found.
        version: u32,
    },
    /// The bytes stop inside the list.
    #[error("the list is cut off after {at} bytes")]
    Truncated {
        /// Bytes there were.
        at: usize,
    },
    /// A pair whose sizes contradict each other.
    #[error("the pair at byte {at} of the list has impossible sizes")]
    BadPair {
        /// Offset of the pair.
        at: usize,
    },
    /// A name or text that is not UTF-8 closed by its first NUL.
    #[error("the pair at byte {at} of the list has a name or text that is none")]
    BadText {
        /// Offset of the pair.
        at: usize,
    },
    /// Lists in lists in lists, deeper than any ZFS makes them.
    #[error("the list holds lists nested more than {MAX_DEPTH} deep")]
    TooDeep,
    /// Something follows the list.
    #[error("{length} bytes follow the list")]
    BytesAfterEnd {
        /// How many.
        length: usize,
    },
}

/// The deepest nesting that is read; what ZFS sends has 4 levels.
pub(crate) const MAX_DEPTH: usize = 16;

impl NvList {
    /// The first value of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&NvValue> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// The first value of that name, if it is a number.
    #[must_use]
    pub fn uint64(&self, name: &str) -> Option<u64> {
        match self.get(name) {
            Some(NvValue::Uint64(number)) => Some(*number),
            _ => None,
        }
    }
}
