//! Several processes on one folder.

use super::child::{Child, HANGS};
use super::fabric::{message, names, open, sound};
use pudato_messaging::local::LocalFabric;
use pudato_messaging::{Clock, Consumer, ManualClock, Publisher, Receive, SystemClock};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Line 79. The children keep what they receive, so only the leases separate them.
#[tokio::test]
async fn two_processes_never_hold_the_same_message_and_never_hear_that_the_file_is_busy() {
    const COUNT: usize = 100;
    let folder = tempfile::tempdir().expect("a folder");
    let children = [(); 2].map(|()| Child::start("receive", folder.path()));
    let fabric = open(folder.path()).await;
    for number in 0..COUNT / 2 {
        let pair = [2 * number, 2 * number + 1].map(|it| message(&it.to_string()));
        let entries = fabric.publish("commands", pair.into()).await;
        assert!(entries.expect("accepted").iter().all(Result::is_ok));
    }
    let mut heard = BTreeMap::new();
    let waiting = std::time::Instant::now();
    let mut received = Vec::new();
    while received.len() < COUNT && waiting.elapsed() < HANGS {
        received.extend(children.iter().flat_map(Child::heard));
    }
    received.extend(children.into_iter().flat_map(Child::kill));
    for name in received {
        *heard.entry(name).or_insert(0) += 1;
    }
    let expected = (0..COUNT).map(|number| (number.to_string(), 1));
    assert_eq!(heard, expected.collect());
    sound(&fabric).await;
}

/// The first process creates the tables, and the others find them.
#[tokio::test]
async fn processes_that_start_together_on_an_empty_folder_share_one_fabric() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut children = [(); 4].map(|()| Child::launch("obey", folder.path()));
    for child in &children {
        assert_eq!(child.hear(), "ready");
    }
    for (number, child) in children.iter_mut().enumerate() {
        assert_eq!(child.order(&format!("publish {number}")), "published");
    }
    let fabric = open(folder.path()).await;
    assert_eq!(names(&fabric, "commands").await.len(), 4);
}

/// On a clock that stands still, a receive never looks again by itself, so only the other process can have woken it.
#[tokio::test]
async fn a_publish_in_another_process_wakes_a_receive_that_waits() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut child = Child::start("obey", folder.path());
    // Ahead of the child's clock, so that its messages are due at once.
    let clock = ManualClock::at(SystemClock.now_ms() + 600_000);
    let fabric = LocalFabric::open(folder.path(), Arc::new(clock)).expect("opens");
    let consumer = fabric.consumer("commands").await.expect("declared");
    let wait = Duration::from_secs(20);
    let receiving = consumer.receive(Receive { max: 1, wait });
    tokio::pin!(receiving);
    tokio::select! {
        biased;
        received = &mut receiving => panic!("there is nothing yet: {received:?}"),
        () = tokio::task::yield_now() => {}
    }
    assert_eq!(child.order("publish news"), "published");
    let received = tokio::time::timeout(HANGS, receiving).await;
    let received = received.expect("woken").expect("received");
    assert_eq!(received.len(), 1);
}
