//! The splice: at every border of every stream the beginning and the continuation are the one stream, byte for byte;
//! whatever does not continue the stream is refused.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends where its stream is wrong"
)]

mod generated;
mod kept;
mod recorded;
mod refusals;
mod sender;
#[path = "../streams/mod.rs"]
mod streams;

use std::convert::Infallible;

use sendstream::{
    Border, HEADER_BYTES, Record, SavedBorder, Sink, SpliceError, SpliceFault, SpliceSink, SpliceSummary,
    Splicer,
};
use streams::Seen;

/// Keeps the continuation, what was dropped, and BEGIN's payload.
#[derive(Default)]
pub(crate) struct Spliced {
    pub(crate) begin_payload: Vec<u8>,
    pub(crate) kept: streams::Recorder,
    pub(crate) dropped: Vec<(Record, [u8; HEADER_BYTES], Vec<u8>)>,
}

impl Sink for Spliced {
    type Error = Infallible;

    fn record(
        &mut self,
        record: &Record,
        header: &[u8; HEADER_BYTES],
        border: Option<Border>,
    ) -> Result<(), Infallible> {
        self.kept.record(record, header, border)
    }

    fn payload(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
        self.kept.payload(bytes)
    }
}

impl SpliceSink for Spliced {
    fn begin_payload(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
        self.begin_payload.extend_from_slice(bytes);
        Ok(())
    }

    fn dropped(&mut self, record: &Record, header: &[u8; HEADER_BYTES]) -> Result<(), Infallible> {
        self.dropped.push((*record, *header, Vec::new()));
        Ok(())
    }

    fn dropped_payload(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
        self.dropped.last_mut().expect("a record comes first").2.extend_from_slice(bytes);
        Ok(())
    }
}

pub(crate) fn splice_pieces<'a>(
    saved: &SavedBorder,
    pieces: impl IntoIterator<Item = &'a [u8]>,
    sink: &mut Spliced,
) -> Result<SpliceSummary, SpliceError> {
    let mut splicer = Splicer::new(saved.clone());
    for piece in pieces {
        splicer.feed(piece, sink).map_err(|error| match error {
            SpliceFault::Splice(error) => error,
            SpliceFault::Sink(never) => match never {},
        })?;
    }
    splicer.finish()
}

pub(crate) fn splice(saved: &SavedBorder, resumed: &[u8]) -> Result<(Spliced, SpliceSummary), SpliceError> {
    let mut sink = Spliced::default();
    let summary = splice_pieces(saved, [resumed], &mut sink)?;
    Ok((sink, summary))
}

/// What one who sent the stream up to the record `index` saved there.
pub(crate) fn saved_at(records: &[Seen], stream: &[u8], index: usize, border: Border) -> SavedBorder {
    let record = records[index].record;
    let begin = sendstream::Begin::parse(stream).unwrap();
    SavedBorder { begin, position: record.at, sums: record.checksum_before, border }
}

/// Both ways to name a border: as the scanner does, and as one does who has not seen the record behind it.
pub(crate) fn borders_at(records: &[Seen], index: usize) -> Vec<Border> {
    let before = records[index - 1].record;
    let after_write = before
        .write_end()
        .and_then(|end_offset| Some(Border::AfterWrite { object: before.object?, end_offset }));
    let mut borders: Vec<Border> = records[index].border.into_iter().chain(after_write).collect();
    borders.dedup();
    borders
}

/// The splice at a border must make the rest of the stream, with the records that a scan of the whole finds there.
pub(crate) fn assert_spliced(
    stream: &[u8],
    records: &[Seen],
    saved: &SavedBorder,
    resumed: &[u8],
    what: &str,
) {
    let (sink, summary) = splice(saved, resumed)
        .unwrap_or_else(|error| panic!("{what}: {:?} at {}: {error}", saved.border, saved.position));
    let position = usize::try_from(saved.position).unwrap();
    assert!(sink.begin_payload == records[0].payload, "{what}: BEGIN's payload");
    assert!(sink.kept.bytes() == stream[position..], "{what}: {:?} at {position}", saved.border);
    let rest = records.iter().position(|seen| seen.record.at == saved.position).unwrap();
    assert!(sink.kept.0 == records[rest..], "{what}: records from {position}");
    let whole = streams::scan(stream).unwrap();
    assert_eq!(
        (summary.stream_bytes, summary.end_checksum, &summary.begin),
        (whole.stream_bytes, whole.end_checksum, &whole.begin)
    );
    assert_eq!(summary.records.total(), (records.len() - rest) as u64);
    assert_eq!(summary.dropped.total(), sink.dropped.len() as u64);
}
