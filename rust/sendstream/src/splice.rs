//! The splice: makes the continuation of a stream that broke off out of what `zfs send -t` sends.
//!
//! A resumed stream announces its object again and may re-send blocks, and its checksums start
//! anew. The splicer drops what the beginning has already, keeps the rest record for record, and
//! runs the checksums on from the border, so that beginning and continuation are byte for byte the
//! stream that one run would have made. What it does not expect it refuses: a checksum that is
//! made anew certifies anything, so nothing may pass that was not understood. For the same reason
//! the caller should compare the first bytes made so with bytes that are known to be right.

mod begin;
mod error;
mod reader;
mod resumed;
mod rule;

use crate::fields::Fields;
use crate::frames::{Frame, Frames};
use crate::proof::{check_end, prove};
use crate::{
    Begin, Border, Fletcher4, HEADER_BYTES, Record, RecordCounts, RecordKind, Resummer, SavedBorder, Sink,
    StreamError,
};
use begin::ResumedBegin;
pub use error::{SpliceError, SpliceFault};
pub use reader::SplicedReader;
pub use resumed::ResumedStream;
use rule::{Rule, Verdict};

/// Takes a continuation, and may look at what is dropped.
///
/// Records come with the positions, sums and borders that they have in the whole stream.
pub trait SpliceSink: Sink {
    /// The payload of BEGIN as the whole stream has it, of which the beginning's must be the same: it holds the keys of an
    /// encrypted dataset.
    ///
    /// # Errors
    /// Ends the splice.
    fn begin_payload(&mut self, _bytes: &[u8]) -> Result<(), Self::Error> {
        Ok(())
    }

    /// A record of the resumed stream that the beginning has already; [`Record::at`] counts in the resumed stream.
    ///
    /// With its payload, without the header's own checksum, the OBJECT so given is the one that the
    /// beginning has: who kept a digest of that can compare.
    ///
    /// # Errors
    /// Ends the splice.
    fn dropped(&mut self, _record: &Record, _header: &[u8; HEADER_BYTES]) -> Result<(), Self::Error> {
        Ok(())
    }

    /// The next piece of a dropped record's payload.
    ///
    /// # Errors
    /// Ends the splice.
    fn dropped_payload(&mut self, _bytes: &[u8]) -> Result<(), Self::Error> {
        Ok(())
    }
}

impl SpliceSink for crate::Discard {}

/// The proof that a continuation is whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpliceSummary {
    /// BEGIN of the stream that was continued.
    pub begin: Begin,
    /// All bytes of that stream, BEGIN to END.
    pub stream_bytes: u64,
    /// The sums that its END carries.
    pub end_checksum: [u64; 4],
    /// Records of the continuation, by kind.
    pub records: RecordCounts,
    /// Bytes of the continuation that are payload.
    pub payload_bytes: u64,
    /// Records of the resumed stream that were dropped, its BEGIN not among them.
    pub dropped: RecordCounts,
}

/// Splices one resumed stream, fed in pieces of any length.
#[derive(Debug)]
pub struct Splicer {
    saved: SavedBorder,
    frames: Frames,
    /// Sums of the resumed stream, to prove it.
    sums: Fletcher4,
    /// Sums of the continuation.
    made: Resummer,
    resumed: ResumedBegin,
    rule: Rule,
    latest: Latest,
    previous: Option<Record>,
    records: RecordCounts,
    dropped: RecordCounts,
    payload_bytes: u64,
    end_checksum: Option<[u64; 4]>,
    failure: Option<SpliceError>,
}

/// What becomes of the latest record's payload.
#[derive(Debug, Clone, Copy)]
enum Latest {
    Begin,
    Dropped,
    Kept,
}

impl Splicer {
    /// A splicer that expects the first byte of what `zfs send -t` sends for a token of that border.
    #[must_use]
    pub fn new(saved: SavedBorder) -> Self {
        let order = saved.begin.byte_order();
        Self {
            frames: Frames::new(),
            sums: Fletcher4::new(order),
            made: Resummer::resume(order, saved.position, saved.sums),
            resumed: ResumedBegin::default(),
            rule: Rule::new(saved.border, saved.begin.raw()),
            latest: Latest::Begin,
            previous: None,
            records: RecordCounts::default(),
            dropped: RecordCounts::default(),
            payload_bytes: 0,
            end_checksum: None,
            failure: None,
            saved,
        }
    }

