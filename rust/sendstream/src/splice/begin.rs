//! BEGIN of a resumed stream: it must be of the same snapshot, sent the same way, and start at the border.
//!
//! A raw stream's BEGIN also holds the keys of its dataset, wrapped in the user's. After `zfs change-key` they are others.

use super::SpliceError;
use crate::{Begin, Border, Feature, Features, HEADER_BYTES, NvList, Record, SavedBorder, StreamError};

/// The list in BEGIN holds the place, and keys of encrypted datasets: about a kilobyte.
pub(super) const MOST_LIST_BYTES: u64 = 1 << 20;

/// What was met of it so far.
#[derive(Debug, Default)]
pub(super) struct ResumedBegin {
    met: bool,
    list: Vec<u8>,
    list_bytes: u64,
}

impl ResumedBegin {
    /// Whether the header was met; its payload is still to come.
    pub(super) fn is_met(&self) -> bool {
        self.met
    }

    /// Takes the header; returns how many bytes of payload follow.
    pub(super) fn header(
        &mut self,
        header: &[u8; HEADER_BYTES],
        saved: &SavedBorder,
    ) -> Result<u64, SpliceError> {
        let begin = Begin::parse(header)?;
        check(&begin, &saved.begin)?;
        self.list_bytes = Record::parse(header, begin.byte_order(), 0, [0; 4])?.payload_len;
        if self.list_bytes == 0 {
            return Err(SpliceError::NoResumePlace);
        }
        if self.list_bytes > MOST_LIST_BYTES {
            let record = crate::RecordKind::Begin;
            return Err(StreamError::BadLength { at: 0, record, length: self.list_bytes }.into());
        }
        self.met = true;
        Ok(self.list_bytes)
    }

    /// Takes a piece of the payload, and checks it once it is whole; returns it then as [`begun_payload`] does.
    pub(super) fn payload(&mut self, bytes: &[u8], border: Border) -> Result<Option<Vec<u8>>, SpliceError> {
        self.list.extend_from_slice(bytes);
        if (self.list.len() as u64) < self.list_bytes {
            return Ok(None);
        }
        let list = NvList::decode(&std::mem::take(&mut self.list))?;
        check_place(&list, border)?;
        Ok(Some(begun_payload(list)))
    }
}

/// Whether a resumed stream goes on with what `begun` began. The name may differ: the dataset may have been renamed.
pub(super) fn check(resumed: &Begin, begun: &Begin) -> Result<(), SpliceError> {
    begun.refuse_unsupported()?;
    let resuming = Feature::Resuming.bit();
    let whole =
        Begin { features: Features::from_bits(resumed.features.bits() & !resuming), ..resumed.clone() };
    whole.refuse_unsupported()?;
    if !resumed.features.has(Feature::Resuming) {
        return Err(SpliceError::NotResumed);
    }
    let fields = [
        ("snapshot guid", begun.to_guid, resumed.to_guid),
        ("base guid", begun.from_guid, resumed.from_guid),
        ("creation time", begun.creation_unix_seconds, resumed.creation_unix_seconds),
        ("byte order", u64::from(begun.big_endian), u64::from(resumed.big_endian)),
        ("objset type", u64::from(begun.objset_type), u64::from(resumed.objset_type)),
        ("flags", u64::from(begun.flags), u64::from(resumed.flags)),
        ("features", u64::from(begun.features.bits()), u64::from(whole.features.bits())),
    ];
    match fields.into_iter().find(|(_, expected, found)| expected != found) {
        None => Ok(()),
        Some((field, expected, found)) => Err(SpliceError::OtherStream { field, expected, found }),
    }
}

/// The payload that BEGIN has in the whole stream: the list without the place, or nothing where that was all.
pub(super) fn begun_payload(mut list: NvList) -> Vec<u8> {
    list.0.retain(|(name, _)| name != "resume_object" && name != "resume_offset");
    if list.0.is_empty() { Vec::new() } else { list.encode() }
}

fn check_place(list: &NvList, border: Border) -> Result<(), SpliceError> {
    let (object, offset) = border.resume_place();
    let (Some(found_object), Some(found_offset)) =
        (list.uint64("resume_object"), list.uint64("resume_offset"))
    else {
        return Err(SpliceError::NoResumePlace);
    };
    if (found_object, found_offset) == (object, offset) {
        return Ok(());
    }
    Err(SpliceError::OtherPlace { object, offset, found_object, found_offset })
}
