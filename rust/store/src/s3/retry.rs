//! How long a request is tried again: by what failed, by whether the store was ever reached, and by the time since it first failed.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_s3::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_s3::config::retry::{ClassifyRetry, RetryAction};
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::InterceptorContext;
use aws_smithy_runtime_api::client::retries::classifiers::RetryClassifierPriority;
use tokio::time::Instant;

use super::error;

/// Failures after which a request is given up while the store has never been reached: most likely the address is wrong.
const UNREACHED_FAILURES: u32 = 3;
/// The same while the store answers, but never well.
const UNWELL_FAILURES: u32 = 8;
/// A request that failed less often is tried again however long its attempts took: one large upload may use up all patience.
const LEAST_FAILURES: u32 = 3;
/// The first failure that the operator hears of; the next is twice as late.
const FIRST_TOLD: u32 = 4;

/// Whether the store has answered well at any time since it was opened.
#[derive(Debug, Default)]
pub(super) struct Reached(AtomicBool);

/// How often one request was sent: what was sent twice may have been done by an attempt whose answer was lost.
#[derive(Debug, Default)]
pub(super) struct Attempts(AtomicU32);

impl Attempts {
    fn so_far(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn were_several(&self) -> bool {
        self.so_far() > 1
    }
}

/// Counts one request's attempts.
#[derive(Debug)]
pub(super) struct CountAttempts(pub(super) Arc<Attempts>);

impl Intercept for CountAttempts {
    fn name(&self) -> &'static str {
        "CountAttempts"
    }

    fn read_before_attempt(
        &self,
        _context: &BeforeTransmitInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.0.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// One request's judgement over all its attempts.
#[derive(Debug)]
pub(super) struct Judgement {
    reached: Arc<Reached>,
    patience: Duration,
    attempts: Arc<Attempts>,
    failures: Mutex<Failures>,
}

#[derive(Debug, Default)]
struct Failures {
    count: u32,
    first: Option<Instant>,
    /// The SDK asks more than once about an attempt: which it asked about last, and what it heard.
    judged: Option<(u32, bool)>,
}

impl Judgement {
    pub(super) fn new(reached: Arc<Reached>, patience: Duration, attempts: Arc<Attempts>) -> Self {
        Self { reached, patience, attempts, failures: Mutex::default() }
    }

    /// Note a failure that is worth another attempt; whether to make that attempt.
    fn goes_on(&self, now: Instant, answered: bool, what: &str) -> bool {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let attempt = self.attempts.so_far();
        if let Some((judged, goes_on)) = failures.judged
            && judged == attempt
        {
            return goes_on;
        }
        failures.count += 1;
        let since = now.duration_since(*failures.first.get_or_insert(now));
        let count = failures.count;
        let goes_on = match (self.reached.0.load(Ordering::Relaxed), answered) {
            (true, _) => count < LEAST_FAILURES || since < self.patience,
            (false, true) => count < UNWELL_FAILURES,
            (false, false) => count < UNREACHED_FAILURES,
        };
        failures.judged = Some((attempt, goes_on));
        let seconds = since.as_secs();
        if goes_on && count >= FIRST_TOLD && count.is_power_of_two() {
            tracing::warn!(request = what, failures = count, seconds, "the store keeps failing; trying on");
        } else {
            tracing::debug!(request = what, failures = count, seconds, goes_on, "an attempt failed");
        }
        goes_on
    }
}

impl ClassifyRetry for Judgement {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        self.classify_retry_v2(context, &RetryAction::NoActionIndicated)
    }

    fn classify_retry_v2(&self, context: &InterceptorContext, previous: &RetryAction) -> RetryAction {
        let status = context.response().map(|response| response.status().as_u16());
        if status.is_some_and(|status| status < 500 && status != 429) {
            self.reached.0.store(true, Ordering::Relaxed);
        }
        let Some(failure) = context.output_or_error().and_then(Result::err) else {
            return RetryAction::NoActionIndicated;
        };
        if failure.as_connector_error().is_some_and(|failure| error::is_untrusted(failure)) {
            return RetryAction::RetryForbidden;
        }
        let own = action(status);
        let worth_it = own.should_retry() || previous.should_retry();
        if worth_it && !self.goes_on(Instant::now(), status.is_some(), &named(context)) {
            return RetryAction::RetryForbidden;
        }
        own
    }

    fn name(&self) -> &'static str {
        "Judgement"
    }

