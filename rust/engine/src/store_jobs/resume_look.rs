//! How much of an interrupted run stands in the store, so that the next session knows where to go on.
//!
//! The journal is a hint, the store decides what exists: a part counts if it is there with its length and checksum.

use std::collections::BTreeMap;
use std::sync::Arc;

use format::{Part, RepositoryId};
use futures::{StreamExt, stream};
use serde_json::{Value, json};
use store::{ObjectInfo, ObjectStore};

use super::run_keys::RunKeys;
use crate::attempts::Writer;
use crate::error::EngineError;
use crate::marker::{Marked, marked};
use crate::repository;
use crate::request::{JournaledPart, RunLook};
use crate::stored_checksum::{self, Unkept};

/// How many parts are looked at at once.
const LOOKS_AT_ONCE: usize = 16;
/// How many of the newest parts are read again where the store keeps no checksum: one more than the default memory budget
/// ever has on their way at once, so all that a crash of the machine can have caught. What is older was read again
/// when it was stored; reading it once more would cost more than sending the rest.
const READ_AGAIN_PARTS: usize = 4;
/// As many sealed bytes are read again of the newest parts, and no further part, however few they are.
const READ_AGAIN_BYTES: u64 = 256 << 20;

pub(super) async fn run(store: &Arc<dyn ObjectStore>, look: &RunLook) -> Result<Value, EngineError> {
    let run = RunKeys::new(&look.run)?;
    let repository: RepositoryId = look.repository_id.parse()?;
    let manifest = match marked(store.as_ref(), &run.keys).await? {
        Marked::Absent => Value::Null,
        Marked::Tombstone(key) => json!({ "key": key, "tombstone": true }),
        Marked::Committed(key) => json!({ "key": key, "tombstone": false }),
    };
    let found = store.list(&run.keys.data_prefix()).await?;
    // Behind the listings: a disk that is not mounted any more has an empty one, which proves nothing.
    repository::check_same(store.as_ref(), repository).await?;
    let foreign: Vec<&String> = found
        .iter()
        .map(|object| &object.key)
        .filter(|key| run.attempts.writer(&run.keys, key) == Writer::Foreign)
        .collect();
    let found: BTreeMap<&str, &ObjectInfo> =
        found.iter().map(|object| (object.key.as_str(), object)).collect();
    let mut parts: Vec<&JournaledPart> = look.parts.iter().collect();
    parts.sort_by_key(|part| part.part.number);
    let (stored, problem) = gap_free(store, &run, &parts, &found).await?;
    Ok(json!({ "manifest": manifest, "stored": stored, "foreign": foreign, "problem": problem }))
}

/// How many parts from number 0 on are as the journal says, and why not more.
async fn gap_free(
    store: &Arc<dyn ObjectStore>,
    run: &RunKeys,
    parts: &[&JournaledPart],
    found: &BTreeMap<&str, &ObjectInfo>,
) -> Result<(usize, Option<String>), EngineError> {
    let mut ready = Vec::new();
    let mut problem = None;
    for (number, part) in parts.iter().enumerate() {
        if let Some(why) = listed(run, number, part, found) {
            problem = Some(why);
            break;
        }
        ready.push(&part.part);
    }
    let (stored, differs) = unchanged(store, &ready, READ_AGAIN_PARTS).await?;
    Ok((stored, differs.or(problem)))
}

/// How many parts from the first on are what was stored, and why not more: by the store's own checksums, or, for the
/// newest of a store that keeps none, by reading them again: not more than `read_again` of them.
pub(super) async fn unchanged(
    store: &Arc<dyn ObjectStore>,
    parts: &[&Part],
    read_again: usize,
) -> Result<(usize, Option<String>), EngineError> {
    let lengths = parts.iter().map(|part| part.sealed_length);
    let trusted = parts.len() - newest(lengths).min(read_again);
    let looks = parts.iter().enumerate().map(|(number, part)| {
        let unkept = if number < trusted { Unkept::Trust } else { Unkept::Read };
        let (store, part) = (Arc::clone(store), (*part).clone());
        // A task each, as hashing what is read again keeps a core busy.
        tokio::spawn(async move { stored_checksum::differs(store.as_ref(), &part, unkept).await })
    });
    let mut looks = stream::iter(looks).buffered(LOOKS_AT_ONCE);
    let mut stored = 0;
    while let Some(looked) = looks.next().await {
        let differs = looked.map_err(|error| EngineError::internal(format!("a look at a part: {error}")))?;
        if let Some(why) = differs? {
            return Ok((stored, Some(why)));
        }
        stored += 1;
    }
    Ok((stored, None))
}

/// How many of the last parts make up [`READ_AGAIN_BYTES`], or more than that.
fn newest(lengths: impl DoubleEndedIterator<Item = u64>) -> usize {
    let mut bytes = 0_u64;
    let before = |length: &u64| {
        let more = bytes < READ_AGAIN_BYTES;
        bytes = bytes.saturating_add(*length);
        more
    };
    lengths.rev().take_while(before).count()
}

/// Why a part is not what the listing shows; none if it is.
fn listed(
    run: &RunKeys,
    number: usize,
    part: &JournaledPart,
    found: &BTreeMap<&str, &ObjectInfo>,
) -> Option<String> {
    let part = &part.part;
    if usize::try_from(part.number).ok() != Some(number) {
        return Some(format!("part {number} was not stored"));
    }
    if run.attempts.writer(&run.keys, &part.key) != Writer::Own {
        return Some(format!("part {number} is said to lie at {}, where this run never wrote", part.key));
    }
    match found.get(part.key.as_str()) {
        None => Some(format!("part {number} is gone from the store")),
        Some(object) if object.length != part.sealed_length => Some(format!(
            "part {number} has {} bytes where {} were stored",
            object.length, part.sealed_length
        )),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::newest;

    const MIB: u64 = 1 << 20;

    #[test]
    fn a_part_that_begins_within_the_bytes_is_read_again() {
        let read_again = |lengths: &[u64]| newest(lengths.iter().copied());
        assert_eq!(read_again(&[]), 0);
        assert_eq!(read_again(&[MIB; 3]), 3);
        assert_eq!(read_again(&[16 * MIB; 64]), 16);
        assert_eq!(read_again(&[200 * MIB; 64]), 2);
        assert_eq!(read_again(&[5120 * MIB; 64]), 1);
        assert_eq!(read_again(&[5120 * MIB, 5120 * MIB, MIB]), 2);
    }
}
