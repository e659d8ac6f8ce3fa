//! pudato, DuckDB, pandas, pyarrow and polars read back what pudato writes: every type of docs/sql.md in every format, compressed or not.

mod data_files;
mod kinds;
#[path = "../support/mod.rs"]
mod support;

use kinds::{KINDS, Kind};
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use pudato_query::duckdb::DuckDb;
use pudato_query::{AnswerTo, EngineError, Format, QueryEngine};
use serde_json::{Value, json};
use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use support::{engine, run, source, table, work};

const FORMATS: [Format; 5] = [
    Format::Csv,
    Format::Tsv,
    Format::Json,
    Format::Jsonl,
    Format::Parquet,
];

/// A table: its columns, and its rows as SQL.
#[derive(Debug, Clone)]
struct Case {
    format: Format,
    packed: &'static str,
    columns: Vec<Kind>,
    rows: Vec<Vec<String>>,
}

impl Case {
    fn sql(&self) -> String {
        let row = |row: &Vec<String>| format!("({})", row.join(", "));
        let rows: Vec<String> = self.rows.iter().map(row).collect();
        let names: Vec<String> = (0..self.columns.len()).map(|n| format!("c{n}")).collect();
        format!(
            "SELECT * FROM (VALUES {}) t({})",
            rows.join(", "),
            names.join(", ")
        )
    }

    fn restored(&self) -> String {
        let columns = self.columns.iter().enumerate();
        let columns = columns.map(|(n, kind)| {
            let name = format!("c{n}");
            format!("{} AS {name}", kind.restore(&name, self.format))
        });
        format!("SELECT {} FROM s", columns.collect::<Vec<_>>().join(", "))
    }

    /// Whether a NULL would be a line with nothing in it.
    fn has_empty_line(&self) -> bool {
        let is_null = |row: &Vec<String>| row[0].starts_with("NULL");
        let in_columns = matches!(self.format, Format::Csv | Format::Tsv);
        in_columns && self.columns.len() == 1 && self.rows.iter().any(is_null)
    }

    fn file(&self) -> String {
        format!("{}{}", self.format.name(), self.packed)
    }
}

fn cases() -> impl Strategy<Value = Case> {
    let format = proptest::sample::select(&FORMATS[..]);
    format.prop_flat_map(|format| {
        let fitting: Vec<Kind> = KINDS
            .iter()
            .filter(|kind| kind.fits(format))
            .cloned()
            .collect();
        let packed = match format {
            Format::Parquet => vec![""],
            _ => vec!["", ".gz", ".zst"],
        };
        let columns = proptest::collection::vec(proptest::sample::select(fitting), 1..6);
        let columns = (columns, proptest::sample::select(packed), 1..5_usize);
        columns.prop_flat_map(move |(columns, packed, rows)| {
            let row: Vec<_> = columns.iter().map(|kind| kind.literal().boxed()).collect();
            proptest::collection::vec(row, rows).prop_map(move |rows| Case {
                format,
                packed,
                columns: columns.clone(),
                rows,
            })
        })
    })
}

/// Writes a case into a file.
async fn write(engine: &DuckDb, case: &Case, file: &Path) -> Result<(), EngineError> {
    let scratch = engine.scratch().expect("scratch");
    let mut write = work(&case.sql());
    let own = scratch.path().join(format!("answer.{}", case.file()));
    write.answer_to = AnswerTo::File {
        file: own.clone(),
        format: case.format,
    };
    run(engine, write).await?;
    std::fs::rename(own, file).expect("moved");
    Ok(())
}

/// The answer of `sql` with `file` as its source `s`.
async fn read(engine: &DuckDb, sql: &str, case: &Case, file: &Path) -> Result<Vec<Value>, String> {
    let scratch = engine.scratch().expect("scratch");
    let bytes = std::fs::read(file).map_err(|error| format!("it was not written: {error}"))?;
    let mut read = work(sql);
    let mut source = source(&scratch, "s", case.format, bytes);
    let name = source.file.with_extension(case.file());
    std::fs::rename(&source.file, &name).expect("renamed");
    source.file = name;
    if matches!(case.format, Format::Csv | Format::Tsv) {
        let texts = (0..case.columns.len()).map(|n| (format!("c{n}"), "VARCHAR".to_owned()));
        source.options.types = texts.collect();
    }
    read.sources = vec![source];
    let answer = table(engine, read).await;
    answer
        .map(|(_, rows)| rows)
        .map_err(|error| error.to_string())
}

