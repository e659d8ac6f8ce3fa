//! `pudato run`: running, breaking and resuming pipelines.

use crate::support::{Installation, wait, write};
use serde_json::Value;
use std::process::Stdio;

const PIPELINE: &str = "
name: monthly
environment: test
steps:
  - {name: ingest, type: storage, action: put_object, payload: {container: lake, path: raw/a.csv, data: {file: a.csv}}}
  - name: load
    needs: [ingest]
    type: query
    action: execute_sql
    payload: {sql: {file: load.sql}, sources: {a: {container: lake, path: raw/a.csv}}}
  - {name: beside, type: query, action: execute_sql, payload: {sql: SELECT 'beside' AS what}}
  - {name: report, needs: [load], type: query, action: execute_sql, payload: {sql: 'SELECT sum(n)::BIGINT AS total FROM t'}}
";

fn installation(load: &str) -> Installation {
    let installation = Installation::new();
    let folder = installation.folder.path();
    write(folder, "p.yaml", PIPELINE);
    write(folder, "a.csv", "n\n1\n2\n");
    write(folder, "load.sql", load);
    installation
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

fn statuses(outcome: &Value) -> Vec<(&str, &str)> {
    let steps = outcome["steps"].as_array().expect("steps").iter();
    steps
        .map(|step| {
            (
                step["name"].as_str().expect("a name"),
                step["status"].as_str().expect("a status"),
            )
        })
        .collect()
}

#[test]
fn a_pipeline_runs_as_a_job_and_prints_its_last_answers() {
    let installation = installation("CREATE TABLE t AS SELECT * FROM a");
    let _up = installation.up();
    let printed = installation.ok(&["run", "p.yaml"]);
    let job = printed.split_whitespace().next().expect("a job").to_owned();
    assert!(
        printed.contains("report\ntotal\n─────\n    3\n"),
        "{printed}"
    );
    assert!(
        printed.contains("beside\nwhat\n──────\nbeside\n"),
        "{printed}"
    );
    let shown = json(&installation.ok(&["job", "show", &job, "--json"]));
    assert_eq!(
        (&shown["job"]["status"], &shown["job"]["environment"]),
        (&"success".into(), &"test".into())
    );
    assert_eq!(shown["steps"].as_array().map(Vec::len), Some(4));
    let drawn = installation.ok(&["job", "show", &job]);
    assert!(drawn.contains('█') && drawn.contains("report"), "{drawn}");
}

#[test]
fn a_failed_step_stops_the_steps_that_need_it_and_the_job_can_be_resumed() {
    let installation = installation("CREATE TABLE t AS SELECT nowhere FROM a");
    let _up = installation.up();
    let output = installation.run(&["run", "p.yaml", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let outcome = json(&String::from_utf8_lossy(&output.stdout));
    let expected = [
        ("ingest", "success"),
        ("load", "failed"),
        ("beside", "success"),
        ("report", "skipped"),
    ];
    assert_eq!(statuses(&outcome), expected);
    let job = outcome["job_id"].as_str().expect("a job");
    assert!(String::from_utf8_lossy(&output.stderr).contains(&format!("--resume {job}")));
    wait("the job's end", || {
        installation
            .ok(&["job", "show", job])
            .contains("  failed  ")
    });

    write(
        installation.folder.path(),
        "load.sql",
        "CREATE TABLE t AS SELECT * FROM a",
    );
    // The repair may have changed the action.
    let mended = PIPELINE.replacen("action: execute_sql", "action: execute_script", 1);
    write(installation.folder.path(), "p.yaml", &mended);
    let outcome = json(&installation.ok(&["run", "p.yaml", "--resume", job, "--json"]));
    let expected = [
        ("ingest", "success before"),
        ("load", "success"),
        ("beside", "success before"),
        ("report", "success"),
    ];
    assert_eq!(statuses(&outcome), expected);
    wait("the job's end", || {
        installation
            .ok(&["job", "show", job])
            .contains("  success  ")
    });
    let (code, error) = installation.fails(&["run", "p.yaml", "--resume", "job-none"]);
    assert!(code == 1 && error.contains("there is no job"), "{error}");
}

#[test]
fn from_a_step_runs_only_that_step_and_the_steps_that_need_it() {
    let installation = installation("CREATE OR REPLACE TABLE t AS SELECT * FROM a");
    let _up = installation.up();
    installation.ok(&["run", "p.yaml"]);
    let outcome = json(&installation.ok(&["run", "p.yaml", "--from", "load", "--json"]));
    assert_eq!(
        statuses(&outcome),
        [("load", "success"), ("report", "success")]
    );
    let (code, error) = installation.fails(&["run", "p.yaml", "--from", "laod"]);
    assert!(
        code == 2 && error.contains("expected one of ingest, load, beside, report"),
        "{error}"
    );
}

#[test]
fn an_interrupted_pipeline_is_resumed_and_runs_nothing_twice() {
    let installation = installation(
        "CREATE TABLE t AS SELECT a.n FROM a, range(3000000) r WHERE r.range % 1000000 = 0",
    );
    // Without workers, the first step waits on its queue.
    let registry = installation.serve(&["runner", "--handler", "registry"]);
    let results = installation.serve(&["results"]);
    let mut running = installation.serve(&["run", "p.yaml"]);
    wait("the first step", || {
        installation.logged().contains("ingest  sent")
    });
    running.signal("-INT");
    assert_eq!(running.ended(), Some(130));
    let log = installation.logged();
    let job = log
        .split("--resume ")
        .nth(1)
        .expect("the command to continue")
        .trim()
        .to_owned();
    drop((registry, results));
    let _up = installation.up();
    let outcome = json(&installation.ok(&["run", "p.yaml", "--resume", &job, "--json"]));
    assert!(
        statuses(&outcome)
            .iter()
            .all(|(_, status)| status.starts_with("success")),
        "{outcome}"
    );
    let sql = "SELECT COUNT(*) FROM step JOIN edge ON edge.step = step.id WHERE kind <> 0";
    assert_eq!(
        installation.count("registry.db", sql),
        2,
        "one object and one table were written once each"
    );
}

#[test]
fn errors_in_a_pipeline_are_reported_before_anything_is_sent() {
    let installation = installation("SELECT 1");
    let folder = installation.folder.path();
    let planned = installation.ok(&["run", "p.yaml", "--dry-run"]);
    assert!(
        planned.contains("4 steps; dry run, nothing is sent") && planned.contains("load.sql"),
        "{planned}"
    );
    let planned = json(&installation.ok(&["run", "p.yaml", "--dry-run", "--json"]));
    assert_eq!(planned["steps"][2]["needs"], serde_json::json!([]));
    write(
        folder,
        "bad.yaml",
        "name: x\nsteps:\n  - {name: a, type: query, action: execute_sql, neds: [b]}\n",
    );
    let (code, error) = installation.fails(&["run", "bad.yaml"]);
    assert!(
        code == 2 && error.contains("bad.yaml:3: neds: unknown key; did you mean needs?"),
        "{error}"
    );
    write(
        folder,
        "bad.yaml",
        "name: x\nsteps:\n  - {name: a, type: qery, action: execute_sql}\n",
    );
    let (code, error) = installation.fails(&["run", "bad.yaml"]);
    assert!(
        code == 2 && error.contains("type: expected one of query, registry, storage"),
        "{error}"
    );
    let planned = installation.run(&["run", "bad.yaml", "--dry-run"]);
    let planned = String::from_utf8_lossy(&planned.stderr);
    assert!(
        planned.contains(
            "step a: qery is not one of pudato's own services; its action and payload are not checked"
        ),
        "{planned}"
    );
    // No program serves, and none is needed.
    write(
        folder,
        "bad.yaml",
        "name: x\nsteps:\n  - {name: a, type: storage, action: get_object, payload: {container: lake, path: x}}\n  \
         - name: b\n    type: query\n    action: execute_sql\n    payload:\n      sqll: SELECT 1\n",
    );
    let (code, error) = installation.fails(&["run", "bad.yaml", "--dry-run"]);
    assert!(
        code == 2
            && error.contains(
                "bad.yaml:8: step b: payload.sqll: execute_sql has no such field; did you mean sql?"
            ),
        "{error}"
    );
    let (code, error) = installation.fails(&["run", "none.yaml"]);
    assert!(
        code == 2 && error.contains("none.yaml: cannot be read"),
        "{error}"
    );
}

#[test]
fn a_terminal_sees_live_progress() {
    let installation = installation("CREATE TABLE t AS SELECT * FROM a");
    let _up = installation.up();
    // `script` gives the program a terminal.
    let shown = installation
        .shell(r#"script -qec "$0 run p.yaml" /dev/null"#)
        .stdin(Stdio::null())
        .output()
        .expect("script runs");
    let shown = String::from_utf8_lossy(&shown.stdout);
    assert!(
        shown.contains("✓ report") && !shown.contains("report  sent"),
        "{shown}"
    );
}

#[test]
fn files_outside_the_pipelines_folder_need_a_flag_and_devices_are_refused() {
    let installation = Installation::new();
    let folder = installation.folder.path().join("pipeline");
    std::fs::create_dir(&folder).expect("made");
    write(
        installation.folder.path(),
        "beside.txt",
        "not of the pipeline",
    );
    std::os::unix::fs::symlink("../beside.txt", folder.join("link.txt")).expect("linked");
    let pipeline = |file: &str| {
        let step = format!(
            "{{name: a, type: storage, action: put_object, payload: {{container: lake, path: x, data: {{file: {file}}}}}}}"
        );
        write(&folder, "p.yaml", &format!("name: p\nsteps:\n  - {step}\n"))
    };
    for outside in ["../beside.txt", "link.txt", "/dev/null"] {
        let file = pipeline(outside);
        let (code, error) = installation.fails(&["run", &file, "--dry-run"]);
        let expected = format!(
            "p.yaml:3: file: {outside}: it is outside the pipeline's folder; copy it there, or allow it with --allow-files-outside"
        );
        assert!(code == 2 && error.contains(&expected), "{error}");
    }
    for allowed in ["../beside.txt", "link.txt"] {
        let file = pipeline(allowed);
        installation.ok(&["run", &file, "--dry-run", "--allow-files-outside"]);
    }
    let file = pipeline("/dev/zero");
    let (code, error) = installation.fails(&["run", &file, "--dry-run", "--allow-files-outside"]);
    let expected = "3: file: /dev/zero: expected a regular file";
    assert!(code == 2 && error.contains(expected), "{error}");
    let call = [
        "call",
        "storage",
        "put_object",
        "container=lake",
        "path=x",
        "data=@/dev/zero",
    ];
    let (code, error) = installation.fails(&call);
    assert!(
        code == 2 && error.contains("/dev/zero: expected a regular file"),
        "{error}"
    );
    let (code, error) = installation.fails(&["publish", "--lines", "/dev/zero"]);
    let expected = "a line has more than 67108864 bytes (PUDATO_CLAIM_BYTES_MAX)";
    assert!(code == 2 && error.contains(expected), "{error}");
}
