//! What a case may cost: ten seconds, and memory that does not depend on the input.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

const MOST_SECONDS: u32 = 10;
/// The recorded streams, a changed copy of one and what is made of it, with room to spare; a length that was believed
/// would be far above.
const MOST_MIB: u64 = 96;

/// Ends the program when a case does not end.
pub(crate) struct Watch {
    case: Arc<AtomicU64>,
}

impl Watch {
    pub(crate) fn start() -> Self {
        let case = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&case);
        thread::spawn(move || {
            let mut last = u64::MAX;
            loop {
                let now = seen.load(Ordering::Relaxed);
                if now == last {
                    eprintln!("case {now} does not end");
                    std::process::exit(1);
                }
                last = now;
                thread::sleep(Duration::from_secs(1) * MOST_SECONDS);
            }
        });
        Self { case }
    }

    pub(crate) fn case(&self, number: u64) {
        self.case.store(number, Ordering::Relaxed);
    }
}

pub(crate) fn check_memory() {
    let mib = most_memory_mib();
    assert!(mib <= MOST_MIB, "{mib} MiB were used, {MOST_MIB} are enough for any input");
}

/// The most memory that the process ever had, where the system tells.
pub(crate) fn most_memory_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.unwrap_or_default() / 1024
}
