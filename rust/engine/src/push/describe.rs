//! Puts into the format's words what a push was asked for and what the stream turned out to be.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use format::{
    BackupId, BackupKeys, DatasetType, EndChecksum, Made, Manifest, Meta, MetaObject, Nonce, Parent, Part,
    Property, PropertySource, Repository, SendInfo, Timestamp, Tool, ZfsVersions,
};
use sealing::Recipients;
use sendstream::{Begin, StreamSummary};
use serde_json::{Map, json};
use store::{ObjectStore, PutOptions};

use super::commit::Draft;
use crate::attempts::Attempts;
use crate::error::EngineError;
use crate::request::PushRequest;

/// Refuses a stream that is not the one that was planned.
pub(crate) fn check_begin(begin: &Begin, request: &PushRequest) -> Result<(), EngineError> {
    let wanted = decimal("snapshot_guid", &request.backup.snapshot_guid)?;
    let base = match &request.backup.parent {
        Some(parent) => decimal("parent.snapshot_guid", &parent.snapshot_guid)?,
        None => 0,
    };
    if begin.to_guid == wanted && begin.from_guid == base && begin.raw() == request.backup.raw {
        return Ok(());
    }
    Err(EngineError::new(
        "engine.wrong_stream",
        format!(
            "the stream is of snapshot guid {} on base guid {} (raw: {}), but {wanted} on {base} (raw: {}) was planned: nothing is uploaded; was the snapshot replaced under its name?",
            begin.to_guid,
            begin.from_guid,
            begin.raw(),
            request.backup.raw
        ),
    ))
}

/// Names the backup that is about to be written.
pub(crate) fn draft(
    store: Arc<dyn ObjectStore>,
    repository: Repository,
    request: &PushRequest,
    recipients: Arc<Recipients>,
) -> Result<Draft, EngineError> {
    let backup = &request.backup;
    let (id, attempts) = match &request.run {
        Some(run) => (run.id.parse()?, Attempts::new(run.sessions.clone())?),
        None => (new_id(backup.level, &backup.snapshot_guid)?, Attempts::of_one_session()?),
    };
    if (id.level, id.snapshot_guid) != (backup.level, decimal("snapshot_guid", &backup.snapshot_guid)?) {
        return Err(EngineError::bad_request(format!("the id {id} is not of this level and snapshot")));
    }
    let keys = BackupKeys::new(&backup.source, &backup.dataset, id)?;
    let hot = PutOptions { storage_class: request.storage_class.manifest.clone(), ..PutOptions::default() };
    Ok(Draft { store, repository, keys, id, attempts, hot, recipients })
}

/// A new backup's name.
///
/// # Errors
/// `engine.bad_request` for a guid that is no decimal number; `format.random`.
pub(crate) fn new_id(level: u32, snapshot_guid: &str) -> Result<BackupId, EngineError> {
    let snapshot_guid = decimal("snapshot_guid", snapshot_guid)?;
    Ok(BackupId { created: now()?, level, snapshot_guid, nonce: Nonce::random()? })
}

/// The manifest of a backup whose parts are all stored.
pub(crate) fn manifest(
    draft: &Draft,
    request: &PushRequest,
    summary: &StreamSummary,
    meta: MetaObject,
    parts: Vec<Part>,
) -> Result<Manifest, EngineError> {
    let backup = &request.backup;
    let spliced = request.run.as_ref().is_some_and(|run| run.spliced_onto.is_some());
    let made = if spliced { Made::Spliced } else { backup.made };
    let manifest = Manifest {
        format: format::FORMAT,
        requires: Vec::new(),
        tool: Tool { name: "zfs-push-backups".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() },
        zfs: ZfsVersions { userland: backup.zfs.userland.clone(), kernel: backup.zfs.kernel.clone() },
        repository: draft.repository.id,
        id: draft.id,
        source: backup.source.clone(),
        task: backup.task.clone(),
        dataset: backup.dataset.clone(),
        dataset_guid: optional_decimal("dataset_guid", backup.dataset_guid.as_deref())?,
        snapshot: backup.snapshot.clone(),
        snapshot_guid: draft.id.snapshot_guid,
        createtxg: optional_decimal("createtxg", backup.createtxg.as_deref())?,
        snapshot_created: backup.snapshot_created,
        committed: now()?,
        level: backup.level,
        parent: parent(request)?,
        send: SendInfo { flags: backup.flags.clone(), raw: backup.raw, made },
        recipients: draft.recipients.canonical(),
        compression: request.compression,
        tree_group: backup.tree_group.as_deref().map(str::parse).transpose()?,
        stream_length: summary.stream_bytes,
        meta,
        parts,
    };
    // What a reader would refuse must not be committed.
    Manifest::parse(&manifest.to_json()?)?;
    Ok(manifest)
}

