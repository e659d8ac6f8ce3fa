//! Results that match their step count; others are mismatches.

use crate::bench::{Bench, RECORDED_AT, apply, edges, incoming, walk};
use pudato_protocol::{DataReference, ExecutionRecord, Object, Result as Reply, Status, Timestamp};
use pudato_registry::{
    Applied, Difference, ErrorKind, JobStatus, NewJob, NewStep, Node, Prune, RegistryStore, Step,
    StepStatus, StepUpdate, Walk,
};
use serde_json::json;

/// A Result of `query execute_sql` for the step `s` of `job-s`, under the correlation id `s`.
fn own(bench: &Bench, inputs: &[&str], outputs: &[&str]) -> Reply {
    let mut result = bench.result("s", inputs, outputs);
    result.handler = Some("query".into());
    let details =
        json!({"type": "query", "action": "execute", "action_names": ["execute_sql", "execute"]});
    let details = details.as_object().cloned().unwrap_or_default();
    result.executions = vec![ExecutionRecord::new("command", details)];
    result
}

/// An error from another sender that names the step and claims to have written something.
fn foreign(bench: &Bench, change: impl FnOnce(&mut Reply)) -> Reply {
    let mut result = own(bench, &["s3://x/foreign"], &["s3://x/out"]);
    (result.status, result.errors) = (Status::Error, vec!["flipped".into()]);
    change(&mut result);
    result
}

fn declared() -> NewStep {
    NewStep {
        step_id: Some("s".into()),
        job_id: "job-s".into(),
        step_name: "stage".into(),
        handler_type: "query".into(),
        action: "execute_sql".into(),
        correlation_id: Some("s".into()),
        ..NewStep::default()
    }
}

async fn step(store: &dyn RegistryStore) -> Step {
    store.get_step("s").await.expect("asked").expect("a step")
}

fn now() -> Timestamp {
    Timestamp::parse(RECORDED_AT).expect("a time")
}

async fn applied(store: &dyn RegistryStore, result: &Reply) -> Applied {
    store.apply(vec![incoming(result)]).await.expect("applied")[0]
}

/// Changes a Result so that it does not match.
type Change = fn(&mut Reply);

pub async fn a_finished_step_is_not_flipped_by_another_sender(bench: &Bench) {
    let store = bench.open().await;
    let job = NewJob {
        job_id: Some("job-s".into()),
        pipeline: "p".into(),
        environment: "dev".into(),
        namespace: "dev".into(),
        expected_steps: Some(1),
        ..NewJob::default()
    };
    store.create_job(job, now()).await.expect("created");
    store.add_step(declared(), now()).await.expect("added");
    assert_eq!(
        applied(&*store, &own(bench, &["s3://x/in"], &["s3://x/out"])).await,
        Applied::Applied
    );
    let changes: [(Change, Difference); 4] = [
        (
            |reply| reply.correlation_id = "other".into(),
            Difference::CorrelationId,
        ),
        (
            |reply| reply.handler = Some("storage".into()),
            Difference::Handler,
        ),
        (
            |reply| {
                reply.executions[0]
                    .details
                    .insert("action".into(), "execute_script".into());
                reply.executions[0].details.shift_remove("action_names");
            },
            Difference::Action,
        ),
        (
            |reply| reply.job_id = Some("job-other".into()),
            Difference::JobId,
        ),
    ];
    for (n, (change, difference)) in changes.into_iter().enumerate() {
        let result = foreign(bench, change);
        assert_eq!(
            applied(&*store, &result).await,
            Applied::Mismatched,
            "{difference:?}"
        );
        let step = step(&*store).await;
        assert_eq!((step.status, step.error), (StepStatus::Success, None));
        assert_eq!((step.inputs.len(), step.executions.len()), (1, 1));
        assert_eq!(step.mismatches.count, n as u64 + 1);
        let shown = &step.mismatches.latest[0];
        assert_eq!(shown.differs_in, Some(difference));
        assert_eq!(
            (&*shown.correlation_id, &*shown.status),
            (&*result.correlation_id, "failed")
        );
        let stored = store
            .results_of(&result.correlation_id)
            .await
            .expect("asked");
        assert_eq!(stored.last().expect("kept").mismatch, Some(difference));
    }
    let job = store.get_job("job-s").await.expect("asked").expect("a job");
    assert_eq!(job.status, JobStatus::Success);
    assert!(
        store
            .get_job_steps("job-other")
            .await
            .expect("asked")
            .is_empty()
    );
    // Lineage shows the step's own Results only.
    let graph = walk(&*store, "s3://x/out", Walk::Upstream, |_| {}).await;
    assert_eq!(edges(&graph), ["in -> s", "s -> out"]);
    let graph = walk(&*store, "s3://x/foreign", Walk::Downstream, |_| {}).await;
    assert!(graph.edges.is_empty(), "{:?}", edges(&graph));
}

