//! SQL commands: their answers, their limits, and other programs that open the warehouse.

use crate::support::{Installation, PATIENCE, Serving, python, wait, write};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Instant;

fn query(installation: &Installation, sql: &str) -> Value {
    let sql = format!("sql={sql}");
    let answer = installation.ok(&["call", "query", "execute_sql", &sql]);
    serde_json::from_str(&answer).expect("JSON")
}

fn refused(installation: &Installation, args: &[&str]) -> String {
    let call = ["call", "query", "execute_sql"];
    let (code, error) = installation.fails(&[&call[..], args].concat());
    assert_eq!(code, 1, "{error}");
    error
}

fn memory_kib(serving: &Serving) -> u64 {
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", serving.0.id())).expect("its status");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .expect("a peak");
    line.split_whitespace()
        .nth(1)
        .and_then(|kib| kib.parse().ok())
        .expect("a number")
}

#[test]
fn a_file_becomes_a_table_and_an_export_with_its_lineage() {
    let installation = Installation::new();
    let _up = installation.up();
    let csv = write(
        installation.folder.path(),
        "a.csv",
        "state,n\nTX,1\nTX,2\nCA,3\n",
    );
    let step = |step: &'static str| ["--job", "job-1", "--step", step];
    let data = format!("data=@{csv}");
    let put = [
        "call",
        "storage",
        "put_object",
        "container=lake",
        "path=raw/a.csv",
        &data,
    ];
    installation.ok(&[&put[..], &step("step-1")].concat());
    let script = [
        "call",
        "query",
        "execute_script",
        "sql=CREATE SCHEMA mart; CREATE TABLE mart.s AS SELECT state, sum(n) AS n FROM a GROUP BY ALL",
        r#"sources:={"a": {"container": "lake", "path": "raw/a.csv"}}"#,
    ];
    installation.ok(&[&script[..], &step("step-2")].concat());
    let export = [
        "call",
        "query",
        "execute_sql",
        "sql=SELECT * FROM mart.s WHERE n > $least",
        r#"parameters:={"least": 0}"#,
        r#"into:={"container": "lake", "path": "out/s.parquet"}"#,
    ];
    let exported = installation.ok(&[&export[..], &step("step-3")].concat());
    let exported: Value = serde_json::from_str(&exported).expect("JSON");
    assert_eq!(
        (&exported["row_count"], &exported["into"]["format"]),
        (&json!(2), &json!("parquet"))
    );
    // The storage service counts the rows of a Parquet file as well.
    let get = [
        "call",
        "storage",
        "get_object",
        "container=lake",
        "path=out/s.parquet",
        "--json",
    ];
    let got: Value = serde_json::from_str(&installation.ok(&get)).expect("JSON");
    assert_eq!(got["inputs"][0]["metadata"]["row_count"], 2);
    let tree = installation.ok(&["lineage", "out/s.parquet"]);
    let lines = lines(&tree);
    assert!(lines[0].ends_with("/lake/out/s.parquet  2 rows"), "{tree}");
    assert!(
        lines[2].ends_with("/warehouse.duckdb#warehouse.mart.s  2 rows"),
        "{tree}"
    );
    assert!(lines[4].ends_with("/lake/raw/a.csv  3 rows"), "{tree}");
    let step = installation.ok(&["job", "show", "job-1", "--json"]);
    let step: Value = serde_json::from_str(&step).expect("JSON");
    let record = &step["steps"][2]["executions"][0]["details"];
    assert_eq!(record["parameter_types"], json!({"least": "BIGINT"}));
    assert_eq!(
        (&record["lineage"], &record["dialect"]),
        (&json!("complete"), &json!("duckdb"))
    );
}

/// The lines of a tree, without its branches.
fn lines(tree: &str) -> Vec<&str> {
    let branches = [' ', '└', '├', '─', '│'];
    tree.lines()
        .map(|line| line.trim_start_matches(branches))
        .collect()
}

