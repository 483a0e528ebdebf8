//! The repository: one random id a prefix, so that a swapped bucket or an emptied disk is noticed.

use bytes::Bytes;
use format::{RECOVER_MD_KEY, REPOSITORY_KEY, Repository, RepositoryId};
use store::{ObjectStore, PutOptions};

use crate::error::EngineError;

const LARGEST_BYTES: u64 = 64 << 10;

/// Reads `repository.json`; `None` where the prefix holds no repository yet.
///
/// # Errors
/// `store.*`; `format.*` when it is damaged or newer than this program.
pub(crate) async fn read(store: &dyn ObjectStore) -> Result<Option<Repository>, EngineError> {
    match store.get_bytes(REPOSITORY_KEY, LARGEST_BYTES).await {
        Ok(bytes) => Ok(Some(Repository::parse(&bytes)?)),
        Err(error) if error.code() == "store.not_found" => Ok(None),
        Err(error) => Err(EngineError::from(error).with("key", REPOSITORY_KEY)),
    }
}

/// Reads the repository, or makes one; the flag says whether it was made.
///
/// `RECOVER.md` is written first: where a repository is, its recipe is. Of two that make one at once the later
/// answer of the store stands for both, because each reads again what it wrote.
///
/// # Errors
/// As [`read`], and `store.*` of writing.
pub(crate) async fn open_or_create(
    store: &dyn ObjectStore,
    storage_class: Option<&str>,
) -> Result<(Repository, bool), EngineError> {
    if let Some(repository) = read(store).await? {
        return Ok((repository, false));
    }
    let recipe = PutOptions { storage_class: storage_class.map(str::to_owned), ..PutOptions::default() };
    put(store, RECOVER_MD_KEY, format::recover_md().into(), &recipe).await?;
    let repository = Repository::new(RepositoryId::random()?);
    let once = PutOptions { if_absent: true, ..recipe };
    match store.put(REPOSITORY_KEY, repository.to_json()?.into(), &once).await {
        Ok(_) => {}
        Err(error) if error.code() == "store.already_exists" => {}
        Err(error) => return Err(EngineError::from(error).with("key", REPOSITORY_KEY)),
    }
    let stands = read(store).await?.ok_or_else(|| {
        EngineError::new("engine.repository_changed", "the repository was written but can't be read back")
    })?;
    let created = stands.id == repository.id;
    tracing::info!(repository = %stands.id, location = store.location(), created, "repository made");
    Ok((stands, created))
}

/// Refuses to go on when the store holds another repository than `expected_id`.
///
/// # Errors
/// `engine.repository_changed`; as [`read`].
pub(crate) async fn check_same(
    store: &dyn ObjectStore,
    expected_id: RepositoryId,
) -> Result<Repository, EngineError> {
    let found = read(store).await?;
    let found = match found {
        Some(repository) if repository.id == expected_id => return Ok(repository),
        Some(other) => other.id.to_string(),
        None => "gone".to_owned(),
    };
    Err(EngineError::new(
        "engine.repository_changed",
        format!(
            "the repository at {} is {found} where {expected_id} was before: another bucket, disk or prefix came in its place; nothing is committed",
            store.location()
        ),
    ))
}

async fn put(
    store: &dyn ObjectStore,
    key: &str,
    body: Bytes,
    options: &PutOptions,
) -> Result<(), EngineError> {
    let put = store.put(key, body, options).await;
    put.map(drop).map_err(|error| EngineError::from(error).with("key", key))
}
