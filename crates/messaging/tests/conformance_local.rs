//! The embedded fabric keeps every promise of the suite.

use async_trait::async_trait;
use pudato_messaging::conformance::Bench;
use pudato_messaging::local::LocalFabric;
use pudato_messaging::{
    Clock, Consumer, Error, IdempotencyStore, ManualClock, Operations, Publisher, Topology,
};
use std::sync::Arc;
use std::time::Duration;

struct LocalBench {
    fabric: LocalFabric,
    clock: ManualClock,
    // The folder is removed with the bench.
    _folder: tempfile::TempDir,
}

async fn bench() -> LocalBench {
    let clock = ManualClock::at(1_795_392_000_000);
    let folder = tempfile::tempdir().expect("a folder");
    let fabric = LocalFabric::open(folder.path(), Arc::new(clock.clone())).expect("opens");
    LocalBench {
        fabric,
        clock,
        _folder: folder,
    }
}

#[async_trait]
impl Bench for LocalBench {
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
