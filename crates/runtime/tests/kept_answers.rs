//! The suite's promises about answers, in the registry's database (SQLite or PostgreSQL) and in a table of DynamoDB.

use async_trait::async_trait;
use pudato_messaging::conformance::{Bench, idempotency};
use pudato_messaging::memory::MemoryFabric;
use pudato_messaging::{
    BeginOutcome, Clock, Consumer, Error, IdempotencyRecord, IdempotencyStore, Key, ManualClock,
    Operations, Publisher, Topology,
};
use pudato_registry::{PostgresRegistry, SqliteRegistry};
use pudato_testing::{Postgres, skipped};
use std::sync::Arc;
use std::time::Duration;

/// The fabric in memory, with another store of answers.
struct AnswersBench {
    fabric: MemoryFabric,
    answers: Arc<dyn IdempotencyStore>,
    clock: ManualClock,
}

fn bench(answers: impl FnOnce(Arc<dyn Clock>) -> Arc<dyn IdempotencyStore>) -> AnswersBench {
    let clock = ManualClock::at(1_795_392_000_000);
    let fabric = MemoryFabric::new(Arc::new(clock.clone()));
    AnswersBench {
        fabric,
        answers: answers(Arc::new(clock.clone())),
        clock,
    }
}

/// A store in a table of its own, with claims for large answers.
#[cfg(feature = "aws")]
async fn in_table(emulator: &pudato_testing::Emulator, name: &str) -> AnswersBench {
    use aws_sdk_dynamodb::config::{
        BehaviorVersion, Credentials, Region, SharedCredentialsProvider,
    };
    use aws_sdk_dynamodb::types::{
        AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
    };
    let credentials = Credentials::new("test", "test", None, None, "test");
    let config = aws_config::SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(emulator.url())
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .http_client(pudato_messaging::aws::http_client())
        .build();
    let key = KeySchemaElement::builder()
        .attribute_name("id")
        .key_type(KeyType::Hash);
    let id = AttributeDefinition::builder()
        .attribute_name("id")
        .attribute_type(ScalarAttributeType::S);
    let created = aws_sdk_dynamodb::Client::new(&config)
        .create_table()
        .table_name(name)
        .key_schema(key.build().expect("complete"))
        .attribute_definitions(id.build().expect("complete"))
        .billing_mode(BillingMode::PayPerRequest)
        .send()
        .await;
    created.expect("a table");
    let claims = Arc::new(Claims::default());
    bench(|clock| {
        let answers =
            pudato_messaging::aws::DynamoIdempotencyStore::new(&config, name, claims, clock);
        Arc::new(answers)
    })
}

#[cfg(feature = "aws")]
#[derive(Default)]
struct Claims(std::sync::Mutex<std::collections::BTreeMap<String, Vec<u8>>>);

#[cfg(feature = "aws")]
#[async_trait]
impl pudato_messaging::ClaimStore for Claims {
    fn container(&self) -> &str {
        "claims"
    }
    async fn put(&self, key: &str, bytes: Vec<u8>) -> Result<(), Error> {
        self.0.lock().expect("no panic").insert(key.into(), bytes);
        Ok(())
    }
    async fn get(&self, key: &str) -> Result<Vec<u8>, Error> {
        Ok(self.0.lock().expect("no panic")[key].clone())
    }
}

/// An item of DynamoDB has 400 KB at most.
#[cfg(feature = "aws")]
#[tokio::test]
async fn a_large_answer_is_given_again_from_a_table_too() {
    let emulator = match pudato_testing::Emulator::shared() {
        Ok(emulator) => emulator,
        Err(why) => return skipped("a_large_answer", &why),
    };
    let bench = in_table(emulator, "large").await;
    let key = Key {
        service: "query".into(),
        key: "a".into(),
    };
    let lease = Duration::from_secs(60);
    let begun = bench.answers.begin(&key, "f", "me", lease).await;
    assert_eq!(begun.expect("begun"), BeginOutcome::New);
    let answer = "x".repeat(900_000);
    let answered = IdempotencyRecord {
        fingerprint: None,
        key: key.clone(),
        owner: "me".into(),
        answer: answer.clone(),
    };
    bench.answers.finish(answered).await.expect("kept");
    let begun = bench.answers.begin(&key, "f", "other", lease).await;
    assert_eq!(begun.expect("found"), BeginOutcome::Done { answer });
}

#[async_trait]
impl Bench for AnswersBench {
    fn publisher(&self) -> Arc<dyn Publisher> {
        Arc::new(self.fabric.clone())
    }

    fn operations(&self) -> Arc<dyn Operations> {
        Arc::new(self.fabric.clone())
    }

    fn idempotency(&self) -> Arc<dyn IdempotencyStore> {
        Arc::clone(&self.answers)
    }

    async fn consumer(&self, queue: &str) -> Result<Arc<dyn Consumer>, Error> {
        Ok(Arc::new(self.fabric.consumer(queue).await?))
    }

    async fn declare(&self, topology: Topology) -> Result<(), Error> {
        self.fabric.declare(topology).await
    }

