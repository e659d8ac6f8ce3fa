//! A folder that moved keeps its lineage, under its new names.

use crate::bench::{Bench, apply, edges, walk};
use pudato_protocol::{DataReference, Result as Reply};
use pudato_registry::{ErrorKind, Node, RegistryStore, Relocate, Relocated, Walk, openlineage};
use std::sync::Arc;

const OLD: &str = "/old/.pudato";
const NEW: &str = "/new/.pudato";

fn object(folder: &str) -> String {
    format!("file://{folder}/objects/lake/a.csv")
}

fn table(folder: &str) -> String {
    format!("duckdb://{folder}/warehouse.duckdb#warehouse.main.t")
}

fn relocation(from: &str, to: &str) -> Relocate {
    Relocate {
        from: vec![from.into()],
        to: to.into(),
        merge: false,
        dry_run: false,
    }
}

fn now() -> pudato_protocol::Timestamp {
    pudato_protocol::Timestamp::parse("2026-12-02T00:00:00Z").expect("a time")
}

async fn relocate(store: &dyn RegistryStore, relocate: Relocate) -> Relocated {
    store.relocate(relocate, now()).await.expect("relocated")
}

async fn refused(store: &dyn RegistryStore, relocate: Relocate) -> String {
    let error = store.relocate(relocate, now()).await.expect_err("refused");
    assert_eq!(error.kind, ErrorKind::Invalid);
    error.context
}

/// A table made from an object, both in the folder, and a file elsewhere made from the table.
fn results(bench: &Bench, folder: &str) -> Vec<Reply> {
    let (object, table) = (object(folder), table(folder));
    let put = bench.result("put", &[], &[&object]);
    let mut make = bench.result("make", &[&object], &[&table]);
    make.outputs = vec![DataReference::new("table", table.as_str()).with("from", vec![object])];
    vec![
        put,
        make,
        bench.result("export", &[&table], &["s3://lake/out"]),
    ]
}

async fn upstream(store: &dyn RegistryStore, location: &str) -> Vec<String> {
    edges(&walk(store, location, Walk::Upstream, |_| {}).await)
}

/// The edges that the Results of a folder report.
fn all(folder: &str) -> Vec<String> {
    let object = format!("{folder}/objects/lake/a.csv");
    let table = "warehouse.main.t";
    let mut edges = vec![
        format!("put -> {object}"),
        format!("{object} -> make"),
        format!("make -> {table}"),
        format!("{table} -> export"),
        "export -> out".into(),
    ];
    edges.sort();
    edges
}

fn locations(references: &[DataReference]) -> Vec<&str> {
    references.iter().map(|one| one.location.as_str()).collect()
}

pub async fn a_folder_that_moved_keeps_its_lineage(bench: &Bench) {
    let store: Arc<dyn RegistryStore> = bench.open().await;
    // Another program with the same registry, whose cache has the old names.
    let other = bench.open().await;
    apply(&*other, &results(bench, OLD)).await;
    let beside = bench.result(
        "beside",
        &[],
        &["file:///old/.pudato2/x", "s3://old/.pudato/x"],
    );
    apply(&*other, &[beside]).await;
    assert_eq!(
        store.data_folders().await.expect("asked"),
        [(OLD.to_owned(), 2)]
    );

    let dry_run = Relocate {
        dry_run: true,
        ..relocation(OLD, NEW)
    };
    let would = relocate(&*store, dry_run).await;
    assert_eq!((would.datasets, would.merged), (2, 0));
    assert!(
        would.examples.contains(&(table(OLD), table(NEW))),
        "{would:?}"
    );
    assert_eq!(upstream(&*store, "s3://lake/out").await, all(OLD));

    assert_eq!(relocate(&*store, relocation(OLD, NEW)).await, would);
    for store in [&store, &other] {
        assert_eq!(upstream(&**store, "s3://lake/out").await, all(NEW));
        let graph = walk(&**store, &table(NEW), Walk::Upstream, |_| {}).await;
        assert_eq!(graph.location, table(NEW));
        // A short name finds it as well, and nothing is left under the old one.
        let short = walk(&**store, "main.t", Walk::Upstream, |_| {}).await;
        assert_eq!(short.location, table(NEW));
        let old = walk(&**store, &table(OLD), Walk::Upstream, |_| {}).await;
        assert!(old.edges.is_empty());
        let beside = upstream(&**store, "file:///old/.pudato2/x").await;
        assert_eq!(beside, ["beside -> /old/.pudato2/x"]);
    }
    assert_eq!(
        store.data_folders().await.expect("asked"),
        [(NEW.to_owned(), 2)]
    );

    // Repeating it has nothing left to do.
    assert_eq!(
        relocate(&*store, relocation(OLD, NEW)).await,
        Relocated::default()
    );

    // Older Results are shown with the new names, in a step and in OpenLineage.
    let step = store
        .get_step("make")
        .await
        .expect("asked")
        .expect("a step");
    assert_eq!(locations(&step.inputs), [object(NEW)]);
    assert_eq!(locations(&step.outputs), [table(NEW)]);
    let exported = store.exported_after(0, 100).await.expect("exported");
    let exported: Vec<String> = exported
        .iter()
        .flat_map(|exported| openlineage::run_events(exported, "urn:test"))
        .map(|event| event.to_string())
        .collect();
    assert!(exported.iter().any(|event| event.contains(NEW)));
    assert!(
        !exported.iter().any(|event| event.contains("/old/.pudato/")),
        "{exported:#?}"
    );
    // The stored Result is unchanged.
    let published = store.results_of("make").await.expect("asked");
    assert!(published[0].body.contains(OLD));

    // Later runs use the new names, even in a program that cached the old ones.
    let again = bench.result("again", &[&table(NEW)], &["s3://lake/out"]);
    apply(&*other, &[again]).await;
    assert_eq!(upstream(&*store, "s3://lake/out").await.len(), 5);
    let old = bench.result("copy", &[], &[&table(OLD)]);
    apply(&*other, &[old]).await;
    assert_eq!(
        upstream(&*store, &table(OLD)).await,
        ["copy -> warehouse.main.t"],
        "whoever still uses the old folder has names of its own"
    );
}

