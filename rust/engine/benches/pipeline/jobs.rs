//! Runs a push and a restore of the engine, and says what each cost.

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use engine::request::{PushRequest, RestoreRequest, parse};
use engine::{JobHandle, SourceExit};
use nix::fcntl::{SpliceFFlags, splice};
use nix::sys::memfd::{MFdFlags, memfd_create};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use store::ObjectStore;

use crate::cost::{self, Cost};
use crate::memory_store::{Keep, MemoryStore};
use crate::{Failure, stream};

/// What a pipe holds at most by default.
const SPLICE_BYTES: usize = 64 << 10;

/// An identity in a file, and its recipient.
pub(crate) struct Room {
    folder: tempfile::TempDir,
    pub(crate) recipient: String,
}

impl Room {
    pub(crate) fn new() -> Result<Self, Failure> {
        let folder = tempfile::tempdir()?;
        let (secret, recipient) = engine::generate_identity();
        std::fs::write(folder.path().join("key"), secret.expose_secret())?;
        Ok(Self { folder, recipient })
    }

    pub(crate) fn identity(&self) -> PathBuf {
        self.folder.path().join("key")
    }
}

/// A file in memory that holds `bytes`.
pub(crate) fn file_in_memory(bytes: &[u8]) -> Result<File, Failure> {
    let mut file = File::from(memfd_create("stream", MFdFlags::MFD_CLOEXEC)?);
    file.write_all(bytes)?;
    Ok(file)
}

/// Pushes `source` from its beginning; returns the store, the manifest's key and the cost.
pub(crate) fn push(
    room: &Room,
    source: &File,
    keep: Keep,
) -> Result<(Arc<dyn ObjectStore>, String, Cost), Failure> {
    let request = json!({
        "store": { "url": "file:///dev/null" },
        "recipients": [room.recipient],
        "backup": {
            "source": "bench-1a2b3c4d", "dataset": "tank/data", "snapshot": "s",
            "snapshot_guid": stream::TO_GUID.to_string(), "level": 0, "made": "zfs",
        },
    });
    let request: PushRequest = parse(&request.to_string())?;
    let mut source = source.try_clone()?;
    source.seek(SeekFrom::Start(0))?;
    let store: Arc<dyn ObjectStore> = MemoryStore::new(keep);
    let started = cost::start()?;
    let push = engine::start_push_into(Arc::clone(&store), request, source.into());
    push.source.send(SourceExit::Success);
    let report = wait(&push.job)?;
    let cost = started.stop()?;
    let key = report["manifest_key"].as_str().ok_or("the report names no manifest")?;
    Ok((store, key.to_owned(), cost))
}

/// Restores into a pipe whose other end moves the pages away without reading them.
pub(crate) fn restore(room: &Room, store: Arc<dyn ObjectStore>, key: &str) -> Result<Cost, Failure> {
    let request = json!({
        "store": { "url": "file:///dev/null" }, "identity_files": [room.identity()], "manifest_key": key,
    });
    let request: RestoreRequest = parse(&request.to_string())?;
    let (reader, writer) = std::io::pipe()?;
    let drain = drain(reader.into());
    let started = cost::start()?;
    wait(&engine::start_restore_from(store, request, writer.into()))?;
    let drained = drain.join().map_err(|_| "the draining thread broke")??;
    let mut cost = started.stop()?;
    cost.cpu_seconds -= drained.as_secs_f64();
    Ok(cost)
}

/// The thread returns the CPU time that was its own.
fn drain(pipe: OwnedFd) -> JoinHandle<Result<Duration, Failure>> {
    std::thread::spawn(move || {
        let nowhere = OpenOptions::new().write(true).open("/dev/null")?;
        while splice(pipe.as_fd(), None, nowhere.as_fd(), None, SPLICE_BYTES, SpliceFFlags::SPLICE_F_MOVE)?
            > 0
        {}
        cost::of_this_thread()
    })
}

fn wait(job: &JobHandle) -> Result<Value, Failure> {
    loop {
        if let Some(result) = job.wait_timeout(Duration::from_mins(1)) {
            return Ok(result?);
        }
    }
}
