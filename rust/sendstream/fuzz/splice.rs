//! The splice over changed resumed streams: whatever it makes must be a stream that the scanner takes.

use std::io::Read;

use sendstream::{
    Begin, Border, Discard, Feature, HEADER_BYTES, NvList, NvValue, Record, SavedBorder, ScanError, Scanner,
    Sink, SplicedReader,
};

use crate::Corpus;
use crate::mutate::{self, Piece, Random};

const RESUMING: u32 = Feature::Resuming.bit();

pub(crate) fn once(random: &mut Random, corpus: &Corpus) {
    let stream = random.pick(&corpus.streams);
    let Some(begin) = Begin::parse(stream).ok().filter(|begin| begin.refuse_unsupported().is_ok()) else {
        return;
    };
    let mut borders = Borders::default();
    if Scanner::new().feed(stream, &mut borders).is_err() || borders.found.is_empty() {
        return;
    }
    let (index, border, position, sums) = *random.pick(&borders.found);
    let saved = SavedBorder { begin, position, sums, border };
    let pieces = mutate::pieces(stream);
    let mut sent = resumed(&pieces, index, border);
    let unchanged = random.one_in(16);
    if !unchanged {
        mutate::records(random, &mut sent);
    }
    let mut bytes = mutate::written(&sent);
    if !unchanged && random.one_in(4) {
        mutate::bytes(random, &mut bytes);
    }
    let kept = usize::try_from(position).expect("the stream is in memory");
    let mut whole = stream[..kept].to_vec();
    match SplicedReader::new(saved, &bytes[..]).read_to_end(&mut whole) {
        Ok(_) => assert!(scans(&whole), "what is spliced is a whole stream"),
        Err(_) => assert!(!unchanged || stream_is_old(&pieces), "an unchanged stream is spliced"),
    }
    if unchanged && !stream_is_old(&pieces) {
        assert!(whole == *stream, "as one run would have sent it");
    }
}

/// The records of old senders have no sums, and such senders cannot resume.
fn stream_is_old(pieces: &[Piece]) -> bool {
    pieces.get(1).is_some_and(|(header, _)| header[280..] == [0; 32])
}

/// A simple sender: announces the object again, repeats nothing else.
fn resumed(pieces: &[Piece], index: usize, border: Border) -> Vec<Piece> {
    let (object, offset) = border.resume_place();
    let list = NvList(vec![
        ("resume_object".to_owned(), NvValue::Uint64(object)),
        ("resume_offset".to_owned(), NvValue::Uint64(offset)),
    ])
    .encode();
    let mut begin = pieces[0].0;
    begin[4..8].copy_from_slice(&u32::try_from(list.len()).unwrap_or_default().to_le_bytes());
    let version = u32::from_le_bytes([begin[16], begin[17], begin[18], begin[19]]) | RESUMING << 2;
    begin[16..20].copy_from_slice(&version.to_le_bytes());
    let announces = |(header, _): &&Piece| header[0] == 1 && header[8..16] == object.to_le_bytes();
    let mut sent = vec![(begin, list)];
    if matches!(border, Border::AfterWrite { .. }) {
        sent.extend(pieces[..index].iter().rfind(announces).cloned());
        sent.push(free_to_the_end(pieces, object));
    }
    sent.extend_from_slice(&pieces[index..]);
    sent
}

fn free_to_the_end(pieces: &[Piece], object: u64) -> Piece {
    let mut header = [0; HEADER_BYTES];
    header[0] = 4;
    header[8..16].copy_from_slice(&object.to_le_bytes());
    header[24..32].fill(0xff);
    header[32..40].copy_from_slice(&pieces[0].0[40..48]);
    // Any sum but zero: the writer makes it right.
    header[280] = 1;
    (header, Vec::new())
}

fn scans(stream: &[u8]) -> bool {
    let mut scanner = Scanner::new();
    match scanner.feed(stream, &mut Discard) {
        Ok(()) => scanner.finish().is_ok(),
        Err(ScanError::Stream(_)) => false,
        Err(ScanError::Sink(never)) => match never {},
    }
}

#[derive(Default)]
struct Borders {
    records: usize,
    found: Vec<(usize, Border, u64, [u64; 4])>,
}

impl Sink for Borders {
    type Error = std::convert::Infallible;

    fn record(
        &mut self,
        record: &Record,
        _: &[u8; HEADER_BYTES],
        border: Option<Border>,
    ) -> Result<(), Self::Error> {
        self.found.extend(border.map(|border| (self.records, border, record.at, record.checksum_before)));
        self.records += 1;
        Ok(())
    }

    fn payload(&mut self, _: &[u8]) -> Result<(), Self::Error> {
        Ok(())
    }
}
