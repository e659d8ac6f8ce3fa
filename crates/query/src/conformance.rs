//! The promises that every engine is tested against. A backend's test is the list of calls; see `tests/duckdb.rs`.
//!
//! Each promise gets an engine of its own. What only a durable engine can promise takes a [`Subject`] whose tables last.

use crate::{
    Answer, AnswerTo, Begun, Column, CsvOptions, EngineError, Format, Kept, Outcome, Parameter,
    Parameters, QueryEngine, Source, Work,
};
use pudato_handler::{Identity, Waits};
use pudato_protocol::DataReference;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// An engine that is tested.
pub struct Subject {
    /// The engine.
    pub engine: Box<dyn QueryEngine>,
}

/// A work without sources that answers with rows.
fn work(sql: &str) -> Work {
    Work {
        label: "a work".into(),
        sql: sql.to_owned(),
        is_script: false,
        parameters: Parameters::None,
        sources: Vec::new(),
        answer_to: AnswerTo::Rows {
            rows_max: 1_000,
            bytes_max: 1 << 20,
        },
        deadline: Duration::from_secs(30),
        identity: None,
        waits: Waits::default(),
    }
}

fn script(sql: &str) -> Work {
    Work {
        is_script: true,
        ..work(sql)
    }
}

fn identity(key: &str, fingerprint: &str) -> Option<Identity> {
    Some(Identity {
        key: key.into(),
        fingerprint: fingerprint.into(),
    })
}

impl Subject {
    async fn run(&self, work: Work) -> Result<Outcome, EngineError> {
        match self.engine.begin(work).await? {
            Begun::Ran(transaction) => {
                let outcome = transaction.outcome().clone();
                transaction.commit("answer").await?;
                Ok(outcome)
            }
            Begun::Answered(_) => panic!("it was not run before"),
        }
    }

    async fn rows(&self, work: Work) -> Vec<Value> {
        match self.run(work).await.expect("an answer").answer {
            Answer::Rows { rows, .. } => rows,
            Answer::File { .. } => panic!("rows were asked for"),
        }
    }

    async fn invalid(&self, work: Work) -> String {
        let sql = work.sql.clone();
        match self.run(work).await {
            Err(EngineError::Invalid(text)) => text,
            other => panic!("{sql}: expected it to be refused, found {other:?}"),
        }
    }

    /// A source named `name` with this text.
    fn source(&self, scratch: &crate::Scratch, name: &str, format: Format, text: &str) -> Source {
        let file = scratch
            .path()
            .join(format!("{}.{}", name.len(), format.name()));
        std::fs::write(&file, text).expect("a source");
        Source {
            name: name.into(),
            file,
            format,
            options: CsvOptions::default(),
            reference: DataReference::new("file", "file:///lake/source"),
        }
    }
}

/// A query answers with its columns, their types and its rows.
pub async fn a_query_answers_with_columns_and_rows(subject: Subject) {
    let outcome = subject
        .run(work("SELECT 1 AS one, 'ü' AS text, NULL AS nothing"))
        .await
        .expect("an answer");
    let Answer::Rows {
        columns,
        rows,
        truncated,
    } = outcome.answer
    else {
        panic!("rows were asked for");
    };
    let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!((names, truncated), (vec!["one", "text", "nothing"], false));
    assert_eq!(
        columns[1],
        Column {
            name: "text".into(),
            r#type: "VARCHAR".into()
        }
    );
    assert_eq!(rows, [json!([1, "ü", null])]);
}

/// No more rows than were asked for, and the answer says that there were more.
pub async fn rows_beyond_the_most_are_left_out(subject: Subject) {
    let mut most = work("SELECT * FROM range(100000)");
    most.answer_to = AnswerTo::Rows {
        rows_max: 3,
        bytes_max: 1 << 20,
    };
    let outcome = subject.run(most).await.expect("an answer");
    let Answer::Rows {
        rows, truncated, ..
    } = outcome.answer
    else {
        panic!("rows were asked for");
    };
    assert_eq!((rows.len(), truncated), (3, true));
}

/// An answer of too many bytes is an error, and is not collected first.
pub async fn an_answer_of_too_many_bytes_is_refused(subject: Subject) {
    let mut most = work("SELECT repeat('x', 1000) FROM range(1000000)");
    most.answer_to = AnswerTo::Rows {
        rows_max: 100_000,
        bytes_max: 1 << 20,
    };
    let text = subject.invalid(most).await;
    assert!(text.contains("more than 1048576 bytes"), "{text}");
}