pub async fn a_declaration_holds_whatever_came_first(bench: &Bench) {
    let store = bench.open_with(true).await;
    let early = foreign(bench, |reply| {
        reply.correlation_id = "other".into();
        reply.job_id = Some("job-other".into());
    });
    assert_eq!(applied(&*store, &early).await, Applied::Applied);
    let before = store.get_job("job-other").await.expect("asked");
    assert_eq!(before.expect("a job").status, JobStatus::Running);
    store.add_step(declared(), now()).await.expect("added");
    let found = step(&*store).await;
    assert_eq!(
        (found.status, found.mismatches.count),
        (StepStatus::Pending, 1)
    );
    assert_eq!(found.job_id.as_deref(), Some("job-s"));
    let after = store.get_job("job-other").await.expect("asked");
    assert_eq!(after.expect("a job").status, JobStatus::Pending);
    let graph = walk(&*store, "s3://x/out", Walk::Upstream, |_| {}).await;
    assert!(graph.edges.is_empty(), "{:?}", edges(&graph));
    // It is not exported as one of the step.
    assert!(
        store
            .take_outbox(10, 0, 1_000)
            .await
            .expect("taken")
            .is_empty()
    );
    apply(&*store, &[own(bench, &["s3://x/in"], &["s3://x/out"])]).await;
    assert_eq!(step(&*store).await.status, StepStatus::Success);
    let exported = store.take_outbox(10, 0, 1_000).await.expect("taken");
    assert_eq!(exported.len(), 1);
}

pub async fn the_first_result_establishes_an_undeclared_step(bench: &Bench) {
    let (first, second) = (
        own(bench, &[], &["s3://x/one"]),
        foreign(bench, |reply| {
            reply.correlation_id = "other".into();
        }),
    );
    for order in [[&first, &second], [&second, &first]] {
        bench.clear();
        let store = bench.open().await;
        for result in order {
            applied(&*store, result).await;
        }
        let found = step(&*store).await;
        assert_eq!(
            (found.status, found.mismatches.count),
            (StepStatus::Success, 1)
        );
        assert_eq!(found.correlation_id.as_deref(), Some("s"));
        let graph = walk(&*store, "s3://x/out", Walk::Upstream, |_| {}).await;
        assert!(graph.edges.is_empty(), "{:?}", edges(&graph));
        let graph = walk(&*store, "s3://x/one", Walk::Upstream, |_| {}).await;
        assert_eq!(edges(&graph), ["s -> one"]);
    }
}

pub async fn a_step_that_is_sent_again_declares_its_new_id(bench: &Bench) {
    let store = bench.open().await;
    store.add_step(declared(), now()).await.expect("added");
    let failed = foreign(bench, |_| {});
    apply(&*store, &[failed]).await;
    let mut again = own(bench, &[], &["s3://x/out"]);
    again.correlation_id = "second".into();
    again.executions[0]
        .details
        .insert("action".into(), "execute_script".into());
    again.executions[0].details.shift_remove("action_names");
    // It arrives before the new id is declared.
    assert_eq!(applied(&*store, &again).await, Applied::Mismatched);
    assert_eq!(step(&*store).await.status, StepStatus::Failed);
    let mut declaration = declared();
    declaration.action = "execute_script".into();
    declaration.correlation_id = Some("second".into());
    store.add_step(declaration, now()).await.expect("added");
    let found = step(&*store).await;
    assert_eq!(
        (found.status, found.mismatches.count),
        (StepStatus::Success, 0)
    );
    // The data from the first id still belongs to the step.
    assert_eq!((found.inputs.len(), found.executions.len()), (1, 2));
    let mut update = update(Some("job-s"));
    update.correlation_id = Some("third".into());
    store.update_step(update).await.expect("updated");
    let third = foreign(bench, |reply| reply.correlation_id = "third".into());
    // It counts, but the update is later.
    assert_eq!(applied(&*store, &third).await, Applied::Superseded);
    let mut elsewhere = declared();
    elsewhere.job_id = "job-other".into();
    let refused = store.add_step(elsewhere, now()).await.expect_err("refused");
    assert_eq!(refused.kind, ErrorKind::Invalid);
    assert!(refused.context.contains("payload.job_id"), "{refused}");
}

fn update(job_id: Option<&str>) -> StepUpdate {
    StepUpdate {
        step_id: "s".into(),
        job_id: job_id.map(str::to_owned),
        correlation_id: None,
        status: Some(StepStatus::Skipped),
        inputs: Vec::new(),
        outputs: Vec::new(),
        executions: Vec::new(),
        duration_ms: None,
        error: None,
        started_at: None,
        completed_at: None,
        timestamp: now(),
    }
}

