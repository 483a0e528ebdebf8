//! Fletcher-4 on one core: word by word as it is defined, as the crate does it, and a copy for comparison;
//! from a buffer that fits into a core's cache, as a push finds its bytes, and from memory.

use std::hint::black_box;
use std::io::{Result, Write, stdout};
use std::time::Instant;

use sendstream::{ByteOrder, Fletcher4};

const ROUNDS: usize = 15;

fn main() -> Result<()> {
    writeln!(stdout(), "Fletcher-4 on one core, GiB/s, best of {ROUNDS} rounds")?;
    writeln!(stdout(), "  {:<12}{:>14}{:>12}{:>10}", "", "word by word", "the crate's", "a copy")?;
    row("256 KiB", 256 << 10)?;
    row("64 MiB", 64 << 20)
}

fn row(name: &str, bytes: u32) -> Result<()> {
    let buffer: Vec<u8> = (0_u8..=250).cycle().take(bytes as usize).collect();
    let mut copy = vec![0; buffer.len()];
    let plain = gib_a_second(bytes, || {
        black_box(word_by_word(black_box(&buffer)));
    });
    let ours = gib_a_second(bytes, || {
        let mut sum = Fletcher4::new(ByteOrder::Little);
        sum.update(black_box(&buffer));
        black_box(sum.value());
    });
    let copied = gib_a_second(bytes, || black_box(&mut copy).copy_from_slice(black_box(&buffer)));
    writeln!(stdout(), "  {name:<12}{plain:>14.1}{ours:>12.1}{copied:>10.1}")
}

fn word_by_word(bytes: &[u8]) -> [u64; 4] {
    let [mut a, mut b, mut c, mut d] = [0_u64; 4];
    for word in bytes.as_chunks().0 {
        a = a.wrapping_add(u64::from(u32::from_le_bytes(*word)));
        b = b.wrapping_add(a);
        c = c.wrapping_add(b);
        d = d.wrapping_add(c);
    }
    [a, b, c, d]
}

fn gib_a_second(bytes: u32, mut work: impl FnMut()) -> f64 {
    let mut best_seconds = f64::INFINITY;
    for _ in 0..ROUNDS {
        let started = Instant::now();
        work();
        best_seconds = best_seconds.min(started.elapsed().as_secs_f64());
    }
    f64::from(bytes) / f64::from(1 << 30) / best_seconds
}
