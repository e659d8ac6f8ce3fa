//! Faults of networks and clouds between pudato and an emulator: nothing is lost, and nothing is in the registry twice.

use crate::on_aws::OnAws;
use pudato_testing::{Call, Fault};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const COMMANDS: usize = 5_000;
const INSERTS: usize = 300;
/// Long enough for a retried call to succeed, short enough that lost messages are redelivered soon.
const VISIBILITY: &str = "10";

/// A number below `n`, spread well enough (the finalizer of SplitMix64).
fn chance(n: u64) -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let mut x = NEXT.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (x ^ (x >> 31)) % n
}

/// Publishes, handles and records the commands while calls fail as `fault` says and `during` runs.
fn survive(
    test: &str,
    fault: impl Fn(&Call) -> Fault + Send + Sync + 'static,
    during: impl FnOnce(&OnAws),
) {
    let Some(aws) = OnAws::new(test, VISIBILITY) else {
        return;
    };
    let _serving = [aws.worker(), aws.consumer()];
    aws.proxy.decide(fault);
    let publishing = aws.publish(0, COMMANDS, Duration::ZERO);
    during(&aws);
    let accepted = publishing.accepted();
    assert!(
        accepted.len() >= COMMANDS * 9 / 10,
        "{} accepted",
        accepted.len()
    );
    aws.check(&accepted);
}

/// Whether the work is under way. The results consumer creates the database, so at first there is none.
fn has_results(aws: &OnAws) -> bool {
    let sql = "SELECT COUNT(*) FROM result";
    let count = |registry: rusqlite::Connection| registry.query_row(sql, [], |row| row.get(0));
    aws.installation.data().join("registry.db").exists()
        && count(aws.installation.open("registry.db")).is_ok_and(|count: i64| count > 0)
}

#[test]
fn calls_that_are_throttled_fail_or_are_cut_off_lose_nothing() {
    // Each of the three faults for ten percent of the calls.
    let fault = |_: &Call| match chance(10) {
        0 => Fault::Throttled,
        1 => Fault::Broken,
        2 => Fault::Reset,
        _ => Fault::None,
    };
    survive("calls_that_are_throttled", fault, |_| {});
}

#[test]
fn an_entry_of_a_batch_that_fails_alone_loses_nothing() {
    let fault = |_: &Call| match chance(10) {
        0 => Fault::OneEntry,
        _ => Fault::None,
    };
    survive("an_entry_of_a_batch_that_fails", fault, |_| {});
}

#[test]
fn an_answer_that_does_not_arrive_loses_nothing_and_repeats_nothing() {
    let fault = |_: &Call| match chance(20) {
        0 => Fault::LostAnswer,
        _ => Fault::None,
    };
    survive("an_answer_that_does_not_arrive", fault, |_| {});
}

/// An effect that two runs would duplicate: every command is published twice, and answers get lost.
#[test]
fn an_insert_takes_effect_once_whatever_is_lost_on_the_way() {
    let Some(aws) = OnAws::new("an_insert_is_made_once", VISIBILITY) else {
        return;
    };
    let pudato = &aws.installation;
    let _serving = [
        pudato.serve(&["runner", "--handler", "query"]),
        aws.consumer(),
    ];
    let query = |sql: &str| {
        let sql = format!("sql={sql}");
        let answer = pudato.ok(&["call", "query", "execute_sql", &sql, "--json"]);
        serde_json::from_str::<serde_json::Value>(&answer).expect("JSON")
    };
    query("CREATE TABLE t (n INTEGER)");
    aws.proxy.decide(|_| match chance(20) {
        0 => Fault::LostAnswer,
        1 => Fault::Throttled,
        2 => Fault::Reset,
        _ => Fault::None,
    });
    let lines = (0..2 * INSERTS).map(|n| {
        let n = n / 2;
        format!(
            "{{\"type\":\"query\",\"action\":\"execute_sql\",\"correlation_id\":\"request-{n}\",\
             \"step_id\":\"step-{n}\",\"timestamp\":\"2026-01-01T00:00:00Z\",\
             \"payload\":{{\"sql\":\"INSERT INTO t VALUES ({n})\"}}}}\n"
        )
    });
    let accepted = aws.publish_lines(lines, Duration::ZERO).accepted();
    assert!(accepted.len() >= INSERTS * 9 / 10);
    let results = "SELECT COUNT(DISTINCT correlation_id) FROM result WHERE correlation_id LIKE 'request-%' AND body NOT LIKE '{\"status\":\"pending\"%'";
    aws.wait("every Result", || {
        let done = pudato.count("registry.db", results);
        usize::try_from(done).is_ok_and(|done| done >= accepted.len())
    });
    aws.proxy.decide(|_| Fault::None);
    aws.wait("an empty queue", || aws.depth("pudato-query-queue") == 0);
    let counted = query("SELECT count(*), count(DISTINCT n) FROM t");
    let rows = &counted["data"]["rows"][0];
    assert_eq!(rows[0], rows[1], "every row once: {counted}");
    assert!(
        rows[0]
            .as_u64()
            .is_some_and(|rows| rows >= accepted.len() as u64)
    );
    let failed = "SELECT COALESCE(MAX(body), '') FROM result WHERE body NOT LIKE '{\"status\":\"success\"%' AND body NOT LIKE '{\"status\":\"pending\"%'";
    let registry = pudato.open("registry.db");
    let failed: String = registry
        .query_row(failed, [], |row| row.get(0))
        .expect("read");
    assert_eq!(failed, "", "every one succeeded");
    assert_eq!(aws.depth("pudato-query-dlq"), 0);
}

