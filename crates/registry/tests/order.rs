//! However the Results of a step arrive, the registry is the same.

use proptest::prelude::*;
use pudato_protocol::{DataReference, Object, Result as Reply, Timestamp, encode};
use pudato_registry::{Applied, Incoming, NewJob, NewStep, RegistryStore, SqliteRegistry};
use rusqlite::Connection;
use rusqlite::types::ValueRef;
use sha2::{Digest, Sha256};
use std::path::Path;
use std::sync::Arc;

fn incoming(result: &Reply) -> Incoming {
    let body = encode(result);
    let identity = Sha256::digest(body.as_bytes());
    Incoming {
        identity: identity.iter().map(|byte| format!("{byte:02x}")).collect(),
        body: body.into(),
        result: Arc::new(result.clone()),
        recorded_at: Timestamp::now(),
    }
}

fn result(kind: usize, at: &str, lineage: usize) -> Reply {
    let mut result = match kind {
        0 => Reply::pending("r-1", Object::new()),
        1 => Reply::success("r-1", Object::new()),
        _ => Reply::error("r-1", [format!("failed at {at}")]),
    };
    result.timestamp = Timestamp::parse(at).expect("a time");
    result.job_id = Some("job-1".into());
    result.step_id = Some("step-1".into());
    result.handler = Some("query".into());
    result.duration_ms = 5 * lineage as u64;
    for n in 0..lineage {
        result.inputs.push(
            DataReference::new("table", format!("duckdb:///w#a.b.in{n}")).with("row_count", n),
        );
        result.outputs.push(DataReference::new(
            "file",
            format!("s3://lake/{n}%_'\".csv"),
        ));
    }
    result
}

#[derive(Debug, Clone)]
enum Arrival {
    Result(Box<Reply>),
    CreateJob,
    AddStep,
}

/// What the registry holds, without the numbers of rows and the times of recording.
fn rows(path: &Path) -> Vec<String> {
    let connection = Connection::open(path).expect("opened");
    let queries = [
        "SELECT job_id, declared, created_at, pipeline, environment, expected_steps, said, steps_begun, steps_ended, steps_failed,
            ended_us, ended_at FROM job ORDER BY job_id",
        "SELECT step_id, (SELECT job_id FROM job WHERE job.id = job), declared, step_name, handler_type, action, status,
            rank, at_us, at, is_error, identity, error, duration_ms, seen_handler, started_us, started_at FROM step",
        "SELECT identity, correlation_id, (SELECT step_id FROM step WHERE step.id = step), status, at_us, body
            FROM result ORDER BY identity",
        "SELECT namespace, name, direction, edge.at_us, identity, position, (SELECT step_id FROM step WHERE step.id = edge.step),
            ref_type, format, version, row_count, bytes, metadata FROM edge JOIN dataset ON dataset.id = edge.dataset
            JOIN result ON result.id = edge.result ORDER BY namespace, name, direction, edge.at_us, identity, position",
    ];
    let mut rows = Vec::new();
    for query in queries {
        let mut statement = connection.prepare(query).expect("prepared");
        let columns = statement.column_count();
        let mut found = statement.query([]).expect("queried");
        while let Some(row) = found.next().expect("a row") {
            let values = (0..columns).map(|n| match row.get_ref(n).expect("a value") {
                ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
                other => format!("{other:?}"),
            });
            rows.push(values.collect::<Vec<_>>().join("|"));
        }
    }
    rows
}

