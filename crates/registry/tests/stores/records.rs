//! Jobs, steps, Results and Events.

use crate::bench::{Bench, apply, incoming};
use pudato_protocol::{DataReference, Event, Object, Timestamp, encode};
use pudato_registry::{
    ErrorKind, IncomingEvent, JobFilter, JobStatus, NewJob, NewStep, StepStatus, StepUpdate,
    UpdateJob,
};
use serde_json::json;
use std::sync::Arc;

fn job(id: &str) -> NewJob {
    NewJob {
        job_id: Some(id.into()),
        pipeline: "birdstrikes".into(),
        environment: "dev".into(),
        namespace: "team".into(),
        ..NewJob::default()
    }
}

fn step(job: &str, id: &str) -> NewStep {
    NewStep {
        step_id: Some(id.into()),
        job_id: job.into(),
        step_name: "stage".into(),
        handler_type: "query".into(),
        action: "execute_sql".into(),
        ..NewStep::default()
    }
}

pub async fn a_job_and_its_steps_are_filled_in_whatever_came_first(bench: &Bench) {
    let store = bench.open().await;
    apply(&*store, &[bench.result("s", &["s3://x/a"], &["s3://x/b"])]).await;
    let found = store.get_job("job-s").await.expect("asked").expect("a job");
    assert_eq!((found.pipeline, found.status), (None, JobStatus::Running));
    let created = store.create_job(job("job-s"), Timestamp::now()).await;
    assert_eq!(
        created.expect("created").pipeline.as_deref(),
        Some("birdstrikes")
    );
    let added = store.add_step(step("job-s", "s"), Timestamp::now()).await;
    let added = added.expect("added");
    assert_eq!(added.step_name.as_deref(), Some("stage"));
    assert_eq!(added.status, StepStatus::Success);
    assert_eq!(added.inputs[0].location, "s3://x/a");
    // Repeating it changes nothing.
    let mut other = job("job-s");
    other.pipeline = "another".into();
    let again = store.create_job(other, Timestamp::now()).await;
    assert_eq!(
        again.expect("there").pipeline.as_deref(),
        Some("birdstrikes")
    );
    let jobs = store
        .query_jobs(JobFilter {
            namespace: Some("team".into()),
            limit: 10,
            ..JobFilter::default()
        })
        .await
        .expect("asked");
    assert_eq!(jobs.len(), 1);
    assert!(store.get_step("nobody").await.expect("asked").is_none());
}

pub async fn jobs_are_found_by_time_and_version_and_come_in_pages(bench: &Bench) {
    let store = bench.open().await;
    let at = |second: i64| Timestamp::from_unix_us(1_795_392_000_000_000 + second * 1_000_000);
    for n in 0..5_i64 {
        let mut new = job(&format!("job-{n}"));
        new.logic_version = Some(if n < 2 { "old" } else { "new" }.into());
        store.create_job(new, at(n)).await.expect("created");
    }
    let found = async |filter: JobFilter| {
        let jobs = store.query_jobs(filter).await.expect("asked");
        let ids = jobs.into_iter().map(|job| job.job_id.replace("job-", ""));
        ids.collect::<String>()
    };
    let any = || JobFilter {
        limit: 10,
        ..JobFilter::default()
    };
    let filter = JobFilter {
        created_after: Some(at(1)),
        created_before: Some(at(4)),
        ..any()
    };
    assert_eq!(found(filter).await, "32");
    let filter = JobFilter {
        logic_version: Some("old".into()),
        ..any()
    };
    assert_eq!(found(filter).await, "10");
    let page = |offset| JobFilter {
        limit: 2,
        offset,
        ..any()
    };
    assert_eq!(found(page(0)).await, "43");
    assert_eq!(found(page(2)).await, "21");
    assert_eq!(found(page(4)).await, "0");
    assert_eq!(found(page(6)).await, "");
}