fn parent(request: &PushRequest) -> Result<Option<Parent>, EngineError> {
    let Some(parent) = &request.backup.parent else { return Ok(None) };
    Ok(Some(Parent {
        id: parent.id.parse()?,
        snapshot: parent.snapshot.clone(),
        snapshot_guid: decimal("parent.snapshot_guid", &parent.snapshot_guid)?,
    }))
}

/// The nonce of the backup that this one stands on.
pub(crate) fn parent_nonce(request: &PushRequest) -> Result<Option<Nonce>, EngineError> {
    Ok(parent(request)?.map(|parent| parent.id.nonce))
}

/// What is sealed beside the parts.
pub(crate) fn meta(request: &PushRequest, summary: &StreamSummary) -> Result<Meta, EngineError> {
    let mut meta = Meta::new(EndChecksum(summary.end_checksum));
    meta.dataset_type = request.backup.dataset_type.as_deref().map(dataset_type).transpose()?;
    for (name, property) in &request.backup.properties {
        let source = match property.source.as_str() {
            "received" => PropertySource::Received,
            "local" => PropertySource::Local,
            other => {
                return Err(EngineError::bad_request(format!(
                    "property {name} has the unknown source {other}"
                )));
            }
        };
        meta.properties.insert(name.clone(), Property { value: property.value.clone(), source });
    }
    meta.records = summary.records.iter().map(|(kind, count)| (kind.name().to_owned(), count)).collect();
    meta.begin = begin(&summary.begin);
    Ok(meta)
}

/// BEGIN in JSON: guids as decimal strings, features by name.
pub(crate) fn begin(begin: &Begin) -> Map<String, serde_json::Value> {
    let features: Vec<&str> = begin.features.iter().map(sendstream::Feature::name).collect();
    let value = json!({
        "to_guid": begin.to_guid.to_string(),
        "from_guid": begin.from_guid.to_string(),
        "to_name": begin.to_name,
        "creation_unix_seconds": begin.creation_unix_seconds,
        "features": features,
        "raw": begin.raw(),
        "big_endian": begin.big_endian,
        "objset_type": begin.objset_type,
    });
    match value {
        serde_json::Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// The store's proof in the manifest's words.
pub(crate) fn store_checksum(checksum: &store::StoreChecksum) -> format::StoreChecksum {
    use format::{ChecksumAlgorithm as Algorithm, ChecksumKind as Kind};
    format::StoreChecksum {
        algorithm: match checksum.algorithm {
            store::ChecksumAlgorithm::Crc64Nvme => Algorithm::Crc64nvme,
            store::ChecksumAlgorithm::Crc32c => Algorithm::Crc32c,
            store::ChecksumAlgorithm::Sha256 => Algorithm::Sha256,
            store::ChecksumAlgorithm::Md5 => Algorithm::Md5,
            store::ChecksumAlgorithm::None => Algorithm::None,
        },
        kind: match checksum.kind {
            store::ChecksumKind::FullObject => Kind::FullObject,
            store::ChecksumKind::Composite => Kind::Composite,
            store::ChecksumKind::Reread => Kind::Reread,
        },
        value: checksum.value.clone(),
    }
}

fn dataset_type(name: &str) -> Result<DatasetType, EngineError> {
    match name {
        "filesystem" => Ok(DatasetType::Filesystem),
        "volume" => Ok(DatasetType::Volume),
        other => {
            Err(EngineError::bad_request(format!("{other} is no type of dataset: filesystem or volume")))
        }
    }
}

fn now() -> Result<Timestamp, EngineError> {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    Ok(Timestamp::from_unix_seconds(i64::try_from(seconds).unwrap_or(i64::MAX))?)
}

fn decimal(field: &str, text: &str) -> Result<u64, EngineError> {
    text.parse().map_err(|_| EngineError::bad_request(format!("{field} is {text:?}, not a decimal number")))
}

fn optional_decimal(field: &str, text: Option<&str>) -> Result<Option<u64>, EngineError> {
    text.map(|text| decimal(field, text)).transpose()
}
