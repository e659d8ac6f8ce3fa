//! The actions of the service `query`.

use crate::engine::{
    Answer as EngineAnswer, AnswerTo, Begun, EngineError, Executed, Outcome, QueryEngine, Scratch,
    Source, Transaction, Work,
};
use crate::files::{Files, ObjectFile};
use crate::format::compression;
use crate::lineage::Lineage;
use crate::request::{ObjectName, Statement};
use async_trait::async_trait;
use pudato_handler::{Action, Answer, Effect, Failure, Handler, Request, called, redact};
use pudato_protocol::{
    CLAIM_KEYS_MAX, DataReference, Error, ExecutionRecord, Object, Result as Reply, Retry,
    decode_claim, encode, keys,
};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// What one Command may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest time of one Command's SQL; also what it has where its payload does not say.
    pub deadline: Duration,
    /// Most bytes of one Command's sources together.
    pub source_bytes_max: u64,
    /// Most bytes of an answer's rows, as JSON.
    pub answer_bytes_max: usize,
    /// Whether `execute_script` may be used (docs/settings.md).
    pub scripts: bool,
}

/// What a lease has beyond the deadline: sources are fetched before, the answer is stored after.
const LEASE_SPARE: Duration = Duration::from_secs(5 * 60);

/// How often a work is run again that lost the engine through no fault of its own, before that spends an attempt.
const AGAIN_MAX: u32 = 20;

