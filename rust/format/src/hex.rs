//! Fixed-length byte strings that are written as lower-case hex: nonces, ids, hashes.
//!
//! One spelling each: upper case or another length is refused, so that equal things have equal keys.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::FormatError;

/// `N` bytes, written as `2 * N` lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hex<const N: usize>([u8; N]);

/// Names one backup within its dataset; a child points at its parent by it.
pub type Nonce = Hex<6>;
/// Names one attempt at one part, so that no attempt can overwrite another.
pub type AttemptNonce = Hex<4>;
/// Names a repository.
pub type RepositoryId = Hex<16>;
/// Ties together the backups of one atomic recursive snapshot.
pub type TreeGroup = Hex<8>;
/// A BLAKE3 digest of sealed bytes.
pub type Blake3Hash = Hex<32>;

impl<const N: usize> Hex<N> {
    /// Wraps bytes as they are.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; N]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; N] {
        &self.0
    }

    /// Fresh random bytes of the operating system.
    ///
    /// # Errors
    /// [`FormatError::Random`] if it has none to give.
    pub fn random() -> Result<Self, FormatError> {
        let mut bytes = [0; N];
        getrandom::fill(&mut bytes).map_err(|cause| FormatError::Random { cause: cause.to_string() })?;
        Ok(Self(bytes))
    }
}

impl<const N: usize> fmt::Display for Hex<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl<const N: usize> fmt::Debug for Hex<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<const N: usize> FromStr for Hex<N> {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        let refuse = |why| FormatError::BadText { what: "a hex value", text: text.to_owned(), why };
        if text.len() != 2 * N {
            return Err(refuse("it has another length"));
        }
        let mut bytes = [0; N];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let digits = (hex_digit(pair[0]), hex_digit(pair[1]));
            let (Some(high), Some(low)) = digits else {
                return Err(refuse("it has characters other than 0-9 and a-f"));
            };
            *byte = high << 4 | low;
        }
        Ok(Self(bytes))
    }
}

const fn hex_digit(character: u8) -> Option<u8> {
    match character {
        b'0'..=b'9' => Some(character - b'0'),
        b'a'..=b'f' => Some(character - b'a' + 10),
        _ => None,
    }
}

impl<const N: usize> Serialize for Hex<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, const N: usize> Deserialize<'de> for Hex<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::gate::from_text(deserializer)
    }
}
