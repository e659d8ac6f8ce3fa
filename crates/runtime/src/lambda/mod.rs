//! pudato in AWS Lambda: the same decisions, for messages that an event source of SQS delivers.
//!
//! Lambda deletes the messages of an invocation, except those in `batchItemFailures`, which it redelivers (the event source mapping must
//! set ReportBatchItemFailures). So every message counts as failed until it is settled.

mod migrate;
mod results;
mod service;

use crate::installation::{Installation, OpenError, PushedConsumer};
use crate::names::RESULTS;
use crate::settings::{DatabasePlace, Settings};
use migrate::{MIGRATE, MigrateFunction};
use pudato_engine::Decision;
use pudato_handler::Handler;
use pudato_protocol::{Result as Reply, Status};
use pudato_registry::{Applied, RegistryStore};
use results::ResultsFunction;
pub use results::record;
use serde_json::{Value, json};
use service::ServiceFunction;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// This long before its end, an invocation starts nothing more and cancels running handlers, to have time to report the rest.
const MARGIN: Duration = Duration::from_millis(1_500);
/// If an invocation has little time, this fraction of it instead.
const MARGIN_PART: u64 = 4;

/// A function, kept for all invocations of a container.
pub struct Function(Kind);

enum Kind {
    Service(ServiceFunction),
    Results(ResultsFunction),
    Migrate(Box<MigrateFunction>),
}

/// When an invocation must be done, in milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy)]
struct Deadline {
    stop_ms: u64,
    /// After this, there is only time to answer.
    last_ms: u64,
}

impl Deadline {
    /// The deadlines of an invocation that Lambda ends at `end_ms`.
    fn new(now_ms: u64, end_ms: u64) -> Self {
        let left_ms = end_ms.saturating_sub(now_ms);
        let margin_ms = u64::try_from(MARGIN.as_millis()).unwrap_or(u64::MAX);
        let margin_ms = margin_ms.min(left_ms / MARGIN_PART);
        Self {
            stop_ms: end_ms.saturating_sub(margin_ms),
            last_ms: end_ms.saturating_sub(margin_ms / 4),
        }
    }
}

/// The connections to a database that one container keeps. There may be very many containers, and a frozen one keeps its connections.
const CONNECTIONS: &str = "2";

/// Defaults for a Lambda, for settings that the user did not set. A Lambda may write to `/tmp` only.
pub fn defaults() -> BTreeMap<&'static str, String> {
    let folder = std::env::temp_dir().join("pudato");
    BTreeMap::from([
        ("PUDATO_DATA_DIR", folder.display().to_string()),
        ("PUDATO_DATABASE_CONNECTIONS", CONNECTIONS.to_owned()),
        // A container handles one batch at a time, and is itself the isolation.
        ("PUDATO_QUERY_ISOLATION", "none".to_owned()),
    ])
}

impl Function {
    /// Opens the function that `HANDLER_TYPE` names: a service, `results` for the results consumer, or `migrate`, which creates the
    /// registry's tables and roles.
    ///
    /// # Errors
    /// A setting is missing, or cannot be used in a Lambda. This reads secrets from AWS and calls nothing else there.
    pub async fn open(settings: Settings) -> Result<Self, OpenError> {
        Self::open_with(settings, Vec::new()).await
    }

    /// As [`Function::open`], with additional handlers, which `HANDLER_TYPE` may name as well.
    ///
    /// # Errors
    /// As [`Function::open`].
    pub async fn open_with(
        settings: Settings,
        own: Vec<Arc<dyn Handler>>,
    ) -> Result<Self, OpenError> {
        let kind = settings.function.clone().unwrap_or_default();
        check(&settings, needs_database(&kind, &settings))?;
        let mut settings = settings;
        // A file would disappear with the container.
        settings.query.file = None;
        Self::open_here(settings, own, None).await
    }

