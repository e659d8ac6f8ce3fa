//! Step 2: the databases.

use super::OpenError;
use crate::settings::{DatabasePlace, Settings};
use pudato_messaging::IdempotencyStore;
use pudato_registry::{PostgresRegistry, RegistryStore, SqliteRegistry};
use std::sync::Arc;

/// A database in its two roles.
pub(crate) struct Databases {
    pub(crate) registry: Arc<dyn RegistryStore>,
    pub(crate) answers: Arc<dyn IdempotencyStore>,
}

/// Opens the database at `place`, which is no longer a secret.
pub(crate) fn open(place: &DatabasePlace, settings: &Settings) -> Result<Databases, OpenError> {
    let tells = settings.openlineage.is_some();
    match place {
        DatabasePlace::File(path) => {
            let mut store = SqliteRegistry::open(path)?;
            if tells {
                store = store.with_outbox();
            }
            Ok(database(Arc::new(store)))
        }
        DatabasePlace::Memory => Ok(database(Arc::new(SqliteRegistry::in_memory()?))),
        DatabasePlace::Postgres(url) => {
            let store = PostgresRegistry::new(url)?;
            let mut store = store.with_connections(settings.database_connections);
            if tells {
                store = store.with_outbox();
            }
            Ok(database(Arc::new(store)))
        }
        DatabasePlace::Dynamo(_) | DatabasePlace::Secret(_) => Err(OpenError::Settings(
            "REGISTRY_DATABASE_URL: expected sqlite: or postgres://".into(),
        )),
    }
}

fn database<S: RegistryStore + IdempotencyStore + 'static>(store: Arc<S>) -> Databases {
    Databases {
        registry: Arc::clone(&store) as Arc<dyn RegistryStore>,
        answers: store,
    }
}
