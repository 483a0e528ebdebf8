//! Figures out of the measuring processes, and the table made of their medians.

use std::io::{Write, stderr, stdout};

use serde_json::{Value, json};

use crate::Failure;
use crate::cost::Cost;
use crate::primitives::Primitives;

/// The project's limits: CPU of the engine by CPU of its primitives; one core's time by two cores' time.
const CPU_LIMIT: f64 = 1.5;
const SPEEDUP_LIMIT: f64 = 1.7;

/// What one process measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figures {
    pub(crate) gib: f64,
    pub(crate) primitives: Primitives,
    pub(crate) push: Cost,
    pub(crate) restore: Cost,
}

/// Says why there are no figures.
pub(crate) fn complain(text: &str) {
    // Nothing is left to do when stderr is gone.
    let _ = writeln!(stderr(), "pipeline: {text}");
}

/// Writes the figures for the process that asked.
pub(crate) fn hand_over(figures: &Figures) -> Result<(), Failure> {
    let (bare, push, restore) = (figures.primitives, figures.push, figures.restore);
    let values = json!([
        figures.gib,
        bare.seal,
        bare.open,
        bare.digest,
        bare.fletcher,
        bare.copy,
        push.cpu_seconds,
        push.wall_seconds,
        restore.cpu_seconds,
        restore.wall_seconds,
    ]);
    Ok(writeln!(stdout(), "{values}")?)
}

/// Reads what [`hand_over`] wrote.
pub(crate) fn take_over(text: &str) -> Result<Figures, Failure> {
    let values: Vec<f64> = serde_json::from_value(serde_json::from_str::<Value>(text)?)?;
    let [gib, seal, open, digest, fletcher, copy, push_cpu, push_wall, restore_cpu, restore_wall] =
        values[..]
    else {
        return Err("the measuring process gave other figures than asked for".into());
    };
    Ok(Figures {
        gib,
        primitives: Primitives { seal, open, digest, fletcher, copy },
        push: Cost { cpu_seconds: push_cpu, wall_seconds: push_wall },
        restore: Cost { cpu_seconds: restore_cpu, wall_seconds: restore_wall },
    })
}

/// Prints the table.
pub(crate) fn table(mib: usize, one: &[Figures], two: &[Figures]) -> Result<(), Failure> {
    let all: Vec<Figures> = one.iter().chain(two).copied().collect();
    let bare = |pick: fn(&Primitives) -> f64| median(&all, |f| pick(&f.primitives) / f.gib);
    let mut out = stdout().lock();
    writeln!(out, "Engine, source and store in memory, {mib} MiB, medians of {} rounds", one.len())?;
    writeln!(
        out,
        "  bare, CPU s/GiB: seal {:.3}, open {:.3}, digest {:.3}, fletcher-4 {:.3}, one copy {:.3}",
        bare(|p| p.seal),
        bare(|p| p.open),
        bare(|p| p.digest),
        bare(|p| p.fletcher),
        bare(|p| p.copy)
    )?;
    writeln!(
        out,
        "  {:<9}{:>10}{:>10}{:>10}{:>18}{:>18}",
        "", "bare", "1 core", "2 cores", "CPU / bare", "wall 1 / 2 cores"
    )?;
    row(&mut out, "push", one, two, |f| f.push, Primitives::of_push)?;
    row(&mut out, "restore", one, two, |f| f.restore, Primitives::of_restore)?;
    writeln!(
        out,
        "  bare and cores: CPU s/GiB; limits: CPU / bare at most {CPU_LIMIT}, wall 1 / 2 cores at least {SPEEDUP_LIMIT}"
    )?;
    Ok(())
}

fn row(
    out: &mut impl Write,
    name: &str,
    one: &[Figures],
    two: &[Figures],
    job: fn(&Figures) -> Cost,
    bare: fn(&Primitives) -> f64,
) -> Result<(), Failure> {
    let cpu = |figures: &[Figures]| median(figures, |f| job(f).cpu_seconds / f.gib);
    let wall = |figures: &[Figures]| median(figures, |f| job(f).wall_seconds / f.gib);
    let ratio = |figures: &[Figures]| median(figures, |f| job(f).cpu_seconds / bare(&f.primitives));
    let all: Vec<Figures> = one.iter().chain(two).copied().collect();
    let sum = median(&all, |f| bare(&f.primitives) / f.gib);
    let ratios = format!("{:.2}, {:.2}", ratio(one), ratio(two));
    let walls = format!("{:.2}/{:.2} = {:.2}", wall(one), wall(two), wall(one) / wall(two));
    writeln!(out, "  {name:<9}{sum:>10.3}{:>10.3}{:>10.3}{ratios:>18}{walls:>18}", cpu(one), cpu(two))?;
    Ok(())
}

fn median(figures: &[Figures], value: impl Fn(&Figures) -> f64) -> f64 {
    let mut values: Vec<f64> = figures.iter().map(value).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