    fn priority(&self) -> RetryClassifierPriority {
        RetryClassifierPriority::run_after(RetryClassifierPriority::transient_error_classifier())
    }
}

/// Method and path: the rest of an address may be long, and is nobody's business.
fn named(context: &InterceptorContext) -> String {
    let Some(request) = context.request() else { return "a request".into() };
    let path = request.uri().split_once("://").map_or(request.uri(), |(_, rest)| rest);
    format!("{} {}", request.method(), path.split('?').next().unwrap_or_default())
}

/// Where the SDK and we differ: 408 and 499 are time-outs of proxies and servers; 429 asks to slow down; 409 is a conditional
/// write meeting another in flight.
fn action(status: Option<u16>) -> RetryAction {
    match status {
        Some(408 | 409 | 499) => RetryAction::transient_error(),
        Some(429) => RetryAction::throttling_error(),
        _ => RetryAction::NoActionIndicated,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_transient_codes_are_retried() {
        for status in [408, 409, 429, 499] {
            assert!(action(Some(status)).should_retry(), "{status}");
        }
        for status in [200, 400, 403, 404, 412, 501] {
            assert!(!action(Some(status)).should_retry(), "{status}");
        }
    }

    fn judgement(reached: bool) -> Judgement {
        let judgement = Judgement::new(Arc::default(), Duration::from_mins(5), Arc::default());
        judgement.reached.0.store(reached, Ordering::Relaxed);
        judgement
    }

    /// Failures that are forgiven if one comes every `seconds`, and when the end came.
    fn forgiven(judgement: &Judgement, answered: bool, seconds: u64) -> (u32, u64) {
        let (mut count, begun) = (0, Instant::now());
        loop {
            judgement.attempts.0.fetch_add(1, Ordering::Relaxed);
            let at_seconds = u64::from(count + 1) * seconds;
            if !judgement.goes_on(begun + Duration::from_secs(at_seconds), answered, "GET /") {
                return (count, at_seconds);
            }
            count += 1;
        }
    }

    #[test]
    fn patience_is_for_a_store_that_was_reached() {
        assert_eq!(forgiven(&judgement(false), false, 1).0, 2, "a wrong address shows at once");
        assert_eq!(forgiven(&judgement(false), true, 1).0, 7);
        for answered in [false, true] {
            let (count, end) = forgiven(&judgement(true), answered, 20);
            assert_eq!((count, end), (15, 320), "five minutes from the first failure");
        }
        assert_eq!(forgiven(&judgement(true), false, 800).0, 2, "a long attempt is not the only one");
    }

    #[test]
    fn a_server_that_hangs_ends_a_request_well_before_half_an_hour() {
        let config = crate::StoreConfig::new("s3://bucket");
        let stall = Duration::from_secs(config.stall_seconds);
        let attempt = stall + crate::s3::watch::draining(u64::MAX);
        let pause = crate::s3::client::LONGEST_BACKOFF;
        let judgement =
            Judgement::new(Arc::default(), Duration::from_secs(config.patience_seconds), Arc::default());
        judgement.reached.0.store(true, Ordering::Relaxed);
        let (_, end) = forgiven(&judgement, false, (attempt + pause).as_secs());
        println!("an upload to a server that hangs ends after {end} seconds at most");
        assert!(end <= 10 * 60, "{end}");
        assert!(crate::s3::LONGEST_REQUEST < Duration::from_mins(30), "and whatever is configured");
    }
}
