//! Push: one send stream from a file descriptor into the store, as one committed backup.
//!
//! read, check and cut (a thread) -> seal (every core) -> upload (tokio) -> commit. One memory budget bounds all.
//! Whatever fails before the manifest is sent leaves nothing behind that anything would list or count; a run that
//! keeps state leaves its parts for the next session, another one removes them.

mod commit;
mod cutter;
mod describe;
mod part_size;
mod piece;
mod pipeline;
mod proof;
mod reader;
mod sealer;
mod source_exit;
mod splicing;
mod throttle;
mod upload;

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use format::{Compression, Manifest, Part};
use sealing::Recipients;
use serde_json::{Value, json};
use store::{ObjectStore, PutOptions};

pub use source_exit::{SourceExit, SourceExitSender};

pub(crate) use describe::{begin as begin_json, new_id, store_checksum};
pub(crate) use source_exit::{SourceExitReceiver, channel as source_exit_channel};
pub(crate) use splicing::token as resume_token;

use self::commit::{Draft, Marker};
use self::pipeline::Pipeline;
use self::upload::{StoredPart, Uploader};
use crate::error::EngineError;
use crate::job::{JobContext, JobResult};
use crate::repository;
use crate::request::PushRequest;
use crate::store_choice::StoreChoice;

/// How long a commit that has begun may go on after the job was cancelled.
const COMMIT_GRACE: Duration = Duration::from_secs(20);

/// Runs a push; the report names the committed backup.
///
/// # Errors
/// `stream.*`, `seal.*`, `store.*`, `format.*`, `engine.source_failed`, `engine.cancelled` and the like;
/// nothing is committed then.
pub(crate) async fn run(
    request: PushRequest,
    store: StoreChoice,
    input: PushInput,
    context: JobContext,
) -> JobResult {
    let started = Instant::now();
    let recipients = Arc::new(Recipients::parse(&request.recipients)?);
    let PushInput { head, source, exit } = input;
    let mut pipeline = Pipeline::start(&request, head, source, Arc::clone(&recipients), &context)?;
    let push = Push { request: &request, store, recipients, exit, context: &context };
    let result = push.run(&mut pipeline).await;
    pipeline.end().await;
    let (manifest, store) = match result {
        Err(error) if error.is_cancelled() && context.cancel.is_cancelled() => {
            return Err(context.cancelled_error());
        }
        other => other?,
    };
    context.progress.set_requests(store.requests().total());
    tracing::info!(id = %manifest.id, parts = manifest.parts.len(), stream_bytes = manifest.stream_length, "committed");
    let skipped = request.run.as_ref().map_or(0, |run| run.stored.len());
    report(&manifest, store.as_ref(), (skipped, context.progress.read_bytes()), started.elapsed())
}

fn report(
    manifest: &Manifest,
    store: &dyn ObjectStore,
    (skipped, read_bytes): (usize, u64),
    took: Duration,
) -> Result<Value, EngineError> {
    Ok(json!({
        "id": manifest.id.to_string(),
        "manifest_key": manifest.key()?,
        "repository": manifest.repository,
        "stream_bytes": manifest.stream_length,
        "sealed_bytes": manifest.parts.iter().map(|part| part.sealed_length).sum::<u64>(),
        "parts": manifest.parts.len(),
        "skipped_parts": skipped,
        "read_bytes": read_bytes,
        "made": manifest.send.made,
        "seconds": { "total": took.as_secs_f64() },
        "requests": store.requests(),
    }))
}

/// What comes in.
pub(crate) struct PushInput {
    /// Bytes read from `source` already.
    pub(crate) head: Vec<u8>,
    pub(crate) source: OwnedFd,
    pub(crate) exit: SourceExitReceiver,
}

struct Push<'a> {
    request: &'a PushRequest,
    store: StoreChoice,
    recipients: Arc<Recipients>,
    exit: SourceExitReceiver,
    context: &'a JobContext,
}

