//! The outside of a token: its four parts, hexadecimal, sum and compression.
//!
//! zlib itself compresses, because OpenZFS compares nothing but people do: a token made here is byte
//! for byte the one that OpenZFS makes. Other implementations of DEFLATE choose other matches.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::TokenError;
use crate::{ByteOrder, Fletcher4};

/// Far more than a name and eight thousand redaction snapshots need.
const MOST_BYTES: usize = 64 << 10;
/// What zlib adds at most (`compressBound`), roughly.
const MOST_COMPRESSED_BYTES: usize = MOST_BYTES + MOST_BYTES / 1000 + 64;
/// `get_receive_resume_token_impl` compresses with gzip level 6.
const LEVEL: u32 = 6;

/// The token that holds `list`.
pub(super) fn pack(list: &[u8]) -> Result<String, TokenError> {
    check_length(list.len() as u64, MOST_BYTES)?;
    let mut compressed = Vec::with_capacity(MOST_COMPRESSED_BYTES);
    let status = Compress::new(Compression::new(LEVEL), true).compress_vec(
        list,
        &mut compressed,
        FlushCompress::Finish,
    );
    if !matches!(status, Ok(Status::StreamEnd)) {
        return Err(TokenError::TooLong { length: list.len() as u64, most: MOST_BYTES as u64 });
    }
    let hex: String = compressed.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(digit).collect();
    Ok(format!("1-{:x}-{:x}-{hex}", sum(&compressed), list.len()))
}

/// The list in `token`, as bytes.
pub(super) fn unpack(token: &str) -> Result<Vec<u8>, TokenError> {
    let mut parts = token.split('-');
    let (Some(version), Some(given), Some(length), Some(hex), None) =
        (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(TokenError::NotAToken);
    };
    let (version, given, length) = (number(version)?, number(given)?, number(length)?);
    if version != 1 {
        return Err(TokenError::UnknownVersion { version });
    }
    check_length(length, MOST_BYTES)?;
    check_length(hex.len() as u64 / 2, MOST_COMPRESSED_BYTES)?;
    let compressed = bytes_of(hex)?;
    let found = sum(&compressed);
    if found != given {
        return Err(TokenError::ChecksumMismatch { given, found });
    }
    inflate(&compressed, length)
}

/// Memory is `length` bytes and one, whatever the compressed bytes say.
fn inflate(compressed: &[u8], length: u64) -> Result<Vec<u8>, TokenError> {
    let bad = TokenError::BadCompression { expected: length };
    let mut list = Vec::with_capacity(usize::try_from(length).unwrap_or_default() + 1);
    let mut zlib = Decompress::new(true);
    let status = zlib.decompress_vec(compressed, &mut list, FlushDecompress::Finish);
    let used_up = zlib.total_in() == compressed.len() as u64;
    if matches!(status, Ok(Status::StreamEnd)) && used_up && list.len() as u64 == length {
        Ok(list)
    } else {
        Err(bad)
    }
}

/// The first sum over whole words; `update` keeps a tail back, as OpenZFS leaves it out.
fn sum(compressed: &[u8]) -> u64 {
    let mut sums = Fletcher4::new(ByteOrder::Little);
    sums.update(compressed);
    sums.value()[0]
}

fn check_length(length: u64, most: usize) -> Result<(), TokenError> {
    let most = most as u64;
    if length > most { Err(TokenError::TooLong { length, most }) } else { Ok(()) }
}

fn number(hex: &str) -> Result<u64, TokenError> {
    let digits_only = !hex.is_empty() && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    let parsed = digits_only.then(|| u64::from_str_radix(hex, 16).ok()).flatten();
    parsed.ok_or(TokenError::NotAToken)
}

fn bytes_of(hex: &str) -> Result<Vec<u8>, TokenError> {
    let (pairs, odd) = hex.as_bytes().as_chunks::<2>();
    if pairs.is_empty() || !odd.is_empty() {
        return Err(TokenError::NotAToken);
    }
    let value = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let byte = |[high, low]: &[u8; 2]| Some(value(*high)? << 4 | value(*low)?);
    pairs.iter().map(|pair| byte(pair).ok_or(TokenError::NotAToken)).collect()
}

fn digit(value: u8) -> char {
    char::from_digit(u32::from(value), 16).unwrap_or('0')
}
