//! From bytes to a list. The bytes may be anybody's: every length is checked before it is used, and
//! what is built is never larger than what was given, but for the fixed size of a pair.

use super::{MAX_DEPTH, NvList, NvListError, NvValue};
use crate::ByteOrder;

const PAIR_HEAD_BYTES: usize = 16;

impl NvList {
    /// Decodes a list that fills `bytes`.
    ///
    /// # Errors
    /// [`NvListError`] names what is wrong and where.
    pub fn decode(bytes: &[u8]) -> Result<Self, NvListError> {
        let mut reader = Reader { bytes, at: 0, order: ByteOrder::Little };
        let [encoding, order, _, _] = reader.array()?;
        if encoding != 0 {
            return Err(NvListError::Encoding { encoding });
        }
        reader.order = match order {
            0 => ByteOrder::Big,
            1 => ByteOrder::Little,
            order => return Err(NvListError::ByteOrder { order }),
        };
        let version = reader.u32()?;
        if version != 0 {
            return Err(NvListError::Version { version });
        }
        let _flags = reader.u32()?;
        let list = reader.pairs(0)?;
        match bytes.len() - reader.at {
            0 => Ok(list),
            length => Err(NvListError::BytesAfterEnd { length }),
        }
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    order: ByteOrder,
}

/// The fixed part of a pair.
struct PairHead {
    at: usize,
    size: usize,
    name_len: usize,
    count: usize,
    type_number: u32,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], NvListError> {
        let rest = &self.bytes[self.at..];
        let taken = rest.get(..length).ok_or(NvListError::Truncated { at: self.bytes.len() })?;
        self.at += length;
        Ok(taken)
    }

    fn array<const LEN: usize>(&mut self) -> Result<[u8; LEN], NvListError> {
        let taken = self.take(LEN)?;
        taken.first_chunk().copied().ok_or(NvListError::Truncated { at: self.bytes.len() })
    }

    fn u32(&mut self) -> Result<u32, NvListError> {
        let bytes = self.array()?;
        Ok(match self.order {
            ByteOrder::Little => u32::from_le_bytes(bytes),
            ByteOrder::Big => u32::from_be_bytes(bytes),
        })
    }

    fn u64_of(&self, bytes: [u8; 8]) -> u64 {
        match self.order {
            ByteOrder::Little => u64::from_le_bytes(bytes),
            ByteOrder::Big => u64::from_be_bytes(bytes),
        }
    }

    fn pairs(&mut self, depth: usize) -> Result<NvList, NvListError> {
        if depth == MAX_DEPTH {
            return Err(NvListError::TooDeep);
        }
        let mut pairs = Vec::new();
        loop {
            let at = self.at;
            let size = self.u32()?;
            if size == 0 {
                return Ok(NvList(pairs));
            }
            let head = self.pair_head(at, size)?;
            pairs.push(self.pair(&head, depth)?);
        }
    }

    fn pair_head(&mut self, at: usize, size: u32) -> Result<PairHead, NvListError> {
        let name: [u8; 4] = self.array()?;
        let name_len = match self.order {
            ByteOrder::Little => i16::from_le_bytes([name[0], name[1]]),
            ByteOrder::Big => i16::from_be_bytes([name[0], name[1]]),
        };
        let count = self.u32()?;
        let type_number = self.u32()?;
        let bad = NvListError::BadPair { at };
        let (Ok(name_len), Ok(size), Ok(count)) =
            (usize::try_from(name_len), usize::try_from(size), usize::try_from(count))
        else {
            return Err(bad);
        };
        if name_len == 0 || size % 8 != 0 || size < (PAIR_HEAD_BYTES + name_len).next_multiple_of(8) {
            return Err(bad);
        }
        Ok(PairHead { at, size, name_len, count, type_number })
    }

    fn pair(&mut self, head: &PairHead, depth: usize) -> Result<(String, NvValue), NvListError> {
        let padded_name_len = (PAIR_HEAD_BYTES + head.name_len).next_multiple_of(8) - PAIR_HEAD_BYTES;
        let name = self.take(padded_name_len)?;
        let name = text(&name[..head.name_len], head.at)?;
        let value = self.take(head.size - PAIR_HEAD_BYTES - padded_name_len)?;
        Ok((name, self.value(head, value, depth)?))
    }

    fn value(&mut self, head: &PairHead, value: &[u8], depth: usize) -> Result<NvValue, NvListError> {
        let bad = NvListError::BadPair { at: head.at };
        let numbers = value.as_chunks::<8>().0;
        match (head.type_number, head.count, numbers) {
            (1, 0, []) => Ok(NvValue::Boolean),
            (8, 1, [number]) => Ok(NvValue::Uint64(self.u64_of(*number))),
            (9, 1, _) => {
                let end = value.iter().position(|byte| *byte == 0).ok_or(bad)?;
                Ok(NvValue::String(text(&value[..=end], head.at)?))
            }
            (16, count, numbers) if count == numbers.len() => {
                Ok(NvValue::Uint64Array(numbers.iter().map(|number| self.u64_of(*number)).collect()))
            }
            (19, 1, _) => Ok(NvValue::List(self.pairs(depth + 1)?)),
            // Each of the lists has a pointer's room in the value, so their number is no more than there are bytes.
            (20, count, numbers) if count <= numbers.len() => {
                (0..count).map(|_| self.pairs(depth + 1)).collect::<Result<_, _>>().map(NvValue::Lists)
            }
            (1 | 8 | 9 | 16 | 19 | 20, ..) => Err(bad),
            (type_number, count, _) => Ok(NvValue::Other { type_number, count, bytes: value.to_vec() }),
        }
    }
}

/// Text that its first NUL closes.
fn text(bytes: &[u8], at: usize) -> Result<String, NvListError> {
    let bad = NvListError::BadText { at };
    match bytes.split_last() {
        Some((0, text)) if !text.contains(&0) => {
            std::str::from_utf8(text).map(str::to_owned).map_err(|_| bad)
        }
        _ => Err(bad),
    }
}
