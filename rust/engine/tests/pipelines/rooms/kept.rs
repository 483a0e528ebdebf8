//! What a caller keeps of one run, and stops and goes on with.

use std::io::Write;
use std::os::fd::OwnedFd;
use std::time::Duration;

use engine::request::{PushRequest, parse};
use engine::{EngineError, PushHandle, SourceExit};
use serde_json::{Value, json};

use super::stream::TO_GUID;
use super::{Room, file_of};

pub(crate) const PART_BYTES: usize = 1 << 20;
pub(crate) const FIRST_SESSION: &str = "00112233445566778899aabbccddeeff";
pub(crate) const SECOND_SESSION: &str = "ffeeddccbbaa99887766554433221100";

/// What a caller keeps of one run.
pub(crate) struct Kept {
    pub(crate) id: String,
    pub(crate) sessions: Vec<&'static str>,
    pub(crate) entries: Vec<Value>,
}

impl Kept {
    pub(crate) fn new() -> Self {
        let id = engine::new_backup_id(0, &TO_GUID.to_string()).unwrap();
        Self { id, sessions: vec![FIRST_SESSION], entries: Vec::new() }
    }

    pub(crate) fn parts(&self) -> Vec<Value> {
        let mut parts: Vec<Value> = self.of_kind("part").cloned().collect();
        for part in &mut parts {
            part.as_object_mut().unwrap().remove("kind");
        }
        parts.sort_by_key(|part| part["number"].as_u64());
        parts
    }

    /// How many parts from the first on are journaled without a gap; uploads end in any order.
    pub(crate) fn gap_free(&self) -> usize {
        self.parts().iter().zip(0_u64..).take_while(|(part, number)| part["number"] == *number).count()
    }

    /// Begins another session behind the parts that count, and says how many these are.
    pub(crate) fn go_on(&mut self, session: &'static str) -> usize {
        self.sessions.push(session);
        let stored = self.gap_free();
        let late = |entry: &Value| {
            entry["kind"] == "part" && entry["number"].as_u64() >= Some(u64::try_from(stored).unwrap())
        };
        self.entries.retain(|entry| !late(entry));
        stored
    }

    pub(crate) fn of_kind(&self, kind: &'static str) -> impl Iterator<Item = &Value> {
        self.entries.iter().filter(move |entry| entry["kind"] == kind)
    }

    pub(crate) fn place(&self) -> Value {
        json!({ "id": self.id, "source": "nas-1a2b3c4d", "dataset": "tank/data", "sessions": self.sessions })
    }

    pub(crate) fn look(&self, room: &Room) -> Value {
        let mut look = self.place();
        look["repository_id"] = room.repository();
        look["parts"] = self.parts().into();
        room.ask(&json!({ "resume_look": look })).unwrap()
    }

    pub(crate) fn request(&self, room: &Room, stored: usize) -> PushRequest {
        let mut request = room.push_request();
        request["part_size_bytes"] = PART_BYTES.into();
        request["run"] = json!({ "id": self.id, "sessions": self.sessions, "resumable": true,
            "stored": self.parts()[..stored] });
        parse(&request.to_string()).unwrap()
    }

    /// As [`Kept::request`], for a source that yields what `zfs send -t` sends.
    pub(crate) fn splice_request(&self, room: &Room, stored: usize) -> PushRequest {
        let mut request = self.request(room, stored);
        request.run.as_mut().unwrap().spliced_onto = Some(self.begin_record());
        request
    }

    pub(crate) fn begin_record(&self) -> String {
        self.of_kind("begin").next().unwrap()["record"].as_str().unwrap().to_owned()
    }

    /// The token with which `zfs send -t` goes on behind `stored` parts.
    pub(crate) fn token(&self, stored: usize) -> String {
        let request = json!({ "begin_record": self.begin_record(), "part": self.parts()[stored - 2],
            "snapshot": "tank/renamed@s" });
        engine::resume_token(&parse(&request.to_string()).unwrap()).unwrap()
    }

    pub(crate) fn splice(
        &mut self,
        room: &Room,
        stored: usize,
        resumed: &[u8],
    ) -> Result<Value, EngineError> {
        let request = self.splice_request(room, stored);
        let push = engine::start_push(request, Vec::new(), file_of(room.folder.path(), resumed));
        push.source.send(SourceExit::Success);
        self.finish(&push, true)
    }

    /// Waits for the end, keeping the journal; what is kept counts as durable at once unless told otherwise.
    pub(crate) fn finish(&mut self, push: &PushHandle, durable: bool) -> Result<Value, EngineError> {
        let mut drained = 0;
        loop {
            let outcome = push.job.wait_timeout(Duration::from_secs(1));
            let entries = push.job.drain_journal();
            drained += entries.len() as u64;
            self.entries.extend(entries);
            if durable {
                push.job.journal_written(drained);
            }
            if let Some(outcome) = outcome {
                return outcome;
            }
        }
    }

    pub(crate) fn push(&mut self, room: &Room, stored: usize, bytes: &[u8]) -> Result<Value, EngineError> {
        let source = file_of(room.folder.path(), bytes);
        let push = engine::start_push(self.request(room, stored), Vec::new(), source);
        push.source.send(SourceExit::Success);
        self.finish(&push, true)
    }

    /// Stops the push once `parts` of its parts are journaled.
    pub(crate) fn push_and_stop(&mut self, room: &Room, bytes: &[u8], parts: usize) {
        let until = PART_BYTES * (parts + 1) + PART_BYTES / 2;
        self.stop_at(self.request(room, 0), &bytes[..until], parts);
    }

    /// Feeds a push, and stops it once `parts` parts of the run are journaled.
    pub(crate) fn stop_at(&mut self, request: PushRequest, bytes: &[u8], parts: usize) {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let push = engine::start_push(request, Vec::new(), OwnedFd::from(reader));
        writer.write_all(bytes).unwrap();
        self.await_parts(&push, parts);
        push.job.cancel("the test stops it");
        assert!(self.finish(&push, true).unwrap_err().is_cancelled());
    }

    /// Waits until `parts` parts of the run are journaled.
    pub(crate) fn await_parts(&mut self, push: &PushHandle, parts: usize) {
        let mut drained = 0;
        while self.gap_free() < parts {
            let _ = push.job.wait_timeout(Duration::from_millis(50));
            let entries = push.job.drain_journal();
            drained += entries.len() as u64;
            self.entries.extend(entries);
            push.job.journal_written(drained);
        }
    }
}

pub(crate) fn restored_is(room: &Room, report: &Value, bytes: &[u8]) {
    let (_, restored) = room.restore(report["manifest_key"].as_str().unwrap()).unwrap();
    assert!(restored == bytes, "what comes back is not what was sent");
    assert_eq!(room.ask(&json!({ "list": {} })).unwrap()["backups"].as_array().unwrap().len(), 1);
    assert!(!room.objects().iter().any(|key| key.starts_with("runs/")), "{:?}", room.objects());
}
