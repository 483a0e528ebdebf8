//! Kept beginning and resumed stream in, whole stream out.
//!
//! Nothing is written before the resumed stream's first records were accepted, and no END before all of it was: what
//! receives from a pipe can never take an unproven stream for a whole one.

use std::io::Read;

use sendstream::{HEADER_BYTES, KeptBeginning, ResumedStream, SplicedReader};
use serde_json::json;

use super::about;
use super::kept::Kept;
use super::reader::{PolledReader, failure};
use crate::error::EngineError;
use crate::job::{JobContext, JobResult};
use crate::restore::StreamSink;

/// Bytes taken of the continuation at a time.
const READ_BYTES: usize = 256 << 10;

/// The streams, as errors count them.
const KEPT: usize = 0;
const RESUMED: usize = 1;

pub(super) fn splice(kept: Kept, resumed: PolledReader, sink: StreamSink, context: &JobContext) -> JobResult {
    let resumed = ResumedStream::open(resumed).map_err(failure).map_err(about(RESUMED))?;
    let found = kept.find(&resumed).map_err(about(KEPT))?;
    let mut continuation = SplicedReader::new(found.saved.clone(), resumed);
    let at = found.saved.position;
    let mut whole = Whole { kept, found, sink, end: Vec::new(), at, begun: false };
    let mut buffer = vec![0; READ_BYTES];
    loop {
        match continuation.read(&mut buffer).map_err(failure).map_err(about(RESUMED))? {
            0 => break,
            length => whole.take(&buffer[..length])?,
        }
    }
    let summary = continuation.summary().ok_or_else(|| EngineError::internal("a splice without an end"))?;
    whole.close()?;
    context.progress.set_stage("spliced");
    let begin = &summary.begin;
    Ok(json!({
        "stream_bytes": summary.stream_bytes,
        "border_bytes": whole.found.saved.position,
        "proven_bytes": whole.found.proven_bytes,
        "records_added": summary.records.total(),
        "records_dropped": summary.dropped.total(),
        "begin": crate::push::begin_json(begin),
    }))
}

/// The whole stream on its way out.
struct Whole {
    kept: Kept,
    found: KeptBeginning,
    sink: StreamSink,
    /// The last bytes so far, no more than an END.
    end: Vec<u8>,
    /// Where in the whole stream the continuation's next byte stands.
    at: u64,
    begun: bool,
}

impl Whole {
    /// Takes the next bytes of the continuation.
    fn take(&mut self, made: &[u8]) -> Result<(), EngineError> {
        self.kept.compare(&self.found, self.at, made).map_err(about(RESUMED))?;
        if !self.begun {
            self.kept.copy(&self.found, &mut self.sink)?;
            self.begun = true;
        }
        self.at += made.len() as u64;
        self.end.extend_from_slice(made);
        let ready = self.end.len().saturating_sub(HEADER_BYTES);
        self.sink.write(&self.end[..ready])?;
        self.end.drain(..ready);
        Ok(())
    }

    /// Everything is proven: the rest goes out.
    fn close(&mut self) -> Result<(), EngineError> {
        self.sink.write(&self.end)
    }
}
