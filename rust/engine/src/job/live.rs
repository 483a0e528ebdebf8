//! The jobs of this process that still run, so that a signal can stop them without waiting for the interpreter.

use std::os::raw::c_int;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use signal_hook::iterator::Signals;

use super::handle::Shared;
use crate::error::EngineError;

static LIVE: Mutex<Vec<Weak<Shared>>> = Mutex::new(Vec::new());

/// Notes a job; those that have gone are forgotten on the way.
pub(super) fn note(shared: &Arc<Shared>) {
    let mut live = LIVE.lock().unwrap_or_else(PoisonError::into_inner);
    live.retain(|job| job.strong_count() > 0);
    live.push(Arc::downgrade(shared));
}

fn cancel_all(reason: &str) {
    let live: Vec<_> = LIVE.lock().unwrap_or_else(PoisonError::into_inner).clone();
    for job in live.iter().filter_map(Weak::upgrade) {
        job.cancel(reason);
    }
}

/// From now on each of `signals` cancels every running job of this process, from a thread of its own; what handled
/// the signal before is called as well. For a command that owns its process, once, after its own handlers stand.
///
/// # Errors
/// `engine.bad_request` for a signal that can't be handled; `engine.internal` when no thread can be started.
pub fn cancel_on_signals(signals: &[c_int]) -> Result<(), EngineError> {
    static WATCHING: OnceLock<()> = OnceLock::new();
    if WATCHING.set(()).is_err() {
        return Ok(());
    }
    let mut signals = Signals::new(signals)
        .map_err(|error| EngineError::bad_request(format!("a signal can't be watched: {error}")))?;
    let watch = move || {
        for signal in signals.forever() {
            cancel_all(signal_hook::low_level::signal_name(signal).unwrap_or("a signal"));
        }
    };
    let started = std::thread::Builder::new().name("zpb-signals".to_owned()).spawn(watch);
    started.map(drop).map_err(|error| EngineError::internal(format!("starting thread zpb-signals: {error}")))
}
