//! Step 3: the handlers of pudato's own services.

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
    let mut handlers = super::warehouse::handlers(settings, places, objects.clone())?;
    handlers.push(Arc::new(StorageHandler::new(
        objects,
        settings.claim_bytes_max,
    )));
    handlers.push(Arc::new(RegistryHandler::new(registry, now)));
    Ok(handlers)
}
