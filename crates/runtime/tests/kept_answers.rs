//! Answers in the registry's database keep every promise of the suite, on SQLite and on PostgreSQL.

use async_trait::async_trait;
use pudato_messaging::conformance::{Bench, idempotency};
use pudato_messaging::memory::MemoryFabric;
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
    store: Arc<dyn AnswerStore>,
    clock: ManualClock,
}

fn bench(store: Arc<dyn AnswerStore>) -> AnswersBench {
    let clock = ManualClock::at(1_795_392_000_000);
    let fabric = MemoryFabric::new(Arc::new(clock.clone()));
    AnswersBench {
        fabric,
        store,
        clock,
    }
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
        Arc::new(KeptAnswers {
            store: Arc::clone(&self.store),
            clock: Arc::new(self.clock.clone()),
        })
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

macro_rules! promises {
    ($($promise:ident),+ $(,)?) => {
        mod sqlite {
            $(
                #[tokio::test]
                async fn $promise() {
                    let store = super::SqliteRegistry::in_memory().expect("memory");
                    super::idempotency::$promise(&super::bench(super::Arc::new(store))).await;
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
                    super::idempotency::$promise(&super::bench(super::Arc::new(store))).await;
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
}
