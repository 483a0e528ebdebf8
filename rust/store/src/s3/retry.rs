//! Where the SDK and we differ on what is worth another attempt.

use aws_sdk_s3::config::retry::{ClassifyRetry, RetryAction};
use aws_smithy_runtime_api::client::interceptors::context::InterceptorContext;

use super::error;

/// An untrusted certificate stays so: that alone is not tried again. 408 and 499 are time-outs of proxies and servers; 429 asks to slow down; 409 is a conditional write meeting another in flight.
#[derive(Debug)]
pub(super) struct OurJudgement;

impl ClassifyRetry for OurJudgement {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let failure =
            context.output_or_error().and_then(Result::err).and_then(|error| error.as_connector_error());
        if failure.is_some_and(|failure| error::is_untrusted(failure)) {
            return RetryAction::RetryForbidden;
        }
        action(context.response().map(|response| response.status().as_u16()))
    }

    fn name(&self) -> &'static str {
        "OurJudgement"
    }
}

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
}
