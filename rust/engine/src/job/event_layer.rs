//! Turns `tracing` events into queued [`Event`]s of the job whose thread they happen on.
//!
//! A job owns its runtime, so the thread tells the job even for tasks that a library spawned. Other crates
//! are heard from `warn` up and only with plain values: their debug output may show requests and payload.
//! The signing and credential crates are heard from `error` up.

use std::fmt::Debug;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use super::events::{Event, Level, queue_of_thread};
use super::panics;

const OWN_CRATES: [&str; 6] = ["engine", "store", "sealing", "format", "sendstream", "_engine"];
const SECRET_CRATES: [&str; 5] = ["aws_sigv4", "aws_config", "aws_credential_types", "aws_runtime", "age"];
const TEXT_LIMIT_BYTES: usize = 8192;

static DEBUG: AtomicBool = AtomicBool::new(false);

/// Makes the events and panics of jobs go to their queues; call once, before the first job. Later calls do nothing.
///
/// A process that already has a global `tracing` subscriber keeps it, and jobs then have no events.
pub fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let subscriber = tracing_subscriber::registry().with(QueueLayer);
        // Err means that somebody else's subscriber stands, which is documented above.
        let _ = tracing::subscriber::set_global_default(subscriber);
        panics::install_hook();
    });
}

/// Whether this tool's own crates also record `debug` events, for every job of the process.
pub fn log_debug(enabled: bool) {
    DEBUG.store(enabled, Relaxed);
}

struct QueueLayer;

impl<S: Subscriber> Layer<S> for QueueLayer {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if !metadata.is_event() || *metadata.level() > most_verbose(metadata.target()) {
            return Interest::never();
        }
        // `sometimes`: whether debug is wanted changes while the process runs.
        if *metadata.level() == tracing::Level::DEBUG { Interest::sometimes() } else { Interest::always() }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _context: Context<'_, S>) -> bool {
        metadata.is_event()
            && *metadata.level() <= most_verbose(metadata.target())
            && (*metadata.level() != tracing::Level::DEBUG || DEBUG.load(Relaxed))
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::DEBUG)
    }

    fn on_event(&self, event: &tracing::Event<'_>, _context: Context<'_, S>) {
        let Some(queue) = queue_of_thread() else { return };
        let metadata = event.metadata();
        let mut values =
            Values { own: is_own(metadata.target()), message: String::new(), fields: Map::new() };
        event.record(&mut values);
        queue.push(Event::now(level(*metadata.level()), metadata.target(), values.message, values.fields));
    }
}

fn crate_of(target: &str) -> &str {
    target.split("::").next().unwrap_or(target)
}

fn is_own(target: &str) -> bool {
    OWN_CRATES.contains(&crate_of(target))
}

fn most_verbose(target: &str) -> LevelFilter {
    let name = crate_of(target);
    if SECRET_CRATES.contains(&name) {
        LevelFilter::ERROR
    } else if is_own(target) {
        LevelFilter::DEBUG
    } else {
        LevelFilter::WARN
    }
}

fn level(level: tracing::Level) -> Level {
    match level {
        tracing::Level::ERROR => Level::Error,
        tracing::Level::WARN => Level::Warn,
        tracing::Level::INFO => Level::Info,
        _ => Level::Debug,
    }
}

struct Values {
    own: bool,
    message: String,
    fields: Map<String, Value>,
}

impl Values {
    fn keep(&mut self, field: &Field, value: Value) {
        self.fields.insert(field.name().to_owned(), value);
    }

    fn text(&mut self, field: &Field, text: &str) {
        let text = shortened(text);
        if field.name() == "message" {
            self.message = text;
        } else {
            self.keep(field, Value::from(text));
        }
    }
}

impl Visit for Values {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // A `%value` of our own arrives here too; another crate's may be a whole request.
        if self.own || field.name() == "message" {
            self.text(field, &format!("{value:?}"));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.text(field, &value.to_string());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.keep(field, Value::from(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.keep(field, Value::from(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.keep(field, Value::from(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.keep(field, Value::from(value));
    }
}

/// Cuts a text at the limit, so that the queue is bounded in bytes as well.
fn shortened(text: &str) -> String {
    if text.len() <= TEXT_LIMIT_BYTES {
        return text.to_owned();
    }
    let mut end = TEXT_LIMIT_BYTES;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &text[..end])
}
