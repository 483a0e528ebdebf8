use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use serde_json::json;

use super::{LIMIT, nothing, outcome, report, until_cancelled};
use crate::job::handle::{JobHandle, Shared};
use crate::job::{Progress, spawn};

struct SetOnDrop(Arc<AtomicBool>);

impl Drop for SetOnDrop {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

struct TellOnDrop(Sender<&'static str>);

impl Drop for TellOnDrop {
    fn drop(&mut self) {
        let _ = self.0.send("dropped");
    }
}

#[test]
fn an_outcome_means_that_everything_the_job_started_is_gone() {
    let gone = Arc::new(AtomicBool::new(false));
    let left_running = SetOnDrop(Arc::clone(&gone));
    let job = spawn("t-drain", 2, async move |_| {
        tokio::spawn(async move {
            let _held = left_running;
            std::future::pending::<()>().await;
        });
        Ok(json!({"parts": 3}))
    });
    assert_eq!(report(&job), json!({"parts": 3}));
    assert!(gone.load(SeqCst), "the task outlived the outcome");
    assert_eq!(job.progress().stage, "done");
}

#[test]
fn a_panic_in_the_body_is_an_internal_error_with_its_text() {
    let job = spawn("t-panic", 1, async |_| panic!("no part {}", 7));
    let error = outcome(&job).expect_err("a panic is no report");
    assert_eq!(error.code, "engine.internal");
    assert!(error.message.contains("no part 7"), "{error}");
    assert_eq!(error.context["job"], "t-panic");
}

#[test]
fn the_first_reason_to_cancel_is_the_one_reported() {
    let job = spawn("t-cancel", 1, until_cancelled);
    assert!(job.wait_timeout(Duration::ZERO).is_none() && !job.is_done());
    job.cancel("SIGTERM");
    job.cancel("later");
    let error = outcome(&job).expect_err("it was cancelled");
    assert!(error.is_cancelled());
    assert_eq!(error.message, "cancelled: SIGTERM");
    assert!(job.is_done());
}

#[test]
fn work_done_in_spite_of_a_cancel_is_reported_as_done() {
    let job = spawn("t-late", 1, async |context| {
        context.cancel.cancelled().await;
        Ok(json!("committed"))
    });
    job.cancel("too late");
    assert_eq!(report(&job), json!("committed"));
}

#[test]
fn only_the_last_handle_takes_the_job_with_it() {
    let (sender, receiver) = channel();
    let job = spawn("t-drop", 1, async move |context| {
        context.cancel.cancelled().await;
        let _ = sender.send(context.cancelled_error().message);
        Err(context.cancelled_error())
    });
    let copy = job.clone();
    drop(job);
    assert!(copy.wait_timeout(Duration::from_millis(20)).is_none(), "a clone keeps the job alive");
    drop(copy);
    let told = receiver.recv_timeout(LIMIT).expect("the job notices");
    assert!(told.contains("nobody waits"), "{told}");
}

#[test]
fn every_waiter_gets_the_outcome_and_again() {
    let job = spawn("t-wait", 1, until_cancelled);
    let waiters: Vec<_> = (0..3)
        .map(|_| {
            let job = job.clone();
            std::thread::spawn(move || outcome(&job).is_err())
        })
        .collect();
    job.cancel("enough");
    assert!(waiters.into_iter().all(|waiter| waiter.join().expect("no panic")));
    assert!(outcome(&job).is_err());
}

#[test]
fn finished_resolves_on_a_foreign_runtime_and_dropping_it_changes_nothing() {
    let foreign = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let job = spawn("t-async", 1, until_cancelled);
    let finished = job.finished();
    let impatient =
        foreign.block_on(async { tokio::time::timeout(Duration::from_millis(10), finished).await });
    assert!(impatient.is_err());
    assert!(!job.is_done(), "dropping the future must not end the job");
    let waiting = job.finished();
    job.cancel("now");
    assert!(foreign.block_on(waiting).expect_err("it was cancelled").is_cancelled());
    let done = spawn("t-async2", 1, nothing);
    let waiting = done.finished();
    assert_eq!(foreign.block_on(waiting).expect("it succeeds"), json!({}));
}

#[test]
fn a_thread_that_never_returns_delays_the_end_only_so_long() {
    let (release, held) = channel::<()>();
    let (dropped, gone) = channel();
    let begun = Instant::now();
    let job = spawn("t-stuck", 1, async move |_| {
        tokio::task::spawn_blocking(move || {
            let _told = TellOnDrop(dropped);
            let _ = held.recv();
        });
        Ok(json!({}))
    });
    crate::job::install();
    report(&job);
    assert!(begun.elapsed() >= Duration::from_secs(5), "the thread was given its time");
    assert!(job.drain_events(10).iter().any(|event| event.message.contains("still busy")));
    drop(release);
    assert_eq!(gone.recv_timeout(LIMIT), Ok("dropped"));
}

#[test]
fn a_handle_from_before_a_fork_refuses_and_touches_nothing() {
    let shared = Shared { process: std::process::id() + 1, ..Shared::new("t-fork") };
    let token = shared.cancel.clone();
    let job = JobHandle::new(Arc::new(shared));
    assert_eq!(job.same_process().expect_err("another process").code, "engine.forked");
    let waited = job.wait_timeout(LIMIT).expect("at once").expect_err("no outcome here");
    assert_eq!(waited.code, "engine.forked");
    job.cancel("x");
    assert!(job.is_done() && job.drain_events(5).is_empty());
    drop(job);
    assert!(!token.is_cancelled(), "the parent's job is none of the child's business");
}

#[test]
fn progress_is_what_the_body_counted() {
    let (go_on, paused) = channel::<()>();
    let (counted, seen) = channel();
    let job = spawn("t-count", 1, async move |context| {
        let progress = &context.progress;
        progress.set_stage("sending");
        progress.add_stream_bytes(10);
        progress.add_stream_bytes(5);
        progress.add_sealed_bytes(16);
        progress.add_stored_bytes(7);
        progress.add_part();
        progress.set_requests(4);
        let _ = counted.send(());
        let _ = paused.recv();
        progress.set_parts_total(2);
        Ok(json!({}))
    });
    seen.recv_timeout(LIMIT).expect("it counts");
    let expected = Progress {
        stage: "sending",
        stream_bytes: 15,
        sealed_bytes: 16,
        stored_bytes: 7,
        parts_stored: 1,
        parts_total: None,
        requests: 4,
    };
    assert_eq!(job.progress(), expected);
    drop(go_on);
    report(&job);
    assert_eq!(job.progress(), Progress { stage: "done", parts_total: Some(2), ..expected });
}