#[test]
fn a_lease_that_ends_under_a_slow_handler_repeats_nothing() {
    let fault = |call: &Call| {
        if call.name.starts_with("SQS ChangeMessageVisibility") {
            return Fault::Broken;
        }
        // Longer than the lease.
        let is_slow = call.name == "S3 PUT" && call.path.contains("objects") && chance(300) == 0;
        match is_slow {
            true => Fault::Late(Duration::from_secs(13)),
            false => Fault::None,
        }
    };
    survive("a_lease_that_ends", fault, |_| {});
}

#[test]
fn an_emulator_that_stops_and_starts_again_loses_nothing() {
    // The emulator claims to keep its state when it is stopped.
    survive(
        "an_emulator_that_stops",
        |_| Fault::None,
        |aws| {
            aws.wait("the first Results", || has_results(aws));
            aws.emulator.stop();
            std::thread::sleep(Duration::from_secs(3));
            aws.emulator.run().expect("it starts again");
        },
    );
}

/// SNS itself drops a message that it accepts while a topic is being deleted, or between the creation of a topic and its first
/// subscription (docs/design/sns-sqs.md). So no publish is on its way at these two moments.
#[test]
fn a_results_topic_that_is_gone_for_a_minute_loses_nothing() {
    let none = |_: &Call| Fault::None;
    survive("a_results_topic_that_is_gone", none, |aws| {
        aws.wait("the first Results", || has_results(aws));
        let topic = "arn:aws:sns:us-east-1:000000000000:pudato-results";
        aws.proxy.while_held("SNS Publish", || {
            aws.aws(&["sns", "delete-topic", "--topic-arn", topic]);
        });
        std::thread::sleep(Duration::from_secs(60));
        aws.proxy.while_held("SNS Publish", || {
            aws.installation.ok(&["topology", "apply"]);
        });
    });
}

/// A handler's role has `sns:Publish` and nothing else of SNS (docs/design/lambda.md).
#[test]
fn a_role_that_may_publish_but_not_read_a_topics_limits_can_publish() {
    let Some(aws) = OnAws::new("who_may_publish_and_not_ask", VISIBILITY) else {
        return;
    };
    aws.proxy.decide(|call| match call.name.as_str() {
        "SNS GetTopicAttributes" => Fault::Denied,
        _ => Fault::None,
    });
    let _serving = [aws.worker(), aws.consumer()];
    let accepted = aws.publish(0, 3, Duration::ZERO).accepted();
    assert_eq!(accepted.len(), 3);
    aws.check(&accepted);
}

#[test]
fn a_receive_that_hangs_is_noticed_within_90_seconds() {
    let Some(aws) = OnAws::new("a_receive_that_hangs", VISIBILITY) else {
        return;
    };
    static HUNG: AtomicU64 = AtomicU64::new(0);
    aws.proxy.decide(|call| {
        let is_first = || HUNG.fetch_add(1, Ordering::Relaxed) < 3;
        match call.name == "SQS ReceiveMessage" && is_first() {
            true => Fault::Late(Duration::from_secs(600)),
            false => Fault::None,
        }
    });
    // Worker, Results and Events: their first receives hang.
    let _serving = [aws.worker(), aws.consumer()];
    let started = std::time::Instant::now();
    let accepted = aws.publish(0, 1, Duration::ZERO).accepted();
    aws.check(&accepted);
    assert!(started.elapsed() < Duration::from_secs(90));
    let log = aws.installation.logged();
    assert!(
        log.contains("receiving failed; the loop tries again"),
        "{log}"
    );
}

#[test]
fn a_worker_that_stops_finishes_or_releases_its_messages() {
    let Some(aws) = OnAws::new("a_worker_that_is_told_to_stop", VISIBILITY) else {
        return;
    };
    let (mut worker, mut consumer) = (aws.worker(), aws.consumer());
    let publishing = aws.publish(0, COMMANDS, Duration::ZERO);
    for _ in 0..4 {
        std::thread::sleep(Duration::from_millis(1_500));
        for serving in [&mut worker, &mut consumer] {
            serving.signal("-TERM");
            assert_eq!(serving.ended(), Some(0));
        }
        worker = aws.worker();
        consumer = aws.consumer();
    }
    aws.check(&publishing.accepted());
}
