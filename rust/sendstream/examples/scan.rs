//! Scans a send stream file over and over from memory: prints what it holds, and the speed.
#![allow(clippy::print_stdout, clippy::cast_precision_loss, reason = "a program for people")]

use std::time::Instant;

use sendstream::{ByteOrder, Discard, Fletcher4, RecordKind, Scanner, StreamSummary};

/// Bytes handed over at a time: about what a reader of a pipe has in hand.
const PIECE_BYTES: usize = 256 * 1024;
/// Bytes to go through for a steady figure.
const MEASURED_BYTES: usize = 4 << 30;

fn scan(stream: &[u8]) -> Result<StreamSummary, Box<dyn std::error::Error>> {
    let mut scanner = Scanner::new();
    for piece in stream.chunks(PIECE_BYTES) {
        scanner.feed(piece, &mut Discard)?;
    }
    Ok(scanner.finish()?)
}

/// Best of many rounds, so that a busy machine does not blur it.
fn rate(name: &str, bytes: usize, mut once: impl FnMut()) {
    let mut best = f64::INFINITY;
    for _ in 0..(MEASURED_BYTES / bytes).max(1) {
        let start = Instant::now();
        once();
        best = best.min(start.elapsed().as_secs_f64());
    }
    let gib = bytes as f64 / f64::from(1 << 30);
    println!("{name:<26}{:6.2} GiB/s", gib / best);
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: scan FILE")?;
    let stream = std::fs::read(path)?;
    let summary = scan(&stream)?;
    println!("{} (guid {})", summary.begin.to_name, summary.begin.to_guid);
    println!("{} bytes, features: {}", summary.stream_bytes, summary.begin.features);
    for (kind, count) in summary.records.iter().filter(|(_, count)| *count > 0) {
        println!("{:<16}{count}", RecordKind::name(kind));
    }
    rate("scan", stream.len(), || assert!(scan(&stream).is_ok()));
    for order in [ByteOrder::Little, ByteOrder::Big] {
        rate(&format!("fletcher-4, {order:?} endian"), stream.len(), || {
            let mut sum = Fletcher4::new(order);
            sum.update(&stream);
            std::hint::black_box(sum.value());
        });
    }
    Ok(())
}
