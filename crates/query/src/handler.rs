//! The actions of the service `query`.

use crate::answer::{answer, object};
use crate::engine::{
    Answer as EngineAnswer, AnswerTo, BeginOutcome, EngineError, Executed, QueryEngine, Scratch,
    Source, Transaction, Work,
};
use crate::files::{Files, ObjectFile};
use crate::format::compression;
use crate::kept::{read_kept, write_kept};
use crate::request::{ObjectName, Statement};
use async_trait::async_trait;
use pudato_handler::{Action, Answer, Effect, Failure, Handler, Request, called, redact};
use pudato_protocol::{DataReference, Error, ExecutionRecord, Retry};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Limits of one Command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest time of one Command's SQL, and the default.
    pub deadline: Duration,
    /// The most bytes of one Command's sources together.
    pub source_bytes_max: u64,
    /// The most bytes of an answer's rows, as JSON.
    pub answer_bytes_max: usize,
    /// Whether `execute_script` is allowed.
    pub scripts: bool,
}

/// The time that a lease needs in addition to the deadline, to fetch sources before and to store the answer after.
const LEASE_SPARE: Duration = Duration::from_secs(5 * 60);

/// The most tries of a work that loses the engine through no fault of its own. After that, it uses up an attempt.
const AGAIN_MAX: u32 = 20;

/// The allowed fields of a payload.
const FIELDS: &[&str] = &[
    "sql",
    "parameters",
    "sources",
    "into",
    "max_rows",
    "timeout_seconds",
];

/// The actions of the service `query`.
pub const ACTIONS: [Action; 2] = [
    Action::new("execute_sql", Effect::Once)
        .aliases(&["execute"])
        .fields(FIELDS),
    Action::new("execute_script", Effect::Once).fields(FIELDS),
];

/// The query handler.
pub struct QueryHandler {
    engine: Arc<dyn QueryEngine>,
    files: Arc<dyn Files>,
    limits: Limits,
    actions: [Action; 2],
}

impl QueryHandler {
    /// Runs SQL on `engine`. Sources and answers are objects of `files`.
    pub fn new(engine: Arc<dyn QueryEngine>, files: Arc<dyn Files>, limits: Limits) -> Self {
        let lease_max = limits.deadline + LEASE_SPARE;
        Self {
            engine,
            files,
            limits,
            actions: ACTIONS.map(|action| action.lease_max(lease_max)),
        }
    }

    async fn run(&self, request: Request<'_>) -> Result<Answer, Failure> {
        let is_script = request.action == "execute_script";
        if is_script && !self.limits.scripts {
            let what = "action: execute_script is turned off here (PUDATO_QUERY_SCRIPTS); \
                        send each statement with execute_sql";
            return Err(Failure::bad(what));
        }
        let seconds_max = self.limits.deadline.as_secs();
        let statement = Statement::read(request.payload()?, seconds_max)?;
        let scratch = self
            .engine
            .scratch()
            .map_err(|error| Failure::Unavailable {
                why: error.to_string(),
            })?;
        let sources = self.fetch(&scratch, &statement.sources).await?;
        let answer_to = match &statement.into {
            Some(into) => AnswerTo::File {
                file: answer_file(&scratch, into),
                format: into.format,
            },
            None => AnswerTo::Rows {
                rows_max: statement.rows_max,
                bytes_max: self.limits.answer_bytes_max,
            },
        };
        let work = Work {
            label: called(request.command),
            sql: statement.sql,
            is_script,
            parameters: statement.parameters,
            sources,
            answer_to,
            deadline: statement
                .timeout_seconds
                .map_or(self.limits.deadline, Duration::from_secs),
            identity: request.identity.cloned(),
            waits: request.waits(),
        };
        let mut tries = 0;
        loop {
            let ran = self.once(request, work.clone(), &scratch, &statement.into);
            let ran = ran.await;
            match ran {
                Err(WorkError::Again(why)) if tries < AGAIN_MAX => {
                    tries += 1;
                    tracing::warn!(%why, "the query lost its engine and runs again");
                }
                Err(WorkError::Again(why)) => return Err(Failure::Retry { why, after: None }),
                Err(WorkError::Failed(failure)) => return Err(failure),
                Ok(answer) => return Ok(answer),
            }
        }
    }

    /// Runs the work once.
    async fn once(
        &self,
        request: Request<'_>,
        work: Work,
        scratch: &Scratch,
        into: &Option<ObjectName>,
    ) -> Result<Answer, WorkError> {
        let parameter_types = work.parameters.types();
        let references: Vec<(String, DataReference)> = work
            .sources
            .iter()
            .map(|source| (source.name.clone(), source.reference.clone()))
            .collect();
        let transaction = match self.engine.begin(work).await? {
            BeginOutcome::Ran(transaction) => transaction,
            BeginOutcome::Answered(kept) => {
                tracing::info!("the query ran before; pudato returns the stored answer");
                return Ok(read_kept(&kept.answer)?);
            }
        };
        let stored = self.store(&*transaction, scratch, into.clone()).await?;
        let mut answer = answer(transaction.outcome(), &references, stored);
        for executed in &transaction.outcome().statements {
            answer
                .executions
                .push(self.record(executed, &parameter_types));
        }
        let kept = write_kept(request, &answer)?;
        transaction.commit(&kept).await?;
        Ok(answer)
    }