#[test]
fn lineage_shows_the_rows_of_a_table_and_the_changed_ones() {
    let installation = Installation::new();
    let _up = installation.up();
    for (step, sql, told) in [
        (
            "make",
            "CREATE TABLE t AS SELECT range AS a, 0 AS b FROM range(60000)",
            "60,000 rows",
        ),
        (
            "one",
            "UPDATE t SET b = 1 WHERE a = 7",
            "60,000 rows (1 changed)",
        ),
        (
            "add",
            "INSERT INTO t VALUES (-1, 0), (-2, 0)",
            "60,002 rows (2 changed)",
        ),
        (
            "drop",
            "DELETE FROM t WHERE a < 0",
            "60,000 rows (2 changed)",
        ),
        (
            "match",
            "UPDATE t SET b = k FROM (VALUES (7), (7)) v(k) WHERE a = k",
            "60,000 rows",
        ),
        (
            "keep",
            "DELETE FROM t WHERE a <> 7",
            "1 row (59,999 changed)",
        ),
        ("view", "CREATE VIEW v AS FROM t", ""),
    ] {
        let call = ["call", "query", "execute_sql", "--step", step];
        installation.ok(&[&call[..], &[&format!("sql={sql}")]].concat());
        let name = if step == "view" { "main.v" } else { "main.t" };
        let tree = installation.ok(&["lineage", name]);
        let (_, rows) = lines(&tree)[0].split_once(name).expect("the name");
        assert_eq!(rows.trim_start(), told, "{sql}: {tree}");
        let svg = installation.ok(&["lineage", name, "--format", "svg"]);
        assert!(svg.contains(&format!(">{told}</text>")), "{sql}: {svg}");
        // A step without a name is shown by its id.
        let called = format!("[{step}] query execute_sql success ");
        assert!(lines(&tree)[1].starts_with(&called), "{tree}");
        assert!(svg.contains(&format!(">{step}</text>")), "{svg}");
    }
    // The counts of several inserts add up; the rows of several updates may be the same ones.
    let script = |sql: &str| {
        let call = ["call", "query", "execute_script", "--json"];
        let result = installation.ok(&[&call[..], &[&format!("sql={sql}")]].concat());
        let result: Value = serde_json::from_str(&result).expect("JSON");
        let metadata = &result["outputs"][0]["metadata"];
        let operation = metadata["operation"].clone();
        (
            operation,
            metadata["row_count"].clone(),
            metadata["rows_changed"].clone(),
        )
    };
    assert_eq!(
        script("INSERT INTO t VALUES (1, 1); INSERT INTO t VALUES (2, 2), (3, 3)"),
        (json!("insert"), json!(4), json!(3))
    );
    assert_eq!(
        script("UPDATE t SET b = 5; UPDATE t SET b = 6"),
        (json!("update"), json!(4), Value::Null)
    );
    assert_eq!(
        script(
            "CREATE TABLE made (a INTEGER); INSERT INTO made VALUES (1), (2); DELETE FROM made WHERE a = 1"
        ),
        (json!("create"), json!(1), Value::Null)
    );
}

