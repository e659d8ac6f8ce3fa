//! Lineage over several runs, cycles, limits and odd names.

use pudato_protocol::{DataReference, Object, Result as Reply, Timestamp, encode};
use pudato_registry::{
    Direction, Graph, GraphQuery, Incoming, NewJob, Node, RegistryStore, SqliteRegistry, Walk,
};
use std::sync::Arc;

struct Lineage {
    registry: SqliteRegistry,
    n: std::cell::Cell<i64>,
}

impl Lineage {
    fn new() -> Self {
        let registry = SqliteRegistry::in_memory().expect("memory");
        Self {
            registry,
            n: std::cell::Cell::new(0),
        }
    }

    /// A step that read and wrote; each a second after the one before.
    async fn ran(&self, step: &str, inputs: &[&str], outputs: &[&str]) {
        self.n.set(self.n.get() + 1);
        let mut result = Reply::success(step, Object::new());
        result.timestamp =
            Timestamp::from_unix_us(1_795_392_000_000_000 + self.n.get() * 1_000_000);
        result.step_id = Some(step.into());
        result.job_id = Some(format!("job-{step}"));
        let reference =
            |name: &&str| DataReference::new("file", *name).with("row_count", self.n.get());
        result.inputs = inputs.iter().map(reference).collect();
        result.outputs = outputs.iter().map(reference).collect();
        let body = encode(&result);
        let incoming = Incoming {
            identity: format!("{:064}", self.n.get()),
            body: body.into(),
            result: Arc::new(result),
            recorded_at: Timestamp::now(),
        };
        self.registry.apply(vec![incoming]).await.expect("applied");
    }

    async fn walk(
        &self,
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
        self.registry.graph(query).await.expect("walked")
    }
}

