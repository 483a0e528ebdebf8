//! The engine beside its bare primitives: CPU seconds a GiB, and what a second core brings.
//!
//! `cargo bench -p engine --bench pipeline -- [--mib N] [--rounds N]`. Each measurement is a process of its own,
//! pinned to one or two cores before it starts a thread; it measures primitives, push and restore on the same bytes.
//! The source is a file in memory, the store is memory too, so nothing but the engine's own work is measured.
#![forbid(unsafe_code)]

mod cost;
mod jobs;
mod memory_store;
mod primitives;
mod report;
#[allow(dead_code, reason = "the file belongs to the tests")]
#[path = "../../tests/pipelines/rooms/stream.rs"]
mod stream;

use std::error::Error;
use std::process::{Command, ExitCode};

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// Whatever went wrong, for people.
type Failure = Box<dyn Error + Send + Sync>;

struct Options {
    mib: usize,
    rounds: usize,
    /// Set in the processes that measure: how many cores they keep to.
    cores: Option<usize>,
}

fn main() -> ExitCode {
    match options().and_then(|options| run(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            report::complain(&failure.to_string());
            ExitCode::FAILURE
        }
    }
}

fn options() -> Result<Options, Failure> {
    let mut options = Options { mib: 1024, rounds: 5, cores: None };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        // cargo says `--bench` to every benchmark.
        if word == "--bench" {
            continue;
        }
        let value = words.next().ok_or_else(|| format!("{word} needs a number"))?.parse()?;
        match word.as_str() {
            "--mib" => options.mib = value,
            "--rounds" => options.rounds = value,
            "--cores" => options.cores = Some(value),
            _ => return Err(format!("unknown option {word}: there are --mib, --rounds and --cores").into()),
        }
    }
    Ok(options)
}

fn run(options: &Options) -> Result<(), Failure> {
    if let Some(cores) = options.cores {
        pin(cores)?;
        return report::hand_over(&measure(options.mib << 20)?);
    }
    let (mut one, mut two) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        one.push(in_process(options.mib, 1)?);
        two.push(in_process(options.mib, 2)?);
    }
    report::table(options.mib, &one, &two)
}

fn pin(cores: usize) -> Result<(), Failure> {
    let allowed = sched_getaffinity(Pid::this())?;
    let mut kept = CpuSet::new();
    let free = (0..CpuSet::count()).filter(|core| allowed.is_set(*core).unwrap_or(false));
    let wanted: Vec<usize> = free.take(cores).collect();
    if wanted.len() < cores {
        return Err(format!("{cores} cores are wanted, this process may use {}", wanted.len()).into());
    }
    for core in wanted {
        kept.set(core)?;
    }
    Ok(sched_setaffinity(Pid::this(), &kept)?)
}

fn in_process(mib: usize, cores: usize) -> Result<report::Figures, Failure> {
    let output = Command::new(std::env::current_exe()?)
        .args(["--mib", &mib.to_string(), "--cores", &cores.to_string()])
        .output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    report::take_over(&String::from_utf8(output.stdout)?)
}

fn measure(bytes: usize) -> Result<report::Figures, Failure> {
    let stream = stream::incompressible(bytes);
    let room = jobs::Room::new()?;
    let primitives = primitives::measure(&stream, &room)?;
    let source = jobs::file_in_memory(&stream)?;
    let gib = f64::from(u32::try_from(stream.len() >> 10)?) / f64::from(1 << 20);
    drop(stream);
    // The first push keeps its objects for the restore, and warms up; the second one is measured.
    let (store, manifest_key, _) = jobs::push(&room, &source, memory_store::Keep::Everything)?;
    let (_, _, push) = jobs::push(&room, &source, memory_store::Keep::SmallObjects)?;
    drop(source);
    let restore = jobs::restore(&room, store, &manifest_key)?;
    Ok(report::Figures { gib, primitives, push, restore })
}