#[test]
fn errors_in_a_payload_name_the_field() {
    let installation = Installation::new();
    let _up = installation.up();
    for (args, what) in [
        (&["max_rows:=5"][..], "payload.sql: required"),
        (
            &["sql=SELECT 1", "max_rows:=0"],
            "payload.max_rows: expected a whole number 1..100000, found 0",
        ),
        (&["sql=SELECT 1", "max_rows=ten"], "payload.max_rows"),
        (&["sql=SELECT 1", "max_rows:=true"], "payload.max_rows"),
        (
            &["sql=SELECT 1", "parameters=x"],
            "payload.parameters: expected an array or an object",
        ),
        (
            &["sql=SELECT ?", "parameters:=[[1]]"],
            "payload.parameters[0]: expected null, a boolean",
        ),
        (
            &["sql=SELECT 1", r#"sources:={"a": {"container": "lake"}}"#],
            "payload.sources.a.path: required",
        ),
        (
            &[
                "sql=SELECT 1",
                r#"sources:={"a": {"container": "lake", "path": "x"}}"#,
            ],
            "payload.sources.a.format: expected one of csv",
        ),
        (
            &[
                "sql=SELECT 1",
                r#"sources:={"a": {"container": "lake", "path": "x.csv"}}"#,
            ],
            "payload.sources.a: lake/x.csv: there is no such object",
        ),
        (
            &[
                "sql=SELECT 1",
                r#"into:={"container": "lake", "path": "../x.csv"}"#,
            ],
            "payload.into: payload.path",
        ),
        (
            &["sql=SELECT 1", "timeout_seconds:=0"],
            "payload.timeout_seconds: expected a whole number 1..300",
        ),
        (
            &["sql=SELECT 1; SELECT 2"],
            "expected one statement, found 2; send them with execute_script",
        ),
        (
            &["sql=SELECT nowhere"],
            "Referenced column \"nowhere\" was not found",
        ),
    ] {
        let error = refused(&installation, args);
        assert!(error.contains(what), "{args:?}: {error}");
    }
}

#[test]
fn hostile_sql_is_refused_in_time_and_the_worker_survives() {
    let installation = Installation::new();
    let mut command = installation.command(&["up"]);
    command
        .env("PUDATO_QUERY_MEMORY_BYTES", "268435456")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let up = Serving(command.spawn().expect("the program starts"));
    query(&installation, "SELECT 1");
    let before_kib = memory_kib(&up);
    let huge = "max_rows:=100000";
    for (sql, what) in [
        (
            "SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE a.range + b.range = 7",
            "deadline of 1 s",
        ),
        (
            "SELECT repeat('x', 10000) FROM range(100000)",
            "the answer has more than|deadline",
        ),
        (
            "SELECT sum(length(x)) FROM (SELECT string_agg(range::VARCHAR) x FROM range(100000000))",
            "Out of Memory|deadline",
        ),
        ("SELECT * FROM read_text('/etc/passwd')", "`sources` only"),
        ("COPY (SELECT 1) TO '/tmp/x.csv'", "`into`"),
        ("ATTACH '/tmp/x.db'", "ATTACH is not allowed"),
    ] {
        let begun = Instant::now();
        let sql = format!("sql={sql}");
        let error = refused(&installation, &[&sql, huge, "timeout_seconds:=1"]);
        assert!(
            what.split('|').any(|what| error.contains(what)),
            "{sql}: {error}"
        );
        // Without a limit, each of them would run for hours or until memory is full.
        assert!(
            begun.elapsed() < PATIENCE / 4,
            "{sql}: {:?}",
            begun.elapsed()
        );
    }
    let grown_kib = memory_kib(&up) - before_kib;
    // The limit, plus the size of one answer on its way: a chunk of rows, as values, as a message.
    assert!(grown_kib < 320 * 1024, "memory grew by {grown_kib} KiB");
    assert_eq!(query(&installation, "SELECT 42")["rows"], json!([[42]]));
}

#[test]
fn a_large_answer_travels_as_a_claim() {
    let installation = Installation::new();
    let _up = installation.up();
    let sql = "sql=SELECT range AS n, repeat('x', 100) AS text FROM range(30000)";
    let answer = installation.ok(&["call", "query", "execute_sql", sql, "max_rows:=100000"]);
    let answer: Value = serde_json::from_str(&answer).expect("JSON");
    assert_eq!(
        (&answer["row_count"], &answer["truncated"]),
        (&json!(30_000), &json!(false))
    );
    assert!(
        installation
            .data()
            .join("objects/pudato-claims/claims")
            .exists()
    );
    // More keys than a message may have: an answer that could not be read back would be lost.
    let sql = "sql=SELECT {'a': range, 'b': 1} AS s FROM range(20000)";
    let answer = installation.ok(&["call", "query", "execute_sql", sql, "max_rows:=100000"]);
    let answer: Value = serde_json::from_str(&answer).expect("JSON");
    assert_eq!(answer["rows"][19_999], json!([{"a": 19_999, "b": 1}]));
}

#[test]
fn an_answer_that_could_not_be_read_back_is_refused_and_has_no_effect() {
    let installation = Installation::new();
    let _up = installation.up();
    query(&installation, "CREATE TABLE kept (n BIGINT)");
    let twelve_keys = "{a: n, b: 1, c: 1, d: 1, e: 1, f: 1, g: 1, h: 1, i: 1, j: 1, k: 1, l: 1}"
        .replace('1', "NULL");
    let sql = format!("sql=INSERT INTO kept SELECT * FROM range(90000) RETURNING {twelve_keys}");
    let error = refused(&installation, &[&sql, "max_rows:=90000"]);
    assert!(error.contains("more than 1000000"), "{error}");
    assert!(error.contains("`max_rows`"), "{error}");
    let count = query(&installation, "SELECT count(*) FROM kept");
    assert_eq!(count["rows"], json!([[0]]));
}

/// Runs Python's own duckdb with the warehouse open until its stdin is closed.
fn python_has_it_open(
    python: &str,
    installation: &Installation,
    read_only: bool,
) -> std::process::Child {
    let mode = if read_only { "True" } else { "False" };
    let program = format!(
        "import duckdb, sys\nc = duckdb.connect('data/warehouse.duckdb', read_only={mode})\n\
         print(c.sql('select count(*) from t').fetchone()[0], flush=True)\nsys.stdin.read()"
    );
    let child = Command::new(python)
        .args(["-c", &program])
        .current_dir(installation.folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut child = child.expect("python starts");
    let mut line = String::new();
    let stdout = child.stdout.as_mut().expect("piped");
    BufReader::new(stdout).read_line(&mut line).expect("a line");
    assert_eq!(line.trim(), "1");
    child
}

#[test]
fn python_reads_the_warehouse_while_pudato_is_up_and_the_other_way_round() {
    let Some(python) = python("duckdb") else {
        return;
    };
    let installation = Installation::new();
    let _up = installation.up();
    query(&installation, "CREATE TABLE t AS SELECT 0 AS n");
    let count = "import duckdb; print(duckdb.connect('data/warehouse.duckdb').sql('select n from t').fetchone()[0])";
    for n in 1..=10 {
        query(&installation, &format!("UPDATE t SET n = {n}"));
        let read = Command::new(&python)
            .args(["-c", count])
            .current_dir(installation.folder.path())
            .output();
        let read = read.expect("python runs");
        let error = String::from_utf8_lossy(&read.stderr);
        assert_eq!(
            String::from_utf8_lossy(&read.stdout).trim(),
            n.to_string(),
            "{error}"
        );
    }
    // Readers do not disturb each other.
    let mut reader = python_has_it_open(&python, &installation, true);
    assert_eq!(
        query(&installation, "SELECT n FROM t")["rows"],
        json!([[10]])
    );
    drop(reader.stdin.take());
    reader.wait().expect("it ends");
    // A writer is waited for.
    let mut writer = python_has_it_open(&python, &installation, false);
    let waiting = installation
        .command(&["call", "query", "execute_sql", "sql=UPDATE t SET n = n + 1"])
        .stdout(Stdio::piped())
        .spawn();
    let waiting = waiting.expect("the program starts");
    wait("a worker that meets the lock", || {
        let found = installation.run(&["doctor"]).stdout;
        String::from_utf8_lossy(&found).contains("has received no messages since")
    });
    drop(writer.stdin.take());
    writer.wait().expect("it ends");
    let ended = waiting.wait_with_output().expect("it ends");
    assert!(ended.status.success());
    assert_eq!(
        query(&installation, "SELECT n FROM t")["rows"],
        json!([[11]])
    );
}

#[test]
fn names_in_files_are_data_and_names_of_sources_differ() {
    let installation = Installation::new();
    let _up = installation.up();
    let csv = write(installation.folder.path(), "a.csv", "id,it's\n1,2\n");
    let data = format!("data=@{csv}");
    installation.ok(&[
        "call",
        "storage",
        "put_object",
        "container=lake",
        "path=raw/a.csv",
        &data,
    ]);
    let source = r#"{"container": "lake", "path": "raw/a.csv"}"#;
    let sources = format!(r#"sources:={{"a": {source}}}"#);
    let answer = installation.ok(&["call", "query", "execute_sql", "sql=FROM a", &sources]);
    let answer: Value = serde_json::from_str(&answer).expect("JSON");
    assert_eq!(answer["columns"][1]["name"], json!("it's"));
    assert_eq!(answer["rows"], json!([[1, 2]]));
    let sources = format!(r#"sources:={{"orders": {source}, "Orders": {source}}}"#);
    let error = refused(&installation, &["sql=FROM orders", &sources]);
    let names = error.contains("\"orders\"") && error.contains("\"Orders\"");
    assert!(names && error.contains("payload.sources"), "{error}");
    let error = refused(&installation, &["sql=SELECT * FROM pudato.answers"]);
    assert!(error.contains("the schema pudato"), "{error}");
}

/// DuckDB would open it, and every write would fail.
#[test]
fn a_warehouse_that_cannot_commit_is_refused_at_the_start() {
    let installation = Installation::new();
    let name = "w".repeat(252);
    let settings = format!("duckdb_path = {name:?}\n");
    write(installation.folder.path(), "pudato.toml", &settings);
    let (_, error) = installation.fails(&["up"]);
    assert!(
        error.contains("DUCKDB_PATH: ") && error.contains("252 bytes; at most 240"),
        "{error}"
    );
}
