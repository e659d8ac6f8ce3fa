//! The state of the steps of a job.

use pudato_registry::{Error, Step, StoredResult};

/// The steps of a job with their Results, at one moment. A Result that arrives between the query for the steps and the query for their
/// Results would count as an attempt of a step that seems not to have ended, and the step would run once more. So the queries are repeated
/// until no step's state changed in between. A state changes a few times at most.
pub(super) async fn standing(
    steps: impl AsyncFn() -> Result<Vec<Step>, Error>,
    results_of: impl AsyncFn(&str) -> Result<Vec<StoredResult>, Error>,
) -> Result<Vec<(Step, Vec<StoredResult>)>, Error> {
    let states = |steps: &[Step]| {
        let states = steps.iter().map(|step| (step.step_id.clone(), step.status));
        states.collect::<Vec<_>>()
    };
    let mut before = steps().await?;
    loop {
        let mut results = Vec::with_capacity(before.len());
        for step in &before {
            results.push(match &step.correlation_id {
                Some(id) => results_of(id).await?,
                None => Vec::new(),
            });
        }
        let after = steps().await?;
        if states(&before) == states(&after) {
            return Ok(after.into_iter().zip(results).collect());
        }
        before = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pudato_protocol::{Object, Result as Reply, Timestamp, encode};
    use pudato_registry::{Incoming, NewJob, NewStep, RegistryStore, SqliteRegistry, StepStatus};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    fn result() -> Incoming {
        let mut result = Reply::success("r-1", Object::new());
        result.job_id = Some("job-1".into());
        result.step_id = Some("step-1".into());
        let body = encode(&result);
        Incoming {
            identity: crate::sha256_hex(body.as_bytes()),
            body: body.into(),
            result: Arc::new(result),
            recorded_at: Timestamp::now(),
        }
    }

    #[tokio::test]
    async fn a_result_that_arrives_during_the_query_counts_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let registry = SqliteRegistry::open(&folder.path().join("registry.db")).expect("opened");
        let job = NewJob {
            job_id: Some("job-1".into()),
            ..NewJob::default()
        };
        let created = registry.create_job(job, Timestamp::now()).await;
        created.expect("created");
        let step = NewStep {
            step_id: Some("step-1".into()),
            job_id: "job-1".into(),
            correlation_id: Some("r-1".into()),
            ..NewStep::default()
        };
        registry
            .add_step(step, Timestamp::now())
            .await
            .expect("added");

        let has_arrived = AtomicBool::new(false);
        let stood = standing(
            async || registry.get_job_steps("job-1").await,
            async |id: &str| {
                if !has_arrived.swap(true, Ordering::Relaxed) {
                    registry.apply(vec![result()]).await?;
                }
                registry.results_of(id).await
            },
        );
        let stood = stood.await.expect("asked");
        assert_eq!(stood.len(), 1);
        let (step, results) = &stood[0];
        assert_eq!((step.status, results.len()), (StepStatus::Success, 1));
    }
}