    /// As [`Function::open_with`], outside of a Lambda: on any fabric, and with files, which stay. The results consumer writes to
    /// `registry` if there is one, and otherwise to that of the settings.
    ///
    /// # Errors
    /// As [`Function::open`].
    pub async fn open_here(
        settings: Settings,
        own: Vec<Arc<dyn Handler>>,
        registry: Option<Arc<dyn RegistryStore>>,
    ) -> Result<Self, OpenError> {
        let kind = settings.function.clone().unwrap_or_default();
        let needs_database = needs_database(&kind, &settings);
        if kind == MIGRATE {
            return Ok(Self(Kind::Migrate(Box::new(MigrateFunction::new(
                settings,
            )))));
        }
        let pudato = match needs_database {
            true => Installation::open_with(settings, own).await?,
            false => Installation::open_without_registry(settings, own).await?,
        };
        let mut pudato = pudato;
        if let Some(registry) = registry {
            pudato.registry = registry;
        }
        let pudato = Arc::new(pudato);
        let function = match kind.as_str() {
            RESULTS => Kind::Results(ResultsFunction::new(pudato)?),
            _ => Kind::Service(ServiceFunction::new(pudato, &kind)?),
        };
        Ok(Self(function))
    }

    /// Handles one event. Lambda ends the invocation at `end_ms`, in milliseconds since the Unix epoch. Returns `{"batchItemFailures":
    /// [{"itemIdentifier": ..}]}`.
    ///
    /// # Errors
    /// The event is not from SQS, or its queue cannot be reached. Lambda then redelivers the whole batch.
    pub async fn invoke(&self, event: &Value, end_ms: u64) -> Result<Value, OpenError> {
        let invoked = match &self.0 {
            Kind::Migrate(function) => return function.invoke(event).await,
            _ => self.handle(event, end_ms).await?,
        };
        Ok(failures(&invoked.left))
    }

    /// As [`Function::invoke`], but returns what became of each message.
    ///
    /// # Errors
    /// As [`Function::invoke`], and if the function handles no messages.
    pub async fn handle(&self, event: &Value, end_ms: u64) -> Result<Invoked, OpenError> {
        let event = &*distinct(event)?;
        let invoked = match &self.0 {
            Kind::Service(function) => function.invoke(event, end_ms).await?,
            Kind::Results(function) => function.invoke(event, end_ms).await?,
            Kind::Migrate(_) => {
                let what = "HANDLER_TYPE: migrate handles no messages";
                return Err(OpenError::Settings(what.into()));
            }
        };
        if !invoked.left.is_empty() {
            tracing::warn!(
                count = invoked.left.len(),
                "some messages of this batch will be redelivered"
            );
        }
        Ok(invoked)
    }
}

/// What became of the messages of an event.
#[derive(Debug, Default)]
pub struct Invoked {
    /// The messages that are done, in their order: those with an answer, and those that were dead-lettered and have a sender.
    pub answers: Vec<Answered>,
    /// The ids of the messages to redeliver.
    pub left: Vec<String>,
}

/// A message that is done.
#[derive(Debug, Clone)]
pub struct Answered {
    /// The correlation id of its Result.
    pub correlation_id: String,
    /// The step of its Result.
    pub step_id: Option<String>,
    /// The status of its Result.
    pub status: Status,
    /// What the Result became in the registry, if the message was a Result.
    pub applied: Option<Applied>,
}

impl Answered {
    /// The answer of a decision about a message, if the message is done with it.
    fn by(decision: &Decision) -> Option<Self> {
        match decision {
            Decision::Done(outcome) | Decision::Pending(outcome, _) => {
                Some(Self::with(&outcome.result, None))
            }
            Decision::Reject { result, .. } => Some(Self::with(result.as_deref()?, None)),
            Decision::Retry { .. } | Decision::Busy { .. } | Decision::Unavailable { .. } => None,
        }
    }

    fn with(result: &Reply, applied: Option<Applied>) -> Self {
        Self {
            correlation_id: result.correlation_id.clone(),
            step_id: result.step_id.clone(),
            status: result.status,
            applied,
        }
    }
}

