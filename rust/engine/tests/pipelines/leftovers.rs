//! What a push that fails leaves in the store: nothing that is billed and that no listing shows.

use std::sync::Arc;

use engine::SourceExit;
use engine::request::{PushRequest, parse};
use serde_json::{Value, json};
use store::{ObjectStore, Operation, RecordingStore, StoreConfig};

use crate::rooms::stream::incompressible;
use crate::rooms::{Room, file_of, wait};

fn recorder(room: &Room) -> Arc<RecordingStore> {
    let config: StoreConfig = serde_json::from_value(room.store()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    Arc::new(RecordingStore::new(runtime.block_on(store::open(&config)).unwrap()))
}

/// Part of several pieces.
fn large_parts(room: &Room) -> Value {
    let mut request = room.push_request();
    request["memory_budget_bytes"] = json!(32 << 20);
    request["part_size_bytes"] = json!(64 << 20);
    request
}

#[test]
fn a_stream_that_breaks_within_a_large_part_leaves_no_open_upload() {
    let room = Room::new();
    let recorder = recorder(&room);
    let store = Arc::<RecordingStore>::clone(&recorder) as Arc<dyn ObjectStore>;
    let bytes = incompressible(40 << 20);
    let request: PushRequest = parse(&large_parts(&room).to_string()).unwrap();
    let push = engine::start_push_into(store, request, file_of(room.folder.path(), &bytes[..33 << 20]));
    push.source.send(SourceExit::Failed { message: "it died".to_owned() });
    assert_eq!(wait(&push.job).unwrap_err().code, "engine.source_failed");
    let count = |operation| recorder.calls().iter().filter(|call| call.operation == operation).count();
    assert_eq!((count(Operation::BeginMultipart), count(Operation::CompleteMultipart)), (1, 0));
    assert_eq!(count(Operation::AbortMultipart), 1, "an open upload costs money and is in no listing");
    assert!(room.only_repository_left(), "{:?}", room.objects());
}
