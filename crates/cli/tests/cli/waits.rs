//! If something waits, every command that looks reports what, since when, and for whom, and reports nothing that it cannot know.

use crate::support::{Installation, Serving, python, wait, write};
use pudato_runtime::messaging::local::LocalFabric;
use pudato_runtime::messaging::{SystemClock, Topology};
use serde_json::Value;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;

/// A query that takes longer than any test.
const SLOW: &str = "sql=SELECT sum(a.range * b.range) FROM range(1000000) a, range(100000000) b";

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

/// A slow query in flight, as step `slow-1`.
fn slow(installation: &Installation) -> Serving {
    let call = ["call", "query", "execute_sql", SLOW, "--step", "slow-1"];
    installation.serve(
        &[
            &call[..],
            &["--correlation-id", "c-slow", "--timeout", "600"],
        ]
        .concat(),
    )
}

/// The messages in flight that `status` shows.
fn in_hand(installation: &Installation) -> Vec<Value> {
    let status = json(&installation.ok(&["status", "--json"]));
    status["in_hand"].as_array().expect("a list").clone()
}

#[test]
fn messages_in_flight_are_shown_to_every_command_until_the_worker_is_killed() {
    let installation = Installation::new();
    let mut up = installation.up();
    let pid = up.0.id();
    let _slow = slow(&installation);
    wait("the query in flight", || !in_hand(&installation).is_empty());
    let entry = in_hand(&installation).remove(0);
    for (name, expected) in [
        ("service", "query"),
        ("action", "execute_sql"),
        ("step_id", "slow-1"),
        ("correlation_id", "c-slow"),
    ] {
        assert_eq!(entry[name], expected, "{entry}");
    }
    assert_eq!((&entry["pid"], &entry["attempt"]), (&pid.into(), &1.into()));
    let held = format!("the query worker (process {pid}) has been handling it since ");
    let traced = installation.ok(&["trace", "c-slow"]);
    assert!(
        traced.contains(&held) && traced.contains("(attempt 1)"),
        "{traced}"
    );
    // Another call of the same query, with a shorter timeout.
    let same = ["call", "query", "execute_sql", SLOW, "--timeout", "2"];
    let (code, error) = installation.fails(&[&same[..], &["--correlation-id", "c-2"]].concat());
    assert_eq!(code, 5, "{error}");
    assert!(error.contains(&held), "{error}");
    assert!(!error.contains("pudato up"), "it runs: {error}");
    let shown = installation.ok(&["status"]);
    assert!(shown.contains("slow-1") && shown.contains("c-2"), "{shown}");
    up.signal("-INT");
    wait("the commands that the program waits for", || {
        let logged = installation.logged();
        logged
            .contains("waiting up to 30 s for 2 commands: query execute_sql (step slow-1) (since ")
    });
    // A killed program leaves a notice that is ignored.
    up.0.kill().expect("killed");
    up.ended();
    assert!(in_hand(&installation).is_empty());
    let traced = installation.ok(&["trace", "c-slow"]);
    assert!(!traced.contains("has been handling it"), "{traced}");
    assert!(
        traced.contains("no worker of the service query runs on"),
        "{traced}"
    );
}

