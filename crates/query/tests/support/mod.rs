//! An engine with a warehouse in a file, and works for it.

#![allow(dead_code, reason = "each test uses a part of it")]

use pudato_protocol::DataReference;
use pudato_query::duckdb::process::Program;
use pudato_query::duckdb::{DuckDb, Isolation, Options};
use pudato_query::{
    Answer, AnswerTo, BeginOutcome, CsvOptions, EngineError, Format, Outcome, Parameters,
    QueryEngine, Scratch, Source, Waits, Work,
};
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

/// An engine whose warehouse is `warehouse.duckdb` in `folder`.
pub fn engine(folder: &Path) -> DuckDb {
    engine_of(folder, "warehouse.duckdb")
}

/// An engine with this file in `folder` as its warehouse.
pub fn engine_of(folder: &Path, file: &str) -> DuckDb {
    engine_with(folder, file, 256 << 20)
}

/// As [`engine_of`], with so much memory.
pub fn engine_with(folder: &Path, file: &str, memory_bytes: u64) -> DuckDb {
    let program = Program::at(env!("CARGO_BIN_EXE_pudato-query-process").into());
    engine_in(&folder.join(file), memory_bytes, program)
}

/// As [`engine`], with another program as its process.
pub fn engine_by(folder: &Path, program: Program) -> DuckDb {
    engine_in(&folder.join("warehouse.duckdb"), 256 << 20, program)
}

fn engine_in(file: &Path, memory_bytes: u64, program: Program) -> DuckDb {
    engine_that(file, memory_bytes, Isolation::Process(program))
}

/// As [`engine`], with DuckDB in this process.
pub fn engine_here(folder: &Path) -> DuckDb {
    let file = folder.join("warehouse.duckdb");
    engine_that(&file, 256 << 20, Isolation::InProcess)
}

fn engine_that(file: &Path, memory_bytes: u64, isolation: Isolation) -> DuckDb {
    let options = Options {
        scratch: file.with_file_name("scratch"),
        memory_bytes,
        spill_bytes: 64 << 20,
        threads: 2,
        isolation,
    };
    DuckDb::file(file, options).expect("an engine")
}

/// A work that answers with rows.
pub fn work(sql: &str) -> Work {
    Work {
        label: "a work".into(),
        waits: Waits::default(),
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
    }
}

/// A work of several statements.
pub fn script(sql: &str) -> Work {
    Work {
        is_script: true,
        ..work(sql)
    }
}

/// A source with these bytes; its file lies in `scratch`.
pub fn source(scratch: &Scratch, name: &str, format: Format, bytes: impl AsRef<[u8]>) -> Source {
    let n = std::fs::read_dir(scratch.path()).expect("a folder").count();
    let file = scratch.path().join(format!("source-{n}.{}", format.name()));
    std::fs::write(&file, bytes).expect("a source");
    Source {
        name: name.into(),
        file,
        format,
        options: CsvOptions::default(),
        reference: DataReference::new("file", format!("file:///lake/{n}")),
    }
}

/// Runs a work and commits it.
pub async fn run(engine: &DuckDb, work: Work) -> Result<Outcome, EngineError> {
    match engine.begin(work).await? {
        BeginOutcome::Ran(transaction) => {
            let outcome = transaction.outcome().clone();
            transaction.commit("answer").await?;
            Ok(outcome)
        }
        BeginOutcome::Answered(_) => panic!("it was not run before"),
    }
}

/// The names of the columns and the rows that a work answers with.
pub async fn table(engine: &DuckDb, work: Work) -> Result<(Vec<String>, Vec<Value>), EngineError> {
    match run(engine, work).await?.answer {
        Answer::Rows { columns, rows, .. } => {
            let names = columns.into_iter().map(|column| column.name).collect();
            Ok((names, rows))
        }
        Answer::File { .. } => panic!("rows were asked for"),
    }
}

/// The rows that a work answers with.
pub async fn rows(engine: &DuckDb, work: Work) -> Vec<Value> {
    let sql = work.sql.clone();
    match table(engine, work).await {
        Ok((_, rows)) => rows,
        Err(error) => panic!("{sql}: {error}"),
    }
}

/// The error of a work that must be refused.
pub async fn refused(engine: &DuckDb, work: Work) -> String {
    let sql = work.sql.clone();
    match run(engine, work).await {
        Err(EngineError::Invalid(text)) => text,
        other => panic!("{sql}: expected it to be refused, found {other:?}"),
    }
}
