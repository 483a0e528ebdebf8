//! Restore: one backup out of the store, as the send stream that went in, into a file descriptor.
//!
//! fetch (ahead, in order) -> digest -> open on every core -> scanner -> descriptor. No spool, bounded memory.

mod fetch;
mod inflate;
mod opening;
mod sink;

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Instant;

use format::Manifest;
use sealing::{Digest, Identities};
use sendstream::{Scanner, StreamSummary};
use serde_json::json;
use store::ObjectStore;
use tokio::sync::{mpsc, oneshot};

pub(crate) use fetch::{damaged, in_part, name_part};
pub(crate) use sink::StreamSink;

use self::opening::Opening;
use crate::buffers::{BufferPool, Layout};
use crate::error::EngineError;
use crate::job::{JobContext, JobResult};
use crate::manifests::read_manifest;
use crate::request::RestoreRequest;
use crate::store_choice::StoreChoice;
use crate::wake;

/// Runs a restore; the report says what was written.
///
/// # Errors
/// `engine.part_missing`, `engine.part_damaged`, `seal.*` (wrong identity), `stream.*`, `store.*`,
/// `engine.sink_write`, `engine.cancelled`.
pub(crate) async fn run(
    request: RestoreRequest,
    store: StoreChoice,
    sink: OwnedFd,
    context: JobContext,
) -> JobResult {
    let started = Instant::now();
    let layout = Layout::for_budget(request.memory_budget_bytes)?;
    let identities = Identities::from_files(&request.identity_files)?;
    let store = store.open(&request.store).await?;
    let (manifest, _) = read_manifest(store.as_ref(), &request.manifest_key).await?;
    context.progress.set_parts_total(manifest.parts.len() as u64);
    context.progress.set_stage("restoring");
    let work = restore(&store, &manifest, layout, identities, sink, &context);
    let summary = work.await?;
    check_guid(&summary, &manifest)?;
    let requests = store.requests();
    Ok(json!({
        "id": manifest.id.to_string(),
        "stream_bytes": summary.stream_bytes,
        "parts": manifest.parts.len(),
        "seconds": { "total": started.elapsed().as_secs_f64() },
        "requests": requests,
    }))
}

async fn restore(
    store: &Arc<dyn ObjectStore>,
    manifest: &Manifest,
    layout: Layout,
    identities: Identities,
    sink: OwnedFd,
    context: &JobContext,
) -> Result<StreamSummary, EngineError> {
    // Whatever ends first, its stages stop each other through this token; the job's own stays untouched.
    let mut context = context.clone();
    context.cancel = context.cancel.child_token();
    let _stop = context.cancel.clone().drop_guard();
    let (promises, mut promised) = mpsc::unbounded_channel();
    let opening = Opening {
        identities,
        cores: rayon::ThreadPoolBuilder::new()
            .build()
            .map_err(|error| EngineError::internal(format!("starting opening threads: {error}")))?,
        sink: StreamSink::new(sink, wake::on_cancel(&context.cancel)?, context.clone())?,
        context: context.clone(),
        scanner: Scanner::new(),
        digest: Digest::new(),
        open: None,
    };
    let parts = manifest.parts.iter().cloned().map(Arc::new).collect();
    let fetching = tokio::spawn(fetch::fetch_all(
        Arc::clone(store),
        parts,
        BufferPool::new(layout),
        promises,
        context.clone(),
    ));
    let (done, result) = oneshot::channel();
    let log = context.clone();
    std::thread::Builder::new()
        .name("zpb-opening".to_owned())
        .spawn(move || drop(done.send(log.log_here(|| opening.run(&mut promised)))))
        .map_err(|error| EngineError::internal(format!("starting the opening thread: {error}")))?;
    let result = result.await.unwrap_or_else(|_| Err(EngineError::internal("the opening thread broke")));
    context.cancel.cancel();
    fetching.await.map_err(|error| EngineError::internal(format!("the fetching task broke: {error}")))?;
    result
}

fn check_guid(summary: &StreamSummary, manifest: &Manifest) -> Result<(), EngineError> {
    if summary.begin.to_guid == manifest.snapshot_guid && summary.stream_bytes == manifest.stream_length {
        return Ok(());
    }
    Err(EngineError::new(
        "engine.part_damaged",
        format!(
            "backup {} holds snapshot guid {} in {} bytes, but its manifest says {} in {}",
            manifest.id,
            summary.begin.to_guid,
            summary.stream_bytes,
            manifest.snapshot_guid,
            manifest.stream_length
        ),
    ))
}