/// The response that lists the messages to redeliver.
fn failures(left: &[String]) -> Value {
    let items = left.iter().map(|id| json!({ "itemIdentifier": id }));
    json!({ "batchItemFailures": items.collect::<Vec<_>>() })
}

/// Whether the function uses the registry's database. A handler whose answers are stored elsewhere does not, and needs no access to it.
fn needs_database(kind: &str, settings: &Settings) -> bool {
    ["registry", RESULTS, MIGRATE].contains(&kind) || settings.answers.is_none()
}

/// Refuses settings that a Lambda cannot have.
fn check(settings: &Settings, needs_database: bool) -> Result<(), OpenError> {
    let mut wrong = Vec::new();
    if settings.function.is_none() {
        wrong.push(
            "HANDLER_TYPE: expected storage, registry, query, results or migrate, found nothing",
        );
    }
    let lost = "its file is gone with the Lambda's container; use postgres://, or secretsmanager:NAME of a secret that holds such a URL";
    let is_file = |place: &DatabasePlace| matches!(place, DatabasePlace::File(_));
    let (registry, answers);
    if needs_database && is_file(&settings.registry) {
        let what = match settings.registry_is_set {
            false => "not set",
            true => "sqlite:",
        };
        registry = format!("REGISTRY_DATABASE_URL: {what}: {lost}");
        wrong.push(&registry);
    }
    if settings.answers.as_ref().is_some_and(is_file) {
        answers = format!("PUDATO_IDEMPOTENCY_URL: sqlite: {lost}, or dynamodb:TABLE");
        wrong.push(&answers);
    }
    if settings.query.file_is_set {
        wrong.push("DUCKDB_PATH: the warehouse of a Lambda is in memory, since its disk is gone with the container; unset it");
    }
    if !settings.fabric.feeds_lambda {
        wrong.push("PUDATO_FABRIC: a Lambda has the fabric aws; set PUDATO_RESULTS_TOPIC_ARN and the other places");
    }
    if wrong.is_empty() {
        return Ok(());
    }
    Err(OpenError::Settings(wrong.join("\n")))
}

/// The event with each message once. What is left is reported by id, so a message that a queue delivered twice in one batch counts as one.
///
/// # Errors
/// Two different messages have the same id.
fn distinct(event: &Value) -> Result<Cow<'_, Value>, OpenError> {
    let records = event.get("Records").and_then(Value::as_array);
    let mut bodies: BTreeMap<&str, Option<&Value>> = BTreeMap::new();
    let mut again = Vec::new();
    for (n, record) in records.into_iter().flatten().enumerate() {
        let Some(id) = record.get("messageId").and_then(Value::as_str) else {
            continue;
        };
        let body = record.get("body");
        match bodies.insert(id, body) {
            None => {}
            Some(before) if before == body => again.push(n),
            Some(_) => {
                let what = format!(
                    "event: two records with different bodies have the messageId {id:?}; expected an id of its own for each"
                );
                return Err(OpenError::Settings(what));
            }
        }
    }
    if again.is_empty() {
        return Ok(Cow::Borrowed(event));
    }
    let mut event = event.clone();
    if let Some(Value::Array(records)) = event.get_mut("Records") {
        for n in again.into_iter().rev() {
            records.remove(n);
        }
    }
    Ok(Cow::Owned(event))
}

/// The name of the queue of the event's records; `None` if there are no records.
fn queue_of(event: &Value) -> Option<&str> {
    let record = event.get("Records")?.as_array()?.first()?;
    let arn = record.get("eventSourceARN")?.as_str()?;
    arn.rsplit(':').next()
}

/// The consumer for messages of `queue` that an event source of Lambda delivers.
async fn pushed(pudato: &Installation, queue: &str) -> Result<Arc<dyn PushedConsumer>, OpenError> {
    let pushed = pudato.fabric.consumers.pushed(queue).await?;
    pushed.ok_or_else(|| OpenError::Settings("PUDATO_FABRIC: expected aws".into()))
}