pub async fn an_update_names_the_right_job(bench: &Bench) {
    let store = bench.open().await;
    store.add_step(declared(), now()).await.expect("added");
    apply(&*store, &[bench.result("other", &[], &[])]).await;
    for (job, why) in [
        ("job-other", "does not belong"),
        ("job-none", "there is no job"),
    ] {
        let refused = store
            .update_step(update(Some(job)))
            .await
            .expect_err("refused");
        assert_eq!(refused.kind, ErrorKind::Invalid);
        assert!(refused.context.contains(why), "{refused}");
        assert_eq!(step(&*store).await.status, StepStatus::Pending);
    }
    store
        .update_step(update(Some("job-s")))
        .await
        .expect("updated");
    assert_eq!(step(&*store).await.status, StepStatus::Skipped);
}

pub async fn a_time_in_the_future_counts_as_of_now(bench: &Bench) {
    let store = bench.open().await;
    let mut ahead = own(bench, &["s3://x/in"], &["s3://x/out"]);
    ahead.status = Status::Error;
    ahead.timestamp = Timestamp::parse("2099-01-01T00:00:00Z").expect("a time");
    apply(&*store, &[ahead.clone()]).await;
    let found = step(&*store).await;
    // Five minutes after the recording; the stated time is kept beside it.
    assert_eq!(
        found.completed_at.as_deref(),
        Some("2026-12-01T00:05:00.000000+00:00")
    );
    assert_eq!(found.stated_at.as_deref(), Some(ahead.timestamp.as_str()));
    // A Result that is recorded later than that decides.
    let mut again = own(bench, &["s3://x/in"], &["s3://x/out"]);
    again.timestamp = Timestamp::parse("2026-12-01T00:10:00Z").expect("a time");
    let mut again = incoming(&again);
    again.recorded_at = Timestamp::parse("2026-12-01T00:10:01Z").expect("a time");
    store.apply(vec![again]).await.expect("applied");
    let found = step(&*store).await;
    assert_eq!((found.status, found.stated_at), (StepStatus::Success, None));
    // Nor does it decide what is read: a later write is the last.
    let mut later = bench.result("later", &[], &["s3://x/out"]);
    later.timestamp = Timestamp::parse("2026-12-01T01:00:00Z").expect("a time");
    let mut later = incoming(&later);
    later.recorded_at = Timestamp::parse("2026-12-01T01:00:00Z").expect("a time");
    store.apply(vec![later]).await.expect("applied");
    let graph = walk(&*store, "s3://x/out", Walk::Upstream, |_| {}).await;
    assert_eq!(edges(&graph), ["later -> out"]);
    let mut update = update(None);
    update.completed_at = Some(Timestamp::parse("2099-01-01T00:00:00Z").expect("a time"));
    update.timestamp = Timestamp::parse("2026-12-01T02:00:00Z").expect("a time");
    let updated = store
        .update_step(update)
        .await
        .expect("updated")
        .expect("a step");
    assert_eq!(
        updated.completed_at.as_deref(),
        Some("2026-12-01T02:05:00.000000+00:00")
    );
}

pub async fn a_mismatch_is_not_exported_and_is_pruned_in_time(bench: &Bench) {
    let store = bench.open_with(true).await;
    store.add_step(declared(), now()).await.expect("added");
    let mut mismatch = foreign(bench, |reply| reply.correlation_id = "other".into());
    mismatch.data = Some(Object::new());
    mismatch
        .inputs
        .push(DataReference::new("file", "s3://x/more"));
    apply(&*store, &[mismatch]).await;
    assert!(
        store
            .take_outbox(10, 0, 1_000)
            .await
            .expect("taken")
            .is_empty()
    );
    assert!(store.exported_after(0, 10).await.expect("asked").is_empty());
    let prune = Prune {
        before: Timestamp::parse("2030-01-01T00:00:00Z").expect("a time"),
        after: None,
        limit: 10,
        dry_run: true,
    };
    // The step has not ended, and the mismatch is not one of its Results.
    assert_eq!(store.prune(prune).await.expect("counted").results, 1);
}

pub async fn an_established_step_outlives_the_result_that_established_it(bench: &Bench) {
    let store = bench.open().await;
    let at = |seconds: i64| Timestamp::from_unix_us(1_795_392_000_000_000 + seconds * 1_000_000);
    let result = |seconds: i64, id: &str| {
        let mut result = own(bench, &[], &["s3://x/out"]);
        (result.timestamp, result.correlation_id) = (at(seconds), id.into());
        result
    };
    apply(
        &*store,
        &[result(10, "s"), result(20, "other"), result(30, "s")],
    )
    .await;
    let prune = Prune {
        before: at(15),
        after: None,
        limit: 10,
        dry_run: false,
    };
    assert_eq!(store.prune(prune).await.expect("pruned").results, 1);
    // It is older than all remaining Results, so it would otherwise establish the step.
    assert_eq!(
        applied(&*store, &result(5, "other")).await,
        Applied::Mismatched
    );
    let found = step(&*store).await;
    assert_eq!(
        (found.correlation_id.as_deref(), found.mismatches.count),
        (Some("s"), 2)
    );
    assert_eq!(found.completed_at.as_deref(), Some(at(30).as_str()));
}

