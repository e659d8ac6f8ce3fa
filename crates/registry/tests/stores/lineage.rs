//! Lineage over several runs, cycles, limits and odd names.

use crate::bench::{Bench, apply, edges, walk};
use pudato_protocol::{DataReference, ExecutionRecord, Timestamp};
use pudato_registry::{
    Direction, ErrorKind, Graph, GraphQuery, HopQuery, NewJob, NewStep, Node, RegistryStore, Walk,
};
use serde_json::json;
use std::sync::Arc;

struct Lineage<'a> {
    bench: &'a Bench,
    store: Arc<dyn RegistryStore>,
}

impl<'a> Lineage<'a> {
    async fn new(bench: &'a Bench) -> Self {
        Self {
            bench,
            store: bench.open().await,
        }
    }

    /// A step that read and wrote, one second after the previous one.
    async fn ran(&self, step: &str, inputs: &[&str], outputs: &[&str]) {
        let result = self.bench.result(step, inputs, outputs);
        apply(&*self.store, &[result]).await;
    }

    async fn walk(
        &self,
        location: &str,
        direction: Walk,
        change: impl FnOnce(&mut GraphQuery),
    ) -> Graph {
        walk(&*self.store, location, direction, change).await
    }
}

fn hop(location: &str, direction: Direction) -> HopQuery {
    HopQuery {
        location: location.into(),
        direction,
        environment: None,
        as_of: None,
        max_nodes: 500,
    }
}