    /// Copies the sources into the scratch folder. `bytes_max` limits them together.
    async fn fetch(
        &self,
        scratch: &Scratch,
        named: &[(String, ObjectName)],
    ) -> Result<Vec<Source>, Failure> {
        let mut left = self.limits.source_bytes_max;
        let mut sources = Vec::with_capacity(named.len());
        for (n, (name, object)) in named.iter().enumerate() {
            // A name of our own, because the object's may contain anything. The extension tells the engine how the file is compressed.
            let ending = compression(&object.path).unwrap_or_default();
            let file = scratch
                .path()
                .join(format!("source-{n}.{}{ending}", object.format.name()));
            let fetched = self
                .files
                .fetch(&object.container, &object.path, &file, left)
                .await
                .map_err(|error| not_copied(&format!("payload.sources.{name}"), error))?;
            left = left.saturating_sub(fetched.size);
            sources.push(Source {
                name: name.clone(),
                file,
                format: object.format,
                options: object.options.clone(),
                reference: fetched.reference.format(object.format.name()),
            });
        }
        Ok(sources)
    }

    /// Copies the answer's file into its object before the transaction commits. After a crash in between, the work runs again and writes
    /// the same object again.
    async fn store(
        &self,
        transaction: &dyn Transaction,
        scratch: &Scratch,
        into: Option<ObjectName>,
    ) -> Result<Option<(ObjectName, ObjectFile)>, Failure> {
        let (Some(into), EngineAnswer::File { .. }) = (into, &transaction.outcome().answer) else {
            return Ok(None);
        };
        let file = answer_file(scratch, &into);
        let kind = into.format.content_type(&into.path);
        let stored = self
            .files
            .store(&into.container, &into.path, &file, kind)
            .await;
        let stored = stored.map_err(|error| not_copied("payload.into", error))?;
        Ok(Some((into, stored)))
    }

    fn record(&self, executed: &Executed, parameter_types: &Value) -> ExecutionRecord {
        let engine = self.engine.engine();
        let mut details = object(json!({
            "query": redact(&executed.sql),
            "dialect": engine.dialect,
            "engine_version": engine.version,
            "kind": &*executed.kind,
            "lineage": if executed.lineage.partial.is_some() { "partial" } else { "complete" },
        }));
        if let Some(why) = &executed.lineage.partial {
            details.insert("lineage_missing".into(), why.as_str().into());
        }
        if let Some(rows) = executed.rows {
            details.insert("row_count".into(), rows.into());
        }
        if !parameter_types.is_null() {
            details.insert("parameter_types".into(), parameter_types.clone());
        }
        ExecutionRecord::new("sql", details)
    }
}

#[async_trait]
impl Handler for QueryHandler {
    fn service(&self) -> &str {
        "query"
    }

    fn actions(&self) -> &[Action] {
        &self.actions
    }

    async fn handle(&self, request: Request<'_>) -> Result<Answer, Failure> {
        self.run(request).await
    }
}

/// The file of an answer. Its extension tells the engine whether to compress it.
fn answer_file(scratch: &Scratch, into: &ObjectName) -> PathBuf {
    let ending = compression(&into.path).unwrap_or_default();
    scratch.path().join(format!("answer{ending}"))
}

/// Why a work did not finish.
enum WorkError {
    /// The engine ended through no fault of the work, and left nothing of it.
    Again(String),
    Failed(Failure),
}

/// A store's error; where the Command is to blame, it names the field.
fn not_copied(field: &str, error: Error) -> Failure {
    match error.retry {
        Retry::Never => error.within(field).into(),
        Retry::AfterRepair | Retry::Later => error.into(),
    }
}

impl From<EngineError> for WorkError {
    fn from(error: EngineError) -> Self {
        Self::Failed(match error {
            EngineError::Again(why) => return Self::Again(why),
            EngineError::Invalid(what) => Failure::bad(what),
            EngineError::Retry(why) | EngineError::Broken(why) => {
                Failure::Retry { why, after: None }
            }
            EngineError::Unavailable(why) => Failure::Unavailable { why },
        })
    }
}

impl From<Failure> for WorkError {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pudato_protocol::ErrorKind;

    /// The sender can correct what its Command says, and no bucket.
    #[test]
    fn a_file_that_was_not_copied_names_the_field_where_the_command_is_to_blame() {
        let error = |kind| not_copied("payload.into", Error::new(kind, "lake/a: why"));
        for kind in [ErrorKind::Invalid, ErrorKind::NotFound, ErrorKind::TooLarge] {
            let expected = Failure::bad("payload.into: lake/a: why");
            assert_eq!(error(kind), expected, "{kind:?}");
        }
        let why = "lake/a: why".to_owned();
        for kind in [ErrorKind::Denied, ErrorKind::Failed] {
            let (why, after) = (why.clone(), None);
            assert_eq!(error(kind), Failure::Retry { why, after }, "{kind:?}");
        }
        assert_eq!(error(ErrorKind::Unavailable), Failure::Unavailable { why });
    }
}
