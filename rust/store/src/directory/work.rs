//! File work on blocking threads: it ends soon after its caller has gone, and a caller gives up on what hangs.
//!
//! No call of the operating system can be interrupted when, say, an NFS server is away. So whoever waits looks at what the thread has
//! done last; if that was `stall` ago he leaves the thread behind, and the thread, should it ever wake, publishes nothing any more.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::error::{Place, StoreError};

/// How file work is waited for.
#[derive(Clone)]
pub(super) struct Desk {
    pub(super) stall: Duration,
    #[cfg(test)]
    pub(super) gate: Gate,
}

/// What was done last, and how much before.
pub(super) struct Progress(Mutex<Done>);

struct Done {
    step: &'static str,
    since: Instant,
    bytes: u64,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Done { step: "waiting for a thread", since: Instant::now(), bytes: 0 }))
    }

    fn done(&self) -> MutexGuard<'_, Done> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The worker's side: where it notes what it does and hears whether anybody still wants it.
pub(super) struct Work {
    abandoned: Arc<AtomicBool>,
    progress: Arc<Progress>,
    #[cfg(test)]
    gate: Gate,
}

impl Work {
    /// Before anything that can hang. An error if the caller has gone.
    pub(super) fn begins(&self, step: &'static str) -> io::Result<()> {
        {
            let mut done = self.progress.done();
            (done.step, done.since) = (step, Instant::now());
        }
        #[cfg(test)]
        self.gate.pass(step);
        if self.abandoned.load(Ordering::Relaxed) {
            return Err(io::Error::other("the caller has gone"));
        }
        Ok(())
    }

    /// After bytes were written or read.
    pub(super) fn moved(&self, bytes: usize) {
        let mut done = self.progress.done();
        done.bytes += bytes as u64;
        done.since = Instant::now();
    }
}

struct AbandonOnDrop(Arc<AtomicBool>);

impl Drop for AbandonOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Desk {
    pub(super) fn new(stall: Duration) -> Self {
        Self {
            stall,
            #[cfg(test)]
            gate: Gate::default(),
        }
    }

    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        place: Place,
        work: impl FnOnce(&Work) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.blocking_with(&Arc::new(Progress::new()), place, work).await
    }

    /// As `blocking`; work that shares a `progress` waits for one another, so that what moves the one is progress of all.
    pub(super) async fn blocking_with<T: Send + 'static>(
        &self,
        progress: &Arc<Progress>,
        place: Place,
        work: impl FnOnce(&Work) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let guard = AbandonOnDrop(Arc::default());
        let here = Work {
            abandoned: Arc::clone(&guard.0),
            progress: Arc::clone(progress),
            #[cfg(test)]
            gate: self.gate.clone(),
        };
        let mut thread = tokio::task::spawn_blocking(move || work(&here));
        let called = Instant::now();
        loop {
            let until = progress.done().since.max(called) + self.stall;
            tokio::select! {
                biased;
                done = &mut thread => return done.unwrap_or_else(|fault| {
                    Err(StoreError::Other { place, why: format!("the work broke off: {fault}") })
                }),
                () = tokio::time::sleep_until(until) => {}
            }
            let done = progress.done();
            if done.since.max(called) + self.stall <= Instant::now() {
                let (step, bytes, seconds) = (done.step, done.bytes, self.stall.as_secs());
                let why = format!("{step} has not come to an end for {seconds} seconds, after {bytes} bytes");
                return Err(StoreError::Stalled { place, why });
            }
        }
    }
}

/// Makes one step hang, as a dead file system does.
#[cfg(test)]
#[derive(Clone, Default)]
pub(super) struct Gate(Arc<(Mutex<Option<&'static str>>, std::sync::Condvar)>);

#[cfg(test)]
impl Gate {
    pub(super) fn close(&self, step: &'static str) -> OpenOnDrop {
        *self.0.0.lock().unwrap() = Some(step);
        OpenOnDrop(self.clone())
    }

    fn pass(&self, step: &'static str) {
        let closed = self.0.0.lock().unwrap();
        drop(self.0.1.wait_while(closed, |closed| *closed == Some(step)).unwrap());
    }
}

/// No test may end with a thread that hangs.
#[cfg(test)]
pub(super) struct OpenOnDrop(Gate);

#[cfg(test)]
impl Drop for OpenOnDrop {
    fn drop(&mut self) {
        *self.0.0.0.lock().unwrap() = None;
        self.0.0.1.notify_all();
    }
}
