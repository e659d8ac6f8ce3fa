//! Queries and builds on one warehouse, and several builds side by side.

use crate::project::{Bench, names};

#[test]
fn queries_and_builds_on_one_warehouse_all_succeed() {
    let files = [
        (
            "models/slow.sql",
            "select count(*) as n from range(300000000) where range % 7 = 3",
        ),
        ("models/quick.sql", "select 1 as n"),
    ];
    let Some(bench) = Bench::new(&files) else {
        return;
    };
    let _up = bench.up();
    bench.installation.ok(&[
        "call",
        "query",
        "execute_sql",
        "sql=CREATE TABLE asked (n INT)",
    ]);
    let builds = [
        bench.begin("build", &[]),
        bench.begin("build", &["select=quick"]),
    ];
    let mut asked = 0;
    let started = std::time::Instant::now();
    // As long as a build runs, but not forever: a build that waits for other commands would wait for this one.
    while asked < 20 || (!bench.running().is_empty() && started.elapsed().as_secs() < 60) {
        bench.installation.ok(&[
            "call",
            "query",
            "execute_sql",
            "sql=INSERT INTO asked VALUES (1)",
        ]);
        asked += 1;
    }
    for build in builds {
        let built = bench.end(build);
        assert_eq!(built["status"], "success", "{built}");
    }
    assert_eq!(bench.rows("SELECT count(*) FROM asked")[0][0], asked);
    let logged = bench.installation.logged();
    assert!(
        !logged.contains("lock on file"),
        "no caller sees a lock: {logged}"
    );
    bench.check_clean();
}

#[test]
fn two_workers_of_two_processes_take_turns() {
    let files = [(
        "models/slow.sql",
        "select count(*) as n from range(200000000) where range % 7 = 3",
    )];
    let Some(bench) = Bench::new(&files) else {
        return;
    };
    let _serving = [
        bench.installation.serve(&["runner", "--handler", "query"]),
        bench
            .installation
            .serve(&["runner", "--handler", "transform"]),
        bench.installation.serve(&["results"]),
    ];
    bench.installation.ok(&[
        "call",
        "query",
        "execute_sql",
        "sql=CREATE TABLE asked (n INT)",
    ]);
    let build = bench.begin("build", &[]);
    for _ in 0..10 {
        bench.installation.ok(&[
            "call",
            "query",
            "execute_sql",
            "sql=INSERT INTO asked VALUES (1)",
        ]);
    }
    let built = bench.end(build);
    assert_eq!(
        built["status"],
        "success",
        "{built}\n{}",
        bench.installation.logged()
    );
    bench
        .installation
        .ok(&["call", "query", "execute_sql", "sql=FROM slow"]);
    bench.check_clean();
}

#[test]
fn builds_at_once_never_see_each_others_artifacts() {
    let files = [
        ("models/one.sql", "select 1 as n"),
        ("models/two.sql", "select 2 as n"),
    ];
    let Some(bench) = Bench::new(&files) else {
        return;
    };
    let Some(other) = Bench::new(&[("models/three.sql", "select 3 as n")]) else {
        return;
    };
    let _up = [bench.up(), other.up()];
    let begun = [
        (&bench, "one", bench.begin("run", &["select=one"])),
        (&bench, "two", bench.begin("run", &["select=two"])),
        (&other, "three", other.begin("run", &[])),
    ];
    let mut executions = std::collections::BTreeSet::new();
    for (bench, name, child) in begun {
        let built = bench.end(child);
        assert_eq!(
            names(&built, "outputs"),
            [format!("warehouse.main.{name}")],
            "{built}"
        );
        assert_eq!(built["data"]["nodes"].as_array().map(Vec::len), Some(1));
        executions.insert(built["data"]["execution_id"].to_string());
    }
    assert_eq!(executions.len(), 3);
}
