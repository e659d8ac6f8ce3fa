//! A fresh store of each kind.

use pudato_protocol::{DataReference, Object, Result as Reply, Timestamp, encode};
use pudato_registry::{
    Graph, GraphQuery, Incoming, Node, PostgresRegistry, RegistryStore, SqliteRegistry, Walk,
};
use pudato_testing::{Database, Pgbouncer, Postgres, skipped};
use sha2::{Digest, Sha256};
use std::cell::Cell;
use std::sync::Arc;

enum Backend {
    Sqlite(tempfile::TempDir),
    Postgres(&'static Postgres, Database, Option<Pgbouncer>),
}

pub struct Bench {
    backend: Backend,
    n: Cell<i64>,
}

/// 2026-11-23T00:00:00Z.
const START_US: i64 = 1_795_392_000_000_000;

impl Bench {
    pub fn sqlite() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self {
            backend: Backend::Sqlite(folder),
            n: Cell::new(0),
        }
    }

    /// `None` if there is no PostgreSQL.
    pub fn postgres(test: &str) -> Option<Self> {
        let server = match Postgres::shared() {
            Ok(server) => server,
            Err(why) => {
                skipped(test, &why);
                return None;
            }
        };
        let database = server.database().expect("a database");
        Some(Self {
            backend: Backend::Postgres(server, database, None),
            n: Cell::new(0),
        })
    }

    /// The same behind a pooler that changes sessions between transactions. `None` if there is no pooler, as in CI.
    pub fn pooled(test: &str) -> Option<Self> {
        let mut bench = Self::postgres(test)?;
        if let Backend::Postgres(server, _, pooler) = &mut bench.backend {
            match Pgbouncer::before(server) {
                Ok(started) => *pooler = Some(started),
                Err(why) => {
                    eprintln!("{test}: skipped: {why}");
                    return None;
                }
            }
        }
        Some(bench)
    }

    /// Opens the store once more.
    pub async fn open(&self) -> Arc<dyn RegistryStore> {
        self.open_with(false).await
    }

    /// As [`Bench::open`], with an outbox.
    pub async fn open_with(&self, outbox: bool) -> Arc<dyn RegistryStore> {
        match &self.backend {
            Backend::Sqlite(folder) => {
                let path = folder.path().join("registry.db");
                let store = SqliteRegistry::open(&path).expect("opened");
                Arc::new(if outbox { store.with_outbox() } else { store })
            }
            Backend::Postgres(_, database, pooler) => {
                let through = pooler.as_ref().map(|pooler| pooler.url(&database.name));
                let url = through.as_ref().unwrap_or(&database.url);
                let store = PostgresRegistry::open(url).await.expect("opened");
                let is_pooled = store.is_pooled().await.expect("open");
                assert_eq!(is_pooled, pooler.is_some());
                Arc::new(if outbox { store.with_outbox() } else { store })
            }
        }
    }

    /// Removes all data.
    pub fn clear(&self) {
        match &self.backend {
            Backend::Sqlite(folder) => {
                for name in ["registry.db", "registry.db-wal", "registry.db-shm"] {
                    let _ = std::fs::remove_file(folder.path().join(name));
                }
            }
            Backend::Postgres(server, database, _) => {
                let sql = "DROP SCHEMA IF EXISTS pudato CASCADE";
                server.psql(&database.name, sql).expect("dropped");
            }
        }
    }

    /// Rewrites the tables as the previous version left them: every write replaces, and later migrations are missing.
    pub fn as_before(&self) {
        match &self.backend {
            Backend::Sqlite(folder) => {
                let path = folder.path().join("registry.db");
                let file = rusqlite::Connection::open(path).expect("opened");
                let sql = "UPDATE edge SET kind = 1 WHERE kind = 2; DELETE FROM migration WHERE version > 6; PRAGMA user_version = 6";
                file.execute_batch(sql).expect("changed");
            }
            Backend::Postgres(server, database, _) => {
                let sql = "UPDATE pudato.edge SET kind = 1 WHERE kind = 2; DELETE FROM pudato.migration WHERE version > 5";
                server.psql(&database.name, sql).expect("changed");
            }
        }
    }

    /// Renames a dataset to the spelling of an older version.
    pub fn respell(&self, namespace: &str, name: &str, as_before: &str) {
        let location = format!("{namespace}#{as_before}");
        let backwards: String = location.chars().rev().collect();
        match &self.backend {
            Backend::Sqlite(folder) => {
                let path = folder.path().join("registry.db");
                let file = rusqlite::Connection::open(path).expect("opened");
                let sql = "UPDATE dataset SET name = ?, backwards = ? WHERE name = ?";
                let changed = file.execute(sql, [as_before, &backwards, name]);
                assert_eq!(changed.expect("changed"), 1);
            }
            Backend::Postgres(server, database, _) => {
                let sql = format!(
                    "UPDATE pudato.dataset SET name = '{as_before}', backwards = '{backwards}', key = sha256('{location}') WHERE name = '{name}'"
                );
                server.psql(&database.name, &sql).expect("changed");
            }
        }
    }

    /// A Result of a step, one second after the previous Result.
    pub fn result(&self, step: &str, inputs: &[&str], outputs: &[&str]) -> Reply {
        self.n.set(self.n.get() + 1);
        let mut result = Reply::success(step, Object::new());
        result.timestamp = Timestamp::from_unix_us(START_US + self.n.get() * 1_000_000);
        result.step_id = Some(step.into());
        result.job_id = Some(format!("job-{step}"));
        let reference =
            |name: &&str| DataReference::new("file", *name).with("row_count", self.n.get());
        result.inputs = inputs.iter().map(reference).collect();
        result.outputs = outputs.iter().map(reference).collect();
        result
    }
}

/// When Results are recorded: after everything that they report.
pub const RECORDED_AT: &str = "2026-12-01T00:00:00Z";

pub fn incoming(result: &Reply) -> Incoming {
    let body = encode(result);
    let identity = Sha256::digest(body.as_bytes());
    Incoming {
        identity: identity.iter().map(|byte| format!("{byte:02x}")).collect(),
        body: body.into(),
        result: Arc::new(result.clone()),
        recorded_at: Timestamp::parse(RECORDED_AT).expect("a time"),
    }
}

pub async fn apply(store: &dyn RegistryStore, results: &[Reply]) {
    let results = results.iter().map(incoming).collect();
    store.apply(results).await.expect("applied");
}

pub async fn walk(
    store: &dyn RegistryStore,
    location: &str,
    walk: Walk,
    change: impl FnOnce(&mut GraphQuery),
) -> Graph {
    let mut query = GraphQuery {
        location: location.into(),
        walk,
        depth: 10,
        max_nodes: 500,
        as_of: None,
        environment: None,
        all_runs: false,
    };
    change(&mut query);
    store.graph(query).await.expect("walked")
}

/// `from -> to`, sorted, by short names.
pub fn edges(graph: &Graph) -> Vec<String> {
    let name = |id: &str| {
        let node = graph
            .nodes
            .iter()
            .find(|node| node.id() == id)
            .expect("a node");
        match node {
            Node::Dataset { name, .. } => name.clone(),
            Node::Step { step_id, .. } => step_id.clone(),
        }
    };
    let edge = |edge: &pudato_registry::Edge| format!("{} -> {}", name(&edge.from), name(&edge.to));
    let mut edges: Vec<String> = graph.edges.iter().map(edge).collect();
    edges.sort();
    edges
}