pub async fn a_job_ends_when_all_expected_steps_did(bench: &Bench) {
    let store = bench.open().await;
    let mut new = job("job-1");
    new.expected_steps = Some(2);
    store
        .create_job(new, Timestamp::now())
        .await
        .expect("created");
    let status = async || store.get_job("job-1").await.expect("asked").expect("a job");
    assert_eq!(status().await.status, JobStatus::Pending);
    let mut results = [bench.result("a", &[], &[]), bench.result("b", &[], &[])];
    for result in &mut results {
        result.job_id = Some("job-1".into());
    }
    apply(&*store, &results[..1]).await;
    assert_eq!(status().await.status, JobStatus::Running);
    apply(&*store, &results[1..]).await;
    let ended = status().await;
    assert_eq!(ended.status, JobStatus::Success);
    assert_eq!(
        ended.completed_at.as_deref(),
        Some(results[1].timestamp.as_str())
    );
    let update = UpdateJob {
        status: Some(JobStatus::Cancelled),
        metadata: json!({"why": "a test"})
            .as_object()
            .cloned()
            .unwrap_or_default(),
        ..UpdateJob::default()
    };
    let updated = store.update_job("job-1", update, Timestamp::now()).await;
    let updated = updated.expect("asked").expect("a job");
    assert_eq!(updated.status, JobStatus::Cancelled);
    assert_eq!(updated.metadata["why"], "a test");
    let filter = JobFilter {
        status: Some(JobStatus::Cancelled),
        limit: 1,
        ..JobFilter::default()
    };
    assert_eq!(store.query_jobs(filter).await.expect("asked").len(), 1);
}

pub async fn a_step_that_ended_before_it_had_a_job_ends_it(bench: &Bench) {
    let store = bench.open().await;
    let mut result = bench.result("early", &[], &[]);
    result.job_id = None;
    apply(&*store, std::slice::from_ref(&result)).await;
    let mut new = job("job-late");
    new.expected_steps = Some(1);
    store
        .create_job(new, Timestamp::now())
        .await
        .expect("created");
    store
        .add_step(step("job-late", "early"), Timestamp::now())
        .await
        .expect("added");
    let ended = store.get_job("job-late").await.expect("asked");
    let ended = ended.expect("a job");
    assert_eq!(ended.status, JobStatus::Success);
    assert_eq!(
        ended.completed_at.as_deref(),
        Some(result.timestamp.as_str())
    );
}

pub async fn an_update_counts_like_a_result(bench: &Bench) {
    let store = bench.open().await;
    store
        .add_step(step("job-1", "s"), Timestamp::now())
        .await
        .expect("added");
    let update = StepUpdate {
        step_id: "s".into(),
        job_id: None,
        correlation_id: None,
        status: Some(StepStatus::Failed),
        inputs: vec![DataReference::new("file", "s3://x/a")],
        outputs: Vec::new(),
        executions: Vec::new(),
        duration_ms: Some(1_000),
        error: Some("no".into()),
        started_at: None,
        completed_at: None,
        timestamp: Timestamp::parse("2026-11-23T10:00:01Z").expect("a time"),
    };
    for _ in 0..2 {
        let updated = store
            .update_step(update.clone())
            .await
            .expect("asked")
            .expect("a step");
        assert_eq!(
            (updated.status, updated.error.as_deref()),
            (StepStatus::Failed, Some("no"))
        );
        assert_eq!(updated.inputs.len(), 1);
        assert_eq!(
            updated.started_at.as_deref(),
            Some("2026-11-23T10:00:00.000000+00:00")
        );
    }
    let mut nobody = update;
    nobody.step_id = "nobody".into();
    assert!(store.update_step(nobody).await.expect("asked").is_none());
}

pub async fn a_large_answer_is_not_read_for_a_steps_lineage(bench: &Bench) {
    let store = bench.open().await;
    let mut result = bench.result("s", &["s3://x/a"], &["s3://x/b"]);
    result.data = json!({"rows": vec!["x".repeat(1_000); 200]})
        .as_object()
        .cloned();
    apply(&*store, &[result.clone()]).await;
    let step = store.get_step("s").await.expect("asked").expect("a step");
    assert_eq!(step.outputs, result.outputs);
    let kept = store.results_of("s").await.expect("asked");
    assert_eq!(kept[0].body, encode(&result));
    assert_eq!(kept[0].identity, incoming(&result).identity);
}

