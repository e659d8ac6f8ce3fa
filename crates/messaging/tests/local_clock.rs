//! Line 80 of the behaviours: the machine's clock is changed. Nothing is lost, and no lease has two holders; at worst a message is
//! delivered early.

use pudato_messaging::local::{LocalConsumer, LocalFabric};
use pudato_messaging::{
    Clock, Consumer, Deleted, Delivery, ManualClock, Message, Operations, Publisher, QueueConfig,
    Receive, Subscription, Topology,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

const HOUR_MS: u64 = 3_600_000;

struct Bench {
    fabric: LocalFabric,
    clock: ManualClock,
    work: LocalConsumer,
    folder: tempfile::TempDir,
}

async fn bench() -> Bench {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = ManualClock::at(1_795_392_000_000);
    let fabric = LocalFabric::open(folder.path(), Arc::new(clock.clone())).expect("opens");
    let topology = Topology {
        topics: vec!["work".into()],
        queues: vec![QueueConfig::new("work")],
        subscriptions: vec![Subscription::new("work", "work")],
    };
    fabric.declare(topology).await.expect("declared");
    let work = fabric.consumer("work").await.expect("declared");
    Bench {
        fabric,
        clock,
        work,
        folder,
    }
}

impl Bench {
    async fn send(&self, body: &str) {
        let message = Message {
            body: body.into(),
            attributes: BTreeMap::new(),
        };
        let sent = self.fabric.publish("work", vec![message]).await;
        assert!(sent.expect("accepted").iter().all(Result::is_ok));
    }

    async fn take(&self, max: usize) -> Vec<Delivery> {
        let wait = Duration::ZERO;
        let received = self.work.receive(Receive { max, wait }).await;
        received.expect("received")
    }

    async fn delete(&self, delivery: Delivery) -> Deleted {
        let mut entries = self.work.delete(vec![delivery.lease]).await;
        entries.remove(0).expect("accepted")
    }

    /// Handles all messages while time passes, and returns them.
    async fn drain(&self) -> BTreeSet<Vec<u8>> {
        let mut handled = BTreeSet::new();
        for _ in 0..150 {
            for delivery in self.take(10).await {
                handled.insert(delivery.body.clone());
                self.delete(delivery).await;
            }
            self.clock.advance(Duration::from_secs(60));
        }
        let left = self.fabric.browse("work", 10).await.expect("known");
        assert!(left.is_empty(), "{left:?}");
        handled
    }
}

/// One waiting, one leased and one scheduled message.
async fn busy() -> (Bench, Delivery) {
    let bench = bench().await;
    bench.send("leased").await;
    let leased = bench.take(1).await.remove(0);
    bench.send("waiting").await;
    let later = Message {
        body: "scheduled".into(),
        attributes: BTreeMap::new(),
    };
    let scheduled = bench
        .work
        .schedule(vec![(Duration::from_secs(600), later)])
        .await;
    assert!(scheduled.expect("accepted").iter().all(Result::is_ok));
    (bench, leased)
}

#[tokio::test]
async fn a_clock_set_forward_or_back_loses_nothing() {
    for forward in [true, false] {
        let (bench, _) = busy().await;
        let now_ms = bench.clock.now_ms();
        let jumped_ms = if forward {
            now_ms + HOUR_MS
        } else {
            now_ms - HOUR_MS
        };
        bench.clock.set(jumped_ms);
        bench.send("after").await;
        let handled = bench.drain().await;
        let expected: [&[u8]; 4] = [b"after", b"leased", b"scheduled", b"waiting"];
        assert_eq!(
            handled,
            expected.map(<[u8]>::to_vec).into(),
            "forward: {forward}"
        );
    }
}

#[tokio::test]
async fn a_clock_set_forward_gives_a_message_early_and_fences_its_old_lease() {
    let (bench, old) = busy().await;
    bench.clock.set(bench.clock.now_ms() + HOUR_MS);
    let again = bench.take(10).await;
    assert_eq!(again.len(), 3, "early, which is what the jump costs");
    assert_eq!(bench.delete(old).await, Deleted::LeaseLost);
    for delivery in again {
        assert_eq!(bench.delete(delivery).await, Deleted::Deleted);
    }
}

#[tokio::test]
async fn a_clock_set_back_keeps_leases_whole_and_new_messages_flowing() {
    let (bench, leased) = busy().await;
    let before_ms = bench.clock.now_ms();
    bench.clock.set(before_ms - HOUR_MS);
    let taken: Vec<_> = bench.take(10).await.into_iter().map(|d| d.body).collect();
    assert_eq!(
        taken,
        [b"waiting"],
        "nobody gets what is leased or scheduled"
    );
    assert_eq!(bench.delete(leased).await, Deleted::Deleted);
}

#[tokio::test]
async fn what_waits_is_not_hidden_by_a_clock_set_back_nor_by_a_new_process() {
    let (bench, _) = busy().await;
    bench.clock.set(bench.clock.now_ms() - HOUR_MS);
    let fresh = LocalFabric::open(bench.folder.path(), Arc::new(bench.clock.clone()));
    let fresh = fresh
        .expect("opens")
        .consumer("work")
        .await
        .expect("declared");
    let wait = Duration::ZERO;
    let received = fresh
        .receive(Receive { max: 10, wait })
        .await
        .expect("received");
    assert_eq!(received[0].body, b"waiting");
    bench.send("after").await;
    assert_eq!(bench.take(10).await.remove(0).body, b"after");
}

#[tokio::test]
async fn a_receive_that_waits_hears_of_new_messages_on_a_clock_set_back() {
    let bench = bench().await;
    let wait = Duration::from_secs(20);
    let receiving = bench.work.receive(Receive { max: 1, wait });
    tokio::pin!(receiving);
    tokio::select! {
        biased;
        received = &mut receiving => panic!("there is nothing yet: {received:?}"),
        () = tokio::task::yield_now() => {}
    }
    bench.clock.set(bench.clock.now_ms() - HOUR_MS);
    bench.send("after").await;
    let received = tokio::time::timeout(Duration::from_secs(600), receiving).await;
    assert_eq!(received.expect("woken").expect("received").len(), 1);
}
