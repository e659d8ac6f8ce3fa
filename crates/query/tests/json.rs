//! JSON is read with every digit, or refused with the number of the line.

mod support;

use pudato_query::{EngineError, Format, QueryEngine};
use serde_json::{Value, json};
use support::{engine, source, table, work};

async fn read(format: Format, text: &str) -> Result<Vec<Value>, String> {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(folder.path());
    let scratch = engine.scratch().expect("scratch");
    let mut read = work("SELECT * FROM s");
    read.sources = vec![source(&scratch, "s", format, text)];
    match table(&engine, read).await {
        Ok((_, rows)) => Ok(rows),
        Err(EngineError::Invalid(why)) => Err(why),
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test]
async fn whole_numbers_of_64_bits_keep_every_digit() {
    let text = "[{\"id\":9007199254740993,\"v\":0.5},{\"id\":18446744073709551615,\"v\":0.30000000000000004}]";
    let rows = read(Format::Json, text).await.expect("read");
    assert_eq!(
        rows,
        [
            json!([9_007_199_254_740_993_u64, 0.5]),
            json!([u64::MAX, 0.300_000_000_000_000_04])
        ]
    );
}

#[tokio::test]
async fn a_number_that_would_be_rounded_is_refused_with_its_line() {
    for (text, line) in [
        ("{\"id\":9007199254740993}\n{\"id\":0.5}\n", "line 1"),
        ("{\"id\":1}\n{\"id\":0.12345678901234567890}\n", "line 2"),
        ("{\"id\":1}\n{\"id\":123456789012345678901}\n", "line 2"),
    ] {
        let why = read(Format::Jsonl, text).await.expect_err("refused");
        assert!(
            why.starts_with("payload.sources.s: ")
                && why.contains(line)
                && why.contains("in quotes"),
            "{why}"
        );
    }
    // DuckDB takes many different keys for those of a map, whose values are of one type.
    let row = |n: usize| match n % 2 {
        0 => format!("{{\"m\":{{\"k{n}\":0.5}}}}\n"),
        _ => format!("{{\"m\":{{\"k{n}\":9007199254740993}}}}\n"),
    };
    let text: String = (0..300).map(row).collect();
    let why = read(Format::Jsonl, &text).await.expect_err("refused");
    assert!(why.contains("line 2"), "{why}");
}

#[tokio::test]
async fn a_number_in_quotes_is_a_text_with_all_its_digits() {
    let rows = read(Format::Jsonl, "{\"id\":\"0.12345678901234567890\"}\n")
        .await
        .expect("read");
    assert_eq!(rows, [json!(["0.12345678901234567890"])]);
}

#[tokio::test]
async fn no_digit_of_a_time_is_lost() {
    for time in ["10:00:00.1234567", "2026-01-02 10:00:00.123456789"] {
        let first = json!({"t": time, "u": "10:00:00.123456", "mixed": 1});
        let second = json!({"t": time, "u": "10:00:00.123456", "mixed": {"a \"b\"": 1}});
        let rows = read(Format::Jsonl, &format!("{first}\n{second}\n")).await;
        let mixed = "{\"a \\\"b\\\"\":1}";
        let right = [
            json!([time, "10:00:00.123456", "1"]),
            json!([time, "10:00:00.123456", mixed]),
        ];
        assert_eq!(rows.expect("read"), right);
    }
}

#[tokio::test]
async fn a_text_that_is_no_day_takes_no_type_from_another_column() {
    let lines = "{\"day\":\"2026-01-02\",\"note\":{\"10:30\":\"epoch\"}}\n{\"day\":\"2026-01-03\",\"note\":{\"10:30\":\"x\"}}\n";
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(folder.path());
    for (format, text) in [
        (Format::Jsonl, lines.to_owned()),
        (
            Format::Json,
            format!("[{}]", lines.trim().replace('\n', ",")),
        ),
    ] {
        let scratch = engine.scratch().expect("scratch");
        let mut read = work("SELECT typeof(day), note FROM s LIMIT 1");
        read.sources = vec![source(&scratch, "s", format, text)];
        let rows = table(&engine, read).await.expect("read").1;
        assert_eq!(rows[0], json!(["DATE", {"10:30": "epoch"}]), "{format:?}");
    }
}

#[tokio::test]
async fn no_word_becomes_a_day() {
    for word in ["Infinity", "-infinity", "inf", "epoch"] {
        let lines = format!("{{\"d\":\"{word}\"}}\n{{\"d\":\"2026-01-02\"}}\n");
        let rows = read(Format::Jsonl, &lines).await.expect("read");
        assert_eq!(rows, [json!([word]), json!(["2026-01-02"])]);
        let lines = format!("{{\"d\":\"2026-01-02 10:00:00\"}}\n{{\"d\":\"{word}\"}}\n");
        let rows = read(Format::Jsonl, &lines).await.expect("read");
        assert_eq!(rows, [json!(["2026-01-02 10:00:00"]), json!([word])]);
    }
}

#[tokio::test]
async fn no_date_is_guessed_whose_year_does_not_come_first() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(folder.path());
    for text in [
        "1/2/26",
        "01-02-2026",
        "31-01-2026",
        "01/02/2026 10:00:00 AM",
        "26-01-02",
    ] {
        let scratch = engine.scratch().expect("scratch");
        let mut read = work("SELECT * FROM s");
        let line = json!({"d": text, "l": [text], "o": {"d": text}}).to_string();
        read.sources = vec![source(&scratch, "s", Format::Jsonl, line)];
        let rows = table(&engine, read).await.expect("read").1;
        assert_eq!(rows[0], json!([text, [text], {"d": text}]));
    }
}