pub async fn upstream_follows_the_run_that_made_what_was_read(bench: &Bench) {
    let lineage = Lineage::new(bench).await;
    lineage
        .ran("ingest-1", &["s3://x/source"], &["s3://x/raw"])
        .await;
    lineage
        .ran("clean-1", &["s3://x/raw"], &["s3://x/clean"])
        .await;
    // A later run of the ingest did not feed the current clean file.
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

pub async fn downstream_follows_only_what_read_that_version(bench: &Bench) {
    let lineage = Lineage::new(bench).await;
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

pub async fn as_of_shows_what_was_known_then(bench: &Bench) {
    let lineage = Lineage::new(bench).await;
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

pub async fn a_cycle_ends_and_a_cut_graph_says_so(bench: &Bench) {
    let lineage = Lineage::new(bench).await;
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

pub async fn a_location_matches_only_itself(bench: &Bench) {
    let lineage = Lineage::new(bench).await;
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
            .store
            .one_hop(hop(location, Direction::Producers))
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
        .store
        .one_hop(hop("s3://x/%", Direction::Both))
        .await
        .expect("found");
    assert!(hop.producers.is_empty());
}

pub async fn a_short_name_is_completed_or_its_candidates_are_listed(bench: &Bench) {
    let lineage = Lineage::new(bench).await;
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
    let find = async |name: &str| lineage.store.one_hop(hop(name, Direction::Both)).await;
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

pub async fn an_environment_shows_its_own_jobs_alone(bench: &Bench) {
    let lineage = Lineage::new(bench).await;
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
            .store
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

pub async fn a_nul_is_refused(bench: &Bench) {
    let lineage = Lineage::new(bench).await;
    let asked = lineage.store.one_hop(hop("s3://x/\0", Direction::Both));
    let error = asked.await.expect_err("refused");
    assert!(error.context.contains("a NUL is not allowed"), "{error}");
    let result = bench.result("step", &["s3://x/a\0b"], &[]);
    let applied = lineage.store.apply(vec![crate::bench::incoming(&result)]);
    let error = applied.await.expect_err("refused");
    assert_eq!(error.kind, ErrorKind::Invalid);
    assert!(error.context.contains("location"), "{error}");
    // It leaves nothing to the next query.
    lineage.ran("good", &["s3://x/a"], &["s3://x/b"]).await;
    let graph = lineage.walk("s3://x/b", Walk::Upstream, |_| {}).await;
    assert_eq!(edges(&graph), ["a -> good", "good -> b"]);
}

pub async fn a_hub_is_cut_at_the_limit(bench: &Bench) {
    let lineage = Lineage::new(bench).await;
    lineage.ran("hub", &[], &["s3://x/hub"]).await;
    let readers = (0..300).map(|n| {
        let output = format!("s3://x/out-{n}");
        bench.result(&format!("reader-{n}"), &["s3://x/hub"], &[&output])
    });
    let readers: Vec<_> = readers.collect();
    apply(&*lineage.store, &readers).await;
    let graph = lineage
        .walk("s3://x/hub", Walk::Downstream, |query| query.max_nodes = 50)
        .await;
    assert_eq!(graph.nodes.len(), 50);
    assert_eq!(graph.truncated, "max_nodes");
    // The latest steps are shown.
    assert!(edges(&graph).contains(&"hub -> reader-299".to_owned()));
    let mut query = hop("s3://x/hub", Direction::Consumers);
    query.max_nodes = 10;
    let few = lineage.store.one_hop(query).await.expect("found");
    assert_eq!((few.consumers.len(), few.truncated), (10, true));
    assert_eq!(few.consumers[0].step_id, "reader-299");
    let all = lineage
        .store
        .one_hop(hop("s3://x/hub", Direction::Consumers));
    let all = all.await.expect("found");
    assert_eq!((all.consumers.len(), all.truncated), (300, false));
}

pub async fn the_row_count_and_the_changed_rows_are_separate(bench: &Bench) {
    let lineage = Lineage::new(bench).await;
    let changed = |step: &str, operation: &str, counts: &[(&str, u64)]| {
        let mut result = bench.result(step, &[], &["s3://x/t"]);
        let output = DataReference::new("table", "s3://x/t").with("operation", operation);
        let with = |output: DataReference, (name, count): &(&str, u64)| output.with(*name, *count);
        result.outputs = vec![counts.iter().fold(output, with)];
        result
    };
    let known = async |result| {
        apply(&*lineage.store, &[result]).await;
        let graph = lineage.walk("s3://x/t", Walk::Upstream, |_| {}).await;
        let (node, edge) = (&graph.nodes[0], &graph.edges[0]);
        let Node::Dataset {
            row_count,
            rows_changed,
            ..
        } = node
        else {
            panic!("expected the dataset first, found {node:?}");
        };
        assert_eq!(
            (*row_count, *rows_changed),
            (edge.row_count, edge.rows_changed)
        );
        (*row_count, *rows_changed)
    };
    let made = changed("made", "create", &[("row_count", 60_000)]);
    assert_eq!(known(made).await, (Some(60_000), None));
    let one = changed(
        "one",
        "update",
        &[("row_count", 60_000), ("rows_changed", 1)],
    );
    assert_eq!(known(one).await, (Some(60_000), Some(1)));
    let added = changed(
        "added",
        "insert",
        &[("row_count", 60_005), ("rows_changed", 5)],
    );
    assert_eq!(known(added).await, (Some(60_005), Some(5)));
    // The number of rows that a MERGE changed is unknown; that of an earlier write does not apply.
    let merged = changed("merged", "merge", &[("row_count", 60_010)]);
    assert_eq!(known(merged).await, (Some(60_010), None));
}

pub async fn a_dataset_without_a_writer_has_the_row_count_of_its_reader(bench: &Bench) {
    let lineage = Lineage::new(bench).await;
    let rows = async |location: &str, direction| {
        let graph = lineage.walk(location, direction, |_| {}).await;
        let source = graph.nodes.iter().find_map(|node| match node {
            Node::Dataset {
                name, row_count, ..
            } if name == "source" => Some(*row_count),
            _ => None,
        });
        source.expect("the source")
    };
    // The bench counts one row more with each Result.
    lineage
        .ran("first", &["s3://x/source"], &["s3://x/a"])
        .await;
    assert_eq!(rows("s3://x/a", Walk::Upstream).await, Some(1));
    lineage
        .ran("second", &["s3://x/source"], &["s3://x/b"])
        .await;
    assert_eq!(rows("s3://x/source", Walk::Downstream).await, Some(2));
    assert_eq!(rows("s3://x/a", Walk::Upstream).await, Some(1));
    // The writer's count takes precedence.
    let mut written = bench.result("writer", &[], &["s3://x/source"]);
    written.outputs[0].metadata.clear();
    apply(&*lineage.store, &[written]).await;
    assert_eq!(rows("s3://x/a", Walk::Upstream).await, None);
}

pub async fn a_step_is_called_as_it_was_declared_and_never_by_its_action(bench: &Bench) {
    let lineage = Lineage::new(bench).await;
    let job = NewJob {
        job_id: Some("job-1".into()),
        pipeline: "birds".into(),
        ..NewJob::default()
    };
    let now = Timestamp::from_unix_us(1_795_392_000_000_000);
    let created = lineage.store.create_job(job, now.clone()).await;
    created.expect("created");
    let step = NewStep {
        step_id: Some("step-1".into()),
        job_id: "job-1".into(),
        step_name: "stage".into(),
        handler_type: "query".into(),
        action: "execute_sql".into(),
        ..NewStep::default()
    };
    lineage.store.add_step(step, now).await.expect("added");
    let ran = |step: &str, output: &str| {
        let mut result = bench.result(step, &[], &[output]);
        let action = json!({"type": "query", "action": "execute_sql"});
        let action = action.as_object().expect("an object").clone();
        (result.job_id, result.handler) = (Some("job-1".into()), Some("query".into()));
        result.executions = vec![ExecutionRecord::new("command", action)];
        result
    };
    let results = [ran("step-1", "s3://x/a"), ran("step-2", "s3://x/b")];
    apply(&*lineage.store, &results).await;
    for (location, expected) in [("s3://x/a", Some("stage")), ("s3://x/b", None)] {
        let graph = lineage.walk(location, Walk::Upstream, |_| {}).await;
        let Node::Step {
            step_name, action, ..
        } = &graph.nodes[1]
        else {
            panic!("expected a step, found {:?}", graph.nodes[1]);
        };
        assert_eq!(step_name.as_deref(), expected, "{location}");
        assert_eq!(action.as_deref(), Some("execute_sql"));
        // One hop and the step itself show the action in place of a name, as the contract says.
        let hop = lineage
            .store
            .one_hop(hop(location, Direction::Producers))
            .await;
        let producer = hop.expect("a hop").producers.remove(0);
        assert_eq!(
            producer.step_name.as_deref(),
            expected.or(Some("execute_sql"))
        );
    }
}
