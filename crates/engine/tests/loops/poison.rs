//! A backend that is down stops all messages. A single message that only claims so does not stop the others for long.

use crate::worker::bench;
use pudato_messaging::Operations;
use pudato_protocol::{Result as Reply, Status};
use std::sync::atomic::Ordering;

/// The commands that were done. They must not have spent attempts because of other messages.
fn done(results: &[Reply]) -> usize {
    let done = results.iter().filter(|one| one.status == Status::Success);
    let attempts = done.map(|one| &one.executions[0].details["attempt"]);
    attempts.inspect(|attempt| assert_eq!(**attempt, 1)).count()
}

#[tokio::test]
async fn one_message_whose_backend_never_answers_blocks_no_other_and_is_dead_lettered_with_its_reason()
 {
    let bench = bench(Vec::new()).await;
    bench.send_poison().await;
    // Three attempts of some minutes each, and the waits between them.
    for sent in 0..180 {
        bench.send().await;
        bench.pass(10).await;
        let done = done(&bench.results().await);
        assert!(
            sent < done + 12,
            "the other commands are blocked: {done} of {sent} are done"
        );
    }
    bench.pass(60).await;
    let results = bench.results().await;
    assert_eq!(done(&results), 180);
    let dead = bench.fabric.browse("dead", 9).await.expect("declared");
    assert_eq!(dead.len(), 1);
    let dead = dead[0].dead_letter.as_ref().expect("a dead letter");
    let reason = dead.reason.as_deref().expect("a reason");
    let expected = "gave up after 3 attempts: the backend is down; it failed for minutes while other commands of this service succeeded";
    assert_eq!(reason, expected);
    let told = results.iter().find(|one| one.status == Status::Error);
    assert_eq!(told.expect("its sender is notified").errors, [expected]);
}

#[tokio::test]
async fn a_backend_that_is_down_for_an_hour_for_all_commands_spends_no_attempts() {
    let bench = bench(Vec::new()).await;
    bench.send().await;
    bench.is_down.store(true, Ordering::SeqCst);
    for _ in 0..5 {
        bench.send().await;
    }
    bench.pass(3_600).await;
    assert_eq!(bench.results().await.len(), 1);
    bench.is_down.store(false, Ordering::SeqCst);
    bench.pass(120).await;
    assert_eq!(done(&bench.results().await), 6);
    assert_eq!(bench.counts("dead").await.visible, 0);
}