/// Parameters are bound by place and by name, and never read as SQL.
pub async fn parameters_are_bound(subject: Subject) {
    let mut places = work("SELECT ?, ?, $1");
    places.parameters = Parameters::Positional(vec![
        Parameter::Text("x'; DROP TABLE t; --".into()),
        Parameter::Integer(i64::MIN),
    ]);
    // DuckDB does not mix `?` and `$1`; each alone is bound.
    places.sql = "SELECT $2, $1".into();
    assert_eq!(
        subject.rows(places).await,
        [json!([i64::MIN, "x'; DROP TABLE t; --"])]
    );
    let mut names = work("SELECT $flag, $number, $bytes, $nothing");
    names.parameters = Parameters::Named(vec![
        ("flag".into(), Parameter::Boolean(true)),
        ("number".into(), Parameter::Double(0.5)),
        ("bytes".into(), Parameter::Blob(vec![0, 255])),
        ("nothing".into(), Parameter::Null),
    ]);
    let blob = json!({"$type": "blob", "base64": "AP8="});
    assert_eq!(subject.rows(names).await, [json!([true, 0.5, blob, null])]);
}

/// A parameter without a value, and a value without a parameter, are named.
pub async fn parameters_and_values_must_fit(subject: Subject) {
    let text = subject.invalid(work("SELECT $who")).await;
    assert!(
        text.contains("payload.parameters") && text.contains("$who"),
        "{text}"
    );
    let mut unused = work("SELECT $a");
    unused.parameters = Parameters::Named(vec![
        ("a".into(), Parameter::Null),
        ("typo".into(), Parameter::Null),
    ]);
    let text = subject.invalid(unused).await;
    assert!(text.contains("no parameter $typo"), "{text}");
    let mut few = work("SELECT ?, ?");
    few.parameters = Parameters::Positional(vec![Parameter::Null]);
    assert!(subject.invalid(few).await.contains("payload.parameters"));
}

/// `execute_sql` runs one statement: a second one is refused before the first has run.
pub async fn one_statement_is_one(subject: Subject) {
    for sql in [
        "SELECT 1; SELECT 2",
        "SELECT 1;;SELECT 2;",
        "SELECT 1/**/;/*;*/VALUES (2)",
    ] {
        let text = subject.invalid(work(sql)).await;
        assert!(
            text.contains("expected one statement, found 2"),
            "{sql}: {text}"
        );
    }
    assert_eq!(
        subject.rows(work("SELECT ';' ; -- SELECT 2")).await,
        [json!([";"])]
    );
    for sql in ["", ";", "-- nothing"] {
        assert!(
            subject
                .invalid(work(sql))
                .await
                .contains("expected a statement"),
            "{sql:?}"
        );
    }
}

/// A statement that cannot be read, or names what is not there, is an error with the engine's own words.
pub async fn a_wrong_statement_says_what_is_wrong(subject: Subject) {
    assert!(
        subject
            .invalid(work("SELEC 1"))
            .await
            .contains("syntax error")
    );
    assert!(
        subject
            .invalid(work("SELECT * FROM nowhere"))
            .await
            .contains("nowhere")
    );
    let text = subject
        .invalid(script(
            "CREATE TEMP TABLE x (a INTEGER); SELECT * FROM nowhere",
        ))
        .await;
    assert!(text.contains("statement 2 of 2"), "{text}");
}

