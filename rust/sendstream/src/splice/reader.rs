//! A splice for whoever reads: the continuation's bytes, made from a resumed stream as it is read.

use std::convert::Infallible;
use std::io::{self, Read};

use super::{SpliceError, SpliceFault, SpliceSink, SpliceSummary, Splicer};
use crate::{Border, HEADER_BYTES, Record, SavedBorder, Sink};

/// Bytes taken of the resumed stream at a time; what is made of them is no longer, but for one header.
const READ_BYTES: usize = 64 << 10;

/// Reads the continuation of a stream out of a resumed one. Memory does not depend on their length.
///
/// A resumed stream that is refused is an [`io::Error`] of the kind [`io::ErrorKind::InvalidData`] that holds the
/// [`SpliceError`]. The end of the bytes is reported only after everything was proven; what was
/// read before an error is worthless.
#[derive(Debug)]
pub struct SplicedReader<R> {
    resumed: R,
    splicer: Option<Splicer>,
    buffer: Vec<u8>,
    made: Made,
    given: usize,
    ended: Option<Result<SpliceSummary, SpliceError>>,
}

impl<R: Read> SplicedReader<R> {
    /// Splices what `resumed` holds to a stream that broke off at `saved`.
    pub fn new(saved: SavedBorder, resumed: R) -> Self {
        Self {
            resumed,
            splicer: Some(Splicer::new(saved)),
            buffer: vec![0; READ_BYTES],
            made: Made(Vec::new()),
            given: 0,
            ended: None,
        }
    }

    /// What is known of the stream once it was read to its end.
    pub fn summary(&self) -> Option<&SpliceSummary> {
        self.ended.as_ref()?.as_ref().ok()
    }

    /// Makes the next bytes, or learns that there are none.
    fn advance(&mut self) -> io::Result<()> {
        self.made.0.clear();
        self.given = 0;
        let length = self.resumed.read(&mut self.buffer)?;
        let result = match &mut self.splicer {
            Some(splicer) if length > 0 => splicer.feed(&self.buffer[..length], &mut self.made),
            _ => {
                self.ended = self.splicer.take().map(Splicer::finish);
                Ok(())
            }
        };
        if let Err(SpliceFault::Splice(error)) = result {
            self.made.0.clear();
            self.ended = Some(Err(error));
        }
        Ok(())
    }
}

impl<R: Read> Read for SplicedReader<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.given == self.made.0.len() && !out.is_empty() {
            match &self.ended {
                None => self.advance()?,
                Some(Ok(_)) => return Ok(0),
                Some(Err(error)) => return Err(io::Error::new(io::ErrorKind::InvalidData, error.clone())),
            }
        }
        let rest = &self.made.0[self.given..];
        let length = rest.len().min(out.len());
        out[..length].copy_from_slice(&rest[..length]);
        self.given += length;
        Ok(length)
    }
}

/// Bytes made and not read yet.
#[derive(Debug)]
struct Made(Vec<u8>);

impl Sink for Made {
    type Error = Infallible;

    fn record(
        &mut self,
        _: &Record,
        header: &[u8; HEADER_BYTES],
        _: Option<Border>,
    ) -> Result<(), Infallible> {
        self.0.extend_from_slice(header);
        Ok(())
    }

    fn payload(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

impl SpliceSink for Made {}
