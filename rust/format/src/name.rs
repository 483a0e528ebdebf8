//! Names as key components: readable, safe on every store, one spelling each, never ambiguous.
//!
//! `~` and `@` never appear in an encoded name, so the format can use them as marks of its own.

use std::fmt::Write as _;

use crate::FormatError;

/// No encoded component is longer, in bytes; longer ones become a prefix and a hash.
pub const MAX_COMPONENT_BYTES: usize = 200;
const KEPT_BYTES: usize = 160;
const HASH_DIGITS: usize = 32;

/// Encodes one name (between two slashes) as a key component.
///
/// # Errors
/// [`FormatError::BadName`] for the empty name.
pub fn encode_component(name: &str) -> Result<String, FormatError> {
    if name.is_empty() {
        return Err(refuse("name", name, "it is empty"));
    }
    let full = percent_encode(name.as_bytes());
    if full.len() <= MAX_COMPONENT_BYTES {
        return Ok(full);
    }
    let mut encoded = full[..whole_escapes(&full, KEPT_BYTES)].to_owned();
    encoded.push('~');
    encoded.push_str(&blake3::hash(name.as_bytes()).to_hex()[..HASH_DIGITS]);
    Ok(encoded)
}

/// Gives the true name back, or `None` if the component is a prefix and a hash (the manifest has the true name).
///
/// # Errors
/// [`FormatError::BadName`] for what [`encode_component`] cannot have made.
pub fn decode_component(encoded: &str) -> Result<Option<String>, FormatError> {
    if let Some((prefix, hash)) = encoded.split_once('~') {
        return check_hashed(prefix, hash).map(|()| None).ok_or_else(|| {
            refuse(
                "component",
                encoded,
                "it has a ~ but is not a name's first 160 bytes, ~ and 32 hex digits",
            )
        });
    }
    let bytes = percent_decode(encoded);
    let name = bytes.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
    if encode_component(&name).is_ok_and(|again| again == encoded) {
        return Ok(Some(name));
    }
    Err(refuse("component", encoded, "it is not the spelling that encoding a name gives"))
}

fn percent_encode(name: &[u8]) -> String {
    let mut encoded = String::with_capacity(name.len());
    let dots = name == b"." || name == b"..";
    for byte in name {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' => encoded.push(char::from(*byte)),
            b'.' if !dots => encoded.push('.'),
            // Writing to a String cannot fail.
            _ => drop(write!(encoded, "%{byte:02X}")),
        }
    }
    encoded
}

fn percent_decode(encoded: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        if *first == b'%' {
            let digits = std::str::from_utf8(tail.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &tail[2..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    Some(bytes)
}

/// The longest length up to `limit` that cuts no `%XX` in two.
fn whole_escapes(encoded: &str, limit: usize) -> usize {
    let head = &encoded.as_bytes()[..limit];
    (1..=2).find(|back| head[limit - back] == b'%').map_or(limit, |back| limit - back)
}

fn check_hashed(prefix: &str, hash: &str) -> Option<()> {
    let lower_hex = |digit: u8| digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit);
    let hash_fits = hash.len() == HASH_DIGITS && hash.bytes().all(lower_hex);
    let length_fits = (KEPT_BYTES - 2..=KEPT_BYTES).contains(&prefix.len());
    let spelling_fits = percent_encode(&percent_decode(prefix)?) == prefix;
    (hash_fits && length_fits && spelling_fits).then_some(())
}

fn refuse(what: &'static str, name: &str, why: &'static str) -> FormatError {
    FormatError::BadName { what, name: name.to_owned(), why }
}
