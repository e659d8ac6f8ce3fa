//! Steps that report the inputs of each output, and outputs that keep older contents.

use crate::bench::{Bench, apply, edges, walk};
use pudato_protocol::Result as Reply;
use pudato_registry::Walk;

/// Adds the inputs of an output.
fn from(result: &mut Reply, output: usize, from: &[&str]) {
    let reference = result.outputs[output].clone();
    result.outputs[output] = reference.with("from", from.to_vec());
}

fn operation(result: &mut Reply, operation: &str) {
    for output in &mut result.outputs {
        *output = output.clone().with("operation", operation);
    }
}

pub async fn outputs_are_made_from_what_their_result_says(bench: &Bench) {
    let store = bench.open().await;
    let mut build = bench.result(
        "build",
        &["s3://x/a", "s3://x/b"],
        &["s3://x/p", "s3://x/q"],
    );
    from(&mut build, 0, &["s3://x/a"]);
    from(&mut build, 1, &["s3://x/b"]);
    apply(&*store, &[build]).await;
    let graph = walk(&*store, "s3://x/p", Walk::Upstream, |_| {}).await;
    assert_eq!(edges(&graph), ["a -> build", "build -> p"]);
    let graph = walk(&*store, "s3://x/b", Walk::Downstream, |_| {}).await;
    assert_eq!(edges(&graph), ["b -> build", "build -> q"]);
    assert!(graph.edges.iter().all(|edge| edge.step == "build"));
}

pub async fn what_a_step_read_again_is_its_own(bench: &Bench) {
    let store = bench.open().await;
    // An older run made the same table from other inputs.
    apply(
        &*store,
        &[bench.result("old", &["s3://x/old"], &["s3://x/staging"])],
    )
    .await;
    let mut script = bench.result(
        "script",
        &["s3://x/raw"],
        &["s3://x/staging", "s3://x/mart"],
    );
    from(&mut script, 0, &["s3://x/raw"]);
    from(&mut script, 1, &["s3://x/staging"]);
    apply(&*store, &[script]).await;
    let expected = [
        "raw -> script",
        "script -> mart",
        "script -> staging",
        "staging -> script",
    ];
    let graph = walk(&*store, "s3://x/mart", Walk::Upstream, |_| {}).await;
    assert_eq!(edges(&graph), expected);
    let graph = walk(&*store, "s3://x/raw", Walk::Downstream, |_| {}).await;
    assert_eq!(edges(&graph), expected);
}

pub async fn what_was_added_stays(bench: &Bench) {
    let store = bench.open().await;
    apply(
        &*store,
        &[bench.result("before", &["s3://x/z"], &["s3://x/t"])],
    )
    .await;
    apply(
        &*store,
        &[bench.result("create", &["s3://x/a"], &["s3://x/t"])],
    )
    .await;
    for (step, input) in [("add-1", "s3://x/b"), ("add-2", "s3://x/c")] {
        let mut insert = bench.result(step, &[input], &["s3://x/t"]);
        operation(&mut insert, "insert");
        apply(&*store, &[insert]).await;
    }
    let graph = walk(&*store, "s3://x/t", Walk::Upstream, |_| {}).await;
    // Data from before the table was created again is gone.
    let expected = [
        "a -> create",
        "add-1 -> t",
        "add-2 -> t",
        "b -> add-1",
        "c -> add-2",
        "create -> t",
    ];
    assert_eq!(edges(&graph), expected);
    apply(
        &*store,
        &[bench.result("read", &["s3://x/t"], &["s3://x/u"])],
    )
    .await;
    let graph = walk(&*store, "s3://x/a", Walk::Downstream, |_| {}).await;
    assert!(edges(&graph).contains(&"read -> u".to_owned()));
}

/// Operations that keep some of the older contents.
const KEEPING: [&str; 10] = [
    "insert",
    "append",
    "merge",
    "update",
    "delete",
    "microbatch",
    "insert_overwrite",
    "upsert",
    "a word of a handler of one's own",
    "",
];