#[test]
fn a_warehouse_that_another_program_holds_is_named_to_every_waiting_caller() {
    let Some(python) = python("duckdb") else {
        return;
    };
    let installation = Installation::new();
    let _up = installation.up();
    let update = ["call", "query", "execute_sql"];
    installation.ok(&[&update[..], &["sql=CREATE TABLE t AS SELECT 0 AS n"]].concat());
    let program = "import duckdb, sys\nc = duckdb.connect('data/warehouse.duckdb')\nprint('open', flush=True)\nsys.stdin.read()";
    let mut holder = Command::new(python)
        .args(["-c", program])
        .current_dir(installation.folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python starts");
    let mut line = String::new();
    let stdout = holder.stdout.as_mut().expect("piped");
    BufReader::new(stdout).read_line(&mut line).expect("a line");
    let pid = holder.id().to_string();

    let sql = ["sql=UPDATE t SET n = 1", "--correlation-id", "c-held"];
    let waiting = installation.serve(&[&update[..], &sql, &["--timeout", "300"]].concat());
    let doctor = || {
        let output = installation.run(&["doctor", "--json"]);
        json(&String::from_utf8_lossy(&output.stdout))["findings"].to_string()
    };
    wait("the outage", || {
        doctor().contains("has received no messages since")
    });
    let found = doctor();
    assert!(
        found.contains(&pid) && found.contains("found by c-held"),
        "{found}"
    );
    // The commands behind it stay on the queue, and their callers get the reason.
    let behind = [
        "sql=SELECT 1",
        "--correlation-id",
        "c-behind",
        "--timeout",
        "3",
    ];
    let (code, error) = installation.fails(&[&update[..], &behind].concat());
    assert_eq!(code, 5, "{error}");
    // The worker may receive it as well: then its pending Result gives the reason, also while the worker retries and does not wait.
    let is_told = [
        "has received no messages since",
        "it is waiting for a backend",
        "waits for a backend",
    ];
    let is_told = is_told.iter().any(|what| error.contains(what));
    assert!(is_told && error.contains(&pid), "{error}");
    // The caller gets the reason while it waits, and `trace` shows it afterwards.
    wait("a pending Result", || {
        installation.logged().contains("waits for a backend")
    });
    // During a retry it is not waiting.
    wait("the wait in its trace", || {
        let traced = installation.ok(&["trace", "c-held"]);
        traced.contains("it is waiting for a backend that is unavailable")
    });
    drop(holder.stdin.take());
    holder.wait().expect("it ends");
    let mut waiting = waiting;
    assert_eq!(waiting.ended(), Some(0));
    wait("no finding", || {
        installation.run(&["doctor"]).status.success()
    });
}

#[test]
fn a_call_without_a_worker_is_warned_at_once_and_an_abandoned_run_leaves_no_job() {
    let installation = Installation::new();
    let folder = installation.folder.path();
    write(
        folder,
        "p.yaml",
        "name: p\nsteps:\n  - {name: a, type: query, action: execute_sql, payload: {sql: SELECT 1}}\n",
    );
    let call = ["call", "storage", "list_objects", "container=lake"];
    let (code, error) = installation.fails(&[&call[..], &["--timeout", "3"]].concat());
    assert_eq!(code, 5);
    let said = error.lines().next().expect("a line");
    assert!(
        said.contains("no worker of the service storage runs on") && said.ends_with("; waiting"),
        "{error}"
    );
    assert!(
        error.contains("it waits on pudato-storage-queue since"),
        "{error}"
    );
    assert!(error.contains("no results consumer runs on"), "{error}");
    let found = installation.run(&["doctor"]);
    let found = String::from_utf8_lossy(&found.stdout).into_owned();
    assert!(
        found.contains("- pudato-storage-queue: a message waits on pudato-storage-queue since")
            && found.contains("no worker of the service storage runs on"),
        "{found}"
    );
    let mut run = installation.serve(&["run", "p.yaml"]);
    wait("the job's id", || installation.logged().starts_with("job-"));
    wait("what is missing", || {
        let logged = installation.logged();
        logged.contains("no worker of the service registry runs on")
    });
    run.signal("-INT");
    assert_eq!(run.ended(), Some(130));
    let logged = installation.logged();
    assert!(
        logged.contains("interrupted; no job was created"),
        "{logged}"
    );
    let _up = installation.up();
    installation.ok(&call);
    let jobs = installation.ok(&["job", "list", "--json"]);
    assert_eq!(json(&jobs)["count"], 0, "{jobs}");
}

#[test]
fn a_command_without_a_subscriber_is_refused_before_it_is_sent() {
    let installation = Installation::new();
    let _up = installation.up();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(async {
        let fabric = LocalFabric::open(&installation.data(), Arc::new(SystemClock));
        let topology = Topology {
            topics: vec!["pudato-weather-commands".into()],
            ..Topology::default()
        };
        fabric
            .expect("opened")
            .declare(topology)
            .await
            .expect("declared");
    });
    for verb in ["call", "publish"] {
        let (code, error) = installation.fails(&[verb, "weather", "forecast"]);
        assert_eq!(code, 1, "{error}");
        assert!(
            error.contains("topic pudato-weather-commands has no subscriber"),
            "{error}"
        );
    }
    let unheard = "SELECT unheard FROM topic WHERE name = 'pudato-weather-commands'";
    assert_eq!(installation.count("fabric.db", unheard), 0);
}

#[test]
fn quick_commands_write_no_notice() {
    let installation = Installation::new();
    let _up = installation.up();
    let notice = || {
        let folder = installation.data().join("run");
        let found = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let notices: Vec<_> = found.map(|entry| entry.path()).collect();
        notices.first().cloned()
    };
    wait("the notice", || notice().is_some());
    let inode = || {
        let file = File::open(notice().expect("a notice")).expect("opened");
        std::os::unix::fs::MetadataExt::ino(&file.metadata().expect("read"))
    };
    let before = inode();
    for n in 0..20 {
        let path = format!("path=a-{n}.csv");
        installation.ok(&[
            "call",
            "storage",
            "put_object",
            "container=lake",
            &path,
            "data=x",
        ]);
    }
    assert_eq!(inode(), before, "it was not written again");
}
