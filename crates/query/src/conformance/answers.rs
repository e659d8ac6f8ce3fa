//! The form of an answer: rows, their types, and an answer written to a file.

use super::subject::{Subject, work};
use crate::{Answer, AnswerTo, Column, CsvOptions, Format, Source};
use pudato_protocol::DataReference;
use serde_json::json;

/// A query returns its columns, their types and its rows.
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

/// An answer has no more rows than requested, and shows that rows were left out.
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

/// Every type has a form in JSON.
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