/// The fields of a payload.
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
    /// Runs SQL on `engine`; sources and answers are objects of `files`.
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
                Err(NotDone::Again(why)) if tries < AGAIN_MAX => {
                    tries += 1;
                    tracing::warn!(%why, "the query is run again");
                }
                Err(NotDone::Again(why)) => return Err(Failure::Retry { why, after: None }),
                Err(NotDone::Failed(failure)) => return Err(failure),
                Ok(answer) => return Ok(answer),
            }
        }
    }

    /// Runs the work once, up to its end.
    async fn once(
        &self,
        request: Request<'_>,
        work: Work,
        scratch: &Scratch,
        into: &Option<ObjectName>,
    ) -> Result<Answer, NotDone> {
        let parameter_types = work.parameters.types();
        let references: Vec<(String, DataReference)> = work
            .sources
            .iter()
            .map(|source| (source.name.clone(), source.reference.clone()))
            .collect();
        let transaction = match self.engine.begin(work).await? {
            Begun::Ran(transaction) => transaction,
            Begun::Answered(kept) => {
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

    /// Copies the sources into the scratch folder; together they may have so many bytes.
    async fn fetch(
        &self,
        scratch: &Scratch,
        named: &[(String, ObjectName)],
    ) -> Result<Vec<Source>, Failure> {
        let mut left = self.limits.source_bytes_max;
        let mut sources = Vec::with_capacity(named.len());
        for (n, (name, object)) in named.iter().enumerate() {
            // A name of our own: the object's may hold anything. Its ending tells the engine how it is compressed.
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

    /// Writes the answer's file into its object, before the transaction commits: a crash in between runs the work again
    /// and writes the same object again.
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

/// The file of an answer; its ending tells the engine whether it is packed.
fn answer_file(scratch: &Scratch, into: &ObjectName) -> PathBuf {
    let ending = compression(&into.path).unwrap_or_default();
    scratch.path().join(format!("answer{ending}"))
}

/// Why a work was not run to its end.
enum NotDone {
    /// The engine ended through no fault of the work, of which nothing is left.
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

impl From<EngineError> for NotDone {
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

impl From<Failure> for NotDone {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// The Command's answer: the data of the last statement, the lineage of all.
fn answer(
    outcome: &Outcome,
    sources: &[(String, DataReference)],
    stored: Option<(ObjectName, ObjectFile)>,
) -> Answer {
    let mut answer = Answer::default();
    for executed in &outcome.statements {
        add_lineage(&mut answer, &executed.lineage, sources);
    }
    match &outcome.answer {
        EngineAnswer::Rows {
            columns,
            rows,
            truncated,
        } => {
            let columns = columns.iter();
            let columns = columns.map(|column| json!({"name": column.name, "type": column.r#type}));
            answer.data = object(json!({
                "columns": columns.collect::<Vec<_>>(), "rows": rows, "row_count": rows.len(), "truncated": truncated,
            }));
        }
        EngineAnswer::File { row_count } => {
            let Some((into, file)) = stored else {
                return answer;
            };
            answer.data = object(json!({
                "into": {
                    "container": into.container, "path": into.path, "format": into.format.name(),
                    "location": file.reference.location, "etag": file.etag,
                },
                "row_count": row_count, "size": file.size,
            }));
            let last = outcome.statements.last().map(|last| &last.lineage);
            let from = last
                .map(|lineage| from(lineage, sources))
                .unwrap_or_default();
            let written = file.reference.format(into.format.name());
            let written = written
                .with("row_count", *row_count)
                .with("operation", "create")
                .with("from", from);
            put(&mut answer.outputs, written);
        }
    }
    answer
}

fn add_lineage(answer: &mut Answer, lineage: &Lineage, sources: &[(String, DataReference)]) {
    for table in &lineage.tables {
        put_new(&mut answer.inputs, table.reference());
    }
    for read in &lineage.sources {
        if let Some(reference) = source_reference(&read.name, sources) {
            let reference = reference.clone();
            let reference = match read.row_count {
                Some(rows) => reference.with("row_count", rows),
                None => reference,
            };
            put_new(&mut answer.inputs, reference);
        }
    }
    if let Some((table, operation)) = &lineage.written {
        let written = table.reference().with("operation", operation.name());
        put(
            &mut answer.outputs,
            written.with("from", from(lineage, sources)),
        );
    }
}

/// The locations that a statement's output was made from, so that lineage pairs them and not all with all.
fn from(lineage: &Lineage, sources: &[(String, DataReference)]) -> Vec<Value> {
    let tables = lineage.tables.iter().map(|table| table.dataset.location());
    let sources = lineage.sources.iter().filter_map(|read| {
        let reference = source_reference(&read.name, sources)?;
        Some(reference.location.clone())
    });
    let own = lineage.own.iter().cloned();
    tables
        .chain(sources)
        .chain(own)
        .map(Value::String)
        .collect()
}

fn source_reference<'a>(
    name: &str,
    sources: &'a [(String, DataReference)],
) -> Option<&'a DataReference> {
    let found = sources.iter().find(|(source, _)| source == name);
    found.map(|(_, reference)| reference)
}

/// The first statement that reads a dataset saw it as it was before the work.
fn put_new(references: &mut Vec<DataReference>, reference: DataReference) {
    if !references
        .iter()
        .any(|other| other.location == reference.location)
    {
        references.push(reference);
    }
}

/// Two statements that write the same dataset are one output: made from what both were made from.
fn put(references: &mut Vec<DataReference>, mut reference: DataReference) {
    let earlier = references
        .iter()
        .position(|other| other.location == reference.location);
    let Some(earlier) = earlier.map(|n| references.remove(n)) else {
        references.push(reference);
        return;
    };
    let operation = |reference: &DataReference| {
        let operation = reference.metadata.get("operation");
        operation.and_then(Value::as_str).map(str::to_owned)
    };
    let replaces = matches!(
        operation(&reference).as_deref(),
        Some("create" | "truncate")
    );
    if !replaces {
        let list = |reference: &DataReference| match reference.metadata.get("from") {
            Some(Value::Array(from)) => from.clone(),
            _ => Vec::new(),
        };
        let mut from = list(&earlier);
        for location in list(&reference) {
            if !from.contains(&location) {
                from.push(location);
            }
        }
        reference = reference.with("from", from);
        // Rows that were inserted add up. Others may have been changed twice, and all rows of a table that the same work made are
        // its work.
        let changed = |reference: &DataReference| {
            let inserts = reference.metadata.get("operation") == Some(&Value::from("insert"));
            let changed = reference.metadata.get("rows_changed");
            changed.and_then(Value::as_u64).filter(|_| inserts)
        };
        match (changed(&earlier), changed(&reference)) {
            (Some(before), Some(added)) => {
                reference = reference.with("rows_changed", before + added)
            }
            _ => {
                reference.metadata.remove("rows_changed");
            }
        }
        if let Some(first) = operation(&earlier) {
            let is_filled = operation(&reference).as_deref() == Some("insert");
            // What was emptied and filled is new.
            let first = match (first.as_str(), is_filled) {
                ("truncate", true) => "create".to_owned(),
                _ => first,
            };
            reference = reference.with("operation", first);
        }
    }
    references.push(reference);
}

/// The answer as it is kept beside its effect: a Result, because that has a written form.
fn write_kept(request: Request<'_>, answer: &Answer) -> Result<String, Failure> {
    let mut result = Reply::success(request.command.correlation_id.as_str(), answer.data.clone());
    result.inputs.clone_from(&answer.inputs);
    result.outputs.clone_from(&answer.outputs);
    result.executions.clone_from(&answer.executions);
    let text = encode(&result);
    match keys(&text) {
        ..=CLAIM_KEYS_MAX => Ok(text),
        keys => Err(Failure::bad(format!(
            "payload.sql: the answer has {keys} keys of objects, more than {CLAIM_KEYS_MAX}; ask for fewer rows with \
             `max_rows`, or write it to an object with `into`"
        ))),
    }
}

fn read_kept(text: &str) -> Result<Answer, Failure> {
    // One answer that is spoiled is no reason to stop for all others.
    let result: Reply = decode_claim(text.as_bytes()).map_err(|error| Failure::Retry {
        why: format!("the answer that was kept for this request cannot be read: {error}"),
        after: None,
    })?;
    Ok(Answer {
        data: result.data.unwrap_or_default(),
        inputs: result.inputs,
        outputs: result.outputs,
        executions: result.executions,
        ..Answer::default()
    })
}

fn object(value: Value) -> Object {
    match value {
        Value::Object(object) => object,
        _ => Object::new(),
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