/// Runs the checks of other programs over all that was written.
fn others_read(folder: &Path, manifest: &[Value]) {
    let all = serde_json::to_vec(manifest).expect("JSON");
    std::fs::write(folder.join("manifest.json"), all).expect("written");
    match python("others.py", &[folder.as_os_str()]) {
        Ok(told) => eprintln!("{told}"),
        Err(why) => pudato_testing::skipped("what_pudato_writes_others_read", &why),
    }
}

/// The output of a script beside this file, or an error if there is no Python.
fn python(script: &str, args: &[&OsStr]) -> Result<String, String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/round_trip")
        .join(script);
    let mut command = Command::new(pudato_testing::readers()?);
    let output = command.arg("-B").arg(script).args(args).output();
    let output = output.expect("Python runs");
    let told = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}\n{error}");
    Ok(told.into_owned())
}

#[test]
fn every_type_in_every_format_is_read_back_equal_by_pudato_and_by_others() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(folder.path());
    let written = Mutex::new(Vec::new());
    let asked = std::env::var("PUDATO_ROUND_TRIPS").ok();
    let asked = asked.and_then(|cases| cases.parse().ok());
    let config = ProptestConfig {
        cases: asked.unwrap_or(150),
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    // The same tables each time, unless more are asked for: then others.
    let mut runner = match asked {
        Some(_) => TestRunner::new(config),
        None => TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha)),
    };
    let outcome = runner.run(&cases(), |case| {
        let number = written.lock().expect("no panic").len();
        let file = folder.path().join(format!("{number}.{}", case.file()));
        match runtime.block_on(write(&engine, &case, &file)) {
            Ok(()) => {}
            Err(EngineError::Invalid(why)) if case.has_empty_line() => {
                prop_assert!(
                    why.contains("the column c0 is the only one and has a NULL"),
                    "{}",
                    why
                );
                return Ok(());
            }
            Err(error) => return Err(TestCaseError::fail(format!("{}: {error}", case.sql()))),
        }
        prop_assert!(!case.has_empty_line(), "{} is refused", case.sql());
        let right = runtime.block_on(table(&engine, work(&case.sql())));
        let right = right
            .map_err(|error| TestCaseError::fail(format!("{error}")))?
            .1;
        let found = runtime.block_on(read(&engine, &case.restored(), &case, &file));
        let found =
            found.map_err(|error| TestCaseError::fail(format!("{}: {error}", case.sql())))?;
        prop_assert_eq!(&found, &right, "{} as {}", case.sql(), case.file());
        let types: Vec<&str> = case.columns.iter().map(|kind| kind.sql).collect();
        written.lock().expect("no panic").push(json!({
            "file": file.file_name().and_then(|name| name.to_str()),
            "format": case.format.name(),
            "packed": case.packed,
            "sql": case.sql(),
            "types": types,
            "restore": case.restored(),
            "answer": right,
        }));
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
    others_read(folder.path(), &written.into_inner().expect("no panic"));
}

#[tokio::test]
async fn what_does_not_fit_is_refused_by_name() {
    for kind in KINDS {
        for format in FORMATS {
            if kind.fits(format) {
                continue;
            }
            let folder = tempfile::tempdir().expect("a folder");
            let engine = engine(folder.path());
            let mut write = work(&format!("SELECT NULL::{} AS named", kind.sql));
            write.answer_to = AnswerTo::File {
                file: folder.path().join("refused"),
                format,
            };
            match run(&engine, write).await {
                Err(EngineError::Invalid(why)) => {
                    assert!(why.contains("the column named"), "{why}")
                }
                other => panic!("{kind:?} in {format:?}: {other:?}"),
            }
        }
    }
}
