//! What a piece of work cost: CPU seconds (user and system) and seconds on the clock.

use std::time::{Duration, Instant};

use nix::sys::resource::{Usage, UsageWho, getrusage};
use nix::sys::time::TimeVal;

use crate::Failure;

/// The cost of something.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cost {
    pub(crate) cpu_seconds: f64,
    pub(crate) wall_seconds: f64,
}

/// A measurement under way.
pub(crate) struct Started {
    cpu: Duration,
    wall: Instant,
}

/// Begins to measure this process, all its threads.
pub(crate) fn start() -> Result<Started, Failure> {
    Ok(Started { cpu: spent(UsageWho::RUSAGE_SELF)?, wall: Instant::now() })
}

impl Started {
    pub(crate) fn stop(self) -> Result<Cost, Failure> {
        let wall_seconds = self.wall.elapsed().as_secs_f64();
        let cpu = spent(UsageWho::RUSAGE_SELF)?.saturating_sub(self.cpu);
        Ok(Cost { cpu_seconds: cpu.as_secs_f64(), wall_seconds })
    }
}

/// CPU time that the calling thread has used.
pub(crate) fn of_this_thread() -> Result<Duration, Failure> {
    spent(UsageWho::RUSAGE_THREAD)
}

fn spent(who: UsageWho) -> Result<Duration, Failure> {
    let usage: Usage = getrusage(who)?;
    Ok(duration(usage.user_time())? + duration(usage.system_time())?)
}

fn duration(value: TimeVal) -> Result<Duration, Failure> {
    Ok(Duration::from_secs(value.tv_sec().try_into()?) + Duration::from_micros(value.tv_usec().try_into()?))
}
