//! Step 4: the handlers of pudato's own services.

use super::OpenError;
use super::places::Places;
use crate::settings::Settings;
use pudato_handler::Handler;
use pudato_registry::{RegistryHandler, RegistryStore};
use pudato_storage::{Objects, StorageHandler};
use std::sync::Arc;

/// The handlers of this build.
pub(super) fn built_in(
    settings: &Settings,
    places: &Places,
    objects: Objects,
    registry: Arc<dyn RegistryStore>,
    now: impl Fn() -> pudato_protocol::Timestamp + Send + Sync + 'static,
) -> Result<Vec<Arc<dyn Handler>>, OpenError> {
    let mut handlers: Vec<Arc<dyn Handler>> = vec![
        Arc::new(StorageHandler::new(
            objects.clone(),
            settings.claim_bytes_max,
        )),
        Arc::new(RegistryHandler::new(registry, now)),
    ];
    #[cfg(feature = "duckdb")]
    handlers.extend(super::warehouse::handlers(settings, places, objects)?);
    #[cfg(not(feature = "duckdb"))]
    let _ = places;
    Ok(handlers)
}
