//! Sources: objects that are read under a name.

use super::subject::{Subject, work};
use crate::{Answer, Format};
use serde_json::json;

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

/// A source that does not match its format is refused by name.
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