/// A job as `pudato run` creates it: it declares the number of its steps, and each of them.
async fn complete(store: &dyn RegistryStore) {
    let job = NewJob {
        job_id: Some("job-s".into()),
        pipeline: "p".into(),
        environment: "dev".into(),
        namespace: "dev".into(),
        expected_steps: Some(1),
        ..NewJob::default()
    };
    store.create_job(job, now()).await.expect("created");
    store.add_step(declared(), now()).await.expect("added");
}

pub async fn a_job_that_declared_all_of_its_steps_accepts_no_others(bench: &Bench) {
    let stranger = {
        let mut stranger = bench.result("other", &["s3://x/in"], &["s3://x/foreign"]);
        stranger.job_id = Some("job-s".into());
        (stranger.status, stranger.errors) = (Status::Error, vec!["not mine".into()]);
        stranger
    };
    let own = own(bench, &["s3://x/in"], &["s3://x/out"]);
    // In any order of arrival.
    for order in 0..3 {
        bench.clear();
        let store = bench.open().await;
        if order == 0 {
            apply(&*store, std::slice::from_ref(&stranger)).await;
        }
        complete(&*store).await;
        if order == 1 {
            assert_eq!(applied(&*store, &stranger).await, Applied::Applied);
        }
        apply(&*store, std::slice::from_ref(&own)).await;
        if order == 2 {
            apply(&*store, std::slice::from_ref(&stranger)).await;
        }
        let job = store.get_job("job-s").await.expect("asked").expect("a job");
        assert_eq!((job.status, job.undeclared_steps), (JobStatus::Success, 1));
        let steps = store.get_job_steps("job-s").await.expect("asked");
        let ids: Vec<&str> = steps.iter().map(|step| step.step_id.as_str()).collect();
        assert_eq!(ids, ["s"]);
        // Its work appears as a step of its own, outside of any pipeline.
        let other = store
            .get_step("other")
            .await
            .expect("asked")
            .expect("a step");
        assert_eq!((other.status, other.job_id), (StepStatus::Failed, None));
        let graph = walk(&*store, "s3://x/foreign", Walk::Upstream, |_| {}).await;
        assert_eq!(edges(&graph), ["in -> other", "other -> foreign"]);
        let Node::Step {
            job_id, pipeline, ..
        } = &graph.nodes[1]
        else {
            panic!("expected a step, found {:?}", graph.nodes[1]);
        };
        assert_eq!((job_id, pipeline), (&None, &None));
        for (location, count) in [("s3://x/foreign", 0), ("s3://x/out", 2)] {
            let graph = walk(&*store, location, Walk::Upstream, |query| {
                query.environment = Some("dev".into());
            });
            assert_eq!(graph.await.edges.len(), count, "{location}");
        }
        let exported = store.exported_after(0, 100).await.expect("exported");
        let other = exported
            .iter()
            .find(|exported| exported.step_id.as_deref() == Some("other"));
        let other = other.expect("it is exported");
        assert_eq!((&other.job_id, &other.pipeline), (&None, &None));
    }
    // It joins the job as soon as the job declares it.
    let store = bench.open().await;
    let step = NewStep {
        step_id: Some("other".into()),
        correlation_id: Some("other".into()),
        ..declared()
    };
    let step = store.add_step(step, now()).await.expect("added");
    assert_eq!(step.job_id.as_deref(), Some("job-s"));
    let job = store.get_job("job-s").await.expect("asked").expect("a job");
    assert_eq!((job.status, job.undeclared_steps), (JobStatus::Failed, 0));
}

pub async fn a_job_with_steps_left_to_declare_accepts_any_step_that_names_it(bench: &Bench) {
    let store = bench.open().await;
    let job = NewJob {
        job_id: Some("job-s".into()),
        pipeline: "p".into(),
        expected_steps: Some(2),
        ..NewJob::default()
    };
    store.create_job(job, now()).await.expect("created");
    store.add_step(declared(), now()).await.expect("added");
    apply(&*store, &[own(bench, &[], &["s3://x/out"])]).await;
    let mut other = bench.result("other", &[], &["s3://x/more"]);
    other.job_id = Some("job-s".into());
    apply(&*store, &[other]).await;
    let job = store.get_job("job-s").await.expect("asked").expect("a job");
    assert_eq!((job.status, job.undeclared_steps), (JobStatus::Success, 0));
    let steps = store.get_job_steps("job-s").await.expect("asked");
    assert_eq!(steps.len(), 2);
}
