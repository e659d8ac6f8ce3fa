//! A registry on SQLite and one on a PostgreSQL of its own, both below the build folder: a temporary folder may lie in memory.

use crate::Outcome;
use crate::up::target;
use crate::workload;
use pudato_runtime::registry::{PostgresRegistry, RegistryStore, SqliteRegistry};
use pudato_testing::{Database, Postgres};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// Results of one batch: as many as the results consumer takes where there is much.
pub const BATCH: u64 = 1_000;

/// What a server with 24 GiB would be given; its durability is as it comes.
const SETTINGS: [&str; 4] = [
    "shared_buffers=2GB",
    "max_wal_size=8GB",
    "wal_compression=on",
    "maintenance_work_mem=512MB",
];

pub struct Sqlite {
    pub store: Arc<dyn RegistryStore>,
    folder: tempfile::TempDir,
}

impl Sqlite {
    pub fn new() -> Outcome<Self> {
        let folder = tempfile::tempdir_in(target()?)?;
        let store = SqliteRegistry::open(&folder.path().join("registry.db"))?;
        Ok(Self {
            store: Arc::new(store),
            folder,
        })
    }

    pub fn bytes(&self) -> u64 {
        bytes(self.folder.path())
    }
}

pub struct OnPostgres {
    pub store: Arc<dyn RegistryStore>,
    pub server: Postgres,
    pub database: Database,
}

impl OnPostgres {
    pub async fn new() -> Outcome<Self> {
        let server = Postgres::start_below(&target()?, &SETTINGS)?;
        let database = server.database()?;
        let store = PostgresRegistry::open(&database.url).await?;
        Ok(Self {
            store: Arc::new(store),
            server,
            database,
        })
    }

    pub fn bytes(&self) -> Outcome<u64> {
        let sql = format!("SELECT pg_database_size('{}')", self.database.name);
        Ok(self.server.psql(&self.database.name, &sql)?.parse()?)
    }

    /// What the server does by itself from time to time.
    pub fn analyze(&self) -> Outcome<()> {
        self.server.psql(&self.database.name, "VACUUM ANALYZE")?;
        Ok(())
    }
}

fn bytes(path: &Path) -> u64 {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.metadata().ok())
        .map(|metadata| metadata.len())
        .sum()
}

/// Applies the Results of the steps `from..to` (see [`workload::incoming`]); answers the seconds that this took, without making the Results. Two at once, like
/// the results consumer.
pub async fn load(
    store: &Arc<dyn RegistryStore>,
    from: u64,
    to: u64,
    repeated_after: u64,
) -> Outcome<f64> {
    let mut seconds = 0.0;
    let mut next = from;
    while next < to {
        // Some batches ahead, so that making them does not count.
        let mut batches = Vec::new();
        while next < to && batches.len() < 20 {
            let end = (next + BATCH).min(to);
            batches.push({
                let made = (next..end).map(|i| workload::incoming(i, repeated_after));
                made.collect::<Vec<_>>()
            });
            next = end;
        }
        let (mut odd, mut even) = (Vec::new(), Vec::new());
        for (n, batch) in batches.into_iter().enumerate() {
            if n.is_multiple_of(2) {
                &mut even
            } else {
                &mut odd
            }
            .push(batch);
        }
        let started = Instant::now();
        let halves = [even, odd].map(|half| {
            let store = Arc::clone(store);
            tokio::spawn(async move {
                for batch in half {
                    store.apply(batch).await?;
                }
                Ok::<_, pudato_runtime::registry::Error>(())
            })
        });
        for half in halves {
            half.await??;
        }
        seconds += started.elapsed().as_secs_f64();
    }
    Ok(seconds)
}