pub async fn what_was_changed_keeps_what_was_there(bench: &Bench) {
    let store = bench.open().await;
    for (n, word) in KEEPING.iter().enumerate() {
        let name = |what: &str| format!("s3://x/{what}-{n}");
        let (table, report) = (name("table"), name("report"));
        let steps = ["one", "two", "three"].map(|day| format!("{day}-{n}"));
        for (day, step) in steps.iter().enumerate() {
            let mut built = bench.result(step, &[&name(&format!("day{day}"))], &[&table]);
            operation(&mut built, if day == 0 { "create" } else { word });
            apply(&*store, &[built]).await;
        }
        let reads = bench.result(&format!("report-{n}"), &[&table], &[&report]);
        apply(&*store, &[reads]).await;
        let graph = walk(&*store, &report, Walk::Upstream, |_| {}).await;
        for (day, step) in steps.iter().enumerate() {
            let edge = format!("day{day}-{n} -> {step}");
            assert!(edges(&graph).contains(&edge), "{word}: {:?}", edges(&graph));
        }
        let first = name("day0");
        let graph = walk(&*store, &first, Walk::Downstream, |_| {}).await;
        let edge = format!("report-{n} -> report-{n}");
        assert!(edges(&graph).contains(&edge), "{word}: {:?}", edges(&graph));
    }
}

pub async fn what_was_replaced_is_gone(bench: &Bench) {
    let store = bench.open().await;
    for (n, word) in ["create", "CREATE", "overwrite", "replace", "truncate"]
        .iter()
        .enumerate()
    {
        let name = |what: &str| format!("s3://x/{what}-{n}");
        let table = name("table");
        for day in ["one", "two"] {
            let step = format!("{day}-{n}");
            let mut built = bench.result(&step, &[&name(day)], &[&table]);
            operation(&mut built, word);
            apply(&*store, &[built]).await;
        }
        let graph = walk(&*store, &table, Walk::Upstream, |_| {}).await;
        let expected = [
            format!("two-{n} -> table-{n}"),
            format!("two-{n} -> two-{n}"),
        ];
        assert_eq!(edges(&graph), expected, "{word}");
    }
}

/// Before this version, a registry treated every write except an insert as one that replaces.
pub async fn changes_that_were_recorded_before_keep_what_was_there(bench: &Bench) {
    let store = bench.open().await;
    for (step, input, word) in [
        ("one", "s3://x/a", "create"),
        ("two", "s3://x/b\u{1}\u{e000}", "merge"),
        ("three", "s3://x/c", "create"),
        ("four", "s3://x/d", "merge"),
    ] {
        let mut built = bench.result(step, &[input], &["s3://x/other", "s3://x/t"]);
        operation(&mut built, word);
        let odd = built.outputs[1]
            .clone()
            .with("note", "a NUL: \0, \\u0000, \"operation\"");
        built.outputs[1] = odd;
        apply(&*store, &[built]).await;
    }
    let expected = walk(&*store, "s3://x/t", Walk::Upstream, |_| {}).await;
    assert_eq!(
        edges(&expected),
        ["c -> three", "d -> four", "four -> t", "three -> t"]
    );
    drop(store);
    bench.as_before();
    let store = bench.open().await;
    let graph = walk(&*store, "s3://x/t", Walk::Upstream, |_| {}).await;
    assert_eq!(edges(&graph), edges(&expected));
}

pub async fn what_stayed_is_read_again_with_what_was_added(bench: &Bench) {
    let store = bench.open().await;
    let (table, late) = ("s3://x/table", "s3://x/late");
    // As dbt builds them: the tables made from it are made in the same step.
    let build = |step: &str, input: &str, outputs: &[&str], word: &str| {
        let mut built = bench.result(step, &[input], outputs);
        from(&mut built, 0, &[input]);
        built.outputs[0] = built.outputs[0].clone().with("operation", word);
        for n in 1..outputs.len() {
            from(&mut built, n, &[table]);
        }
        built
    };
    let steps = [
        build("one", "s3://x/a", &[table], "create"),
        build("two", "s3://x/b", &[table, late], "merge"),
        build("three", "s3://x/c", &[table, "s3://x/new"], "create"),
    ];
    apply(&*store, &steps).await;
    let graph = walk(&*store, "s3://x/a", Walk::Downstream, |_| {}).await;
    let expected = ["a -> one", "one -> table", "table -> two", "two -> late"];
    assert_eq!(edges(&graph), expected, "and nothing of what replaced it");
    // Starting from the table itself: everything that was ever made from it.
    let graph = walk(&*store, table, Walk::Downstream, |_| {}).await;
    let expected = [
        "table -> three",
        "table -> two",
        "three -> new",
        "two -> late",
    ];
    assert_eq!(edges(&graph), expected);
    let consumers = store.one_hop(pudato_registry::HopQuery {
        location: table.into(),
        direction: pudato_registry::Direction::Both,
        environment: None,
        as_of: None,
        max_nodes: 2,
    });
    let hop = consumers.await.expect("found");
    assert_eq!(
        (hop.producers.len(), hop.consumers.len(), hop.truncated),
        (2, 0, true)
    );
}

