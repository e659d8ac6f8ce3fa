//! A CSV file is read with every row and every digit, or refused with the number of the offending line.

mod support;

use proptest::prelude::*;
use pudato_query::{CsvOptions, EngineError, Format, QueryEngine};
use serde_json::{Value, json};
use std::io::Write;
use support::{engine, run, source, table, work};

/// The answer to `SELECT *` from a text, and the types of its columns.
async fn read(
    format: Format,
    ending: &str,
    bytes: &[u8],
    options: CsvOptions,
) -> Result<(Vec<String>, Vec<Value>), String> {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(folder.path());
    let scratch = engine.scratch().expect("scratch");
    let mut read = work("SELECT * FROM s");
    let mut source = source(&scratch, "s", format, bytes);
    let file = source
        .file
        .with_extension(format!("{}{ending}", format.name()));
    std::fs::rename(&source.file, &file).expect("renamed");
    (source.file, source.options) = (file, options);
    read.sources = vec![source];
    match table(&engine, read).await {
        Ok(table) => Ok(table),
        Err(EngineError::Invalid(text)) => Err(text),
        Err(other) => panic!("{other}"),
    }
}

async fn csv(text: &str) -> Vec<Value> {
    match read(Format::Csv, "", text.as_bytes(), CsvOptions::default()).await {
        Ok((_, rows)) => rows,
        Err(why) => panic!("{text:?}: {why}"),
    }
}

async fn said(text: impl AsRef<[u8]>, options: Value) -> Result<(Vec<String>, Vec<Value>), String> {
    let options = serde_json::from_value(options_of(options)).expect("options");
    read(Format::Csv, "", text.as_ref(), options).await
}

