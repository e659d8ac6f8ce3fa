//! The write-ahead log of the embedded fabric.

use pudato_messaging::local::LocalFabric;
use pudato_messaging::{Message, Publisher, QueueConfig, Subscription, SystemClock, Topology};
use std::sync::Arc;

/// More than the log may keep without readers (`WAL_PAGES_MAX` in `local/schema.rs`: 64 MiB).
const MESSAGES: usize = 900;
const BYTES: usize = 100_000;
const KEPT_MAX: u64 = 64 << 20;

#[tokio::test]
async fn a_log_that_grew_under_a_long_read_is_made_small_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let fabric = LocalFabric::open(folder.path(), Arc::new(SystemClock)).expect("opens");
    let topology = Topology {
        topics: vec!["work".into()],
        queues: vec![QueueConfig::new("work")],
        subscriptions: vec![Subscription::new("work", "work")],
    };
    fabric.declare(topology).await.expect("declared");
    let publish = async |count: usize, bytes: usize| {
        for _ in 0..count {
            let body = format!("\"{}\"", "x".repeat(bytes));
            let message = Message {
                body,
                attributes: Default::default(),
            };
            let sent = fabric.publish("work", vec![message]).await;
            assert!(sent.expect("accepted").iter().all(Result::is_ok));
        }
    };
    let log = || {
        let path = folder.path().join("fabric.db-wal");
        std::fs::metadata(path).expect("a log").len()
    };
    let reader = rusqlite::Connection::open(folder.path().join("fabric.db")).expect("opens");
    let count = "SELECT COUNT(*) FROM message";
    reader.execute_batch("BEGIN").expect("begun");
    reader
        .query_row(count, [], |row| row.get::<_, i64>(0))
        .expect("read");
    publish(MESSAGES, BYTES).await;
    assert!(log() > KEPT_MAX, "the log grew: {}", log());
    drop(reader);
    publish(20, 10).await;
    assert!(log() <= KEPT_MAX, "the log is small: {}", log());
}
