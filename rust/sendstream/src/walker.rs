//! The walker: follows any stream through its records, for looking at it, not for backing it up.
//!
//! Unlike [`crate::Scanner`] it refuses no kind of stream. A compound stream (`-R`, `-I`, `-p`) is a
//! package: BEGIN with an nvlist, an END with the sums of that, the streams one after the other,
//! and a closing END of zeros. Every checksum that is there is compared, as the scanner does.

use crate::fields::Fields;
use crate::frames::{Frame, Frames};
use crate::proof::{check_end, prove};
use crate::{Begin, Fletcher4, HEADER_BYTES, Record, RecordKind, ScanError, StreamError};

/// What a record belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// The package around the streams of a compound stream: its BEGIN and its two ENDs.
    Package,
    /// A stream of one snapshot.
    Stream {
        /// Counted from 0 in the order of the file; 0 where there is no package.
        number: u64,
    },
}

/// Takes what a [`Walker`] finds: for each record its header, then its payload in as many slices as
/// it was fed in. The headers and payload slices in order are exactly the bytes fed.
pub trait Visitor {
    /// Why the visitor cannot go on.
    type Error;

    /// A record whose header is whole and whose checksum, if given, is right.
    ///
    /// [`Record::at`] counts from the file's first byte, [`Record::checksum_before`] from the BEGIN
    /// of the stream it belongs to.
    ///
    /// # Errors
    /// Ends the walk.
    fn record(
        &mut self,
        place: Place,
        record: &Record,
        header: &[u8; HEADER_BYTES],
    ) -> Result<(), Self::Error>;

    /// The next piece, never empty, of the latest record's payload.
    ///
    /// # Errors
    /// Ends the walk.
    fn payload(&mut self, bytes: &[u8]) -> Result<(), Self::Error>;
}

/// Walks one file of send streams, fed in pieces of any length.
#[derive(Debug)]
pub struct Walker {
    frames: Frames,
    package: Option<Package>,
    stream: Option<Open>,
    streams_begun: u64,
    whole: bool,
    failure: Option<StreamError>,
}

/// A stream or package between its BEGIN and its END.
#[derive(Debug)]
struct Open {
    begin: Begin,
    sums: Fletcher4,
}

#[derive(Debug)]
struct Package {
    open: Open,
    /// The END that carries the sums of the package's BEGIN was met.
    contents_closed: bool,
}

impl Default for Walker {
    fn default() -> Self {
        Self::new()
    }
}

impl Walker {
    /// A walker that expects the first byte of a file.
    #[must_use]
    pub fn new() -> Self {
        Self {
            frames: Frames::new(),
            package: None,
            stream: None,
            streams_begun: 0,
            whole: false,
            failure: None,
        }
    }

