//! A resumed stream whose place is known before it is spliced.

use std::io::{self, Chain, Cursor, Read};

use super::SpliceError;
use super::begin::{MOST_LIST_BYTES, begun_payload, check};
use crate::saved::border_at;
use crate::{
    Begin, Feature, Features, HEADER_BYTES, KeptBeginning, NvList, PartialError, RecordKind, ResumePlace,
    StreamError,
};

/// A resumed stream of which BEGIN was read: it says where it goes on. Reads as the whole of it, BEGIN included.
#[derive(Debug)]
pub struct ResumedStream<R> {
    begin: Begin,
    place: ResumePlace,
    begun_payload: Vec<u8>,
    bytes: Chain<Cursor<Vec<u8>>, R>,
}

impl<R: Read> ResumedStream<R> {
    /// Reads BEGIN with its list.
    ///
    /// # Errors
    /// Of reading; and, as with [`crate::SplicedReader`], of the kind [`io::ErrorKind::InvalidData`] with a [`SpliceError`] in it
    /// where this is no resumed stream.
    pub fn open(mut resumed: R) -> io::Result<Self> {
        let mut head = Vec::with_capacity(HEADER_BYTES);
        take(&mut resumed, HEADER_BYTES as u64, &mut head)?;
        let begin = Begin::parse(&head).map_err(|error| refused(error.into()))?;
        let list_bytes = list_bytes(&begin).map_err(refused)?;
        take(&mut resumed, list_bytes, &mut head)?;
        let (place, begun_payload) = place(&head, list_bytes).map_err(refused)?;
        Ok(Self { begin, place, begun_payload, bytes: Cursor::new(head).chain(resumed) })
    }

    /// Where it goes on.
    #[must_use]
    pub fn place(&self) -> ResumePlace {
        self.place
    }

    /// Finds the border at which it goes on in the beginning that was kept, under the same rule as [`crate::last_border`]. The
    /// beginning may be longer than needed: all of the file that broke off.
    ///
    /// # Errors
    /// [`PartialError`] says why there is none.
    pub fn border_in(&self, kept: impl Read) -> Result<KeptBeginning, PartialError> {
        border_at(kept, self.place, |begun, payload| {
            check(&self.begin, begun)?;
            if payload == self.begun_payload { Ok(()) } else { Err(SpliceError::OtherKeys) }
        })
    }
}

impl<R: Read> Read for ResumedStream<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.bytes.read(out)
    }
}

fn refused(error: SpliceError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

fn take(from: &mut impl Read, bytes: u64, into: &mut Vec<u8>) -> io::Result<()> {
    from.take(bytes).read_to_end(into).map(drop)
}

/// How long the list behind BEGIN's header is.
fn list_bytes(begin: &Begin) -> Result<u64, SpliceError> {
    let others = begin.features.bits() & !Feature::Resuming.bit();
    Begin { features: Features::from_bits(others), ..begin.clone() }.refuse_unsupported()?;
    if !begin.features.has(Feature::Resuming) {
        return Err(SpliceError::NotResumed);
    }
    match u64::from(begin.payload_len) {
        0 => Err(SpliceError::NoResumePlace),
        length if length > MOST_LIST_BYTES => {
            Err(StreamError::BadLength { at: 0, record: RecordKind::Begin, length }.into())
        }
        length => Ok(length),
    }
}

/// The place, and the payload that BEGIN has without it.
fn place(head: &[u8], list_bytes: u64) -> Result<(ResumePlace, Vec<u8>), SpliceError> {
    let list = &head[HEADER_BYTES..];
    if (list.len() as u64) < list_bytes {
        return Err(StreamError::Truncated { at: head.len() as u64 }.into());
    }
    let list = NvList::decode(list)?;
    match (list.uint64("resume_object"), list.uint64("resume_offset")) {
        (Some(object), Some(offset)) => Ok((ResumePlace { object, offset }, begun_payload(list))),
        _ => Err(SpliceError::NoResumePlace),
    }
}
