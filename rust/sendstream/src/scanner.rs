//! The scanner: follows a stream through its records as it flows by and proves it on the way.
//!
//! Invariants: a record reaches the sink only after its checksum was found right; the sink gets
//! every byte fed, once, in order; memory is one header, whatever the stream; once it has failed it
//! stays failed. Every bit of a whole stream is covered by a sum that is compared, by END's zero
//! bytes, or by being what tells the record apart.

use crate::fields::Fields;
use crate::frames::{Frame, Frames};
use crate::proof::{check_end, prove};
use crate::{
    Begin, Border, ByteOrder, Fletcher4, HEADER_BYTES, Record, RecordCounts, RecordKind, ScanError, Sink,
    StreamError, StreamSummary,
};

/// Scans one send stream, fed in pieces of any length.
#[derive(Debug)]
pub struct Scanner {
    frames: Frames,
    sums: Fletcher4,
    begin: Option<Begin>,
    previous: Option<Record>,
    records: RecordCounts,
    payload_bytes: u64,
    end_checksum: Option<[u64; 4]>,
    failure: Option<StreamError>,
}

impl Default for Scanner {
    fn default() -> Self {
        Self::new()
    }
}

impl Scanner {
    /// A scanner that expects the first byte of a stream.
    #[must_use]
    pub fn new() -> Self {
        Self {
            frames: Frames::new(),
            sums: Fletcher4::new(ByteOrder::Little),
            begin: None,
            previous: None,
            records: RecordCounts::default(),
            payload_bytes: 0,
            end_checksum: None,
            failure: None,
        }
    }

    /// Takes the next bytes of the stream and hands the records in them to `sink`.
    ///
    /// # Errors
    /// [`ScanError::Stream`] if the stream is damaged or of a kind that is refused, [`ScanError::Sink`]
    /// if the sink failed. After either, every further call fails.
    pub fn feed<S: Sink>(&mut self, bytes: &[u8], sink: &mut S) -> Result<(), ScanError<S::Error>> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone().into());
        }
        let result = self.advance(bytes, sink);
        match &result {
            Ok(()) => {}
            Err(ScanError::Stream(error)) => self.failure = Some(error.clone()),
            Err(ScanError::Sink(_)) => {
                self.failure = Some(StreamError::Abandoned { at: self.position() });
            }
        }
        result
    }

    /// Says that no bytes will follow, and proves that the stream was whole.
    ///
    /// # Errors
    /// The error of an earlier [`Scanner::feed`]; [`StreamError::Truncated`] if END was not reached,
    /// even if the stream stopped exactly between two records; [`StreamError::Empty`] and
    /// [`StreamError::NotASendStream`] if it never began.
    pub fn finish(self) -> Result<StreamSummary, StreamError> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        let Some(begin) = self.begin else {
            Begin::parse(self.frames.partial())?;
            return Err(StreamError::Truncated { at: self.frames.position() });
        };
        let Some(end_checksum) = self.end_checksum else {
            return Err(StreamError::Truncated { at: self.frames.position() });
        };
        Ok(StreamSummary {
            begin,
            stream_bytes: self.frames.position(),
            end_checksum,
            records: self.records,
            payload_bytes: self.payload_bytes,
        })
    }

    /// Bytes taken so far, those of a header that is not whole yet included.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.frames.position()
    }

    /// The stream's BEGIN, once it was seen.
    #[must_use]
    pub fn begin(&self) -> Option<&Begin> {
        self.begin.as_ref()
    }

    /// The running sums over what was handed to the sink so far (whole words of it). For the sums at
    /// a border see [`Record::checksum_before`].
    #[must_use]
    pub fn checksum(&self) -> [u64; 4] {
        self.sums.value()
    }

    fn advance<S: Sink>(&mut self, mut bytes: &[u8], sink: &mut S) -> Result<(), ScanError<S::Error>> {
        while !bytes.is_empty() {
            if self.end_checksum.is_some() {
                return Err(StreamError::BytesAfterEnd { at: self.position() }.into());
            }
            match self.frames.next(&mut bytes) {
                Some(Frame::Header(header)) => self.take_record(&header, sink)?,
                Some(Frame::Payload(payload)) => {
                    self.sums.update(payload);
                    self.payload_bytes += payload.len() as u64;
                    sink.payload(payload).map_err(ScanError::Sink)?;
                }
                None => {}
            }
        }
        Ok(())
    }

    /// One whole header; the position is already behind it.
    fn take_record<S: Sink>(
        &mut self,
        header: &[u8; HEADER_BYTES],
        sink: &mut S,
    ) -> Result<(), ScanError<S::Error>> {
        let at = self.position() - HEADER_BYTES as u64;
        let record = match &self.begin {
            None => self.open(header)?,
            Some(begin) => {
                let (order, guid) = (begin.byte_order(), begin.to_guid);
                let record = Record::parse(header, order, at, self.sums.value())?;
                self.take_sums(&record, header)?;
                if record.kind == RecordKind::End {
                    self.end_checksum = Some(check_end(&record, &Fields::new(header, order), guid)?);
                }
                record
            }
        };
        let border = self.previous.and_then(|previous| Border::between(&previous, &record));
        sink.record(&record, header, border).map_err(ScanError::Sink)?;
        self.records.count(record.kind);
        self.frames.expect_payload(record.payload_len);
        self.previous = Some(record);
        Ok(())
    }

    /// BEGIN: it has no sums of its own, the next record vouches for it.
    fn open(&mut self, header: &[u8; HEADER_BYTES]) -> Result<Record, StreamError> {
        let begin = Begin::parse(header)?;
        begin.refuse_unsupported()?;
        let record = Record::parse(header, begin.byte_order(), 0, [0; 4])?;
        self.sums = Fletcher4::new(begin.byte_order());
        self.sums.update(header);
        self.begin = Some(begin);
        Ok(record)
    }

    /// Runs the sums over a header and compares them with those it carries.
    fn take_sums(&mut self, record: &Record, header: &[u8; HEADER_BYTES]) -> Result<(), StreamError> {
        match record.kind {
            RecordKind::Begin => return Err(StreamError::SecondBegin { at: record.at }),
            RecordKind::WriteByref => return Err(StreamError::Dedup),
            RecordKind::Redact => return Err(StreamError::Redacted),
            _ => {}
        }
        prove(&mut self.sums, record, header)
    }
}
