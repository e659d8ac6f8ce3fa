//! An answer that is written into an object is read back unchanged, or its writing is refused by name.

mod support;

use pudato_query::{AnswerTo, EngineError, Format, QueryEngine};
use serde_json::{Value, json};
use support::{engine, run, source, table, work};

/// The answer of `sql` after it was written in a format and read again.
async fn round(
    sql: &str,
    format: Format,
    ending: &str,
) -> Result<(Vec<String>, Vec<Value>, Vec<u8>), String> {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(folder.path());
    let scratch = engine.scratch().expect("scratch");
    let mut write = work(sql);
    let file = scratch.path().join(format!("answer{ending}"));
    write.answer_to = AnswerTo::File {
        file: file.clone(),
        format,
    };
    match run(&engine, write).await {
        Ok(_) => {}
        Err(EngineError::Invalid(why)) => return Err(why),
        Err(other) => panic!("{other}"),
    }
    let bytes = std::fs::read(&file).expect("written");
    let mut read = work("SELECT * FROM s");
    let mut source = source(&scratch, "s", format, &bytes);
    let name = source
        .file
        .with_extension(format!("{}{ending}", format.name()));
    std::fs::rename(&source.file, &name).expect("renamed");
    source.file = name;
    read.sources = vec![source];
    let (names, rows) = table(&engine, read)
        .await
        .map_err(|error| format!("{sql}: {error}"))?;
    Ok((names, rows, bytes))
}

const TEXTS: [Format; 4] = [Format::Csv, Format::Tsv, Format::Json, Format::Jsonl];

#[tokio::test]
async fn every_format_gives_back_what_was_written() {
    let sql = "SELECT * FROM (VALUES (1, 'x', 1.5::DOUBLE, DATE '2026-01-31', true), (2, 'a,\"b\"\tc\nd', NULL, NULL, false)) t(n, t, d, day, f)";
    let right = [
        json!([1, "x", 1.5, "2026-01-31", true]),
        json!([2, "a,\"b\"\tc\nd", null, null, false]),
    ];
    for format in [
        Format::Csv,
        Format::Tsv,
        Format::Json,
        Format::Jsonl,
        Format::Parquet,
    ] {
        let (names, rows, _) = round(sql, format, "").await.expect("written");
        assert_eq!(names, ["n", "t", "d", "day", "f"], "{format:?}");
        assert_eq!(rows, right, "{format:?}");
    }
}

#[tokio::test]
async fn what_ends_in_gz_or_zst_is_packed_and_read_back() {
    for format in TEXTS {
        for ending in [".gz", ".zst"] {
            let (_, rows, bytes) = round("SELECT range AS n FROM range(1000)", format, ending)
                .await
                .expect("written");
            assert_eq!(rows.len(), 1_000, "{format:?}{ending}");
            assert_eq!(rows[999], json!([999]));
            let magic: &[u8] = if ending == ".gz" {
                b"\x1f\x8b"
            } else {
                b"\x28\xb5\x2f\xfd"
            };
            assert!(bytes.starts_with(magic), "{format:?}{ending} is packed");
        }
    }
}

#[tokio::test]
async fn an_empty_text_and_a_null_are_kept_apart() {
    for format in TEXTS {
        let (_, rows, _) = round(
            "SELECT * FROM (VALUES ('', 1), (NULL, 2)) t(a, b)",
            format,
            "",
        )
        .await
        .expect("written");
        assert_eq!(rows, [json!(["", 1]), json!([null, 2])], "{format:?}");
    }
}