/// A clock that counts seconds gives many writes the same instant.
pub async fn writes_of_one_instant_are_all_shown(bench: &Bench) {
    let store = bench.open().await;
    let made = bench.result("made", &["s3://x/a"], &["s3://x/t"]);
    let second = bench.result("none", &[], &[]).timestamp;
    let added = ["one", "two", "three"].map(|step| {
        let mut added = bench.result(step, &[&format!("s3://x/of-{step}")], &["s3://x/t"]);
        operation(&mut added, "insert");
        added.timestamp = second.clone();
        added
    });
    apply(&*store, &[made]).await;
    apply(&*store, &added).await;
    apply(
        &*store,
        &[bench.result("read", &["s3://x/t"], &["s3://x/u"])],
    )
    .await;
    for asked in ["s3://x/t", "s3://x/u"] {
        let graph = walk(&*store, asked, Walk::Upstream, |_| {}).await;
        for edge in [
            "a -> made",
            "of-one -> one",
            "of-two -> two",
            "of-three -> three",
        ] {
            assert!(
                edges(&graph).contains(&edge.to_owned()),
                "{asked}: {edge} in {:?}",
                edges(&graph)
            );
        }
    }
    // A write that replaced it at the same instant may have come before or after them.
    let mut replaced = bench.result("anew", &["s3://x/b"], &["s3://x/t"]);
    replaced.timestamp = second;
    apply(&*store, &[replaced]).await;
    let graph = walk(&*store, "s3://x/t", Walk::Upstream, |_| {}).await;
    for edge in ["b -> anew", "of-one -> one", "of-three -> three"] {
        assert!(
            edges(&graph).contains(&edge.to_owned()),
            "{edge} in {:?}",
            edges(&graph)
        );
    }
}

pub async fn spellings_of_a_table_are_one_dataset(bench: &Bench) {
    let store = bench.open().await;
    let mut load = bench.result("load", &["s3://x/A"], &["duckdb:///W.duckdb#W.RAW.Orders"]);
    from(&mut load, 0, &["s3://x/A"]);
    let mut build = bench.result(
        "build",
        &["duckdb:///W.duckdb#w.raw.orders"],
        &["duckdb:///W.duckdb#w.main.Mart"],
    );
    // A single Result may write it in two ways.
    from(&mut build, 0, &["duckdb:///W.duckdb#w.raw.ORDERS"]);
    apply(&*store, &[load, build]).await;
    let expected = [
        "A -> load",
        "build -> w.main.mart",
        "load -> w.raw.orders",
        "w.raw.orders -> build",
    ];
    // The reader may write it as well.
    for asked in ["duckdb:///W.duckdb#w.Main.mart", "MAIN.Mart", "mart"] {
        let graph = walk(&*store, asked, Walk::Upstream, |_| {}).await;
        assert_eq!(edges(&graph), expected, "{asked}");
    }
    let graph = walk(&*store, "s3://x/A", Walk::Downstream, |_| {}).await;
    assert_eq!(edges(&graph), expected);
    // Files, and quoted tables of PostgreSQL, have case-sensitive names.
    for (one, other) in [
        ("s3://x/B.csv", "s3://x/b.csv"),
        ("postgres://h:1#d.s.T", "postgres://h:1#d.s.t"),
    ] {
        apply(
            &*store,
            &[
                bench.result(one, &[], &[one]),
                bench.result(other, &[], &[other]),
            ],
        )
        .await;
        let graph = walk(&*store, one, Walk::Upstream, |_| {}).await;
        assert_eq!(graph.edges.len(), 1, "{one}");
    }
    let graph = walk(&*store, "X/b.csv", Walk::Upstream, |_| {}).await;
    assert!(graph.edges.is_empty(), "no object is called so");
}

