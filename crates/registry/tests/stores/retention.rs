//! Old data is removed, except for what must be kept.

use crate::bench::{Bench, apply, edges, walk};
use pudato_protocol::{Event, Object, Status, Timestamp, encode};
use pudato_registry::{IncomingEvent, Prune, Pruned, RegistryStore, Walk};
use std::sync::Arc;

/// Prunes everything, a few Results at a time.
async fn prune(store: &dyn RegistryStore, before: &Timestamp, dry_run: bool) -> Pruned {
    let mut all = Pruned::default();
    let mut after = None;
    loop {
        let prune = Prune {
            before: before.clone(),
            after,
            limit: 3,
            dry_run,
        };
        let some = store.prune(prune).await.expect("pruned");
        all.results += some.results;
        all.edges += some.edges;
        all.steps += some.steps;
        all.jobs += some.jobs;
        match some.next {
            None => return all,
            next => after = next,
        }
    }
}

fn later() -> Timestamp {
    Timestamp::parse("2030-01-01T00:00:00Z").expect("a time")
}

pub async fn the_last_write_of_a_dataset_is_never_pruned(bench: &Bench) {
    let store = bench.open().await;
    for n in 0..5 {
        let ingest = bench.result(&format!("ingest-{n}"), &["s3://x/source"], &["s3://x/raw"]);
        let clean = bench.result(&format!("clean-{n}"), &["s3://x/raw"], &["s3://x/clean"]);
        apply(&*store, &[ingest, clean]).await;
    }
    let mut without_step = bench.result("none", &[], &[]);
    without_step.step_id = None;
    apply(&*store, &[without_step]).await;
    let before = walk(&*store, "s3://x/clean", Walk::Upstream, |_| {}).await;
    let pruned = prune(&*store, &later(), false).await;
    assert_eq!(pruned.results, 9);
    assert_eq!((pruned.edges, pruned.steps, pruned.jobs), (16, 8, 8));
    let after = walk(&*store, "s3://x/clean", Walk::Upstream, |_| {}).await;
    assert_eq!(edges(&after), edges(&before));
    assert!(store.get_step("clean-3").await.expect("asked").is_none());
    assert!(store.get_job("job-clean-3").await.expect("asked").is_none());
    assert!(store.get_step("clean-4").await.expect("asked").is_some());
    // A second run has nothing to remove.
    assert_eq!(prune(&*store, &later(), false).await, Pruned::default());
}

pub async fn a_dry_run_removes_nothing(bench: &Bench) {
    let store = bench.open().await;
    for n in 0..4 {
        apply(
            &*store,
            &[bench.result(&format!("s-{n}"), &[], &["s3://x/t"])],
        )
        .await;
    }
    let counted = prune(&*store, &later(), true).await;
    assert_eq!((counted.results, counted.steps), (3, 3));
    assert!(store.get_step("s-0").await.expect("asked").is_some());
    assert_eq!(prune(&*store, &later(), false).await, counted);
    // Nothing is this old.
    let early = Timestamp::parse("2020-01-01T00:00:00Z").expect("a time");
    assert_eq!(prune(&*store, &early, false).await, Pruned::default());
}

pub async fn unfinished_and_unexported_results_are_kept(bench: &Bench) {
    let store = bench.open_with(true).await;
    apply(&*store, &[bench.result("untold", &[], &[])]).await;
    let mut running = bench.result("running", &[], &[]);
    running.status = Status::Pending;
    apply(&*store, &[running]).await;
    assert_eq!(prune(&*store, &later(), false).await.results, 0);
    let exported = store.take_outbox(10, 0, 1_000).await.expect("taken");
    store
        .mark_exported(exported.iter().map(|exported| exported.row).collect())
        .await
        .expect("exported");
    assert_eq!(prune(&*store, &later(), false).await.results, 1);
    assert!(store.get_step("running").await.expect("asked").is_some());
}

pub async fn events_are_pruned_from_the_oldest(bench: &Bench) {
    let store = bench.open().await;
    let event = |n: u32| {
        let event = Event::new("storage.object_created", Object::new());
        IncomingEvent {
            identity: format!("{n:064}"),
            body: encode(&event).into(),
            event: Arc::new(event),
            recorded_at: Timestamp::from_unix_us(1_795_392_000_000_000 + i64::from(n) * 1_000_000),
        }
    };
    store
        .record_events((0..10).map(event).collect())
        .await
        .expect("recorded");
    let before = event(6).recorded_at;
    let count = store
        .prune_events(before.clone(), 100, true)
        .await
        .expect("counted");
    assert_eq!(count, 6);
    let removed = store
        .prune_events(before.clone(), 4, false)
        .await
        .expect("pruned");
    assert_eq!(removed, 4);
    let removed = store
        .prune_events(before, 100, false)
        .await
        .expect("pruned");
    assert_eq!(removed, 2);
    assert_eq!(store.events_after(None, 100).await.expect("asked").len(), 4);
}
