//! An inspection as JSON. Numbers of 64 bits that are names, not amounts, are text, since JSON readers round them.

use sendstream::{Inspection, StreamError, StreamReport, Verdict};
use serde::Serialize;
use serde_json::{Value, json};

use crate::error::EngineError;
use crate::job::JobResult;

/// Guids become decimal text, sums hexadecimal text in the form of zstreamdump (`a/b/c/d`).
pub(super) fn inspection(found: &Inspection) -> JobResult {
    Ok(json!({
        "bytes": found.bytes,
        "verdict": verdict(&found.verdict)?,
        "package": found.package.as_ref().map(stream).transpose()?,
        "streams": found.streams.iter().map(stream).collect::<Result<Vec<_>, _>>()?,
        "streams_left_out": found.streams_left_out,
    }))
}

/// A verdict with its reason, whatever it is.
fn verdict(found: &Verdict) -> Result<Value, EngineError> {
    let mut said = value(found)?;
    if let Verdict::Truncated { at, .. } = found {
        said["reason"] = json!(StreamError::Truncated { at: *at }.to_string());
    }
    Ok(said)
}

fn stream(found: &StreamReport) -> Result<Value, EngineError> {
    let mut said = value(found)?;
    said["to_guid"] = json!(found.to_guid.to_string());
    said["from_guid"] = json!(found.from_guid.map(|guid| guid.to_string()));
    said["end_checksum"] = json!(found.end_checksum.map(|sums| sums.map(|sum| format!("{sum:x}")).join("/")));
    Ok(said)
}

fn value(of: &impl Serialize) -> Result<Value, EngineError> {
    serde_json::to_value(of).map_err(|error| EngineError::internal(error.to_string()))
}
