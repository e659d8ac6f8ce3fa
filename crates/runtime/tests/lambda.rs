//! A Lambda's batch: what `batchItemFailures` lists, what the registry has, and what happens when the batch is redelivered.

#![cfg(feature = "aws")]

use async_trait::async_trait;
use pudato_runtime::admin::deployment::Deployment;
use pudato_runtime::handler::{Action, Answer, Effect, Failure, Handler, Request};
use pudato_runtime::lambda::Function;
use pudato_runtime::protocol::Object;
use pudato_runtime::registry::{JobFilter, PostgresRegistry, RegistryStore};
use pudato_runtime::settings::Sources;
use pudato_runtime::{HISTORY, Names, Settings};
use pudato_testing::{Emulator, Postgres, skipped};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

/// The time of an invocation, unless a test sets another.
const TIME: Duration = Duration::from_secs(300);
const URL: &str = "http://127.0.0.1/000000000000";

/// A handler that follows the payload, and counts its runs.
#[derive(Default)]
struct Flaky {
    runs: AtomicUsize,
}

const ACTIONS: &[Action] = &[
    Action::new("work", Effect::Once),
    Action::new("write", Effect::Keyed),
];

#[async_trait]
impl Handler for Flaky {
    fn service(&self) -> &str {
        "flaky"
    }

    fn actions(&self) -> &[Action] {
        ACTIONS
    }

    async fn handle(&self, request: Request<'_>) -> Result<Answer, Failure> {
        let mut payload = request.payload()?;
        let what = payload.name_text("do")?;
        self.runs.fetch_add(1, Ordering::SeqCst);
        match what.as_str() {
            "panic" => panic!("as it was told"),
            "retry" => Err(Failure::Retry {
                why: "as it was told".into(),
                after: Some(Duration::from_secs(7)),
            }),
            "down" => Err(Failure::Unavailable {
                why: "as it was told".into(),
            }),
            "sleep" => {
                tokio::time::sleep(Duration::from_secs(600)).await;
                Ok(Answer::new(Object::new()))
            }
            _ => Ok(Answer::new(Object::new())),
        }
    }
}

/// The SDK finds its credentials in the environment, so the tests run in a process that has them.
fn run_with_credentials(test: &str) {
    let server = Emulator::shared().and_then(|emulator| Ok((emulator, Postgres::shared()?)));
    let (emulator, server) = match server {
        Ok(parts) => parts,
        Err(why) => return skipped(test, &why),
    };
    let database = server.database().expect("a database");
    let run = Command::new(std::env::current_exe().expect("this program"))
        .args([
            "--exact",
            &format!("inner::{test}"),
            "--ignored",
            "--nocapture",
        ])
        .env("AWS_ENDPOINT_URL", emulator.url())
        // Each test has an account of its own.
        .env("AWS_ACCESS_KEY_ID", account(test))
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env("AWS_REGION", "us-east-1")
        .env("REGISTRY_DATABASE_URL", &database.url)
        .env("PUDATO_TEST_DATABASE", &database.name)
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&run.stdout);
    let error = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{said}\n{error}");
    assert!(said.contains("1 passed"), "{said}");
}

fn account(test: &str) -> String {
    let sum = test.bytes().fold(7_u64, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(u64::from(byte))
    });
    format!("{:012}", sum % 900_000_000_000 + 100_000_000_000)
}

macro_rules! tests {
    ($($name:ident),+ $(,)?) => {
        $(#[test]
        fn $name() {
            run_with_credentials(stringify!($name));
        })+

        mod inner {
            $(#[tokio::test]
            #[ignore = "run by the test of the same name, which sets its environment"]
            async fn $name() {
                super::promises::$name().await;
            })+
        }
    };
}

