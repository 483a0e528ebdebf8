//! Scanner, walker, writer and inspect over changed streams.

use sendstream::{Discard, ScanError, Scanner, StreamError, StreamSummary, Verdict, inspect, last_border};

use crate::Corpus;
use crate::mutate::{self, Random};

/// Longer streams are cut: the fixtures' interesting part is at their beginning.
const MOST_BYTES: usize = 128 << 10;

pub(crate) fn once(random: &mut Random, corpus: &Corpus) {
    let mut stream = input(random, corpus);
    for _ in 0..random.below(4) {
        mutate::bytes(random, &mut stream);
    }
    let scanned = scan(random, &stream);
    let found = inspect(&stream[..]).expect("memory can be read");
    assert!(found.bytes <= stream.len() as u64);
    let _ = last_border(&stream[..]);
    if scanned.is_ok() {
        assert_eq!(found.verdict, Verdict::Whole, "what is scanned whole is walked whole");
    }
    if found.verdict == Verdict::Whole {
        let pieces = mutate::pieces(&stream);
        assert!(mutate::written(&pieces) == stream, "what is read is written again byte for byte");
    }
}

fn input(random: &mut Random, corpus: &Corpus) -> Vec<u8> {
    if random.one_in(16) {
        return random.noise(4096);
    }
    let stream = random.pick(&corpus.streams);
    let most = if random.one_in(8) { stream.len() } else { MOST_BYTES.min(stream.len()) };
    let mut pieces = mutate::pieces(&stream[..most]);
    if pieces.last().is_some_and(|(header, _)| header[0] != 5) {
        let end = mutate::pieces(stream).pop().expect("every fixture has an END");
        // The last payload may have been cut off.
        pieces.pop();
        pieces.push(end);
    }
    if random.one_in(2) {
        mutate::records(random, &mut pieces);
    }
    mutate::written(&pieces)
}

/// In pieces of random length.
fn scan(random: &mut Random, stream: &[u8]) -> Result<StreamSummary, StreamError> {
    let mut scanner = Scanner::new();
    let mut rest = stream;
    while !rest.is_empty() {
        let (piece, later) = rest.split_at(1 + random.below(rest.len().min(70_000)));
        rest = later;
        match scanner.feed(piece, &mut Discard) {
            Ok(()) => {}
            Err(ScanError::Stream(error)) => return Err(error),
            Err(ScanError::Sink(never)) => match never {},
        }
    }
    scanner.finish()
}
