//! A killed process loses nothing that was acknowledged, and leaves nothing half done.

use super::child::Child;
use super::fabric::{QUEUES, names, open, send, sound};
use pudato_messaging::Operations;
use std::collections::BTreeSet;

/// The number of answers after which the child is killed, in the middle of the next one.
const KILLED_AFTER: [usize; 6] = [1, 2, 5, 9, 17, 40];

/// Lines 75 and 76.
#[tokio::test]
async fn a_killed_publisher_left_what_was_answered_and_each_message_on_all_queues_or_none() {
    for count in KILLED_AFTER {
        let folder = tempfile::tempdir().expect("a folder");
        let child = Child::start("publish", folder.path());
        let mut answered: BTreeSet<_> = (0..count).map(|_| child.hear()).collect();
        answered.extend(child.kill());
        let fabric = open(folder.path()).await;
        sound(&fabric).await;
        let first = names(&fabric, QUEUES[0]).await;
        for queue in QUEUES {
            assert_eq!(names(&fabric, queue).await, first, "{queue}");
        }
        assert!(first.is_superset(&answered), "{answered:?} in {first:?}");
        assert!(first.len() <= answered.len() + 1);
    }
}

/// Line 77.
#[tokio::test]
async fn a_killed_consumer_left_each_command_or_its_result_and_never_both() {
    for count in KILLED_AFTER {
        let folder = tempfile::tempdir().expect("a folder");
        let fabric = open(folder.path()).await;
        let sent: BTreeSet<_> = (0..120).map(|number| number.to_string()).collect();
        for name in &sent {
            send(&fabric, "commands", name).await;
        }
        let child = Child::start("settle", folder.path());
        for _ in 0..count {
            assert_eq!(child.hear(), "settled");
        }
        child.kill();
        // A fabric that is open meanwhile sees the same as one that is opened afterwards.
        for fabric in [fabric, open(folder.path()).await] {
            sound(&fabric).await;
            let commands = names(&fabric, "commands").await;
            let results = names(&fabric, "results").await;
            assert!(results.len() >= count * 2, "{} results", results.len());
            assert!(commands.is_disjoint(&results), "a command and its result");
            let all: BTreeSet<_> = commands.union(&results).cloned().collect();
            assert_eq!(all, sent);
        }
    }
}

/// Line 75: leases, counts and dead letters survive the process that made them.
#[tokio::test]
async fn leases_counts_and_dead_letters_outlive_a_killed_process() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut child = Child::start("obey", folder.path());
    for name in ["given-up", "leased", "waiting"] {
        assert_eq!(child.order(&format!("publish {name}")), "published");
    }
    assert_eq!(child.order("give_up for a reason"), "given up");
    assert_eq!(child.order("receive one"), "leased Some(1)");
    child.kill();
    let fabric = open(folder.path()).await;
    let counts = fabric.counts("commands").await.expect("known");
    assert_eq!(
        (counts.visible, counts.in_flight, counts.delayed),
        (1, 1, 0)
    );
    let stored = fabric.browse("commands", 10).await.expect("known");
    let counts: Vec<_> = stored.iter().map(|stored| stored.receive_count).collect();
    assert_eq!(counts, [1, 0]);
    let dead = fabric.browse("dead", 10).await.expect("known").remove(0);
    let reason = dead.dead_letter.and_then(|dead_letter| dead_letter.reason);
    assert_eq!(reason.as_deref(), Some("for a reason"));
}