pub async fn spellings_that_were_recorded_before_become_one(bench: &Bench) {
    let store = bench.open().await;
    let load = bench.result(
        "load",
        &["s3://x/A"],
        &["duckdb:///w#w.one", "duckdb:///w#w.three"],
    );
    let mut build = bench.result(
        "build",
        &["duckdb:///w#w.raw.orders"],
        &["duckdb:///w#w.two"],
    );
    from(&mut build, 0, &["duckdb:///w#w.raw.orders"]);
    let other = bench.result("other", &["duckdb:///w#w.two"], &["s3://x/B"]);
    apply(&*store, &[load, build, other]).await;
    drop(store);
    bench.respell("duckdb:///w", "w.one", "W.RAW.Orders");
    bench.respell("duckdb:///w", "w.three", "w.MART");
    bench.respell("duckdb:///w", "w.two", "w.Mart");
    bench.as_before();
    let store = bench.open().await;
    let expected = [
        "A -> load",
        "build -> w.mart",
        "load -> w.raw.orders",
        "other -> B",
        "w.mart -> other",
        "w.raw.orders -> build",
    ];
    let graph = walk(&*store, "s3://x/B", Walk::Upstream, |_| {}).await;
    assert_eq!(edges(&graph), expected);
    let graph = walk(&*store, "raw.orders", Walk::Upstream, |_| {}).await;
    assert_eq!(edges(&graph), ["A -> load", "load -> w.raw.orders"]);
    // New Results refer to the same dataset.
    apply(
        &*store,
        &[bench.result("late", &["duckdb:///w#w.MART"], &[])],
    )
    .await;
    let graph = walk(&*store, "mart", Walk::Downstream, |_| {}).await;
    assert!(
        edges(&graph).contains(&"w.mart -> late".to_owned()),
        "{:?}",
        edges(&graph)
    );
}

pub async fn a_change_of_rows_reads_the_table_itself(bench: &Bench) {
    let store = bench.open().await;
    apply(
        &*store,
        &[bench.result("create", &["s3://x/a"], &["s3://x/t"])],
    )
    .await;
    let mut update = bench.result("update", &["s3://x/t", "s3://x/b"], &["s3://x/t"]);
    from(&mut update, 0, &["s3://x/t", "s3://x/b"]);
    operation(&mut update, "update");
    apply(&*store, &[update]).await;
    let graph = walk(&*store, "s3://x/t", Walk::Upstream, |_| {}).await;
    let expected = [
        "a -> create",
        "b -> update",
        "create -> t",
        "t -> update",
        "update -> t",
    ];
    assert_eq!(edges(&graph), expected);
    assert_eq!(graph.truncated, false);
}

pub async fn downstream_ends_where_data_was_replaced(bench: &Bench) {
    let store = bench.open().await;
    apply(
        &*store,
        &[bench.result("make-1", &["s3://x/a"], &["s3://x/t"])],
    )
    .await;
    apply(&*store, &[bench.result("read-1", &["s3://x/t"], &[])]).await;
    apply(
        &*store,
        &[bench.result("make-2", &["s3://x/b"], &["s3://x/t"])],
    )
    .await;
    apply(&*store, &[bench.result("read-2", &["s3://x/t"], &[])]).await;
    let graph = walk(&*store, "s3://x/a", Walk::Downstream, |_| {}).await;
    assert_eq!(edges(&graph), ["a -> make-1", "make-1 -> t", "t -> read-1"]);
    let graph = walk(&*store, "s3://x/a", Walk::Downstream, |query| {
        query.all_runs = true
    })
    .await;
    assert!(edges(&graph).contains(&"t -> read-2".to_owned()));
}