/// The options in the form that the engine's process receives: a character is a byte.
fn options_of(given: Value) -> Value {
    let mut options = serde_json::to_value(CsvOptions::default()).expect("JSON");
    for (name, value) in given.as_object().expect("an object") {
        let is_character =
            ["delimiter", "quote", "escape", "decimal_separator"].contains(&name.as_str());
        options[name] = match value.as_str() {
            Some(text) if is_character => json!(text.as_bytes()[0]),
            _ if name == "types" => {
                let types = value.as_object().expect("types");
                types
                    .iter()
                    .map(|(column, r#type)| json!([column, r#type]))
                    .collect()
            }
            _ => value.clone(),
        };
    }
    options
}

#[tokio::test]
async fn a_line_that_does_not_fit_is_named_and_no_row_is_left_out() {
    for (text, line, has) in [
        (
            "id,p,s\n1,2,x,0\n2,3,y,0\n",
            "line 2",
            "it has 4 fields, and line 1 has 3",
        ),
        (
            "A title\nid,name\n1,a\n2,b\n",
            "line 2",
            "it has 2 fields, and line 1 has 1;",
        ),
        ("id,name\n1,a\n\n\n2,b,c\n", "line 5", "it has 3 fields"),
        (
            "id,name\n1,a\n2\n",
            "line 3",
            "it has 1 field, and line 1 has 2",
        ),
        ("id,name\n1,a,\n", "line 2", "it has 3 fields"),
        ("a,b\n\"x\ny\",1\n\"z\n", "line 4", "begins with \""),
        ("a,b\n\"x\"y,2\n", "line 2", "continues after its closing"),
        ("c0\nv0\na;b\n", "line 3", "\';\'"),
    ] {
        let why = read(Format::Csv, "", text.as_bytes(), CsvOptions::default()).await;
        let why = why.expect_err("it is refused");
        assert!(
            why.starts_with("payload.sources.s: ") && why.contains(line) && why.contains(has),
            "{text:?}: {why}"
        );
    }
}

#[tokio::test]
async fn every_row_comes_as_it_stands() {
    assert_eq!(
        csv("a,b\n#x,1\n#y,2\n").await,
        [json!(["#x", 1]), json!(["#y", 2])]
    );
    assert_eq!(
        csv("a\n1\n\n3\n").await,
        [json!([1]), json!([null]), json!([3])]
    );
    assert_eq!(
        csv("a,b\r\n1,x\n2,y\r\n").await,
        [json!([1, "x"]), json!([2, "y"])],
        "line ends of two kinds"
    );
    assert_eq!(
        csv("a,b\r1,x\r2,y").await,
        [json!([1, "x"]), json!([2, "y"])]
    );
    assert_eq!(csv("a;b\n1;x,y\n").await, [json!([1, "x,y"])]);
    assert_eq!(
        csv("a,b\n \"x\",say \"hi\"\n").await,
        [json!([" \"x\"", "say \"hi\""])]
    );
    assert_eq!(csv("\n\na,b\n1,2\n").await, [json!([1, 2])]);
    assert_eq!(csv("a,b\n").await, Vec::<Value>::new());
    assert_eq!(csv("\u{feff}a,b\n1,2\n").await, [json!([1, 2])]);
}

#[tokio::test]
async fn an_empty_text_is_no_null_and_an_empty_field_is() {
    assert_eq!(
        csv("a,b\n\"\",1\n,2\n").await,
        [json!(["", 1]), json!([null, 2])]
    );
    assert_eq!(
        csv("a,b\n\"\",1\nx,\"\"\n").await,
        [json!(["", 1]), json!(["x", null])],
        "a number cannot be an empty text"
    );
}

#[tokio::test]
async fn no_digit_is_rounded() {
    for (text, right) in [
        (
            "id\n12345678901234567890\n12345678901234567891\n",
            json!([
                [12_345_678_901_234_567_890_u64],
                [12_345_678_901_234_567_891_u64]
            ]),
        ),
        (
            "v\n9007199254740993\n0.5\n",
            json!([["9007199254740993.0"], ["0.5"]]),
        ),
        ("zip\n00501\n10001\n", json!([["00501"], ["10001"]])),
        (
            "v\n0.30000000000000004\n",
            json!([[0.300_000_000_000_000_04]]),
        ),
        ("sex\nF\nF\n", json!([["F"], ["F"]])),
        (
            "at\n2024-01-01 00:00:00.123456789\n",
            json!([["2024-01-01T00:00:00.123456789"]]),
        ),
    ] {
        assert_eq!(Value::Array(csv(text).await), right, "{text:?}");
    }
}

#[tokio::test]
async fn options_say_what_a_file_does_not() {
    let latin = b"name;price\nCaf\xe9;1,50\n";
    let why = said(latin, json!({})).await.expect_err("refused");
    assert!(why.contains("line 2") && why.contains("encoding"), "{why}");
    let read = said(
        latin,
        json!({"encoding": "iso-8859-1", "decimal_separator": ","}),
    )
    .await;
    assert_eq!(read.expect("read").1, [json!(["Café", 1.5])]);
    let utf16: Vec<u8> = "\u{feff}a,b\n1,é\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    assert_eq!(
        said(&utf16, json!({})).await.expect("its mark says it").1,
        [json!([1, "é"])]
    );
    let titled = "A title\nprinted today\nid,name\n1,a\n";
    let read = said(titled, json!({"skip": 2})).await.expect("read");
    assert_eq!(
        read,
        (vec!["id".into(), "name".into()], vec![json!([1, "a"])])
    );
    let bare = said(
        "1,a\n2,b\n",
        json!({"header": false, "columns": ["id", "name"]}),
    )
    .await
    .expect("read");
    assert_eq!(
        bare,
        (
            vec!["id".into(), "name".into()],
            vec![json!([1, "a"]), json!([2, "b"])]
        )
    );
    let typed = said(
        "id,day\n1,31.01.2026\n",
        json!({"types": {"id": "VARCHAR", "day": "DATE"}, "dateformat": "%d.%m.%Y"}),
    )
    .await;
    assert_eq!(typed.expect("read").1, [json!(["1", "2026-01-31"])]);
    let nulls = said("a,b\nNA,1\nx,NA\n", json!({"nullstr": ["NA"]}))
        .await
        .expect("read");
    assert_eq!(nulls.1, [json!([null, 1]), json!(["x", null])]);
    let quoted = said("a|b\n'x|y'|1\n", json!({"delimiter": "|", "quote": "'"}))
        .await
        .expect("read");
    assert_eq!(quoted.1, [json!(["x|y", 1])]);
    let escaped = said("a,b\n\"x\\\"y\",1\n", json!({"escape": "\\"}))
        .await
        .expect("read");
    assert_eq!(escaped.1, [json!(["x\"y", 1])]);
    let one = said("text\na;b\n", json!({"delimiter": ","}))
        .await
        .expect("read");
    assert_eq!(one.1, [json!(["a;b"])]);
    for (options, named) in [
        (json!({"columns": ["a"]}), "options.columns"),
        (json!({"types": {"c": "DATE"}}), "options.types.c"),
    ] {
        let why = said("a,b\n1,2\n", options).await.expect_err("refused");
        assert!(why.contains(named), "{why}");
    }
}

#[tokio::test]
async fn a_field_of_megabytes_is_read() {
    let long = "x".repeat(3_000_000);
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(folder.path());
    let scratch = engine.scratch().expect("scratch");
    let mut read = work("SELECT a, length(b) FROM s");
    read.sources = vec![source(
        &scratch,
        "s",
        Format::Csv,
        format!("a,b\n1,{long}\n2,\"{long}\"\n"),
    )];
    let rows = table(&engine, read).await.expect("read").1;
    assert_eq!(rows, [json!([1, 3_000_000]), json!([2, 3_000_000])]);
}

#[tokio::test]
async fn an_empty_file_says_that_it_is_empty() {
    let why = read(Format::Csv, "", b"", CsvOptions::default())
        .await
        .expect_err("refused");
    assert!(why.contains("the file is empty"), "{why}");
}

#[tokio::test]
async fn packed_texts_are_read_as_others() {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(b"a,b\n1,x\n").expect("packed");
    let mut bytes = packed.finish().expect("packed");
    let mut more = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    more.write_all(b"2,y\r\n").expect("packed");
    bytes.extend(more.finish().expect("packed"));
    let rows = read(Format::Csv, ".gz", &bytes, CsvOptions::default())
        .await
        .expect("read")
        .1;
    assert_eq!(rows, [json!([1, "x"]), json!([2, "y"])]);
    let why = read(Format::Csv, ".gz", b"a,b\n1,2\n", CsvOptions::default())
        .await
        .expect_err("refused");
    assert!(
        why.contains("payload.sources.s: it cannot be unpacked"),
        "{why}"
    );
}

#[tokio::test]
async fn a_copy_of_a_packed_file_has_a_limit() {
    // A quote within a field makes a copy, and zeros are packed to almost nothing: 64 MiB is what the engine of the tests may spill.
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(b"a,b\nx\"y,1\n").expect("packed");
    let line = format!("{},1\n", "0".repeat(1_000));
    for _ in 0..70_000 {
        packed.write_all(line.as_bytes()).expect("packed");
    }
    let bytes = packed.finish().expect("packed");
    let why = read(Format::Csv, ".gz", &bytes, CsvOptions::default()).await;
    let why = why.expect_err("refused");
    assert!(why.contains("PUDATO_QUERY_SPILL_BYTES"), "{why}");
}

#[tokio::test]
async fn a_folder_named_like_a_partition_adds_no_column() {
    let folder = tempfile::tempdir().expect("a folder");
    let below = folder.path().join("env=prod");
    std::fs::create_dir(&below).expect("a folder");
    let engine = engine(&below);
    let scratch = engine.scratch().expect("scratch");
    for (format, text) in [
        (Format::Csv, "env,a\ndev,1\n"),
        (Format::Tsv, "env\ta\ndev\t1\n"),
        (Format::Json, "[{\"env\":\"dev\",\"a\":1}]"),
        (Format::Jsonl, "{\"env\":\"dev\",\"a\":1}\n"),
    ] {
        let mut read = work("SELECT * FROM s");
        read.sources = vec![source(&scratch, "s", format, text)];
        let (names, rows) = table(&engine, read).await.expect("read");
        assert_eq!(
            (names, rows),
            (
                vec!["env".to_owned(), "a".to_owned()],
                vec![json!(["dev", 1])]
            ),
            "{format:?}"
        );
    }
}

/// Texts of a table, as a caller may write them.
fn tables() -> impl Strategy<Value = (String, Vec<Vec<String>>)> {
    let field = prop_oneof![
        "[a-z]{1,3}",
        "[a-z #'\\\\]{0,3}",
        "[a-z,\"\n]{1,4}",
        "[0-9]{1,25}"
    ];
    let rows = (2..4_usize).prop_flat_map(move |columns| {
        proptest::collection::vec(proptest::collection::vec(field.clone(), columns), 1..6)
    });
    (rows, any::<bool>(), any::<bool>()).prop_map(|(rows, crlf, quotes)| {
        let write = |field: &String| {
            let needs = field.contains(['"', ',', '\n', '\r']) || field.is_empty();
            match needs || quotes {
                true => format!("\"{}\"", field.replace('"', "\"\"")),
                false => field.clone(),
            }
        };
        let header: Vec<String> = (0..rows[0].len()).map(|n| format!("c{n}")).collect();
        let lines = std::iter::once(&header).chain(&rows);
        let lines = lines.map(|row| row.iter().map(write).collect::<Vec<_>>().join(","));
        let end = if crlf { "\r\n" } else { "\n" };
        let text = lines.collect::<Vec<_>>().join(end);
        (text + end, rows)
    })
}

#[test]
fn what_is_written_by_the_rules_is_read_as_it_is() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(folder.path());
    let config = ProptestConfig {
        cases: 150,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    proptest!(config, |((text, rows) in tables())| {
        let scratch = engine.scratch().expect("scratch");
        let mut read = work("SELECT CAST(COLUMNS(*) AS VARCHAR) FROM s");
        read.sources = vec![source(&scratch, "s", Format::Csv, &text)];
        let found = runtime.block_on(run(&engine, read));
        let pudato_query::Answer::Rows { rows: found, .. } = found.expect("it is read").answer else {
            panic!("rows were asked for");
        };
        let plain = |text: &str| text.trim_start_matches('0').to_owned();
        for (found, row) in found.iter().zip(&rows) {
            for (found, field) in found.as_array().expect("a row").iter().zip(row) {
                let found = found.as_str().unwrap_or_default();
                prop_assert!(found == field || plain(found) == plain(field), "{found:?} {field:?} in {text:?}");
            }
        }
        prop_assert_eq!(found.len(), rows.len());
    });
}

#[tokio::test]
async fn a_public_file_whose_lines_end_with_cr_lf_is_read_whole() {
    let file = include_bytes!("../../../examples/birdstrikes/data/birdstrikes.csv");
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(folder.path());
    let scratch = engine.scratch().expect("scratch");
    let mut read = work("SELECT count(*) FROM s");
    read.sources = vec![source(&scratch, "s", Format::Csv, file)];
    let rows = table(&engine, read).await.expect("read").1;
    assert_eq!(rows, [json!([10_000])]);
}

#[tokio::test]
async fn no_date_is_guessed_whose_year_does_not_come_first() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(folder.path());
    for (text, options, right) in [
        ("d\n1/2/26\n2/2/26\n", None, json!("1/2/26")),
        ("d\n31.01.2026\n", None, json!("31.01.2026")),
        ("d\n01/02/2026 10:00\n", None, json!("01/02/2026 10:00")),
        ("d\nepoch\n", None, json!("epoch")),
        ("d\ninf\n", None, json!("inf")),
        ("d\n2026/02/01\n", None, json!("2026-02-01")),
        ("d\n2026-02-01\n", None, json!("2026-02-01")),
        ("d\n1/2/2026\n", Some("%d/%m/%Y"), json!("2026-02-01")),
        ("d\n1/2/2026\n", Some("%m/%d/%Y"), json!("2026-01-02")),
    ] {
        let scratch = engine.scratch().expect("scratch");
        let mut read = work("SELECT * FROM s");
        let mut source = source(&scratch, "s", Format::Csv, text);
        source.options.dateformat = options.map(str::to_owned);
        read.sources = vec![source];
        let rows = table(&engine, read).await.expect("read").1;
        assert_eq!(rows[0], json!([right]), "{text} {options:?}");
    }
}
