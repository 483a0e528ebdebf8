//! From a list to the bytes that a little-endian ZFS would write.

use super::{NvList, NvValue};

/// Native encoding, little-endian, two spare bytes.
const HEAD: [u8; 4] = [0, 1, 0, 0];
/// `NV_UNIQUE_NAME`, as every list that ZFS packs has it.
const FLAGS: u32 = 1;
/// What a list has in its pair: its version, its flags, and a structure's room for pointers.
const LIST_IN_PAIR: [u8; 24] = [0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
const POINTER_BYTES: usize = 8;

impl NvList {
    /// Encodes the list.
    ///
    /// Names longer than 32 KiB and texts with a NUL have no encoding; they are cut off there.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = HEAD.to_vec();
        bytes.extend(0_u32.to_le_bytes());
        bytes.extend(FLAGS.to_le_bytes());
        put_pairs(&mut bytes, self);
        bytes
    }
}

fn put_pairs(bytes: &mut Vec<u8>, list: &NvList) {
    for (name, value) in &list.0 {
        put_pair(bytes, name, value);
    }
    bytes.extend(0_u32.to_le_bytes());
}

fn put_pair(bytes: &mut Vec<u8>, name: &str, value: &NvValue) {
    let name = closed(name, i16::MAX.unsigned_abs());
    let (type_number, count, value_bytes) = value_of(value);
    let name_len = u16::try_from(name.len()).unwrap_or_default();
    let before_value = (16 + name.len()).next_multiple_of(8);
    let size = before_value + value_bytes.len().next_multiple_of(8);
    let start = bytes.len();
    bytes.extend(u32::try_from(size).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend(name_len.to_le_bytes());
    bytes.extend([0; 2]);
    bytes.extend(u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend(type_number.to_le_bytes());
    bytes.extend(name);
    bytes.resize(start + before_value, 0);
    bytes.extend(value_bytes);
    bytes.resize(start + size, 0);
    match value {
        NvValue::List(list) => put_pairs(bytes, list),
        NvValue::Lists(lists) => lists.iter().for_each(|list| put_pairs(bytes, list)),
        _ => {}
    }
}

/// Type, element count and bytes of a value.
fn value_of(value: &NvValue) -> (u32, usize, Vec<u8>) {
    match value {
        NvValue::Boolean => (1, 0, Vec::new()),
        NvValue::Uint64(number) => (8, 1, number.to_le_bytes().to_vec()),
        NvValue::String(text) => (9, 1, closed(text, u16::MAX)),
        NvValue::Uint64Array(numbers) => {
            (16, numbers.len(), numbers.iter().flat_map(|number| number.to_le_bytes()).collect())
        }
        NvValue::List(_) => (19, 1, LIST_IN_PAIR.to_vec()),
        NvValue::Lists(lists) => {
            let pointers = vec![0; lists.len() * POINTER_BYTES];
            (20, lists.len(), [pointers, LIST_IN_PAIR.repeat(lists.len())].concat())
        }
        NvValue::Other { type_number, count, bytes } => (*type_number, *count, bytes.clone()),
    }
}

/// The text up to its first NUL, with one, in at most `most` bytes.
fn closed(text: &str, most: u16) -> Vec<u8> {
    let before_nul = text.bytes().take_while(|byte| *byte != 0);
    before_nul.take(usize::from(most) - 1).chain([0]).collect()
}
