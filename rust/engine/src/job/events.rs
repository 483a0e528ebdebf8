//! The log events of one job, waiting to be drained.
//!
//! The queue is bounded: when nobody drains it the oldest events go and are counted, because a job must
//! neither block on its log nor grow with it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde_json::{Map, Value};

/// Events kept for a job that nobody drains.
pub(super) const QUEUE_EVENTS: usize = 2048;

/// How much an event matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Something failed.
    Error,
    /// Something is not as it should be; the job goes on.
    Warn,
    /// A step that an operator wants to see.
    Info,
    /// Detail, only recorded where it was asked for.
    Debug,
}

/// One log event of a job.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Event {
    /// When it happened, seconds since 1970-01-01 UTC.
    pub seconds_since_epoch: f64,
    /// How much it matters.
    pub level: Level,
    /// The module it comes from, as `crate::module`.
    pub target: String,
    /// The text.
    pub message: String,
    /// Its values.
    pub fields: Map<String, Value>,
}

impl Event {
    /// An event that happens now.
    pub(super) fn now(level: Level, target: &str, message: String, fields: Map<String, Value>) -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let seconds_since_epoch = since_epoch.as_secs_f64();
        Self { seconds_since_epoch, level, target: target.to_owned(), message, fields }
    }
}

/// The bounded queue of one job.
#[derive(Debug, Default)]
pub(super) struct EventQueue(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    events: VecDeque<Event>,
    dropped: u64,
}

impl EventQueue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push(&self, event: Event) {
        let mut waiting = self.lock();
        if waiting.events.len() >= QUEUE_EVENTS {
            waiting.events.pop_front();
            waiting.dropped += 1;
        }
        waiting.events.push_back(event);
    }

    /// Takes up to `max` events, oldest first; a gap is told by one warning in its place, not counted in `max`.
    pub(super) fn drain(&self, max: usize) -> Vec<Event> {
        let mut waiting = self.lock();
        if max == 0 {
            return Vec::new();
        }
        let mut drained = Vec::new();
        if waiting.dropped > 0 {
            drained.push(gap(std::mem::take(&mut waiting.dropped)));
        }
        let count = waiting.events.len().min(max);
        drained.extend(waiting.events.drain(..count));
        drained
    }
}

fn gap(dropped: u64) -> Event {
    let message = format!("{dropped} log events were dropped: they came faster than they were read");
    let fields = Map::from_iter([("dropped".to_owned(), Value::from(dropped))]);
    Event::now(Level::Warn, "engine::job", message, fields)
}

thread_local! {
    static QUEUE_OF_THREAD: RefCell<Option<Arc<EventQueue>>> = const { RefCell::new(None) };
}

/// From here on this thread's events belong to `queue`; gives back whose they were.
pub(super) fn attach_thread(queue: Option<Arc<EventQueue>>) -> Option<Arc<EventQueue>> {
    QUEUE_OF_THREAD.try_with(|slot| slot.replace(queue)).ok().flatten()
}

/// The queue that this thread's events go to, if it works for a job.
pub(super) fn queue_of_thread() -> Option<Arc<EventQueue>> {
    // A thread on its way out has no storage left; its last events belong to nobody.
    QUEUE_OF_THREAD.try_with(|slot| slot.borrow().clone()).ok().flatten()
}