#[tokio::test]
async fn no_number_changes_on_its_way() {
    let (_, rows, _) = round(
        "SELECT sum(n) AS s FROM (VALUES (9007199254740993::BIGINT), (9007199254740994)) t(n)",
        Format::Parquet,
        "",
    )
    .await
    .expect("written");
    assert_eq!(rows, [json!(["18014398509481987"])]);
    let (_, rows, _) = round(
        "SELECT [1::HUGEINT] AS l, {'h': 2::HUGEINT} AS s",
        Format::Parquet,
        "",
    )
    .await
    .expect("written");
    assert_eq!(rows, [json!([["1"], {"h": "2"}])]);
    let (_, rows, text) = round(
        "SELECT 'nan'::DOUBLE AS a, 99999999999999999999.99::DECIMAL(38,2) AS b",
        Format::Jsonl,
        "",
    )
    .await
    .expect("written");
    assert_eq!(
        String::from_utf8_lossy(&text),
        "{\"a\":{\"$type\":\"float\",\"value\":\"NaN\"},\"b\":\"99999999999999999999.99\"}\n"
    );
    assert_eq!(rows[0][1], json!("99999999999999999999.99"));
    let (_, rows, _) = round(
        "SELECT 99999999999999999999.99::DECIMAL(38,2) AS b",
        Format::Csv,
        "",
    )
    .await
    .expect("written");
    assert_eq!(rows, [json!(["99999999999999999999.99"])]);
}

#[tokio::test]
async fn an_array_and_json_are_written_into_parquet_as_others_read_them() {
    let sql = "SELECT * FROM (VALUES ([1, 2]::INTEGER[2], [[1::HUGEINT, 2]]::HUGEINT[2][], '{\"a\": 1}'::JSON), (NULL, NULL, NULL)) t(a, h, j)";
    let (_, rows, bytes) = round(sql, Format::Parquet, "").await.expect("written");
    let right = [
        json!([[1, 2], [["1", "2"]], "{\"a\": 1}"]),
        json!([null, null, null]),
    ];
    assert_eq!(rows, right);
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(folder.path());
    let scratch = engine.scratch().expect("scratch");
    let mut read = work("SELECT typeof(a), typeof(h), typeof(j) FROM s LIMIT 1");
    read.sources = vec![source(&scratch, "s", Format::Parquet, &bytes)];
    let types = table(&engine, read).await.expect("read").1;
    assert_eq!(
        types,
        [json!(["INTEGER[]", "DECIMAL(38,0)[][]", "VARCHAR"])]
    );
}

#[tokio::test]
async fn only_types_are_cast_for_parquet_and_no_names() {
    let sql = "SELECT {'MY HUGEINT': 1::HUGEINT, 'e': 'x'::ENUM('x')} AS s";
    let (_, rows, _) = round(sql, Format::Parquet, "").await.expect("written");
    assert_eq!(rows, [json!([{"MY HUGEINT": "1", "e": "x"}])]);
}

#[tokio::test]
async fn what_a_format_cannot_hold_is_refused_by_name() {
    for (sql, format, why) in [
        (
            "SELECT * FROM (VALUES (1), (NULL)) t(n)",
            Format::Csv,
            "the column n is the only one and has a NULL",
        ),
        (
            "SELECT 'a'::BLOB AS b",
            Format::Csv,
            "the column b has bytes",
        ),
        (
            "SELECT TIMETZ '12:00:00+01' AS t",
            Format::Parquet,
            "the column t is a time of day with an offset",
        ),
        (
            "SELECT INTERVAL 1 DAY AS i",
            Format::Parquet,
            "the column i is an interval",
        ),
        (
            "SELECT TIME '24:00:00' AS t",
            Format::Parquet,
            "the column t has 24:00:00",
        ),
        (
            "SELECT [TIME '08:00:00', TIME '24:00:00'] AS t",
            Format::Parquet,
            "the column t has 24:00:00",
        ),
        (
            "SELECT DATE '-infinity' AS d",
            Format::Parquet,
            "the column d has infinity",
        ),
        (
            "SELECT CAST('infinity' AS TIMESTAMP_NS) AS d",
            Format::Parquet,
            "the column d has infinity",
        ),
        (
            "SELECT {'a': TIMESTAMPTZ 'infinity'} AS d",
            Format::Parquet,
            "the column d has infinity",
        ),
        (
            "SELECT union_value(a := 1) AS u",
            Format::Parquet,
            "the column u is a union",
        ),
        (
            "SELECT CAST('POINT(1 2)' AS GEOMETRY) AS g",
            Format::Parquet,
            "the column g is a GEOMETRY",
        ),
        (
            "SELECT [{'in': CAST('POINT(1 2)' AS GEOMETRY)}] AS g",
            Format::Parquet,
            "the column g is a GEOMETRY",
        ),
        (
            "SELECT [{'in': 1::VARIANT}] AS v",
            Format::Parquet,
            "a column is a VARIANT",
        ),
        (
            "SELECT 1 AS a, 2 AS a",
            Format::Json,
            "two columns are called a",
        ),
    ] {
        let refused = round(sql, format, "").await.expect_err("refused");
        assert!(
            refused.starts_with("payload.into: ") && refused.contains(why),
            "{sql}: {refused}"
        );
    }
}

