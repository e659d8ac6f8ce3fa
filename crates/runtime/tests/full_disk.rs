//! A disk that is full only for the registry: nothing is lost, nothing is written twice, and the consumer recovers by itself.

use async_trait::async_trait;
use pudato_messaging::claims::ClaimStore;
use pudato_messaging::memory::MemoryFabric;
use pudato_messaging::{
    Counts, Error, Message, Operations, Publisher, QueueConfig, Subscription, SystemClock, Topology,
};
use pudato_protocol::{Object, Result as Reply, encode};
use pudato_registry::{RegistryStore, SqliteRegistry};
use pudato_runtime::{CancellationToken, Jitter, Kind, ResultsConsumer};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

const CHILD: &str = "PUDATO_TEST_FULL_DISK";
const RESULTS: usize = 300;

struct NoClaims;

#[async_trait]
impl ClaimStore for NoClaims {
    fn container(&self) -> &str {
        "none"
    }

    async fn put(&self, _: &str, _: Vec<u8>) -> Result<(), Error> {
        unreachable!("nothing is so large")
    }

    async fn get(&self, _: &str) -> Result<Vec<u8>, Error> {
        unreachable!("nothing is so large")
    }
}

/// The test runs in a process of its own, with a limit on the size of files that stands for the end of the disk. The limit applies to
/// everything that a process writes.
#[test]
fn a_full_disk_of_the_registry_loses_nothing_and_writes_nothing_twice() {
    if let Some(folder) = std::env::var_os(CHILD) {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        return runtime.block_on(child(Path::new(&folder)));
    }
    let folder = tempfile::tempdir().expect("a folder");
    let own = std::env::current_exe().expect("this program");
    let child = Command::new("sh")
        .args(["-c", "trap '' XFSZ; exec \"$0\" --nocapture"])
        .arg(own)
        .env(CHILD, folder.path())
        .output()
        .expect("sh runs");
    let said = String::from_utf8_lossy(&child.stderr);
    let out = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success(), "{said}{out}");
    let waits = "the registry is unavailable; nothing is deleted";
    assert!(out.contains(waits), "it says what it waits for: {out}");
}

fn limit(limit: &str) {
    let pid = std::process::id().to_string();
    let set = Command::new("prlimit")
        .args(["--pid", &pid, &format!("--fsize={limit}:unlimited")])
        .status();
    assert!(set.expect("prlimit runs").success());
}

async fn child(folder: &Path) {
    tracing_subscriber::fmt().init();
    let path = folder.join("registry.db");
    let registry = SqliteRegistry::open(&path).expect("opened");
    let fabric = MemoryFabric::new(Arc::new(SystemClock));
    let topology = Topology {
        topics: vec!["results".into()],
        queues: vec![QueueConfig::new("results")],
        subscriptions: vec![Subscription::new("results", "results")],
    };
    fabric.declare(topology).await.expect("declared");
    limit("1000000");
    for n in 0..RESULTS {
        let mut data = Object::new();
        data.insert("text".into(), "x".repeat(10_000).into());
        let mut result = Reply::success(format!("request-{n}"), data);
        result.step_id = Some(format!("step-{n}"));
        let message = Message {
            body: encode(&result),
            attributes: BTreeMap::new(),
        };
        for sent in fabric
            .publish("results", vec![message])
            .await
            .expect("sent")
        {
            sent.expect("sent");
        }
    }
    let drain = CancellationToken::new();
    let consumer = ResultsConsumer {
        envelopes: Default::default(),
        consumer: Arc::new(fabric.consumer("results").await.expect("a consumer")),
        registry: Arc::new(registry.clone()),
        claims: Arc::new(NoClaims),
        clock: Arc::new(SystemClock),
        jitter: Arc::new(Jitter::new()),
        kind: Kind::Results,
        visibility: Duration::from_secs(30),
        left_alone: None,
        board: Default::default(),
    };
    let told = drain.clone();
    let running = tokio::spawn(async move { consumer.run(told).await });
    let recorded = async || {
        let mut count = 0;
        for n in 0..RESULTS {
            let found = registry.results_of(&format!("request-{n}")).await;
            count += found.expect("it can be read").len();
        }
        count
    };
    // The consumer has met the end of the disk, and waits.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(recorded().await < RESULTS, "the limit was not met");
    limit("unlimited");
    for _ in 0..6_000 {
        if recorded().await == RESULTS {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(recorded().await, RESULTS);
    assert!(registry.check().await.expect("checked").is_empty());
    drain.cancel();
    running.await.expect("no panic").expect("drained");
    // Each Result was deleted after it was written, and none was given up.
    let left = fabric.counts("results").await.expect("known");
    assert_eq!(left, Counts::default());
}
