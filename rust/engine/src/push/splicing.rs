//! A stream that an earlier session began and that `zfs send -t` goes on with (way 1 of going on).
//!
//! The border is the end of the last but one stored part: the last one has to come out of the splice as it is known,
//! because sums that are made anew would certify anything. Nothing is added before that.

use format::Blake3Hash;
use sendstream::{
    Begin, Border, HEADER_BYTES, RecordCounts, ResumeToken, SavedBorder, SpliceError, SpliceFault, Splicer,
    StreamError, StreamSummary,
};

use super::cutter::Cutter;
use crate::error::EngineError;
use crate::request::{JournaledPart, RunRequest, TokenRequest};

/// The beginning of the stream, up to the border.
#[derive(Debug, Clone)]
pub(crate) struct Beginning {
    pub(crate) saved: SavedBorder,
    pub(crate) records: RecordCounts,
    /// Parts before the border.
    pub(crate) parts: u32,
    begin_payload: Blake3Hash,
    announcement: Option<Blake3Hash>,
}

impl Beginning {
    /// The beginning that a run goes on behind, if it is asked to splice.
    ///
    /// # Errors
    /// `engine.bad_request` where there is no such border.
    pub(crate) fn of(run: &RunRequest) -> Result<Option<Self>, EngineError> {
        let Some(begin_record) = &run.spliced_onto else { return Ok(None) };
        let Some(before) = run.stored.len().checked_sub(2) else {
            return Err(EngineError::bad_request(
                "splicing needs two stored parts: one to stand on, one to prove",
            ));
        };
        Self::at(begin_record, &run.stored[before]).map(Some)
    }

    fn at(begin_record: &str, part: &JournaledPart) -> Result<Self, EngineError> {
        let header: format::Hex<HEADER_BYTES> = begin_record.parse()?;
        let begin = Begin::parse(header.as_bytes())?;
        begin.refuse_unsupported()?;
        let (proof, end) = (part.proof, part.part.stream_offset.saturating_add(part.part.stream_length));
        let Some(border) = proof.border.map(Border::from) else {
            return Err(EngineError::bad_request(format!("part {} ends at no border", part.part.number)));
        };
        if matches!(border, Border::AfterWrite { .. }) && proof.announcement.is_none() {
            let text = format!("part {} ends in an object that nothing announced", part.part.number);
            return Err(EngineError::bad_request(text));
        }
        Ok(Self {
            saved: SavedBorder { begin, position: end, sums: proof.end_checksum.0, border },
            records: RecordCounts::from_array(proof.records),
            parts: part.part.number.saturating_add(1),
            begin_payload: proof.begin_payload,
            announcement: proof.announcement,
        })
    }

    /// # Errors
    /// `engine.splice_refused` unless BEGIN's payload, of this digest, is the one that the beginning has.
    pub(crate) fn check_begin_payload(&self, repeated: Blake3Hash) -> Result<(), EngineError> {
        if repeated == self.begin_payload { Ok(()) } else { Err(from_splice(SpliceError::OtherKeys)) }
    }

    /// # Errors
    /// `engine.splice_refused` unless the repeated OBJECT record, of this digest, is the one that the beginning has.
    pub(crate) fn check_announcement(&self, repeated: Option<Blake3Hash>) -> Result<(), EngineError> {
        if repeated == self.announcement {
            return Ok(());
        }
        let (object, _) = self.saved.border.resume_place();
        Err(refused(&format!("object {object} is announced otherwise than before")))
    }
}

/// The token with which `zfs send -t` goes on where a run can be spliced.
pub(crate) fn token(request: &TokenRequest) -> Result<String, EngineError> {
    let beginning = Beginning::at(&request.begin_record, &request.part)?;
    let mut token = ResumeToken::at(&beginning.saved);
    token.to_name.clone_from(&request.snapshot);
    token.encode().map_err(|error| EngineError::bad_request(error.to_string()))
}

/// Makes the stream's rest out of what `zfs send -t` sends.
pub(crate) struct Splice {
    splicer: Splicer,
    records: RecordCounts,
}

impl Splice {
    pub(crate) fn new(beginning: &Beginning) -> Self {
        Self { splicer: Splicer::new(beginning.saved.clone()), records: beginning.records }
    }

    pub(crate) fn feed(&mut self, bytes: &[u8], cutter: &mut Cutter) -> Result<(), EngineError> {
        self.splicer.feed(bytes, cutter).map_err(|fault| match fault {
            SpliceFault::Splice(error) => from_splice(error),
            SpliceFault::Sink(error) => error,
        })
    }

    /// The whole stream's summary.
    pub(crate) fn finish(self) -> Result<StreamSummary, EngineError> {
        let made = self.splicer.finish().map_err(from_splice)?;
        let records = self.records.plus(made.records);
        Ok(StreamSummary {
            begin: made.begin,
            stream_bytes: made.stream_bytes,
            end_checksum: made.end_checksum,
            records,
            payload_bytes: made.stream_bytes.saturating_sub(records.total() * HEADER_BYTES as u64),
        })
    }
}

/// A resumed stream that only broke off is no other one.
fn from_splice(error: SpliceError) -> EngineError {
    match error {
        SpliceError::Stream(error @ StreamError::Truncated { .. }) => error.into(),
        other => refused(&other.to_string()).with("splice", other.code()),
    }
}

fn refused(why: &str) -> EngineError {
    let text = format!("what zfs send -t sends does not go on with the stream that is stored: {why}");
    EngineError::new("engine.splice_refused", text)
}