/// The text of a point that would show any rounding.
const POINT: &str = "POINT (0.1 0.30000000000000004)";

#[tokio::test]
async fn a_geometry_is_its_text_with_every_digit() {
    let sql = format!(
        "SELECT CAST('{POINT}' AS GEOMETRY) AS g, [{{'in': CAST('{POINT}' AS GEOMETRY)}}] AS nested, NULL::GEOMETRY AS nothing"
    );
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(folder.path());
    let right = [json!([POINT, [{"in": POINT}], null])];
    let (_, rows) = table(&engine, work(&sql)).await.expect("an answer");
    assert_eq!(rows, right);
    let (_, rows, bytes) = round(&sql, Format::Json, "").await.expect("written");
    assert_eq!(rows[0][0], POINT);
    let written: Value = serde_json::from_slice(&bytes).expect("JSON");
    assert_eq!(written[0]["nested"], json!([{"in": POINT}]));
    let (_, rows, _) = round(&sql, Format::Csv, "").await.expect("written");
    assert_eq!(rows[0][0], POINT);
    // The warehouse stores it, and casts it on request.
    run(&engine, work(&format!("CREATE TABLE t AS {sql}")))
        .await
        .expect("kept");
    let (_, rows) = table(&engine, work("FROM t")).await.expect("an answer");
    assert_eq!(rows, right);
    let again = work(&format!("SELECT g = CAST('{POINT}' AS GEOMETRY) FROM t"));
    let (_, rows) = table(&engine, again).await.expect("an answer");
    assert_eq!(rows, [json!([true])]);
}

#[tokio::test]
async fn a_variant_is_refused_wherever_it_would_go_with_a_cast_that_helps() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(folder.path());
    for sql in [
        "SELECT 1::VARIANT AS v",
        "SELECT [{'in': 1::VARIANT}] AS v",
        "CREATE TABLE t AS SELECT 1::VARIANT AS v",
        "CREATE TABLE t (v VARIANT)",
    ] {
        let refused = support::refused(&engine, work(sql)).await;
        assert!(
            refused.contains("VARIANT") && refused.contains("cast it to JSON"),
            "{sql}: {refused}"
        );
    }
    for format in TEXTS {
        let refused = round("SELECT 1::VARIANT AS v", format, "")
            .await
            .expect_err("refused");
        assert!(refused.contains("cast it to JSON"), "{refused}");
    }
    let sql = "SELECT CAST({'a': [1, 2.5]}::VARIANT AS JSON) AS v";
    let (_, rows) = table(&engine, work(sql)).await.expect("an answer");
    assert_eq!(rows.len(), 1);
}

#[tokio::test]
async fn a_struct_whose_member_has_the_name_of_a_keyword_is_answered() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(folder.path());
    let sql =
        "SELECT {'select': TIMETZ '12:00:00+01', 'a b': 1, 'Order': {'in': 2::UHUGEINT}} AS s";
    let (_, rows) = table(&engine, work(sql)).await.expect("an answer");
    let right = json!([{"select": "12:00:00+01", "a b": 1, "Order": {"in": "2"}}]);
    assert_eq!(rows, [right]);
    let sql = "SELECT {'select': 1::HUGEINT} AS s";
    let (_, rows, _) = round(sql, Format::Parquet, "").await.expect("written");
    assert_eq!(rows, [json!([{"select": "1"}])]);
}