/// An object is read under its name, in every format.
pub async fn sources_are_read_by_name(subject: Subject) {
    let texts = [
        (Format::Csv, "a,b\n1,x\n2,\"y\nz\"\n"),
        (Format::Tsv, "a\tb\n1\tx\n2\ty\n"),
        (Format::Json, r#"[{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]"#),
        (
            Format::Jsonl,
            "{\"a\": 1, \"b\": \"x\"}\n{\"a\": 2, \"b\": \"y\"}\n",
        ),
    ];
    for (format, text) in texts {
        let scratch = subject.engine.scratch().expect("scratch");
        let mut read = work("SELECT sum(a), min(b) FROM \"the source\"");
        read.sources = vec![subject.source(&scratch, "the source", format, text)];
        let outcome = subject.run(read).await.expect("an answer");
        let Answer::Rows { rows, .. } = outcome.answer else {
            panic!("rows were asked for");
        };
        assert_eq!(rows, [json!([3, "x"])], "{format:?}");
        assert_eq!(outcome.statements[0].lineage.sources[0].name, "the source");
    }
}

/// An object that is not in its format is the source's fault, and says so.
pub async fn a_source_that_cannot_be_read_is_named(subject: Subject) {
    let scratch = subject.engine.scratch().expect("scratch");
    let mut read = work("SELECT * FROM s");
    read.sources = vec![subject.source(&scratch, "s", Format::Parquet, "no parquet")];
    let text = subject.invalid(read).await;
    assert!(
        text.starts_with("payload.sources.s: ") && !text.contains("/"),
        "{text}"
    );
}

/// `into` writes the answer as an object that can be read back.
pub async fn an_answer_is_written_and_read_back(subject: Subject) {
    for format in [
        Format::Csv,
        Format::Tsv,
        Format::Parquet,
        Format::Json,
        Format::Jsonl,
    ] {
        let scratch = subject.engine.scratch().expect("scratch");
        let file = scratch.path().join("answer");
        let mut write = work("SELECT range AS a, 'ü' || range AS b FROM range(2500) -- the end");
        write.answer_to = AnswerTo::File {
            file: file.clone(),
            format,
        };
        let outcome = subject.run(write).await.expect("written");
        assert_eq!(outcome.answer, Answer::File { row_count: 2_500 });
        let mut read = work("SELECT count(*), sum(a), max(b) FROM s");
        read.sources = vec![Source {
            name: "s".into(),
            file,
            format,
            options: CsvOptions::default(),
            reference: DataReference::new("file", "file:///lake/answer"),
        }];
        assert_eq!(
            subject.rows(read).await,
            [json!([2_500, 3_123_750, "ü999"])],
            "{format:?}"
        );
    }
    let mut write = work("SHOW TABLES");
    write.answer_to = AnswerTo::File {
        file: "/nowhere".into(),
        format: Format::Csv,
    };
    assert!(subject.invalid(write).await.contains("payload.into"));
}

/// A statement that never ends is interrupted at its deadline, and the engine goes on.
pub async fn a_statement_ends_at_its_deadline(subject: Subject) {
    let endless = [
        "SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE a.range + b.range = 7",
        "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n FROM r) SELECT count(*) FROM r",
        "SELECT a.range FROM range(1000000) a, range(1000000) b ORDER BY hash(a.range * b.range)",
    ];
    for sql in endless {
        let mut work = work(sql);
        work.deadline = Duration::from_millis(500);
        let begun = Instant::now();
        let text = subject.invalid(work).await;
        assert!(
            text.contains("deadline of 0.5 s") || text.contains("Out of Memory"),
            "{sql}: {text}"
        );
        assert!(
            begun.elapsed() < Duration::from_millis(1_500),
            "{sql}: {:?}",
            begun.elapsed()
        );
    }
    assert_eq!(subject.rows(work("SELECT 1")).await, [json!([1])]);
}

/// A work that nobody waits for any more is stopped and undone.
pub async fn a_dropped_work_is_undone(subject: Subject) {
    let mut endless = work(
        "SELECT count(*) FROM range(10000000) a, range(10000000) b WHERE a.range + b.range = 7",
    );
    endless.deadline = Duration::from_secs(3_600);
    let begun =
        tokio::time::timeout(Duration::from_millis(200), subject.engine.begin(endless)).await;
    assert!(begun.is_err(), "it cannot have ended");
    assert_eq!(subject.rows(work("SELECT 1")).await, [json!([1])]);
}

/// Nothing outside of the engine is reached: files, network, settings, extensions, other databases, the environment.
pub async fn nothing_outside_is_reached(subject: Subject) {
    let statements = [
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM glob('/*')",
        "SELECT * FROM read_blob('/proc/self/environ')",
        "CREATE TEMP TABLE x AS SELECT * FROM read_text('/etc/passwd')",
        "COPY (SELECT 1) TO '/tmp/pudato-must-not-be-there.csv'",
        "COPY t TO '/tmp/pudato-must-not-be-there.csv'",
        "COPY t FROM '/etc/passwd'",
        "EXPORT DATABASE '/tmp/pudato-must-not-be-there'",
        "IMPORT DATABASE '/tmp'",
        "ATTACH '/tmp/pudato-must-not-be-there.db'",
        "ATTACH ':memory:' AS other",
        "DETACH warehouse",
        "INSTALL httpfs",
        "FORCE INSTALL httpfs",
        "LOAD httpfs",
        "LOAD '/tmp/x.duckdb_extension'",
        "UPDATE EXTENSIONS",
        "SET threads = 1",
        "SET GLOBAL memory_limit = '100GB'",
        "SET enable_external_access = true",
        "SET schema = 'main'",
        "RESET lock_configuration",
        "USE main",
        "PRAGMA enable_profiling",
        "PRAGMA threads = 1",
        "CALL enable_logging()",
        "SELECT * FROM enable_logging()",
        "SELECT getenv('HOME')",
        "SELECT * FROM 'http://127.0.0.1:1/a.csv'",
        "SELECT * FROM 'https://127.0.0.1:1/a.parquet'",
        "SELECT * FROM 's3://bucket/a.parquet'",
        "CREATE SECRET (TYPE s3)",
        "SELECT * FROM which_secret('s3://a', 's3')",
        "BEGIN",
        "COMMIT",
        "ROLLBACK",
        "PREPARE p AS SELECT 1",
        "EXECUTE p",
        "EXPLAIN ANALYZE CREATE TEMP TABLE x AS SELECT 1",
        "SELECT * FROM query('SELECT * FROM read_text(''/etc/passwd'')')",
        "SELECT 'a\0b'",
    ];
    for sql in statements {
        let begun = Instant::now();
        let text = subject.invalid(work(sql)).await;
        assert!(!text.contains("root:"), "{sql}: {text}");
        assert!(
            begun.elapsed() < Duration::from_secs(5),
            "{sql} takes long to be refused"
        );
    }
    assert!(!std::path::Path::new("/tmp/pudato-must-not-be-there.csv").exists());
    assert!(!std::path::Path::new("/tmp/pudato-must-not-be-there").exists());
}

/// One work cannot read the sources of another, nor what the engine puts aside on disk.
pub async fn a_source_is_read_through_its_name_only(subject: Subject) {
    let other = subject.engine.scratch().expect("scratch");
    let secret = subject.source(&other, "secret", Format::Csv, "a\n42\n");
    let folder = other
        .path()
        .parent()
        .expect("a folder")
        .display()
        .to_string();
    for sql in [
        format!("SELECT * FROM read_csv('{}')", secret.file.display()),
        format!("SELECT * FROM '{}'", secret.file.display()),
        format!("SELECT * FROM glob('{folder}/**')"),
        format!(
            "CREATE TEMP VIEW v AS SELECT * FROM read_text('{}')",
            secret.file.display()
        ),
    ] {
        let text = subject.invalid(work(&sql)).await;
        assert!(
            text.contains("is not allowed") || text.contains("`sources` only"),
            "{sql}: {text}"
        );
    }
}

/// Names of any length and with any characters do no harm.
pub async fn strange_names_do_no_harm(subject: Subject) {
    let long = "n".repeat(10_000);
    let text = subject
        .invalid(work(&format!("SELECT * FROM \"{long}\"")))
        .await;
    assert!(text.contains("does not exist"), "{}", &text[..200]);
    for name in [
        "x; DROP TABLE t",
        "a\"b",
        "'",
        "$$",
        "--",
        "/*",
        "ü\u{200b}",
        "select",
    ] {
        let quoted = format!("\"{}\"", name.replace('"', "\"\""));
        let scratch = subject.engine.scratch().expect("scratch");
        let mut read = work(&format!("SELECT a FROM {quoted}"));
        read.sources = vec![subject.source(&scratch, name, Format::Csv, "a\n1\n")];
        assert_eq!(subject.rows(read).await, [json!([1])], "{name}");
    }
}

/// Two sources that SQL cannot tell apart are refused by their names.
pub async fn sources_have_names_that_sql_tells_apart(subject: Subject) {
    let scratch = subject.engine.scratch().expect("scratch");
    let mut read = work("SELECT * FROM s");
    read.sources = vec![
        subject.source(&scratch, "s", Format::Csv, "a\n1\n"),
        subject.source(&scratch, "S", Format::Csv, "a\n2\n"),
    ];
    let text = subject.invalid(read).await;
    assert!(text.contains("\"s\" and \"S\""), "{text}");
}

/// The memory limit is an error, and the engine goes on.
pub async fn memory_has_a_limit(subject: Subject) {
    let mut large = work("SELECT list(range::VARCHAR || repeat('x', 100)) FROM range(20000000)");
    large.deadline = Duration::from_secs(60);
    let text = subject.invalid(large).await;
    assert!(
        text.contains("Out of Memory") || text.contains("bytes"),
        "{text}"
    );
    assert_eq!(subject.rows(work("SELECT 1")).await, [json!([1])]);
}

/// Every type has its form in JSON.
pub async fn every_type_has_its_form(subject: Subject) {
    let forms = [
        ("18446744073709551615::UBIGINT", json!(u64::MAX)),
        (
            "170141183460469231731687303715884105727::HUGEINT",
            json!("170141183460469231731687303715884105727"),
        ),
        (
            "340282366920938463463374607431768211455::UHUGEINT",
            json!("340282366920938463463374607431768211455"),
        ),
        ("sum(1)", json!(1)),
        ("1.50::DECIMAL(18,3)", json!("1.500")),
        ("'NaN'::DOUBLE", json!({"$type": "float", "value": "NaN"})),
        (
            "'-inf'::FLOAT",
            json!({"$type": "float", "value": "-Infinity"}),
        ),
        ("1.1::FLOAT", json!(1.1)),
        ("DATE '2024-02-29'", json!("2024-02-29")),
        ("TIME '10:00:00.5'", json!("10:00:00.500000")),
        ("TIMETZ '10:00:00+02:30'", json!("10:00:00+02:30")),
        (
            "TIMESTAMP '2024-02-29 10:00:00'",
            json!("2024-02-29T10:00:00"),
        ),
        (
            "TIMESTAMPTZ '2024-02-29 10:00:00+02'",
            json!("2024-02-29T08:00:00+00:00"),
        ),
        (
            "INTERVAL '14 months 3 days 1.5 seconds'",
            json!("P1Y2M3DT1.5S"),
        ),
        (
            "'\\x00\\xFF'::BLOB",
            json!({"$type": "blob", "base64": "AP8="}),
        ),
        ("'101'::BIT", json!("101")),
        (
            "'6d3d2541-6a3f-4ad0-9b8f-7d8a3b8d7c10'::UUID",
            json!("6d3d2541-6a3f-4ad0-9b8f-7d8a3b8d7c10"),
        ),
        ("'a'::ENUM ('a', 'b')", json!("a")),
        ("[1, NULL, 3]", json!([1, null, 3])),
        ("[1, 2]::INTEGER[2]", json!([1, 2])),
        (
            "{'a': 1, 'b': [{'c': 2.5}]}",
            json!({"a": 1, "b": [{"c": "2.5"}]}),
        ),
        ("MAP {'k': 1::HUGEINT}", json!([{"key": "k", "value": 1}])),
        ("[TIMETZ '10:00:00+02']", json!(["10:00:00+02"])),
        ("'{\"a\": 1}'::JSON", json!("{\"a\": 1}")),
        ("true", json!(true)),
        ("NULL", json!(null)),
    ];
    for (sql, form) in forms {
        let rows = subject.rows(work(&format!("SELECT {sql} AS value"))).await;
        assert_eq!(rows, [json!([form])], "{sql}");
    }
}

/// What was made is there for the next work; a work that fails leaves nothing.
pub async fn a_work_is_one_transaction(subject: Subject) {
    subject
        .run(work("CREATE TABLE t AS SELECT 1 AS a"))
        .await
        .expect("made");
    subject
        .invalid(script(
            "INSERT INTO t VALUES (2); CREATE TABLE u (a INTEGER); SELECT error('no')",
        ))
        .await;
    assert_eq!(subject.rows(work("SELECT a FROM t")).await, [json!([1])]);
    assert!(
        subject
            .invalid(work("SELECT * FROM u"))
            .await
            .contains("does not exist")
    );
    let begun = subject
        .engine
        .begin(work("INSERT INTO t VALUES (3)"))
        .await
        .expect("begun");
    drop(begun);
    assert_eq!(
        subject.rows(work("SELECT count(*) FROM t")).await,
        [json!([1])]
    );
}

/// The same request runs once: it gets the answer that was committed with its effect.
pub async fn the_same_request_runs_once(subject: Subject) {
    subject
        .run(work("CREATE TABLE t (a INTEGER)"))
        .await
        .expect("made");
    let insert = |fingerprint: &str| {
        let mut insert = script("INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)");
        insert.identity = identity("key:1", fingerprint);
        insert
    };
    let Begun::Ran(transaction) = subject.engine.begin(insert("f")).await.expect("begun") else {
        panic!("it was not run before");
    };
    transaction.commit("the answer").await.expect("committed");
    for _ in 0..2 {
        let Begun::Answered(kept) = subject.engine.begin(insert("f")).await.expect("begun") else {
            panic!("it must not run twice");
        };
        assert_eq!(
            kept,
            Kept {
                answer: "the answer".into()
            }
        );
    }
    assert_eq!(
        subject.rows(work("SELECT count(*) FROM t")).await,
        [json!([2])]
    );
    match subject.engine.begin(insert("another payload")).await {
        Err(EngineError::Invalid(text)) => assert!(text.contains("idempotency_key"), "{text}"),
        _ => panic!("another payload under the same key must be refused"),
    }
}

/// A request whose work was undone runs when it comes again.
pub async fn an_undone_request_runs_again(subject: Subject) {
    subject
        .run(work("CREATE TABLE t (a INTEGER)"))
        .await
        .expect("made");
    let insert = || {
        let mut insert = work("INSERT INTO t VALUES (1)");
        insert.identity = identity("key:1", "f");
        insert
    };
    drop(subject.engine.begin(insert()).await.expect("begun"));
    let Begun::Ran(transaction) = subject.engine.begin(insert()).await.expect("begun") else {
        panic!("nothing was kept");
    };
    transaction.commit("done").await.expect("committed");
    assert_eq!(
        subject.rows(work("SELECT count(*) FROM t")).await,
        [json!([1])]
    );
}

/// Works that change the same table at once all take effect.
pub async fn works_at_once_all_take_effect(subject: Subject) {
    subject
        .run(work("CREATE TABLE t (a INTEGER, n INTEGER)"))
        .await
        .expect("made");
    subject
        .run(work("INSERT INTO t VALUES (1, 0)"))
        .await
        .expect("filled");
    let subject = std::sync::Arc::new(subject);
    let mut running = tokio::task::JoinSet::new();
    for n in 0..8 {
        let subject = std::sync::Arc::clone(&subject);
        running.spawn(async move {
            for _ in 0..5 {
                let mut update =
                    script("UPDATE t SET n = n + 1 WHERE a = 1; CREATE SCHEMA IF NOT EXISTS other");
                update.identity = None;
                loop {
                    match subject.run(script(&update.sql)).await {
                        Ok(_) => break,
                        Err(EngineError::Retry(_)) => {}
                        Err(other) => panic!("{n}: {other}"),
                    }
                }
                subject.rows(work("SELECT * FROM t")).await;
            }
        });
    }
    while let Some(ended) = running.join_next().await {
        ended.expect("no panic");
    }
    assert_eq!(subject.rows(work("SELECT n FROM t")).await, [json!([40])]);
}

/// What pudato keeps for itself cannot be read or changed by a statement.
pub async fn what_pudato_keeps_is_safe(subject: Subject) {
    let mut first = work("CREATE TABLE t AS SELECT 1 AS a");
    first.identity = identity("key:1", "f");
    subject.run(first).await.expect("made");
    for sql in [
        "SELECT * FROM pudato.answers",
        "CREATE INDEX i ON pudato.answers (answer)",
        "COMMENT ON TABLE pudato.answers IS 'x'",
        "DELETE FROM pudato.answers",
        "DROP TABLE pudato.answers",
        "DROP SCHEMA pudato CASCADE",
        "UPDATE \"PUDATO\".answers SET answer = ''",
        "ALTER TABLE warehouse.pudato.answers RENAME TO x",
        "CREATE TABLE pudato.mine (a INTEGER)",
        "TRUNCATE pudato.answers",
    ] {
        assert!(
            subject
                .invalid(work(sql))
                .await
                .contains("the schema pudato"),
            "{sql}"
        );
    }
}

/// An engine that keeps no tables says so, and what to do instead.
pub async fn what_cannot_last_is_refused(subject: Subject) {
    for sql in ["CREATE TABLE t AS SELECT 1", "CREATE VIEW v AS SELECT 1"] {
        let text = subject.invalid(work(sql)).await;
        assert!(
            text.contains("keeps no tables") && text.contains("`into`"),
            "{sql}: {text}"
        );
    }
    let through = script("CREATE TEMP TABLE t AS SELECT 7 AS a; SELECT a FROM t");
    assert_eq!(subject.rows(through).await, [json!([7])]);
}
