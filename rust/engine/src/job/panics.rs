//! Panics of job threads go to the job's log and its outcome, not to stderr.

use std::any::Any;
use std::panic::{PanicHookInfo, set_hook, take_hook};

use super::events::queue_of_thread;

/// From here on a panic on a thread of a job is logged there; on any other thread nothing changes.
pub(super) fn install_hook() {
    let previous = take_hook();
    set_hook(Box::new(move |info| if queue_of_thread().is_some() { log(info) } else { previous(info) }));
}

fn log(info: &PanicHookInfo<'_>) {
    let place = info.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    tracing::error!(place, "the engine panicked: {}", text(info.payload()));
}

/// What a panic said.
pub(super) fn text(payload: &(dyn Any + Send)) -> &str {
    if let Some(text) = payload.downcast_ref::<&'static str>() {
        text
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text
    } else {
        "no message"
    }
}
