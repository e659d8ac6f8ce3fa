//! The fabric in memory keeps every promise of the suite.

use async_trait::async_trait;
use pudato_messaging::conformance::Bench;
use pudato_messaging::memory::MemoryFabric;
use pudato_messaging::{
    Clock, Consumer, Error, IdempotencyStore, ManualClock, Operations, Publisher, Topology,
};
use std::sync::Arc;
use std::time::Duration;

struct MemoryBench {
    fabric: MemoryFabric,
    clock: ManualClock,
}

async fn bench() -> MemoryBench {
    let clock = ManualClock::at(1_795_392_000_000);
    let fabric = MemoryFabric::new(Arc::new(clock.clone()));
    MemoryBench { fabric, clock }
}

#[async_trait]
impl Bench for MemoryBench {
    fn publisher(&self) -> Arc<dyn Publisher> {
        Arc::new(self.fabric.clone())
    }

    fn operations(&self) -> Arc<dyn Operations> {
        Arc::new(self.fabric.clone())
    }

    fn idempotency(&self) -> Arc<dyn IdempotencyStore> {
        Arc::new(self.fabric.clone())
    }

    async fn consumer(&self, queue: &str) -> Result<Arc<dyn Consumer>, Error> {
        let consumer = self.fabric.consumer(queue).await?;
        Ok(Arc::new(consumer))
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

pudato_messaging::conformance_tests!(bench);

#[tokio::test]
async fn messages_that_no_queue_hears_are_counted() {
    let bench = bench().await;
    let topology = Topology {
        topics: vec!["news".into()],
        ..Topology::default()
    };
    bench.fabric.declare(topology).await.expect("declared");
    let message = pudato_messaging::Message {
        body: "{}".into(),
        attributes: std::collections::BTreeMap::new(),
    };
    let sent = bench.fabric.publish("news", vec![message]).await;
    assert!(sent.expect("accepted").iter().all(Result::is_ok));
    assert_eq!(bench.fabric.undelivered("news").await.expect("known"), 1);
}
