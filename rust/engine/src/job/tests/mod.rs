//! The promises of a job, each with a body made for it.

mod ending;
mod logging;

use std::time::Duration;

use serde_json::{Value, json};

use super::{JobContext, JobHandle, JobResult};

/// Far more than any of these jobs takes; a test that reaches it has found a wait without end.
const LIMIT: Duration = Duration::from_secs(30);

fn outcome(job: &JobHandle) -> JobResult {
    job.wait_timeout(LIMIT).expect("the job ends")
}

fn report(job: &JobHandle) -> Value {
    outcome(job).expect("the job succeeds")
}

async fn until_cancelled(context: JobContext) -> JobResult {
    context.cancel.cancelled().await;
    Err(context.cancelled_error())
}

async fn nothing(_context: JobContext) -> JobResult {
    Ok(json!({}))
}
