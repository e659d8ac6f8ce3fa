//! Results that are exported.

use crate::bench::{Bench, apply};
use pudato_protocol::Status;
use pudato_registry::openlineage::ExportedResult;

fn steps(exported: &[ExportedResult]) -> Vec<&str> {
    exported
        .iter()
        .filter_map(|exported| exported.step_id.as_deref())
        .collect()
}

pub async fn every_result_is_exported_once(bench: &Bench) {
    // Results from before the outbox can be requested, but are not exported by themselves.
    let silent = bench.open().await;
    apply(&*silent, &[bench.result("before", &[], &[])]).await;
    assert!(
        silent
            .take_outbox(10, 0, 1_000)
            .await
            .expect("asked")
            .is_empty()
    );
    let store = bench.open_with(true).await;
    let results: Vec<_> = (0..5)
        .map(|n| bench.result(&format!("s{n}"), &[], &[]))
        .collect();
    apply(&*store, &results).await;
    apply(&*store, &results).await;
    let first = store.take_outbox(3, 0, 1_000).await.expect("asked");
    assert_eq!(steps(&first), ["s0", "s1", "s2"]);
    let rest = store.take_outbox(3, 0, 1_000).await.expect("asked");
    assert_eq!(steps(&rest), ["s3", "s4"]);
    let rows = first.iter().chain(&rest).map(|exported| exported.row);
    store.mark_exported(rows.collect()).await.expect("exported");
    assert!(
        store
            .take_outbox(10, 5_000, 6_000)
            .await
            .expect("asked")
            .is_empty()
    );
    let all = store.exported_after(0, 100).await.expect("asked");
    assert_eq!(steps(&all), ["before", "s0", "s1", "s2", "s3", "s4"]);
    let later = store.exported_after(all[3].row, 1).await.expect("asked");
    assert_eq!(steps(&later), ["s3"]);
}

pub async fn a_taken_result_comes_again_until_it_is_marked_exported(bench: &Bench) {
    let store = bench.open_with(true).await;
    apply(&*store, &[bench.result("s", &[], &[])]).await;
    assert_eq!(
        store.take_outbox(10, 0, 1_000).await.expect("asked").len(),
        1
    );
    assert!(
        store
            .take_outbox(10, 999, 2_000)
            .await
            .expect("asked")
            .is_empty()
    );
    assert_eq!(
        store
            .take_outbox(10, 1_000, 2_000)
            .await
            .expect("asked")
            .len(),
        1
    );
}

pub async fn each_run_of_a_step_is_exported_as_its_own(bench: &Bench) {
    let store = bench.open_with(true).await;
    let mut results: Vec<_> = (0..4).map(|_| bench.result("s", &[], &[])).collect();
    for (result, status) in results.iter_mut().zip([
        Status::Pending,
        Status::Error,
        Status::Pending,
        Status::Success,
    ]) {
        result.status = status;
    }
    apply(&*store, &results).await;
    let exported = store.take_outbox(10, 0, 1_000).await.expect("asked");
    let runs: Vec<_> = exported
        .iter()
        .map(|exported| {
            (
                exported.status.as_str(),
                exported.runs_before,
                exported.status_before.as_deref(),
            )
        })
        .collect();
    let expected = [
        ("running", 0, None),
        ("failed", 0, Some("running")),
        ("running", 1, Some("failed")),
        ("success", 1, Some("running")),
    ];
    assert_eq!(runs, expected);
}
