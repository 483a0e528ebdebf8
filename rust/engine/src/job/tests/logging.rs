use serde_json::json;

use super::{outcome, report};
use crate::job::events::QUEUE_EVENTS;
use crate::job::{Event, JobHandle, Level, install, log_debug, spawn};

fn events_of(job: &JobHandle) -> Vec<Event> {
    let _ = outcome(job);
    job.drain_events(usize::MAX)
}

fn messages(job: &JobHandle) -> Vec<String> {
    events_of(job).into_iter().map(|event| event.message).collect()
}

#[test]
fn events_carry_level_target_message_and_values() {
    install();
    let job = spawn("t-event", 1, async |_| {
        tracing::warn!(part = 7_u64, key = "data/x", late = true, why = %"slow", "part {} is late", 7);
        Ok(json!({}))
    });
    let events = events_of(&job);
    let [event] = events.as_slice() else { panic!("one event, not {events:?}") };
    assert_eq!((event.level, event.message.as_str()), (Level::Warn, "part 7 is late"));
    assert_eq!(event.target, "engine::job::tests::logging");
    assert_eq!(json!(event.fields), json!({"part": 7, "key": "data/x", "late": true, "why": "slow"}));
    assert!(event.seconds_since_epoch > 1_700_000_000.0);
    assert_eq!(json!(event)["level"], "warn");
}

#[test]
fn every_thread_of_a_job_logs_to_that_job_alone() {
    install();
    let logger = |name: &'static str| {
        spawn(name, 2, async move |context| {
            tracing::info!("{name} body");
            let task = tokio::spawn(async move { tracing::info!("{name} task") });
            let blocking = tokio::task::spawn_blocking(move || tracing::info!("{name} blocking"));
            let _ = tokio::join!(task, blocking);
            let pool = std::thread::spawn(move || {
                tracing::info!("{name} stray");
                context.log_here(|| tracing::info!("{name} pool"));
                tracing::info!("{name} stray again");
            });
            let _ = pool.join();
            Ok(json!({}))
        })
    };
    for (job, name) in [(logger("t-one"), "t-one"), (logger("t-two"), "t-two")] {
        let mut heard = messages(&job);
        heard.sort();
        let expected = ["blocking", "body", "pool", "task"].map(|place| format!("{name} {place}"));
        assert_eq!(heard, expected);
    }
}

#[test]
fn a_full_queue_drops_the_oldest_and_says_how_many() {
    install();
    let job = spawn("t-flood", 1, async |_| {
        for number in 0..QUEUE_EVENTS + 10 {
            tracing::info!(number, "event {number}");
        }
        Ok(json!({}))
    });
    report(&job);
    let first = job.drain_events(1);
    assert_eq!(first[0].level, Level::Warn);
    assert_eq!(first[0].fields["dropped"], 10);
    assert_eq!(first[1].message, "event 10");
    assert_eq!(first.len(), 2);
    let rest = job.drain_events(usize::MAX);
    assert_eq!(rest.len(), QUEUE_EVENTS - 1);
    assert_eq!(rest.last().map(|event| event.message.clone()), Some(format!("event {}", QUEUE_EVENTS + 9)));
    assert!(job.drain_events(1).is_empty());
}

#[test]
fn other_crates_are_heard_from_warn_up_and_without_their_debug_values() {
    install();
    let job = spawn("t-crates", 1, async |_| {
        tracing::info!(target: "hyper::client", "connected");
        tracing::warn!(target: "hyper::client", port = 443, request = ?["authorization"], "retrying");
        tracing::warn!(target: "aws_sigv4::sign", "canonical request: secret");
        tracing::warn!(target: "aws_config::profile", "profile: secret");
        tracing::error!(target: "aws_sigv4::sign", "no clock");
        Ok(json!({}))
    });
    let events = events_of(&job);
    let heard: Vec<_> = events.iter().map(|event| event.message.as_str()).collect();
    assert_eq!(heard, ["retrying", "no clock"]);
    assert_eq!(json!(events[0].fields), json!({"port": 443}));
}

#[test]
fn debug_is_recorded_only_while_it_is_asked_for() {
    install();
    let job = spawn("t-debug", 1, async |_| {
        tracing::debug!("unasked");
        log_debug(true);
        tracing::debug!("asked");
        tracing::trace!("never");
        log_debug(false);
        tracing::debug!("unasked again");
        Ok(json!({}))
    });
    assert_eq!(messages(&job), ["asked"]);
}

#[test]
fn a_panic_is_logged_with_its_place_even_where_a_task_swallows_it() {
    install();
    let job = spawn("t-hook", 1, async |_| {
        let failed = tokio::spawn(async { panic!("lost its way") }).await;
        Ok(json!(failed.is_err()))
    });
    assert_eq!(report(&job), json!(true));
    let events = job.drain_events(10);
    assert!(events[0].message.contains("lost its way"), "{events:?}");
    assert!(events[0].fields["place"].as_str().is_some_and(|place| place.contains("logging.rs")));
}

#[test]
fn a_long_text_is_cut() {
    install();
    let job = spawn("t-long", 1, async |_| {
        tracing::info!(name = "ä".repeat(10_000), "x");
        Ok(json!({}))
    });
    let events = events_of(&job);
    let kept = events[0].fields["name"].as_str().expect("a text");
    assert!(kept.len() < 8_300 && kept.ends_with('…'));
}
