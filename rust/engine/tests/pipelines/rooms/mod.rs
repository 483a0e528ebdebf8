//! What the engine's tests share: streams, requests, running jobs to their end.

pub(crate) mod kept;
pub(crate) mod resumed;
pub(crate) mod stream;

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use engine::request::{PushRequest, RestoreRequest, StoreRequest, parse};
use engine::{EngineError, JobHandle, SourceExit};
use sealing::generate_identity;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

/// A directory store, an identity, and a place for files.
pub(crate) struct Room {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) recipient: String,
}

impl Room {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("store")).unwrap();
        let (secret, recipient) = generate_identity();
        std::fs::write(folder.path().join("key"), secret.expose_secret()).unwrap();
        Self { folder, recipient }
    }

    pub(crate) fn identity(&self) -> PathBuf {
        self.folder.path().join("key")
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    pub(crate) fn store(&self) -> Value {
        json!({ "url": format!("file://{}", self.root().display()) })
    }

    /// A push request for a full stream of [`stream::TO_GUID`]; change what the test needs.
    pub(crate) fn push_request(&self) -> Value {
        json!({
            "store": self.store(),
            "recipients": [self.recipient],
            "backup": {
                "source": "nas-1a2b3c4d", "task": "t", "dataset": "tank/data", "snapshot": "s",
                "snapshot_guid": stream::TO_GUID.to_string(), "level": 0, "made": "zfs",
            },
        })
    }

    pub(crate) fn push(&self, request: &Value, bytes: &[u8]) -> Result<Value, EngineError> {
        push_with(request, file_of(self.folder.path(), bytes), SourceExit::Success)
    }

    pub(crate) fn restore(&self, key: &str) -> Result<(Value, Vec<u8>), EngineError> {
        self.restore_with(key, 256 << 20)
    }

    pub(crate) fn restore_with(&self, key: &str, budget: u64) -> Result<(Value, Vec<u8>), EngineError> {
        let request = json!({ "store": self.store(), "identity_files": [self.identity()], "manifest_key": key,
            "memory_budget_bytes": budget });
        let request: RestoreRequest = parse(&request.to_string()).unwrap();
        let mut file = tempfile::tempfile().unwrap();
        let report = wait(&engine::start_restore(request, file.try_clone().unwrap().into()))?;
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(0)).unwrap();
        file.read_to_end(&mut bytes).unwrap();
        Ok((report, bytes))
    }

    pub(crate) fn ask(&self, operation: &Value) -> Result<Value, EngineError> {
        let request = json!({ "store": self.store(), "operation": operation });
        let request: StoreRequest = parse(&request.to_string()).unwrap();
        wait(&engine::start_store(request))
    }

    /// The repository's id.
    pub(crate) fn repository(&self) -> Value {
        self.ask(&json!({ "list": {} })).unwrap()["repository"]["id"].clone()
    }

    /// Keys of all objects, sorted.
    pub(crate) fn objects(&self) -> Vec<String> {
        let mut found = Vec::new();
        walk(&self.root(), &self.root(), &mut found);
        found.sort();
        found
    }

    /// What would lie in the store if nothing was ever pushed but the repository made.
    pub(crate) fn only_repository_left(&self) -> bool {
        self.objects().iter().all(|key| key == "RECOVER.md" || key == "repository.json")
    }
}

fn walk(root: &Path, folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(root, &path, found);
        } else {
            found.push(path.strip_prefix(root).unwrap().display().to_string());
        }
    }
}

/// A descriptor that yields `bytes`.
pub(crate) fn file_of(folder: &Path, bytes: &[u8]) -> OwnedFd {
    let mut file = tempfile::tempfile_in(folder).unwrap();
    file.write_all(bytes).unwrap();
    file.seek(SeekFrom::Start(0)).unwrap();
    file.into()
}

pub(crate) fn wait(job: &JobHandle) -> Result<Value, EngineError> {
    loop {
        if let Some(result) = job.wait_timeout(Duration::from_mins(1)) {
            return result;
        }
    }
}

/// A recorded stream.
pub(crate) fn recorded(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/streams").join(name);
    let mut bytes = Vec::new();
    File::open(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        .read_to_end(&mut bytes)
        .unwrap();
    bytes
}

/// Pushes what `source` yields, its sender having ended with `exit`.
pub(crate) fn push_with(request: &Value, source: OwnedFd, exit: SourceExit) -> Result<Value, EngineError> {
    let request: PushRequest = parse(&request.to_string()).unwrap();
    let push = engine::start_push(request, Vec::new(), source);
    push.source.send(exit);
    wait(&push.job)
}
