//! A job: one pipeline on its own OS thread and tokio runtime, watched through a [`JobHandle`].
//!
//! - Every job ends: a panic becomes `engine.internal`, never a wait without end.
//! - The outcome is published after the runtime is gone, so a waiter that has it knows the job has drained.
//! - Nothing is printed: what the job logs waits in a bounded queue until the handle drains it.
//! - A runtime does not survive `fork`, so a handle refuses to work in any process but its own.

mod event_layer;
mod events;
mod handle;
mod journal;
mod live;
mod outcome;
mod panics;
mod patience;
mod progress;
mod spawn;

pub use event_layer::{install, log_debug};
pub use events::{Event, Level};
pub use handle::{JobContext, JobHandle, JobResult};
pub use live::cancel_on_signals;
pub use progress::{Progress, ProgressCounters};
pub use spawn::spawn;

#[cfg(test)]
mod tests;
