//! Fuzzing on stable Rust: `fuzz parser|token|splice [--seconds N] [--seed N]`.
//!
//! Recorded streams are changed at random, and so is plain noise; the seed printed makes a run again. A panic ends the
//! run, and so do a case that takes longer than ten seconds, more memory than a fixed bound, and a difference: what
//! the scanner accepts the writer must make again, what the splice makes must be a stream.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]
#![allow(clippy::expect_used, clippy::panic, clippy::exit, reason = "a fuzzer ends where something is wrong")]

mod bounds;
mod mutate;
mod parser;
mod splice;
mod token;

use std::time::{Duration, Instant};

use mutate::Random;

/// Changes to one input before the next is taken.
type Target = fn(&mut Random, &Corpus);

/// Recorded streams.
pub(crate) struct Corpus {
    pub(crate) streams: Vec<Vec<u8>>,
}

impl Corpus {
    /// Small streams, and the first part of large ones: many short cases find more than few long ones.
    fn load() -> Result<Self, Box<dyn std::error::Error>> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/streams");
        let mut paths: Vec<_> = std::fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
        paths.sort_by_key(std::fs::DirEntry::path);
        let streams = paths
            .iter()
            .map(std::fs::DirEntry::path)
            .filter(|path| path.extension().is_some_and(|end| end == "zs"));
        Ok(Self { streams: streams.map(std::fs::read).collect::<Result<_, _>>()? })
    }
}

struct Arguments {
    name: String,
    target: Target,
    seconds: u64,
    seed: u64,
}

fn arguments() -> Result<Arguments, Box<dyn std::error::Error>> {
    let usage = "usage: fuzz parser|token|splice [--seconds N] [--seed N]";
    let mut words = std::env::args().skip(1);
    let name = words.next().ok_or(usage)?;
    let target: Target = match name.as_str() {
        "parser" => parser::once,
        "token" => token::once,
        "splice" => splice::once,
        _ => return Err(usage.into()),
    };
    let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    let mut arguments = Arguments { name, target, seconds: 60, seed: since_1970.as_secs() };
    while let Some(word) = words.next() {
        let number = words.next().ok_or(usage)?.parse()?;
        match word.as_str() {
            "--seconds" => arguments.seconds = number,
            "--seed" => arguments.seed = number,
            _ => return Err(usage.into()),
        }
    }
    Ok(arguments)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let Arguments { name, target, seconds, seed } = arguments()?;
    let corpus = Corpus::load()?;
    println!("{name}: {seconds} s, seed {seed}");
    let watch = bounds::Watch::start();
    let mut random = Random::new(seed);
    let (begun, mut cases) = (Instant::now(), 0_u64);
    while begun.elapsed() < Duration::from_secs(seconds) {
        watch.case(cases);
        target(&mut random, &corpus);
        cases += 1;
        if cases.is_multiple_of(1024) {
            bounds::check_memory();
        }
    }
    bounds::check_memory();
    println!("{name}: {cases} cases, nothing found, {} MiB at most", bounds::most_memory_mib());
    Ok(())
}