    /// Takes the next bytes of the resumed stream and hands the continuation in them to `sink`.
    ///
    /// # Errors
    /// [`SpliceFault::Splice`] if the resumed stream is damaged or not what the rule allows, [`SpliceFault::Sink`] if the
    /// sink failed. After either, every further call fails.
    pub fn feed<S: SpliceSink>(&mut self, bytes: &[u8], sink: &mut S) -> Result<(), SpliceFault<S::Error>> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone().into());
        }
        let result = self.advance(bytes, sink);
        match &result {
            Ok(()) => {}
            Err(SpliceFault::Splice(error)) => self.failure = Some(error.clone()),
            Err(SpliceFault::Sink(_)) => {
                self.failure = Some(StreamError::Abandoned { at: self.frames.position() }.into());
            }
        }
        result
    }

    /// Says that no bytes will follow, and proves that the stream was whole.
    ///
    /// # Errors
    /// The error of an earlier [`Splicer::feed`]; [`StreamError::Truncated`] if END was not reached,
    /// [`StreamError::Empty`] and [`StreamError::NotASendStream`] if the resumed stream never began.
    pub fn finish(self) -> Result<SpliceSummary, SpliceError> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        if !self.resumed.is_met() {
            Begin::parse(self.frames.partial())?;
        }
        let end_checksum = self.end_checksum.ok_or(StreamError::Truncated { at: self.frames.position() })?;
        Ok(SpliceSummary {
            begin: self.saved.begin,
            stream_bytes: self.made.position(),
            end_checksum,
            records: self.records,
            payload_bytes: self.payload_bytes,
            dropped: self.dropped,
        })
    }

    /// Bytes of the whole stream up to here: those before the border, and the continuation so far.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.made.position()
    }

    /// The running sums of the whole stream up to here.
    #[must_use]
    pub fn checksum(&self) -> [u64; 4] {
        self.made.value()
    }

    fn advance<S: SpliceSink>(
        &mut self,
        mut bytes: &[u8],
        sink: &mut S,
    ) -> Result<(), SpliceFault<S::Error>> {
        while !bytes.is_empty() {
            if self.end_checksum.is_some() {
                return Err(StreamError::BytesAfterEnd { at: self.frames.position() }.into());
            }
            match self.frames.next(&mut bytes) {
                Some(Frame::Header(header)) if self.resumed.is_met() => self.take_record(&header, sink)?,
                Some(Frame::Header(header)) => self.take_begin(&header)?,
                Some(Frame::Payload(payload)) => self.take_payload(payload, sink)?,
                None => {}
            }
        }
        Ok(())
    }

    fn take_begin(&mut self, header: &[u8; HEADER_BYTES]) -> Result<(), SpliceError> {
        self.frames.expect_payload(self.resumed.header(header, &self.saved)?);
        self.sums.update(header);
        Ok(())
    }

    fn take_payload<S: SpliceSink>(
        &mut self,
        payload: &[u8],
        sink: &mut S,
    ) -> Result<(), SpliceFault<S::Error>> {
        self.sums.update(payload);
        match self.latest {
            Latest::Begin => match self.resumed.payload(payload, self.saved.border)? {
                Some(whole) => sink.begin_payload(&whole).map_err(SpliceFault::Sink),
                None => Ok(()),
            },
            Latest::Dropped => sink.dropped_payload(payload).map_err(SpliceFault::Sink),
            Latest::Kept => {
                self.made.payload(payload);
                self.payload_bytes += payload.len() as u64;
                sink.payload(payload).map_err(SpliceFault::Sink)
            }
        }
    }

    /// One whole header of the resumed stream, behind its BEGIN.
    fn take_record<S: SpliceSink>(
        &mut self,
        header: &[u8; HEADER_BYTES],
        sink: &mut S,
    ) -> Result<(), SpliceFault<S::Error>> {
        let record = self.proven(header)?;
        self.frames.expect_payload(record.payload_len);
        let fields = Fields::new(header, self.saved.begin.byte_order());
        match self.rule.judge(&record, &fields)? {
            Verdict::Drop => {
                self.latest = Latest::Dropped;
                self.dropped.count(record.kind);
                sink.dropped(&record, header).map_err(SpliceFault::Sink)
            }
            Verdict::Keep => {
                self.latest = Latest::Kept;
                self.keep(record.kind, *header, sink)
            }
        }
    }

    /// The record in a header whose sums are there and right.
    fn proven(&mut self, header: &[u8; HEADER_BYTES]) -> Result<Record, SpliceError> {
        let at = self.frames.position() - HEADER_BYTES as u64;
        let order = self.saved.begin.byte_order();
        let record = Record::parse(header, order, at, self.sums.value())?;
        match record.kind {
            RecordKind::Begin => return Err(StreamError::SecondBegin { at }.into()),
            RecordKind::WriteByref => return Err(StreamError::Dedup.into()),
            RecordKind::Redact => return Err(StreamError::Redacted.into()),
            _ if record.checksum.is_none() => return Err(SpliceError::NoSums { at, record: record.kind }),
            _ => {}
        }
        prove(&mut self.sums, &record, header)?;
        if record.kind == RecordKind::End {
            check_end(&record, &Fields::new(header, order), self.saved.begin.to_guid)?;
        }
        Ok(record)
    }

    /// Gives a record its place and sums in the whole stream.
    fn keep<S: SpliceSink>(
        &mut self,
        kind: RecordKind,
        mut header: [u8; HEADER_BYTES],
        sink: &mut S,
    ) -> Result<(), SpliceFault<S::Error>> {
        let (at, sums) = (self.made.position(), self.made.value());
        self.made.header(kind, &mut header);
        let record = Record::parse(&header, self.saved.begin.byte_order(), at, sums)?;
        let border = match &self.previous {
            Some(previous) => Border::between(previous, &record),
            None if kind == RecordKind::Object => record.object.map(|object| Border::BeforeObject { object }),
            None => Some(self.saved.border),
        };
        self.records.count(kind);
        self.previous = Some(record);
        if kind == RecordKind::End {
            self.end_checksum = Some(sums);
        }
        sink.record(&record, &header, border).map_err(SpliceFault::Sink)
    }
}
