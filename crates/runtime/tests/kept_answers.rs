//! Answers keep every promise of the suite in the registry's database, SQLite or PostgreSQL, and in a table of DynamoDB.

use async_trait::async_trait;
use pudato_messaging::conformance::{Bench, idempotency};
use pudato_messaging::memory::MemoryFabric;
#[cfg(feature = "aws")]
use pudato_messaging::{Answered, Begin, Key};
use pudato_messaging::{
    Clock, Consumer, Error, IdempotencyStore, ManualClock, Operations, Publisher, Topology,
};
use pudato_registry::{AnswerStore, PostgresRegistry, SqliteRegistry};
use pudato_runtime::KeptAnswers;
use pudato_testing::{Postgres, skipped};
use std::sync::Arc;
use std::time::Duration;

/// The fabric in memory, with other answers.
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

/// In a database of the registry.
fn in_database(store: impl AnswerStore + 'static) -> AnswersBench {
    let store: Arc<dyn AnswerStore> = Arc::new(store);
    bench(|clock| Arc::new(KeptAnswers { store, clock }))
}

/// In a table of its own, with claims for what is too large.
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
        let answers = pudato_messaging::aws::DynamoAnswers::new(&config, name, claims, clock);
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
    assert_eq!(begun.expect("begun"), Begin::New);
    let answer = "x".repeat(900_000);
    let answered = Answered {
        fingerprint: None,
        key: key.clone(),
        owner: "me".into(),
        answer: answer.clone(),
    };
    bench.answers.finish(answered).await.expect("kept");
    let begun = bench.answers.begin(&key, "f", "other", lease).await;
    assert_eq!(begun.expect("found"), Begin::Done { answer });
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

#[tokio::test]
async fn answers_are_forgotten_when_they_are_old_and_not_while_they_run() {
    let mut stores: Vec<Arc<dyn AnswerStore>> =
        vec![Arc::new(SqliteRegistry::in_memory().expect("memory"))];
    match Postgres::shared() {
        Ok(server) => {
            let database = server.database().expect("a database");
            let store = PostgresRegistry::open(&database.url).await;
            stores.push(Arc::new(store.expect("opened")));
        }
        Err(why) => skipped("answers_are_forgotten", &why),
    }
    for store in stores {
        let key = |key| pudato_registry::AnswerKey {
            service: "query",
            key,
        };
        // Answered long ago, answered now, and begun long ago by somebody who still has it.
        for (name, at_ms, until_ms) in [("old", 10, 20), ("new", 1_000, 1_010), ("runs", 10, 5_000)]
        {
            let begun = store
                .begin_answer(key(name), "f", "me", at_ms, until_ms)
                .await;
            assert_eq!(begun.expect("begun"), pudato_registry::Begun::New);
        }
        for (name, at_ms) in [("old", 15), ("new", 1_005)] {
            let answer = pudato_registry::KeptAnswer {
                key: key(name),
                owner: "me",
                fingerprint: None,
                answer: "answer",
            };
            let kept = store.keep_answers(&[answer], at_ms).await;
            assert_eq!(kept.expect("kept"), [true]);
        }
        assert_eq!(store.forget_answers(500).await.expect("forgotten"), 1);
        let standing = store
            .begin_answer(key("old"), "f", "other", 2_000, 2_010)
            .await;
        assert_eq!(standing.expect("gone"), pudato_registry::Begun::New);
        let standing = store
            .begin_answer(key("runs"), "f", "other", 2_000, 2_010)
            .await;
        assert_eq!(
            standing.expect("there"),
            pudato_registry::Begun::Busy(5_000)
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
                    super::idempotency::$promise(&super::in_database(store)).await;
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
                    super::idempotency::$promise(&super::in_database(store)).await;
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

        /// A promise that the suite gains is held here too.
        #[test]
        fn every_promise_of_the_theme_is_held() {
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
}