pub async fn events_are_returned_in_their_order(bench: &Bench) {
    let store = bench.open().await;
    let event = |n: usize| {
        let mut event = Event::new("storage.object_created", Object::new());
        event.correlation_id = format!("r-{}", n % 2);
        IncomingEvent {
            identity: format!("{n:064}"),
            body: encode(&event).into(),
            event: Arc::new(event),
            recorded_at: Timestamp::now(),
        }
    };
    store
        .record_events((0..5).map(event).collect())
        .await
        .expect("recorded");
    store
        .record_events((3..8).map(event).collect())
        .await
        .expect("recorded");
    let last = store.events_after(None, 3).await.expect("asked");
    assert_eq!(last.len(), 3);
    assert!(last.is_sorted_by_key(|event| event.cursor));
    let rest = store
        .events_after(Some(last[0].cursor), 10)
        .await
        .expect("asked");
    assert_eq!(rest, last[1..]);
    assert_eq!(store.events_of("r-0").await.expect("asked").len(), 4);
    assert_eq!(store.events_after(None, 100).await.expect("asked").len(), 8);
}

pub async fn texts_keep_every_character(bench: &Bench) {
    let store = bench.open().await;
    let odd = "it's \"q\" \\ % _ \n κλίμα 🐦";
    let mut new = job("job-odd");
    new.pipeline = odd.into();
    new.metadata = json!({"a\0b": odd})
        .as_object()
        .cloned()
        .unwrap_or_default();
    let created = store
        .create_job(new, Timestamp::now())
        .await
        .expect("created");
    assert_eq!(created.pipeline.as_deref(), Some(odd));
    assert_eq!(created.metadata["a\0b"], odd);
    let mut result = bench.result("s", &[], &[]);
    result.job_id = Some("job-odd".into());
    result.errors = vec!["one\0two".into()];
    result.status = pudato_protocol::Status::Error;
    apply(&*store, &[result]).await;
    let step = store.get_step("s").await.expect("asked").expect("a step");
    let error = step.error.expect("an error");
    assert!(
        error.starts_with("one") && error.ends_with("two"),
        "{error:?}"
    );
    let mut wrong = bench.result("nul", &[], &[]);
    wrong.step_id = Some("s\0".into());
    let refused = store
        .apply(vec![incoming(&wrong)])
        .await
        .expect_err("refused");
    assert!(refused.context.contains("step_id"), "{refused}");
}

/// A text that no store can write is refused by its field, and not treated as a store that is down.
pub async fn a_text_too_long_for_an_index_is_refused_by_name(bench: &Bench) {
    let store = bench.open().await;
    // Random digits, because a compressible text fits into an index whatever its length.
    let mut number = 1_u64;
    let mut digit = || {
        number = number
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        char::from_digit((number >> 33) as u32 % 36, 36).expect("a digit")
    };
    let long: String = (0..9_000).map(|_| digit()).collect();
    for field in ["step_id", "job_id"] {
        let mut result = bench.result("s", &[], &[]);
        match field {
            "step_id" => result.step_id = Some(long.clone()),
            _ => result.job_id = Some(long.clone()),
        }
        let refused = store
            .apply(vec![incoming(&result)])
            .await
            .expect_err("refused");
        assert_eq!(refused.kind, ErrorKind::Invalid, "{field}: {refused}");
        assert!(
            refused
                .context
                .starts_with(&format!("{field}: expected at most")),
            "{refused}"
        );
    }
    for field in ["job_id", "pipeline", "dag_run_id"] {
        let mut new = job("job-1");
        match field {
            "job_id" => new.job_id = Some(long.clone()),
            "pipeline" => new.pipeline.clone_from(&long),
            _ => new.dag_run_id = Some(long.clone()),
        }
        let refused = store
            .create_job(new, Timestamp::now())
            .await
            .expect_err("refused");
        assert_eq!(refused.kind, ErrorKind::Invalid, "{field}: {refused}");
        assert!(
            refused
                .context
                .starts_with(&format!("{field}: expected at most")),
            "{refused}"
        );
    }
    // Other texts may have any length.
    let mut result = bench.result("s", &["s3://x/a"], &[]);
    result.correlation_id.clone_from(&long);
    result.errors = vec![long.clone()];
    result.inputs[0].location = format!("s3://x/{long}");
    apply(&*store, &[result]).await;
    assert_eq!(store.results_of(&long).await.expect("asked").len(), 1);
}