    /// Takes the next bytes and hands the records in them to `visitor`.
    ///
    /// # Errors
    /// [`ScanError::Stream`] if the stream is damaged, [`ScanError::Sink`] if the visitor failed. After
    /// either, every further call fails.
    pub fn feed<V: Visitor>(&mut self, bytes: &[u8], visitor: &mut V) -> Result<(), ScanError<V::Error>> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone().into());
        }
        let result = self.advance(bytes, visitor);
        match &result {
            Ok(()) => {}
            Err(ScanError::Stream(error)) => self.failure = Some(error.clone()),
            Err(ScanError::Sink(_)) => self.failure = Some(StreamError::Abandoned { at: self.position() }),
        }
        result
    }

    /// Says that no bytes will follow; returns how many there were.
    ///
    /// # Errors
    /// The error of an earlier [`Walker::feed`]; [`StreamError::Truncated`] if the last END was not reached;
    /// [`StreamError::Empty`] and [`StreamError::NotASendStream`] if there was no stream.
    pub fn finish(self) -> Result<u64, StreamError> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        let at = self.frames.position();
        if self.whole {
            return Ok(at);
        }
        if self.package.is_none() && self.stream.is_none() {
            Begin::parse(self.frames.partial())?;
        }
        Err(StreamError::Truncated { at })
    }

    /// Bytes taken so far.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.frames.position()
    }

    fn advance<V: Visitor>(&mut self, mut bytes: &[u8], visitor: &mut V) -> Result<(), ScanError<V::Error>> {
        while !bytes.is_empty() {
            if self.whole {
                return Err(StreamError::BytesAfterEnd { at: self.position() }.into());
            }
            match self.frames.next(&mut bytes) {
                Some(Frame::Header(header)) => {
                    let (place, record) = self.take_record(&header)?;
                    self.frames.expect_payload(record.payload_len);
                    visitor.record(place, &record, &header).map_err(ScanError::Sink)?;
                }
                Some(Frame::Payload(payload)) => {
                    if let Some(open) = self.innermost() {
                        open.sums.update(payload);
                    }
                    visitor.payload(payload).map_err(ScanError::Sink)?;
                }
                None => {}
            }
        }
        Ok(())
    }

    fn innermost(&mut self) -> Option<&mut Open> {
        self.stream.as_mut().or(self.package.as_mut().map(|package| &mut package.open))
    }

    fn take_record(&mut self, header: &[u8; HEADER_BYTES]) -> Result<(Place, Record), StreamError> {
        let at = self.position() - HEADER_BYTES as u64;
        if let Some(stream) = &mut self.stream {
            let record = stream.take_record(header, at)?;
            let place = Place::Stream { number: self.streams_begun - 1 };
            if record.kind == RecordKind::End {
                let guid = stream.begin.to_guid;
                check_end(&record, &Fields::new(header, stream.begin.byte_order()), guid)?;
                self.stream = None;
                self.whole = self.package.is_none();
            }
            return Ok((place, record));
        }
        let Some(package) = &mut self.package else { return self.begin(header, at) };
        match package.take_end(header, at)? {
            Some((record, closing)) => {
                self.whole = closing;
                Ok((Place::Package, record))
            }
            None => self.begin(header, at),
        }
    }

    fn begin(&mut self, header: &[u8; HEADER_BYTES], at: u64) -> Result<(Place, Record), StreamError> {
        let begin = Begin::parse(header)?;
        if begin.compound && self.package.is_some() {
            return Err(StreamError::SecondBegin { at });
        }
        let order = begin.byte_order();
        let record = Record::parse(header, order, at, [0; 4])?;
        let compound = begin.compound;
        let mut open = Open { begin, sums: Fletcher4::new(order) };
        open.sums.update(header);
        if compound {
            self.package = Some(Package { open, contents_closed: false });
            return Ok((Place::Package, record));
        }
        self.stream = Some(open);
        let number = self.streams_begun;
        self.streams_begun += 1;
        Ok((Place::Stream { number }, record))
    }
}

impl Open {
    fn take_record(&mut self, header: &[u8; HEADER_BYTES], at: u64) -> Result<Record, StreamError> {
        let record = Record::parse(header, self.begin.byte_order(), at, self.sums.value())?;
        if record.kind == RecordKind::Begin {
            return Err(StreamError::SecondBegin { at });
        }
        prove(&mut self.sums, &record, header)?;
        Ok(record)
    }
}

impl Package {
    /// One of the package's own ENDs, and whether it closes the package; `None` for a record that must be the BEGIN of a
    /// stream.
    fn take_end(
        &mut self,
        header: &[u8; HEADER_BYTES],
        at: u64,
    ) -> Result<Option<(Record, bool)>, StreamError> {
        let order = self.open.begin.byte_order();
        let record = Record::parse(header, order, at, self.open.sums.value())?;
        match record.kind {
            RecordKind::Begin if self.contents_closed => return Ok(None),
            RecordKind::Begin => return Err(StreamError::SecondBegin { at }),
            RecordKind::End => {}
            _ => return Err(StreamError::OutsideStream { at, record: record.kind }),
        }
        if self.contents_closed {
            return if header[4..].iter().all(|byte| *byte == 0) {
                Ok(Some((record, true)))
            } else {
                Err(StreamError::ChecksumMismatch { at, record: RecordKind::End })
            };
        }
        // A package's BEGIN names no snapshot: its guid, and that of this END, is 0.
        check_end(&record, &Fields::new(header, order), self.open.begin.to_guid)?;
        prove(&mut self.open.sums.clone(), &record, header)?;
        self.contents_closed = true;
        Ok(Some((record, false)))
    }
}