tests! {
    only_messages_to_redeliver_are_reported_as_failures,
    a_redelivered_batch_gets_the_same_answers_and_runs_nothing,
    nothing_starts_without_time_and_what_runs_too_long_is_redelivered,
    an_event_that_is_not_from_sqs_fails_as_a_whole,
    settings_that_a_lambda_cannot_have_are_refused_by_name,
    results_are_written_events_are_stored_and_unreadable_messages_are_given_up,
    an_envelope_of_a_foreign_topic_is_not_executed,
    tables_and_roles_are_created_from_their_secrets,
    a_handler_whose_answers_are_stored_elsewhere_needs_no_database,
}

/// Stores a text in the emulator's Secrets Manager.
async fn create_secret(name: &'static str, text: &str) {
    let endpoint = std::env::var("AWS_ENDPOINT_URL").expect("an emulator");
    let body = json!({"Name": name, "SecretString": text}).to_string();
    let asked = tokio::task::spawn_blocking(move || {
        let account = std::env::var("AWS_ACCESS_KEY_ID").unwrap_or_default();
        let credential = format!(
            "AWS4-HMAC-SHA256 Credential={account}/20261125/us-east-1/secretsmanager/aws4_request, SignedHeaders=host, Signature=0"
        );
        ureq::post(&endpoint)
            .header("X-Amz-Target", "secretsmanager.CreateSecret")
            .header("Content-Type", "application/x-amz-json-1.1")
            .header("Authorization", &credential)
            .send(body)
            .expect("it is kept");
    });
    asked.await.expect("asked");
}

/// A function with its queues.
struct Bench {
    function: Function,
    flaky: Arc<Flaky>,
    sqs: Sqs,
}

/// The emulator's SQS, used as Lambda's pollers use it.
struct Sqs {
    endpoint: String,
}

