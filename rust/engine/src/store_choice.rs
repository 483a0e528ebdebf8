//! Which store a job works on: the one its request names, or one that the caller has opened.

use std::sync::Arc;

use store::{ObjectStore, StoreConfig, StoreError};

/// A store, opened or to be opened.
pub(crate) enum StoreChoice {
    AsRequested,
    Given(Arc<dyn ObjectStore>),
}

impl StoreChoice {
    pub(crate) async fn open(&self, config: &StoreConfig) -> Result<Arc<dyn ObjectStore>, StoreError> {
        match self {
            Self::AsRequested => store::open(config).await,
            Self::Given(store) => Ok(Arc::clone(store)),
        }
    }
}
