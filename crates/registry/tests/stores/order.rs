//! The registry is the same in whatever order the Results of a step arrive.

use crate::bench::{Bench, apply, edges, incoming, walk};
use proptest::prelude::*;
use pudato_protocol::{DataReference, ExecutionRecord, Object, Result as Reply, Status, Timestamp};
use pudato_registry::{Applied, Direction, HopQuery, NewJob, NewStep, RegistryStore, Walk};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

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

/// A Result from another sender: with another correlation id, service, action or job, or without these.
fn as_another(result: &mut Reply, variant: usize) {
    let action = |action: &str| {
        let details = json!({"action": action}).as_object().cloned();
        ExecutionRecord::new("command", details.unwrap_or_default())
    };
    match variant {
        1 => result.correlation_id = "r-2".into(),
        2 => result.handler = Some("storage".into()),
        3 => result.handler = None,
        4 => result.job_id = Some("job-2".into()),
        5 => result.job_id = None,
        6 => result.executions = vec![action("execute_sql")],
        7 => result.executions = vec![action("execute_script")],
        8 => result.data = json!({"large": "x".repeat(70_000)}).as_object().cloned(),
        _ => {}
    }
}

#[derive(Debug, Clone)]
enum Arrival {
    Result(Box<Reply>),
    CreateJob,
    /// With or without a correlation id.
    AddStep(Option<&'static str>),
}

/// The expected state of the step, computed from the rule alone.
#[derive(Debug, PartialEq, Default)]
struct Model {
    status: String,
    job: Option<String>,
    mismatches: u64,
    inputs: BTreeSet<String>,
    outputs: BTreeSet<String>,
}

impl Model {
    fn of(arrivals: &[Arrival]) -> Self {
        let mut results = BTreeMap::new();
        let mut own: [Option<String>; 4] = [None, None, None, None];
        for arrival in arrivals {
            match arrival {
                Arrival::Result(result) => {
                    let us = result.timestamp.instant().unix_timestamp_nanos() / 1_000;
                    results.insert((us, incoming(result).identity), result);
                }
                Arrival::CreateJob => {}
                Arrival::AddStep(id) => {
                    own = ["job-1", "query", "execute_sql"]
                        .map(|text| Some(text.to_owned()))
                        .into_iter()
                        .chain([id.map(str::to_owned)])
                        .collect::<Vec<_>>()
                        .try_into()
                        .expect("four");
                }
            }
        }
        let mut model = Self {
            status: "Pending".into(),
            ..Self::default()
        };
        let mut decided = None;
        for ((us, identity), result) in results {
            let action = result
                .executions
                .first()
                .map(|record| &record.details["action"]);
            let said = [
                result.job_id.clone(),
                result.handler.clone(),
                action.and_then(|action| action.as_str()).map(str::to_owned),
                Some(result.correlation_id.clone()),
            ];
            let contradicts = |n: usize| own[n].is_some() && said[n].is_some() && own[n] != said[n];
            if (0..4).any(contradicts) {
                model.mismatches += 1;
                continue;
            }
            for (own, said) in own.iter_mut().zip(said) {
                *own = own.take().or(said);
            }
            let locations = |references: &[DataReference]| {
                let locations = references
                    .iter()
                    .map(|reference| reference.location.clone());
                locations.collect::<Vec<_>>()
            };
            model.inputs.extend(locations(&result.inputs));
            model.outputs.extend(locations(&result.outputs));
            let (rank, status) = match result.status {
                Status::Pending => (1, "Running"),
                Status::Success => (2, "Success"),
                Status::Error => (2, "Failed"),
            };
            let precedence = Some((rank, us, status == "Failed", identity));
            if precedence > decided {
                (decided, model.status) = (precedence, status.into());
            }
        }
        model.job = own[0].clone();
        model
    }