impl Sqs {
    async fn call(&self, verb: &'static str, body: Value) -> Value {
        let endpoint = self.endpoint.clone();
        let asked = tokio::task::spawn_blocking(move || {
            let account = std::env::var("AWS_ACCESS_KEY_ID").unwrap_or_default();
            let credential = format!(
                "AWS4-HMAC-SHA256 Credential={account}/20261125/us-east-1/sqs/aws4_request, SignedHeaders=host, Signature=0"
            );
            let answer = ureq::post(&endpoint)
                .header("X-Amz-Target", &format!("AmazonSQS.{verb}"))
                .header("Content-Type", "application/x-amz-json-1.0")
                .header("Authorization", &credential)
                .send(body.to_string());
            let mut answer = answer.expect("SQS answers");
            answer.body_mut().read_to_string().expect("text")
        });
        let text = asked.await.expect("asked");
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    fn url(queue: &str) -> String {
        let account = std::env::var("AWS_ACCESS_KEY_ID").unwrap_or_default();
        format!("{}/{queue}", URL.replace("000000000000", &account))
    }

    async fn send(&self, queue: &str, body: &str) {
        let url = Self::url(queue);
        self.call("SendMessage", json!({"QueueUrl": url, "MessageBody": body}))
            .await;
    }

    /// An event with the messages that wait on a queue, as Lambda builds it.
    async fn event(&self, queue: &str) -> Value {
        let asked = json!({"QueueUrl": Self::url(queue), "MaxNumberOfMessages": 10, "WaitTimeSeconds": 2,
            "AttributeNames": ["All"], "MessageAttributeNames": ["All"]});
        let received = self.call("ReceiveMessage", asked).await;
        let messages = received["Messages"].as_array().cloned().unwrap_or_default();
        let account = std::env::var("AWS_ACCESS_KEY_ID").unwrap_or_default();
        let records = messages.iter().map(|message| {
            let given = message["MessageAttributes"].as_object().cloned();
            let given: BTreeMap<String, Value> = given
                .unwrap_or_default()
                .into_iter()
                .map(|(name, value)| {
                    let value = json!({"stringValue": value["StringValue"], "dataType": value["DataType"],
                        "stringListValues": [], "binaryListValues": []});
                    (name, value)
                })
                .collect();
            json!({"messageId": message["MessageId"], "receiptHandle": message["ReceiptHandle"], "body": message["Body"],
                "attributes": message["Attributes"], "messageAttributes": given, "md5OfBody": message["MD5OfBody"],
                "eventSource": "aws:sqs", "eventSourceARN": format!("arn:aws:sqs:us-east-1:{account}:{queue}"),
                "awsRegion": "us-east-1"})
        });
        json!({ "Records": records.collect::<Vec<_>>() })
    }

    /// The numbers of waiting and of hidden messages.
    async fn depth(&self, queue: &str) -> (u64, u64) {
        let asked = json!({"QueueUrl": Self::url(queue), "AttributeNames": ["All"]});
        let found = self.call("GetQueueAttributes", asked).await;
        let number = |name: &str| {
            let text = found["Attributes"][name].as_str().unwrap_or_default();
            text.parse().unwrap_or(u64::MAX)
        };
        (
            number("ApproximateNumberOfMessages"),
            number("ApproximateNumberOfMessagesNotVisible"),
        )
    }
}

fn settings(more: &[(&'static str, &str)]) -> Result<Settings, String> {
    let account = std::env::var("AWS_ACCESS_KEY_ID").unwrap_or_default();
    let topic = |name: &str| format!("arn:aws:sns:us-east-1:{account}:pudato-{name}");
    let folder = std::env::temp_dir().join(format!("pudato-lambda-{account}"));
    let mut set = BTreeMap::from([
        ("PUDATO_DATA_DIR", folder.display().to_string()),
        ("PUDATO_STORAGE_TOPIC_ARN", topic("storage-commands")),
        ("PUDATO_RESULTS_TOPIC_ARN", topic("results")),
        ("PUDATO_EVENTS_TOPIC_ARN", topic("events")),
        ("PUDATO_CONTAINERS", "lake=s3://lake".to_owned()),
        ("HANDLER_TYPE", "flaky".to_owned()),
    ]);
    for name in ["storage", "results", "history"] {
        let variable = match name {
            "storage" => "PUDATO_STORAGE_QUEUE_URL",
            "results" => "PUDATO_RESULTS_QUEUE_URL",
            _ => "PUDATO_HISTORY_QUEUE_URL",
        };
        set.insert(variable, Sqs::url(&format!("pudato-{name}-queue")));
    }
    for (name, value) in more {
        set.insert(name, (*value).to_owned());
    }
    let environment = |name: &str| {
        let found = set.get(name).cloned();
        found.or_else(|| std::env::var(name).ok())
    };
    let loaded = Settings::load(&Sources {
        flags: BTreeMap::new(),
        environment: &environment,
        file: None,
    });
    loaded.map_err(|error| error.to_string())
}

impl Bench {
    async fn new(kind: &str) -> Self {
        let settings = settings(&[("HANDLER_TYPE", kind)]).expect("settings");
        let deployment = Deployment::new(&settings).await;
        let names = Names::new("pudato");
        let services = ["storage", "flaky"].map(str::to_owned);
        let topology = names.topology(&services, &[HISTORY.to_owned()], Duration::from_secs(60));
        deployment.fabric.apply(&topology).await.expect("applied");
        let flaky = Arc::new(Flaky::default());
        let own: Vec<Arc<dyn Handler>> = vec![Arc::clone(&flaky) as _];
        let function = Function::open_with(settings, own).await.expect("opened");
        let endpoint = std::env::var("AWS_ENDPOINT_URL").expect("an emulator");
        Self {
            function,
            flaky,
            sqs: Sqs { endpoint },
        }
    }

    async fn invoke(&self, event: &Value) -> BTreeSet<String> {
        self.invoke_within(event, TIME).await
    }

    async fn invoke_within(&self, event: &Value, time: Duration) -> BTreeSet<String> {
        let answer = self.function.invoke(event, end_ms(time)).await;
        let answer = answer.expect("an answer");
        let failures = answer["batchItemFailures"].as_array().expect("a list");
        let ids = failures.iter().map(|failure| {
            let id = failure["itemIdentifier"].as_str();
            // An empty id would redeliver the whole batch.
            id.filter(|id| !id.is_empty()).expect("an id").to_owned()
        });
        ids.collect()
    }

    /// Sends commands that tell the handler what to do, each with its correlation id.
    async fn send(&self, all: &[(&str, &str)]) {
        for (id, what) in all {
            let command = json!({"type": "flaky", "action": "work", "correlation_id": id, "step_id": id,
                "timestamp": "2026-01-01T00:00:00Z", "payload": {"do": what}});
            self.sqs
                .send("pudato-flaky-queue", &command.to_string())
                .await;
        }
    }

    /// The correlation ids of all Results that were published, with their status.
    async fn published(&self) -> Vec<(String, String)> {
        let mut all = Vec::new();
        loop {
            let event = self.sqs.event("pudato-results-queue").await;
            let records = event["Records"].as_array().cloned().unwrap_or_default();
            if records.is_empty() {
                all.sort();
                return all;
            }
            for record in records {
                let body: Value =
                    serde_json::from_str(record["body"].as_str().expect("a body")).expect("JSON");
                let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
                all.push((text("correlation_id"), text("status")));
            }
        }
    }
}

/// The end of an invocation that begins now.
fn end_ms(time: Duration) -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    u64::try_from((now.expect("after 1970") + time).as_millis()).expect("a time")
}

/// The ids of an event's records whose body has `text` in it.
fn ids(event: &Value, texts: &[&str]) -> BTreeSet<String> {
    let records = event["Records"].as_array().expect("records");
    let named = records.iter().filter(|record| {
        let body = record["body"].as_str().unwrap_or_default();
        texts.iter().any(|text| body.contains(text))
    });
    named
        .map(|record| record["messageId"].as_str().expect("an id").to_owned())
        .collect()
}

mod promises {
    use super::*;

    pub async fn a_handler_whose_answers_are_stored_elsewhere_needs_no_database() {
        let open = async |kind: &str, answers: &str| {
            let settings = settings(&[
                ("HANDLER_TYPE", kind),
                ("REGISTRY_DATABASE_URL", ""),
                ("PUDATO_IDEMPOTENCY_URL", answers),
            ]);
            let settings = settings.expect("settings");
            let own: Vec<Arc<dyn Handler>> = vec![Arc::new(Flaky::default())];
            let opened = Function::open_with(settings, own).await;
            opened.map(|_| ()).map_err(|error| error.to_string())
        };
        open("flaky", "dynamodb:answers").await.expect("opened");
        for (kind, answers) in [
            ("flaky", ""),
            ("registry", "dynamodb:answers"),
            ("results", "dynamodb:answers"),
        ] {
            let refused = open(kind, answers).await.expect_err(kind);
            assert!(
                refused.contains("REGISTRY_DATABASE_URL: not set"),
                "{kind}: {refused}"
            );
        }
    }

    pub async fn tables_and_roles_are_created_from_their_secrets() {
        let owner = std::env::var("REGISTRY_DATABASE_URL").expect("a URL");
        let database = std::env::var("PUDATO_TEST_DATABASE").expect("a name");
        let (_, place) = owner.split_once('@').expect("a role");
        let (host, _) = place.split_once('/').expect("a database");
        let (host, port) = host.split_once(':').expect("a port");
        let port: u16 = port.parse().expect("a port");
        let secret = |role: &str| json!({"username": format!("{database}_{role}"), "password": "p", "host": host, "port": port, "dbname": database});
        create_secret("owner", &owner).await;
        create_secret("registry", &secret("registry").to_string()).await;
        create_secret("answers", &secret("answers").to_string()).await;
        let settings = settings(&[
            ("HANDLER_TYPE", "migrate"),
            ("REGISTRY_DATABASE_URL", "secretsmanager:owner"),
        ]);
        let function = Function::open(settings.expect("settings")).await;
        let function = function.expect("opened");
        let invoke = async |event: Value| function.invoke(&event, end_ms(TIME)).await;
        let roles =
            json!({"registry": "secretsmanager:registry", "answers": "secretsmanager:answers"});
        for _ in 0..2 {
            let made = invoke(json!({ "roles": roles })).await.expect("made");
            assert_eq!(made, json!({"roles": ["registry", "answers"]}));
        }
        let of = |role: &str| owner.replacen("owner@", &format!("{database}_{role}@"), 1);
        let open = async |role: &str| PostgresRegistry::open(&of(role)).await.expect("opened");
        let jobs = open("registry")
            .await
            .query_jobs(JobFilter::default())
            .await;
        jobs.expect("the registry is this role's");
        let jobs = open("answers").await.query_jobs(JobFilter::default()).await;
        jobs.expect_err("the registry is not this role's");
        // Any other event is refused by name before anything is created.
        for (event, said) in [
            (json!({}), "event: expected {\"roles\": {..}}"),
            (
                json!({"roles": {}, "more": 1}),
                "event: expected {\"roles\": {..}}",
            ),
            (
                json!({"roles": {"owner": "secretsmanager:x"}}),
                "roles.owner: expected registry or answers",
            ),
            (
                json!({"roles": {"answers": "postgres://a:b@c/d"}}),
                "roles.answers: expected secretsmanager:NAME",
            ),
        ] {
            let error = invoke(event).await.expect_err(said).to_string();
            assert!(error.contains(said), "{error}");
        }
    }

    pub async fn only_messages_to_redeliver_are_reported_as_failures() {
        let bench = Bench::new("flaky").await;
        let good: Vec<String> = (0..7).map(|n| format!("good-{n}")).collect();
        let mut all: Vec<(&str, &str)> = good.iter().map(|id| (id.as_str(), "ok")).collect();
        all.extend([("bad-panic", "panic"), ("bad-retry", "retry")]);
        bench.send(&all).await;
        bench
            .sqs
            .send("pudato-flaky-queue", "{\"type\": \"flaky\", poison")
            .await;
        let event = bench.sqs.event("pudato-flaky-queue").await;
        assert_eq!(event["Records"].as_array().map(Vec::len), Some(10));

        let failures = bench.invoke(&event).await;
        assert_eq!(failures, ids(&event, &["bad-panic", "bad-retry"]));
        let good: Vec<_> = good
            .into_iter()
            .map(|id| (id, "success".to_owned()))
            .collect();
        assert_eq!(bench.published().await, good);
        // The message that cannot be read is dead-lettered with its reason. The two to redeliver are hidden for their backoff, not for the
        // visibility timeout of the queue.
        let dead = bench.sqs.event("pudato-flaky-dlq").await;
        let record = &dead["Records"][0];
        assert_eq!(record["body"], "{\"type\": \"flaky\", poison");
        let reason = record["messageAttributes"]["dead_letter_reason"]["stringValue"].as_str();
        assert!(
            reason.is_some_and(|reason| reason.contains("body: expected")),
            "{record}"
        );
        let started = Instant::now();
        let mut seen = BTreeSet::new();
        while seen.len() < 2 && started.elapsed() < Duration::from_secs(600) {
            seen.extend(ids(&bench.sqs.event("pudato-flaky-queue").await, &["bad"]));
        }
        assert_eq!(seen, failures);
    }

    pub async fn a_redelivered_batch_gets_the_same_answers_and_runs_nothing() {
        let bench = Bench::new("flaky").await;
        bench.send(&[("a", "ok"), ("b", "ok"), ("c", "ok")]).await;
        let event = bench.sqs.event("pudato-flaky-queue").await;
        assert!(bench.invoke(&event).await.is_empty());
        // Lambda did not get the answer, and delivers the batch to this container and to a new one.
        assert!(bench.invoke(&event).await.is_empty());
        let mut other = Bench::new("flaky").await;
        let mut again = event.clone();
        for record in again["Records"].as_array_mut().expect("records") {
            record["attributes"]["ApproximateReceiveCount"] = "2".into();
        }
        other.sqs.endpoint.clone_from(&bench.sqs.endpoint);
        assert!(other.invoke(&again).await.is_empty());
        assert_eq!(bench.flaky.runs.load(Ordering::SeqCst), 3);
        assert_eq!(
            other.flaky.runs.load(Ordering::SeqCst),
            0,
            "nothing runs twice"
        );
        let ids: BTreeSet<_> = bench.published().await.into_iter().collect();
        assert_eq!(ids.len(), 3, "the repeated publication is identical");
    }

    pub async fn nothing_starts_without_time_and_what_runs_too_long_is_redelivered() {
        let bench = Bench::new("flaky").await;
        bench
            .send(&[("quick", "ok"), ("slow", "sleep"), ("down", "down")])
            .await;
        let event = bench.sqs.event("pudato-flaky-queue").await;
        let started = Instant::now();
        let failures = bench.invoke_within(&event, Duration::from_secs(8)).await;
        // Without the limit, the slow handler would take ten minutes.
        assert!(
            started.elapsed() < Duration::from_secs(300),
            "{:?}",
            started.elapsed()
        );
        assert_eq!(failures, ids(&event, &["\"slow\"", "\"down\""]));
        assert_eq!(
            bench.published().await,
            [("quick".into(), "success".into())]
        );
        bench.send(&[("late", "ok")]).await;
        let event = loop {
            let event = bench.sqs.event("pudato-flaky-queue").await;
            if !ids(&event, &["late"]).is_empty() {
                break event;
            }
        };
        let runs = bench.flaky.runs.load(Ordering::SeqCst);
        let late = ids(&event, &["late"]);
        assert!(
            bench
                .invoke_within(&event, Duration::ZERO)
                .await
                .is_superset(&late)
        );
        assert_eq!(
            bench.flaky.runs.load(Ordering::SeqCst),
            runs,
            "nothing was begun"
        );
    }

    pub async fn an_event_that_is_not_from_sqs_fails_as_a_whole() {
        let bench = Bench::new("flaky").await;
        let good = json!({"messageId": "1", "receiptHandle": "r", "body": "{}"});
        for event in [
            json!({}),
            json!(null),
            json!([1]),
            json!({"Records": {}}),
            json!({"Records": [good, {"messageId": "2"}]}),
            json!({"Records": [{"messageId": "", "receiptHandle": "r", "body": "{}"}]}),
        ] {
            let answer = bench.function.invoke(&event, end_ms(TIME)).await;
            let error = answer.expect_err("never an answer that deletes everything");
            assert!(error.to_string().starts_with("event: expected"), "{error}");
        }
        assert!(bench.invoke(&json!({"Records": []})).await.is_empty());
    }

    pub async fn settings_that_a_lambda_cannot_have_are_refused_by_name() {
        let refused = |more: &'static [(&'static str, &'static str)]| async move {
            let settings = settings(more).expect("settings");
            let opened = Function::open(settings).await;
            opened.err().expect("refused").to_string()
        };
        let said = refused(&[("HANDLER_TYPE", "nobody")]).await;
        assert!(
            said.contains("nobody") && said.contains("storage"),
            "{said}"
        );
        let said = refused(&[("HANDLER_TYPE", "")]).await;
        assert!(said.contains("HANDLER_TYPE: expected storage"), "{said}");
        let said = refused(&[
            ("REGISTRY_DATABASE_URL", "sqlite:/tmp/r.db"),
            ("DUCKDB_PATH", "w.duckdb"),
        ])
        .await;
        assert!(said.contains("REGISTRY_DATABASE_URL: sqlite:"), "{said}");
        assert!(said.contains("DUCKDB_PATH"), "all at once: {said}");
        let said = refused(&[("PUDATO_IDEMPOTENCY_URL", "sqlite:/tmp/a.db")]).await;
        assert!(said.contains("PUDATO_IDEMPOTENCY_URL: sqlite:"), "{said}");
    }

    pub async fn results_are_written_events_are_stored_and_unreadable_messages_are_given_up() {
        let bench = Bench::new("results").await;
        let result = |id: &str| {
            json!({"status": "success", "correlation_id": id, "job_id": "job-1", "step_id": id,
                "timestamp": "2026-01-01T00:00:00Z"})
            .to_string()
        };
        for body in [result("one"), result("two"), "nothing".to_owned()] {
            bench.sqs.send("pudato-results-queue", &body).await;
        }
        let event = bench.sqs.event("pudato-results-queue").await;
        assert!(bench.invoke(&event).await.is_empty());
        assert!(
            bench.invoke(&event).await.is_empty(),
            "the same again changes nothing"
        );
        let dead = bench.sqs.event("pudato-results-dlq").await;
        assert_eq!(dead["Records"][0]["body"], "nothing");
        let happened = json!({"type": "storage.object_created", "payload": {}, "correlation_id": "one",
            "timestamp": "2026-01-01T00:00:00Z"});
        bench
            .sqs
            .send("pudato-history-queue", &happened.to_string())
            .await;
        let event = bench.sqs.event("pudato-history-queue").await;
        assert!(bench.invoke(&event).await.is_empty());
        let database = std::env::var("PUDATO_TEST_DATABASE").expect("a database");
        let url = std::env::var("REGISTRY_DATABASE_URL").expect("a URL");
        let count = |sql: &str| {
            let psql = Command::new("psql").args([&url, "-At", "-c", sql]).output();
            String::from_utf8(psql.expect("psql").stdout)
                .expect("text")
                .trim()
                .to_owned()
        };
        assert_eq!(
            count("SELECT COUNT(*) FROM pudato.result"),
            "2",
            "{database}"
        );
        assert_eq!(
            count("SELECT COUNT(*) FROM pudato.step WHERE status = 'success'"),
            "2"
        );
        assert_eq!(count("SELECT COUNT(*) FROM pudato.event"), "1");

        // Messages that the broker moved to a dead-letter queue are explained on a schedule.
        let scheduled =
            json!({"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}});
        assert!(bench.invoke(&scheduled).await.is_empty());
        // Messages of a foreign queue are refused as a whole.
        let record = json!({"messageId": "1", "receiptHandle": "r", "body": "{}",
            "eventSourceARN": "arn:aws:sqs:us-east-1:1:other"});
        let event = json!({ "Records": [record] });
        let foreign = bench.function.invoke(&event, end_ms(TIME));
        assert!(foreign.await.is_err());
    }

    pub async fn an_envelope_of_a_foreign_topic_is_not_executed() {
        let bench = Bench::new("flaky").await;
        let account = std::env::var("AWS_ACCESS_KEY_ID").expect("an account");
        let wrap = |topic: &str, id: &str| {
            let command = json!({"type": "flaky", "action": "work", "correlation_id": id, "payload": {"do": "ok"}});
            json!({"Type": "Notification", "TopicArn": topic, "MessageId": "1", "Message": command.to_string()}).to_string()
        };
        let own = format!("arn:aws:sns:us-east-1:{account}:pudato-flaky-commands");
        let foreign = format!("arn:aws:sns:us-east-1:{account}:other");
        bench
            .sqs
            .send("pudato-flaky-queue", &wrap(&own, "own"))
            .await;
        bench
            .sqs
            .send("pudato-flaky-queue", &wrap(&foreign, "foreign"))
            .await;
        let event = bench.sqs.event("pudato-flaky-queue").await;
        assert!(bench.invoke(&event).await.is_empty());
        assert_eq!(bench.flaky.runs.load(Ordering::SeqCst), 1);
        assert_eq!(bench.published().await, [("own".into(), "success".into())]);
        let dead = bench.sqs.event("pudato-flaky-dlq").await;
        assert!(
            dead.to_string()
                .contains("TopicArn: expected a topic of this system"),
            "{dead}"
        );
        assert_eq!(bench.sqs.depth("pudato-flaky-dlq").await.0, 0);
    }
}