/// `from -> to`, sorted, by short names.
fn edges(graph: &Graph) -> Vec<String> {
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

#[tokio::test]
async fn upstream_follows_the_run_that_made_what_was_read() {
    let lineage = Lineage::new();
    lineage
        .ran("ingest-1", &["s3://x/source"], &["s3://x/raw"])
        .await;
    lineage
        .ran("clean-1", &["s3://x/raw"], &["s3://x/clean"])
        .await;
    // A later run of the ingest did not feed the clean file that there is.
    lineage
        .ran("ingest-2", &["s3://x/other"], &["s3://x/raw"])
        .await;
    let graph = lineage.walk("s3://x/clean", Walk::Upstream, |_| {}).await;
    let expected = [
        "clean-1 -> clean",
        "ingest-1 -> raw",
        "raw -> clean-1",
        "source -> ingest-1",
    ];
    assert_eq!(edges(&graph), expected);
    let all = lineage
        .walk("s3://x/clean", Walk::Upstream, |query| {
            query.all_runs = true
        })
        .await;
    assert!(edges(&all).contains(&"ingest-2 -> raw".to_owned()));
}

#[tokio::test]
async fn downstream_follows_only_what_read_that_version() {
    let lineage = Lineage::new();
    lineage
        .ran("ingest-1", &["s3://x/source"], &["s3://x/raw"])
        .await;
    lineage
        .ran("clean-1", &["s3://x/raw"], &["s3://x/clean"])
        .await;
    lineage
        .ran("ingest-2", &["s3://x/other"], &["s3://x/raw"])
        .await;
    lineage
        .ran("clean-2", &["s3://x/raw"], &["s3://x/clean"])
        .await;
    let graph = lineage
        .walk("s3://x/source", Walk::Downstream, |_| {})
        .await;
    let expected = [
        "clean-1 -> clean",
        "ingest-1 -> raw",
        "raw -> clean-1",
        "source -> ingest-1",
    ];
    assert_eq!(edges(&graph), expected);
}

#[tokio::test]
async fn as_of_shows_what_was_known_then() {
    let lineage = Lineage::new();
    lineage.ran("one", &["s3://x/a"], &["s3://x/t"]).await;
    lineage.ran("two", &["s3://x/b"], &["s3://x/t"]).await;
    let now = lineage.walk("s3://x/t", Walk::Upstream, |_| {}).await;
    assert_eq!(edges(&now), ["b -> two", "two -> t"]);
    let then = Timestamp::from_unix_us(1_795_392_001_500_000);
    let then = lineage
        .walk("s3://x/t", Walk::Upstream, |query| query.as_of = Some(then))
        .await;
    assert_eq!(edges(&then), ["a -> one", "one -> t"]);
}

#[tokio::test]
async fn a_cycle_ends_and_limits_are_told() {
    let lineage = Lineage::new();
    lineage.ran("there", &["s3://x/a"], &["s3://x/b"]).await;
    lineage.ran("back", &["s3://x/b"], &["s3://x/a"]).await;
    let graph = lineage
        .walk("s3://x/a", Walk::Upstream, |query| query.all_runs = true)
        .await;
    assert_eq!(
        edges(&graph),
        ["a -> there", "b -> back", "back -> a", "there -> b"]
    );
    assert_eq!(graph.truncated, false);
    for n in 0..20 {
        lineage
            .ran(
                &format!("step-{n}"),
                &[&format!("s3://y/{n}")],
                &[&format!("s3://y/{}", n + 1)],
            )
            .await;
    }
    let deep = lineage
        .walk("s3://y/20", Walk::Upstream, |query| query.depth = 3)
        .await;
    assert_eq!((deep.edges.len(), &deep.truncated), (6, &"depth".into()));
    let few = lineage
        .walk("s3://y/20", Walk::Upstream, |query| query.max_nodes = 5)
        .await;
    assert_eq!((few.nodes.len(), &few.truncated), (5, &"max_nodes".into()));
    let whole = lineage
        .walk("s3://y/20", Walk::Upstream, |query| query.depth = 100)
        .await;
    assert_eq!((whole.edges.len(), &whole.truncated), (40, &false.into()));
}

#[tokio::test]
async fn a_location_matches_exactly_itself() {
    let lineage = Lineage::new();
    let odd = [
        "s3://x/100%",
        "s3://x/100_",
        "s3://x/it's \"quoted\"",
        "s3://x/back\\slash",
        "s3://x/a\nb",
        "s3://x/κλίμα",
    ];
    for (n, location) in odd.iter().enumerate() {
        lineage.ran(&format!("step-{n}"), &[], &[location]).await;
    }
    for (n, location) in odd.iter().enumerate() {
        let hop = lineage
            .registry
            .one_hop(location, Direction::Producers, None)
            .await
            .expect("found");
        let steps: Vec<&str> = hop
            .producers
            .iter()
            .map(|hop| hop.step_id.as_str())
            .collect();
        assert_eq!(steps, [format!("step-{n}")], "{location}");
    }
    let hop = lineage
        .registry
        .one_hop("s3://x/%", Direction::Both, None)
        .await
        .expect("found");
    assert!(hop.producers.is_empty());
}

#[tokio::test]
async fn a_short_name_is_completed_or_its_candidates_are_listed() {
    let lineage = Lineage::new();
    lineage
        .ran(
            "one",
            &[],
            &[
                "file:///data/lake/raw/a.csv",
                "s3://other/raw/a.csv",
                "duckdb:///w#w.main.stg_x",
            ],
        )
        .await;
    let find = async |name: &str| lineage.registry.one_hop(name, Direction::Both, None).await;
    assert_eq!(
        find("lake/raw/a.csv").await.expect("one").location,
        "file:///data/lake/raw/a.csv"
    );
    assert_eq!(
        find("main.stg_x").await.expect("one").location,
        "duckdb:///w#w.main.stg_x"
    );
    assert_eq!(
        find("stg_x").await.expect("one").location,
        "duckdb:///w#w.main.stg_x"
    );
    assert!(
        find("g_x").await.expect("none").producers.is_empty(),
        "no part of a name"
    );
    let error = find("a.csv").await.expect_err("two").to_string();
    assert!(
        error.contains("file:///data/lake/raw/a.csv") && error.contains("s3://other/raw/a.csv"),
        "{error}"
    );
}

#[tokio::test]
async fn an_environment_shows_its_own_jobs_alone() {
    let lineage = Lineage::new();
    lineage.ran("prod-step", &["s3://x/a"], &["s3://x/t"]).await;
    lineage.ran("dev-step", &["s3://x/b"], &["s3://x/t"]).await;
    for environment in ["prod", "dev"] {
        let job = NewJob {
            job_id: Some(format!("job-{environment}-step")),
            pipeline: "p".into(),
            environment: environment.into(),
            namespace: environment.into(),
            ..NewJob::default()
        };
        lineage
            .registry
            .create_job(job, Timestamp::now())
            .await
            .expect("created");
    }
    let prod = lineage
        .walk("s3://x/t", Walk::Upstream, |query| {
            query.environment = Some("prod".into())
        })
        .await;
    assert_eq!(edges(&prod), ["a -> prod-step", "prod-step -> t"]);
}

/// The queries of the walk are index walks at any scale.
#[tokio::test]
async fn no_query_of_lineage_scans_a_table() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("registry.db");
    drop(SqliteRegistry::open(&path).expect("opened"));
    let connection = rusqlite::Connection::open(&path).expect("opened");
    let sources = [
        include_str!("../src/sqlite/graph.rs"),
        include_str!("../src/sqlite/lineage.rs"),
        include_str!("../src/sqlite/resolve.rs"),
    ];
    let mut looked_at = 0;
    for source in sources {
        for query in source.split('"').filter(|text| text.starts_with("SELECT")) {
            let mut statement = connection
                .prepare(&format!("EXPLAIN QUERY PLAN {query}"))
                .expect("a query");
            let count = statement.parameter_count();
            let nulls = vec![rusqlite::types::Null; count];
            let plan = statement.query_map(rusqlite::params_from_iter(nulls), |row| {
                row.get::<_, String>(3)
            });
            for line in plan.expect("a plan") {
                let line = line.expect("a line");
                assert!(
                    !line.starts_with("SCAN") || line.contains("near"),
                    "{query}: {line}"
                );
            }
            looked_at += 1;
        }
    }
    assert!(looked_at >= 8, "{looked_at}");
}
