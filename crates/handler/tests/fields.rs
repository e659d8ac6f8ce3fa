//! A payload's fields are those of its action: none is ignored.

use async_trait::async_trait;
use pudato_handler::{Action, Answer, Effect, Failure, Handler, Request, dispatch};
use pudato_protocol::{Command, Object, Status, Timestamp};

struct Jobs;

const ACTIONS: &[Action] = &[
    Action::new("query_jobs", Effect::Read).fields(&["pipeline", "status", "limit"]),
    Action::new("anything", Effect::Read),
];

#[async_trait]
impl Handler for Jobs {
    fn service(&self) -> &str {
        "registry"
    }

    fn actions(&self) -> &[Action] {
        ACTIONS
    }

    async fn handle(&self, _request: Request<'_>) -> Result<Answer, Failure> {
        Ok(Answer::default())
    }
}

async fn answer(action: &str, field: &str) -> Result<(), String> {
    let payload: Object = [(field.to_owned(), "a".into())].into_iter().collect();
    let command = Command::new("registry", action, payload);
    let handled = dispatch(&Jobs, &command, None, &(), &Timestamp::now).await;
    let result = handled.expect("an answer").result;
    match result.status {
        Status::Success => Ok(()),
        _ => Err(result.errors.join("; ")),
    }
}

#[tokio::test]
async fn a_field_that_is_not_known_is_refused_with_the_nearest_that_is() {
    let why = answer("query_jobs", "pipline").await.expect_err("refused");
    assert_eq!(
        why,
        "payload.pipline: query_jobs has no such field; did you mean pipeline? expected some of pipeline, status, limit"
    );
    let why = answer("query_jobs", "created_after")
        .await
        .expect_err("refused");
    assert_eq!(
        why,
        "payload.created_after: query_jobs has no such field; expected some of pipeline, status, limit"
    );
    assert_eq!(answer("query_jobs", "pipeline").await, Ok(()));
    // A handler that says nothing looks after its fields itself.
    assert_eq!(answer("anything", "pipline").await, Ok(()));
}