    async fn found(store: &dyn RegistryStore) -> Self {
        let step = store
            .get_step("step-1")
            .await
            .expect("asked")
            .expect("a step");
        let locations = |references: &[DataReference]| {
            let locations = references
                .iter()
                .map(|reference| reference.location.clone());
            locations.collect()
        };
        Self {
            status: format!("{:?}", step.status),
            job: step.job_id.clone(),
            mismatches: step.mismatches.count,
            inputs: locations(&step.inputs),
            outputs: locations(&step.outputs),
        }
    }
}

const LOCATIONS: [&str; 4] = [
    "duckdb:///w#a.b.in0",
    "duckdb:///w#a.b.in1",
    "s3://lake/0%_'\".csv",
    "s3://lake/1%_'\".csv",
];

/// Everything that the registry returns, except for row numbers and times of recording.
async fn view(store: &dyn RegistryStore) -> Vec<String> {
    let mut view = vec![
        format!("{:?}", store.get_job("job-1").await.expect("asked")),
        format!("{:?}", store.get_job_steps("job-1").await.expect("asked")),
        format!("{:?}", store.get_job("job-2").await.expect("asked")),
        format!("{:?}", store.get_job_steps("job-2").await.expect("asked")),
        format!("{:?}", store.get_step("step-1").await.expect("asked")),
    ];
    let mut results = store.results_of("r-1").await.expect("asked");
    results.extend(store.results_of("r-2").await.expect("asked"));
    results.sort_by(|one, other| one.identity.cmp(&other.identity));
    view.extend(
        results
            .into_iter()
            .map(|result| format!("{} {:?} {}", result.identity, result.mismatch, result.body)),
    );
    for location in LOCATIONS {
        let query = HopQuery {
            location: location.into(),
            direction: Direction::Both,
            environment: None,
            as_of: None,
            max_nodes: 500,
        };
        view.push(format!("{:?}", store.one_hop(query).await.expect("asked")));
        for direction in [Walk::Upstream, Walk::Downstream] {
            for all_runs in [false, true] {
                for as_of in [None, Some(TIMES[0]), Some(TIMES[3])] {
                    let graph = walk(store, location, direction, |query| {
                        query.all_runs = all_runs;
                        query.as_of = as_of.map(|at| Timestamp::parse(at).expect("a time"));
                    });
                    let graph = graph.await;
                    let counts = graph.edges.iter();
                    let mut counts: Vec<String> = counts
                        .map(|edge| format!("{} {} {:?}", edge.last_run, edge.count, edge.step))
                        .collect();
                    counts.sort();
                    view.push(format!(
                        "{:?} {counts:?} {}",
                        edges(&graph),
                        graph.truncated
                    ));
                }
            }
        }
    }
    view
}

/// Everything that the registry returns after the arrivals, in batches of the given size.
async fn arrive(bench: &Bench, arrivals: &[Arrival], batch: usize) -> Vec<String> {
    bench.clear();
    let registry = bench.open().await;
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
            Arrival::AddStep(id) => {
                let step = NewStep {
                    step_id: Some("step-1".into()),
                    job_id: "job-1".into(),
                    step_name: "stage".into(),
                    handler_type: "query".into(),
                    action: "execute_sql".into(),
                    correlation_id: id.map(str::to_owned),
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
    // The state of the step follows from the rule alone.
    assert_eq!(
        Model::found(&*registry).await,
        Model::of(arrivals),
        "{arrivals:#?}"
    );
    view(&*registry).await
}

/// Equal instants in different notations, and different times.
const TIMES: [&str; 4] = [
    "2026-11-23T10:00:00.000000+00:00",
    "2026-11-23T11:00:00+01:00",
    "2026-11-23T10:00:00.000001Z",
    "2026-11-23T09:59:59Z",
];

fn some_result() -> impl Strategy<Value = Reply> {
    (0..3usize, 0..TIMES.len(), 0..3usize, 0..12usize).prop_map(|(kind, at, lineage, variant)| {
        let mut result = result(kind, TIMES[at], lineage);
        as_another(&mut result, variant);
        result
    })
}

fn arrivals() -> impl Strategy<Value = (Vec<Arrival>, Vec<Arrival>, usize)> {
    let declaration = prop::sample::select(vec![
        None,
        Some(Arrival::AddStep(None)),
        Some(Arrival::AddStep(Some("r-1"))),
        Some(Arrival::AddStep(Some("r-2"))),
    ]);
    let results = prop::collection::vec(some_result(), 1..6);
    (results, declaration).prop_flat_map(|(results, declaration)| {
        let mut once: Vec<Arrival> = results
            .into_iter()
            .map(Box::new)
            .map(Arrival::Result)
            .collect();
        once.push(Arrival::CreateJob);
        once.extend(declaration);
        let mut twice = once.clone();
        twice.extend(once.clone());
        (Just(once), Just(twice).prop_shuffle(), 1..4usize)
    })
}

fn same_in_every_order(cases: u32, bench: &Bench) {
    let config = ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let outcome = runner.run(&arrivals(), |(once, shuffled, batch)| {
        let (expected, found) = runtime.block_on(async {
            (
                arrive(bench, &once, 1).await,
                arrive(bench, &shuffled, batch).await,
            )
        });
        prop_assert_eq!(found, expected);
        Ok(())
    });
    outcome.expect("the same");
}

#[test]
fn every_order_duplication_and_batching_gives_the_same_registry_in_sqlite() {
    same_in_every_order(48, &Bench::sqlite());
}

#[test]
fn every_order_duplication_and_batching_gives_the_same_registry_in_postgres() {
    if let Some(bench) = Bench::postgres("order") {
        same_in_every_order(16, &bench);
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

pub async fn every_permutation_of_a_retried_step_ends_alike(bench: &Bench) {
    let results = [
        Arrival::Result(Box::new(result(0, TIMES[3], 0))),
        Arrival::Result(Box::new(result(2, TIMES[0], 1))),
        Arrival::Result(Box::new(result(1, TIMES[1], 2))),
        Arrival::AddStep(None),
    ];
    let expected = arrive(bench, &results, 1).await;
    // At the same instant an error ranks above a success.
    assert!(
        expected.iter().any(|row| row.contains("failed at")),
        "{expected:#?}"
    );
    for order in permutations(&results) {
        assert_eq!(arrive(bench, &order, 2).await, expected);
    }
}

pub async fn each_result_gets_its_outcome(bench: &Bench) {
    let registry = bench.open().await;
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

pub async fn a_batch_and_one_by_one_are_the_same(bench: &Bench) {
    let results: Vec<Reply> = (0..40)
        .map(|n| {
            let mut result = result(n % 3, TIMES[n % TIMES.len()], 1 + n % 2);
            result.step_id = Some(format!("step-{}", n / 4));
            result
        })
        .collect();
    let registry = bench.open().await;
    for result in &results {
        apply(&*registry, std::slice::from_ref(result)).await;
    }
    let expected = view(&*registry).await;
    bench.clear();
    let registry = bench.open().await;
    apply(&*registry, &results).await;
    assert_eq!(view(&*registry).await, expected);
}

pub async fn two_at_once_apply_each_result_once(bench: &Bench) {
    let results: Vec<Reply> = (0..60)
        .map(|n| {
            let mut result = result(1, TIMES[n % TIMES.len()], 1);
            result.step_id = Some(format!("step-{n}"));
            result
        })
        .collect();
    let first = bench.open().await;
    let second = bench.open().await;
    let mut tasks = Vec::new();
    // Both write all Results, in opposite orders and in overlapping batches.
    for (store, size, is_reversed) in [(first.clone(), 7, false), (second, 11, true)] {
        let mut incomings: Vec<_> = results.iter().map(incoming).collect();
        if is_reversed {
            incomings.reverse();
        }
        tasks.push(tokio::spawn(async move {
            let mut applied = Vec::new();
            for batch in incomings.chunks(size) {
                applied.extend(store.apply(batch.to_vec()).await.expect("applied"));
            }
            applied
        }));
    }
    let mut applied = 0;
    for task in tasks {
        let outcomes = task.await.expect("no panic");
        applied += outcomes
            .iter()
            .filter(|outcome| **outcome == Applied::Applied)
            .count();
    }
    assert_eq!(applied, results.len());
    let results = first.results_of("r-1").await.expect("asked");
    assert_eq!(results.len(), 60);
    let job = first.get_job_steps("job-1").await.expect("asked");
    assert_eq!(job.len(), 60);
}