pub async fn a_rebuilt_step_keeps_the_new_names(bench: &Bench) {
    let store = bench.open().await;
    let mut results = results(bench, OLD);
    // For an undeclared step, the first Result decides.
    let mut earlier = results[1].clone();
    apply(&*store, &results.split_off(1)).await;
    apply(&*store, &results).await;
    relocate(&*store, relocation(OLD, NEW)).await;
    // An earlier Result than the one that established the step: the step is rebuilt from all Results.
    earlier.timestamp = pudato_protocol::Timestamp::from_unix_us(1_795_392_001_500_000);
    (earlier.inputs, earlier.outputs) = (Vec::new(), Vec::new());
    apply(&*store, &[earlier]).await;
    assert_eq!(upstream(&*store, "s3://lake/out").await, all(NEW));
    let old = walk(&*store, &table(OLD), Walk::Upstream, |_| {}).await;
    assert!(
        old.nodes.iter().all(|node| node.id() == "dataset:0"),
        "{old:?}"
    );
}

pub async fn datasets_are_merged_only_on_request(bench: &Bench) {
    let store = bench.open().await;
    apply(&*store, &results(bench, OLD)).await;
    // A pipeline ran in the new folder first.
    let early = bench.result("early", &[&table(NEW)], &["s3://lake/early"]);
    apply(&*store, &[early]).await;
    let error = refused(&*store, relocation(OLD, NEW)).await;
    assert!(
        error.contains("nothing was changed")
            && error.contains(&table(NEW))
            && error.contains("--merge"),
        "{error}"
    );
    assert_eq!(upstream(&*store, "s3://lake/out").await, all(OLD));
    let merge = Relocate {
        merge: true,
        ..relocation(OLD, NEW)
    };
    let done = relocate(&*store, merge).await;
    assert_eq!((done.datasets, done.merged), (2, 1));
    assert_eq!(upstream(&*store, "s3://lake/out").await, all(NEW));
    let early = upstream(&*store, "s3://lake/early").await;
    assert!(
        early.contains(&"make -> warehouse.main.t".to_owned()),
        "{early:?}"
    );
    let graph = walk(&*store, &table(NEW), Walk::Downstream, |_| {}).await;
    let is_table =
        |node: &&Node| matches!(node, Node::Dataset { name, .. } if name == "warehouse.main.t");
    assert_eq!(graph.nodes.iter().filter(is_table).count(), 1);

    // A Result was on its way while the folder moved. Repeating the relocation needs no further option.
    let late = bench.result("late", &[], &[&table(OLD)]);
    apply(&*store, &[late]).await;
    let done = relocate(&*store, relocation(OLD, NEW)).await;
    assert_eq!((done.datasets, done.merged), (1, 1));
    assert_eq!(
        upstream(&*store, &table(NEW)).await,
        ["late -> warehouse.main.t"]
    );
}

pub async fn paths_that_are_not_folders_are_refused(bench: &Bench) {
    let store = bench.open().await;
    apply(&*store, &results(bench, OLD)).await;
    for (from, to) in [
        ("/old", "/old/new"),
        ("/old/.pudato", "/old"),
        ("old", NEW),
        (OLD, "/"),
    ] {
        let error = refused(&*store, relocation(from, to)).await;
        assert!(error.contains("expected"), "{error}");
    }
    assert_eq!(
        relocate(&*store, relocation(OLD, OLD)).await,
        Relocated::default()
    );
    assert_eq!(upstream(&*store, "s3://lake/out").await, all(OLD));
}
