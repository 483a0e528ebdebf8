//! What is in a file of send streams: read once from front to end, in bounded memory.

mod collect;
mod report;

use std::io::{self, Read};

use crate::{ScanError, StreamError, Walker};
use collect::Collector;
pub use report::{Inspection, KindReport, ResumePlace, StreamReport, Verdict};

/// Bytes read at a time.
const READ_BYTES: usize = 256 << 10;

/// Reads a file of any kind of send stream, up to its end or to where it is damaged, and says what was found.
///
/// Memory depends on neither the file's length nor what stands in it: of a compound stream with more than a few
/// thousand streams, the later ones are only counted.
///
/// # Errors
/// Of reading only; what is wrong with the stream is part of the report.
pub fn inspect(mut file: impl Read) -> io::Result<Inspection> {
    let mut buffer = vec![0; READ_BYTES];
    let mut walker = Walker::new();
    let mut collector = Collector::default();
    loop {
        let length = match file.read(&mut buffer) {
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let fed = match walker.feed(&buffer[..length], &mut collector) {
            Ok(()) => Ok(()),
            Err(ScanError::Stream(error)) => Err(error),
            Err(ScanError::Sink(never)) => match never {},
        };
        if length == 0 || fed.is_err() {
            let bytes = walker.position();
            let verdict = verdict(fed.and_then(|()| walker.finish()), collector.records_met());
            return Ok(collector.report(bytes, verdict));
        }
    }
}

fn verdict(result: Result<u64, StreamError>, records_met: u64) -> Verdict {
    match result {
        Ok(_) => Verdict::Whole,
        Err(StreamError::Truncated { at }) => Verdict::Truncated { at, code: "stream.truncated" },
        Err(error) => Verdict::Corrupt {
            at: error.at(),
            record_number: records_met,
            code: error.code(),
            reason: error.to_string(),
        },
    }
}
