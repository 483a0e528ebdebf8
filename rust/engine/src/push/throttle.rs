//! `limit_upload`: the source is read no faster, so that nothing piles up in memory.

use std::time::{Duration, Instant};

use super::cutter::PieceLine;
use crate::error::EngineError;

/// The share of a second's bytes that may be read in one go.
const SHARES_A_SECOND: u64 = 20;

/// A bound on the bytes read a second, measured from the first byte.
#[derive(Debug)]
pub(crate) struct Throttle {
    bytes_per_second: Option<u64>,
    since: Option<Instant>,
    spent_bytes: u64,
}

impl Throttle {
    pub(crate) fn new(bytes_per_second: Option<u64>) -> Self {
        Self { bytes_per_second, since: None, spent_bytes: 0 }
    }

    /// How many bytes to read at once.
    pub(crate) fn most_bytes(&self, wanted: usize) -> usize {
        match self.bytes_per_second {
            None => wanted,
            Some(rate) => wanted.min(usize::try_from((rate / SHARES_A_SECOND).max(1)).unwrap_or(wanted)),
        }
    }

    /// Notes `count` bytes and waits until they were due; cancelling ends the wait.
    pub(crate) fn spend(&mut self, count: usize, line: &PieceLine) -> Result<(), EngineError> {
        let Some(rate) = self.bytes_per_second else { return Ok(()) };
        let wait = self.wait_after(count, rate, Instant::now());
        if wait.is_zero() {
            return Ok(());
        }
        // The timer belongs to the runtime, so it is made inside of it.
        let slept =
            line.runtime.block_on(line.cancel.run_until_cancelled(async { tokio::time::sleep(wait).await }));
        slept.ok_or_else(|| EngineError::cancelled("stopped while holding to the upload limit"))
    }

    fn wait_after(&mut self, count: usize, rate: u64, now: Instant) -> Duration {
        let since = *self.since.get_or_insert(now);
        self.spent_bytes += count as u64;
        let due_nanos = u128::from(self.spent_bytes) * 1_000_000_000 / u128::from(rate.max(1));
        let due = since + Duration::from_nanos(u64::try_from(due_nanos).unwrap_or(u64::MAX));
        if due < now {
            // A slow source earns no credit: a burst after a pause would break the limit.
            self.since = Some(now);
            self.spent_bytes = 0;
        }
        due.saturating_duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_kept_and_a_pause_earns_no_credit() {
        let mut throttle = Throttle::new(Some(1_000));
        let start = Instant::now();
        assert_eq!(throttle.wait_after(500, 1_000, start), Duration::from_millis(500));
        assert_eq!(throttle.wait_after(500, 1_000, start), Duration::from_secs(1));
        let later = start + Duration::from_mins(1);
        assert_eq!(throttle.wait_after(500, 1_000, later), Duration::ZERO);
        assert_eq!(throttle.wait_after(500, 1_000, later), Duration::from_millis(500));
    }

    #[test]
    fn reads_are_small_enough_to_be_even() {
        assert_eq!(Throttle::new(Some(1_000)).most_bytes(1 << 20), 50);
        assert_eq!(Throttle::new(Some(1)).most_bytes(1 << 20), 1);
        assert_eq!(Throttle::new(None).most_bytes(1 << 20), 1 << 20);
    }
}