async fn arrive(arrivals: &[Arrival], batch: usize) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("registry.db");
    let registry = SqliteRegistry::open(&path).expect("opened");
    let now = || Timestamp::parse("2026-01-01T00:00:00Z").expect("a time");
    let mut waiting = Vec::new();
    for (n, arrival) in arrivals.iter().enumerate() {
        match arrival {
            Arrival::Result(result) => waiting.push(incoming(result)),
            Arrival::CreateJob => {
                let job = NewJob {
                    job_id: Some("job-1".into()),
                    pipeline: "birdstrikes".into(),
                    environment: "dev".into(),
                    namespace: "dev".into(),
                    expected_steps: Some(1),
                    ..NewJob::default()
                };
                registry.create_job(job, now()).await.expect("created");
            }
            Arrival::AddStep => {
                let step = NewStep {
                    step_id: Some("step-1".into()),
                    job_id: "job-1".into(),
                    step_name: "stage".into(),
                    handler_type: "query".into(),
                    action: "execute_sql".into(),
                    ..NewStep::default()
                };
                registry.add_step(step, now()).await.expect("added");
            }
        }
        if waiting.len() >= batch || n + 1 == arrivals.len() {
            registry
                .apply(std::mem::take(&mut waiting))
                .await
                .expect("applied");
        }
    }
    rows(&path)
}

/// Equal instants written differently, and times apart.
const TIMES: [&str; 4] = [
    "2026-11-23T10:00:00.000000+00:00",
    "2026-11-23T11:00:00+01:00",
    "2026-11-23T10:00:00.000001Z",
    "2026-11-23T09:59:59Z",
];

fn some_result() -> impl Strategy<Value = Reply> {
    (0..3usize, 0..TIMES.len(), 0..3usize)
        .prop_map(|(kind, at, lineage)| result(kind, TIMES[at], lineage))
}

fn arrivals() -> impl Strategy<Value = (Vec<Arrival>, Vec<Arrival>, usize)> {
    prop::collection::vec(some_result(), 1..5).prop_flat_map(|results| {
        let mut once: Vec<Arrival> = results
            .into_iter()
            .map(Box::new)
            .map(Arrival::Result)
            .collect();
        once.extend([Arrival::CreateJob, Arrival::AddStep]);
        let mut twice = once.clone();
        twice.extend(once.clone());
        (Just(once), Just(twice).prop_shuffle(), 1..4usize)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn every_order_duplication_and_batching_gives_the_same_rows((once, shuffled, batch) in arrivals()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let (expected, found) = runtime.block_on(async { (arrive(&once, 1).await, arrive(&shuffled, batch).await) });
        prop_assert_eq!(found, expected);
    }
}

/// All orders of `items`.
fn permutations<T: Clone>(items: &[T]) -> Vec<Vec<T>> {
    if items.is_empty() {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for n in 0..items.len() {
        let mut rest = items.to_vec();
        let first = rest.remove(n);
        for mut tail in permutations(&rest) {
            tail.insert(0, first.clone());
            all.push(tail);
        }
    }
    all
}

#[tokio::test]
async fn every_permutation_of_a_retried_step_ends_alike() {
    let results = [
        Arrival::Result(Box::new(result(0, TIMES[3], 0))),
        Arrival::Result(Box::new(result(2, TIMES[0], 1))),
        Arrival::Result(Box::new(result(1, TIMES[1], 2))),
        Arrival::AddStep,
    ];
    let expected = arrive(&results, 1).await;
    // At the same instant an error ranks above a success.
    assert!(
        expected.iter().any(|row| row.contains("failed at")),
        "{expected:#?}"
    );
    for order in permutations(&results) {
        assert_eq!(arrive(&order, 2).await, expected);
    }
}

#[tokio::test]
async fn each_result_is_told_what_became_of_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let registry = SqliteRegistry::open(&folder.path().join("registry.db")).expect("opened");
    let mut without_step = result(1, TIMES[0], 1);
    without_step.step_id = None;
    let results = [
        result(1, TIMES[0], 0),
        result(0, TIMES[2], 0),
        result(1, TIMES[0], 0),
        without_step,
    ];
    let applied = registry
        .apply(results.iter().map(incoming).collect())
        .await
        .expect("applied");
    assert_eq!(
        applied,
        [
            Applied::Applied,
            Applied::Superseded,
            Applied::Duplicate,
            Applied::Skipped
        ]
    );
}