    fn clock(&self) -> &dyn Clock {
        &self.clock
    }

    async fn pass(&self, time: Duration) {
        self.clock.advance(time);
    }
}

/// The age of a record counts from its answer, if that came after the lease.
#[tokio::test]
async fn answers_are_deleted_when_they_are_old_but_not_while_their_requests_run() {
    let sqlite = SqliteRegistry::in_memory().expect("memory");
    let mut benches = vec![bench(|clock| Arc::new(sqlite.with_clock(clock)))];
    match Postgres::shared() {
        Ok(server) => {
            let database = server.database().expect("a database");
            let store = PostgresRegistry::open(&database.url).await.expect("opened");
            benches.push(bench(|clock| Arc::new(store.with_clock(clock))));
        }
        Err(why) => skipped("answers_are_forgotten", &why),
    }
    for AnswersBench { answers, clock, .. } in benches {
        let key = |name: &str| Key {
            service: "query".into(),
            key: name.into(),
        };
        let begin = async |name: &str, owner: &str, lease| {
            let begun = answers.begin(&key(name), "f", owner, lease).await;
            begun.expect("begun")
        };
        let finish = async |name: &str| {
            let record = IdempotencyRecord {
                key: key(name),
                owner: "me".into(),
                fingerprint: None,
                answer: "answer".into(),
            };
            assert!(answers.finish(record).await.expect("kept"), "{name}");
        };
        let (start_ms, short) = (clock.now_ms(), Duration::from_millis(10));
        // Answered long ago; begun long ago and answered late; begun long ago and still running.
        for (name, lease) in [("old", short), ("late", short), ("runs", 500 * short)] {
            assert_eq!(begin(name, "me", lease).await, BeginOutcome::New);
        }
        finish("old").await;
        clock.advance(100 * short);
        finish("late").await;
        let forgotten = answers.forget(start_ms + 500).await;
        assert_eq!(forgotten.expect("forgotten"), Some(1));
        assert_eq!(begin("old", "other", short).await, BeginOutcome::New);
        let answer = "answer".to_owned();
        assert_eq!(
            begin("late", "other", short).await,
            BeginOutcome::Done { answer }
        );
        let until_ms = start_ms + 5_000;
        assert_eq!(
            begin("runs", "other", short).await,
            BeginOutcome::Busy { until_ms }
        );
    }
}

macro_rules! promises {
    ($($promise:ident),+ $(,)?) => {
        mod sqlite {
            $(
                #[tokio::test]
                async fn $promise() {
                    let store = super::SqliteRegistry::in_memory().expect("memory");
                    let bench = super::bench(|clock| super::Arc::new(store.with_clock(clock)));
                    super::idempotency::$promise(&bench).await;
                }
            )+
        }
        mod postgres {
            $(
                #[tokio::test]
                async fn $promise() {
                    let server = match super::Postgres::shared() {
                        Ok(server) => server,
                        Err(why) => return super::skipped(stringify!($promise), &why),
                    };
                    let database = server.database().expect("a database");
                    let store = super::PostgresRegistry::open(&database.url).await.expect("opened");
                    let bench = super::bench(|clock| super::Arc::new(store.with_clock(clock)));
                    super::idempotency::$promise(&bench).await;
                }
            )+
        }
        #[cfg(feature = "aws")]
        mod dynamodb {
            $(
                #[tokio::test]
                async fn $promise() {
                    let emulator = match pudato_testing::Emulator::shared() {
                        Ok(emulator) => emulator,
                        Err(why) => return super::skipped(stringify!($promise), &why),
                    };
                    let bench = super::in_table(emulator, stringify!($promise)).await;
                    super::idempotency::$promise(&bench).await;
                }
            )+
        }

        /// A promise that is added to the suite must be tested here too.
        #[test]
        fn every_promise_of_the_suite_about_idempotency_is_tested_here() {
            let theme = pudato_messaging::conformance::PROMISES.iter().filter(|(theme, _)| *theme == "idempotency");
            let names: Vec<&str> = theme.map(|(_, name)| *name).collect();
            assert_eq!(names, [$(stringify!($promise)),+]);
        }
    };
}

promises! {
    a_request_that_runs_is_busy_for_others_and_not_for_its_owner,
    a_request_that_was_answered_is_answered_the_same_again,
    a_request_whose_owner_is_gone_is_the_next_ones_after_the_lease,
    an_owner_that_lost_its_request_keeps_and_frees_nothing,
    an_abandoned_request_may_run_again_at_once,
    an_answered_request_cannot_be_abandoned,
    the_same_key_with_another_payload_is_a_mismatch,
    keys_of_different_services_never_meet,
    one_of_many_concurrent_begins_runs,
    a_request_may_be_leased_for_ever,
    a_request_that_was_not_begun_is_answered_once,
    a_request_that_runs_is_not_answered_by_another,
    many_answers_are_kept_together,
    requests_that_run_are_renewed_together,
    old_requests_are_forgotten_and_not_those_that_run,
}