impl Push<'_> {
    async fn run(mut self, pipeline: &mut Pipeline) -> Result<(Manifest, Arc<dyn ObjectStore>), EngineError> {
        let begun = pipeline.begun().await;
        let begin = match begun {
            Ok(begin) => begin,
            Err(error) => return Err(self.exit.explain(error).await),
        };
        describe::check_begin(&begin, self.request)?;
        let draft = self.unless_cancelled(self.open()).await?;
        let result = self.carry(&draft, pipeline).await;
        match result {
            Ok(marker) => {
                self.announce_commit(&marker).await?;
                self.commit(&draft, &marker).await?;
                Ok((marker.manifest, draft.store))
            }
            Err(error) => {
                pipeline.stop();
                if !self.request.run.as_ref().is_some_and(|run| run.resumable) {
                    draft.abandon(self.context).await;
                }
                Err(error)
            }
        }
    }

    async fn open(&self) -> Result<Draft, EngineError> {
        let store = self.store.open(&self.request.store).await?;
        let class = self.request.storage_class.manifest.as_deref();
        let repository = match &self.request.repository_id {
            Some(id) => repository::check_same(store.as_ref(), id.parse()?).await?,
            None => repository::open_or_create(store.as_ref(), class).await?.0,
        };
        describe::draft(store, repository, self.request, Arc::clone(&self.recipients))
    }

    /// Everything before the commit: cancelling is obeyed at any moment.
    async fn carry(&mut self, draft: &Draft, pipeline: &mut Pipeline) -> Result<Marker, EngineError> {
        self.context.progress.set_stage("uploading");
        self.unless_cancelled(draft.announce(self.request)).await?;
        let uploader = self.uploader(draft);
        let stored = uploader.run(&mut pipeline.sealed).await;
        let summary = pipeline.summary(stored.is_err()).await;
        // The stage that failed first has the cause; a broken reader only closes the channel to the uploader.
        let (stored, summary) = match (stored, summary) {
            (Err(error), _) => return Err(error),
            (Ok(_), Err(error)) => return Err(self.exit.explain(error).await),
            (Ok(stored), Ok(summary)) => (stored, summary),
        };
        self.context.progress.set_stage("waiting for the source");
        let cancel = &self.context.cancel;
        let ended = cancel.run_until_cancelled(self.exit.success()).await;
        ended.unwrap_or_else(|| Err(self.context.cancelled_error()))?;
        self.context.progress.set_stage("committing");
        let parts = self.all_parts(&stored)?;
        self.unless_cancelled(draft.prepare(self.request, &summary, parts)).await
    }

    /// Those that were stored before, then those of this session.
    fn all_parts(&self, stored: &[StoredPart]) -> Result<Vec<Part>, EngineError> {
        let before =
            self.request.run.iter().flat_map(|run| &run.stored).map(|stored| Ok(stored.part.clone()));
        before.chain(stored.iter().map(StoredPart::entry)).collect()
    }

    /// From here on the backup may be committed, and whoever keeps the state of the run must know it. Who knows can
    /// also commit it later, so that nothing of it is removed any more, not even after a stop.
    async fn announce_commit(&self, marker: &Marker) -> Result<(), EngineError> {
        if self.request.run.is_none() {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&marker.json);
        let entry = json!({ "kind": "committing", "manifest_key": marker.key, "manifest": text });
        self.context.note(entry);
        let written = self.context.notes_written();
        self.unless_cancelled(async {
            written.await;
            Ok(())
        })
        .await
    }

    async fn commit(&self, draft: &Draft, marker: &Marker) -> Result<(), EngineError> {
        let too_late = async {
            self.context.cancel.cancelled().await;
            self.context.patience_over(COMMIT_GRACE).await;
        };
        let result = tokio::select! {
            biased;
            result = draft.commit(marker) => result,
            () = too_late => Err(EngineError::cancelled("stopped while the manifest was on its way")),
        };
        result.map_err(|error| error.with("id", draft.id).with("may_be_committed", true))?;
        if self.request.run.is_some() {
            self.context.note(json!({ "kind": "committed", "manifest_key": marker.key }));
        }
        Ok(())
    }

    fn uploader(&self, draft: &Draft) -> Uploader {
        let compressed = self.request.compression != Compression::None;
        let (keys, attempts) = (draft.keys.clone(), draft.attempts.clone());
        let options =
            PutOptions { storage_class: self.request.storage_class.data.clone(), ..PutOptions::default() };
        Uploader {
            store: Arc::clone(&draft.store),
            options,
            part_key: Box::new(move |number| {
                Ok(keys.part_key(number, attempts.nonce(number), compressed)?)
            }),
            context: self.context.clone(),
        }
    }

    async fn unless_cancelled<T>(
        &self,
        work: impl Future<Output = Result<T, EngineError>>,
    ) -> Result<T, EngineError> {
        let done = self.context.cancel.run_until_cancelled(work).await;
        done.unwrap_or_else(|| Err(self.context.cancelled_error()))
    }
}
