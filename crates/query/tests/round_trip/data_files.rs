//! Data files from public Python packages. Each is read with the rows and digits that Python finds, or refused with the number of the line.

use crate::python;
use crate::support::{engine, run, source, work};
use pudato_query::duckdb::DuckDb;
use pudato_query::{Answer, AnswerTo, Column, EngineError, Format, QueryEngine};
use serde_json::{Value, json};
use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;

/// Writes the rows of a file into `to`, as the values of an answer; answers with its columns.
async fn read(engine: &DuckDb, entry: &Value, to: &Path) -> Result<Vec<Column>, EngineError> {
    let text = |name: &str| entry[name].as_str().expect("a text").to_owned();
    let scratch = engine.scratch().expect("scratch");
    let format = Format::named(&text("format")).expect("a format");
    let sources = || {
        let bytes = std::fs::read(text("path")).expect("read");
        let mut source = source(&scratch, "s", format, bytes);
        let name = source
            .file
            .with_file_name(format!("file{}", text("ending")));
        std::fs::rename(&source.file, &name).expect("renamed");
        source.file = name;
        vec![source]
    };
    let mut columns = work("SELECT * FROM s LIMIT 0");
    columns.sources = sources();
    let Answer::Rows { columns, .. } = run(engine, columns).await?.answer else {
        panic!("rows were asked for");
    };
    let mut rows = work("SELECT * FROM s");
    rows.deadline = Duration::from_secs(300);
    rows.sources = sources();
    rows.answer_to = AnswerTo::File {
        file: to.to_owned(),
        format: Format::Jsonl,
    };
    run(engine, rows).await?;
    Ok(columns)
}

#[tokio::test]
async fn each_data_file_of_public_packages_is_read_as_python_reads_it_or_refused_with_its_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    let listed = python("data_files.py", &[OsStr::new("list"), path.as_os_str()]);
    if let Err(why) = listed {
        return pudato_testing::skipped("each_data_file_of_public_packages", &why);
    }
    let files = std::fs::read(path.join("files.json")).expect("listed");
    let files: Vec<Value> = serde_json::from_slice(&files).expect("JSON");
    let engine = engine(path);
    for (n, entry) in files.iter().enumerate() {
        match read(&engine, entry, &path.join(format!("{n}.jsonl"))).await {
            Ok(columns) => {
                let columns: Vec<Value> = columns
                    .into_iter()
                    .map(|column| json!({"name": column.name, "type": column.r#type}))
                    .collect();
                let file = path.join(format!("{n}.columns.json"));
                std::fs::write(file, json!(columns).to_string()).expect("written");
            }
            Err(EngineError::Invalid(why)) => {
                std::fs::write(path.join(format!("{n}.error")), why).expect("written");
            }
            Err(other) => panic!("{entry}: {other}"),
        }
    }
    let told = python("data_files.py", &[OsStr::new("compare"), path.as_os_str()]);
    let told: Value = serde_json::from_str(&told.expect("Python is there")).expect("JSON");
    assert_eq!(told["different"], json!({}), "what is read differently");
    // As the documentation describes them.
    let docs = include_str!("../../../../docs/sql.md");
    let count = |format: &str| told["equal"][format].as_u64().unwrap_or(0);
    let counts = format!(
        "{} CSV, {} JSON and {} Parquet files",
        count("csv") + count("tsv"),
        count("json") + count("jsonl"),
        count("parquet")
    );
    assert!(
        docs.contains(&counts),
        "docs/sql.md says other than {counts}"
    );
    let refused = told["refused"].as_object().expect("an object");
    for (file, why) in refused {
        let row = docs
            .lines()
            .find(|line| line.contains(&format!("`{file}`")));
        let row = row.unwrap_or_else(|| panic!("docs/sql.md says nothing of {file}: {why}"));
        let reason = row
            .split(" | ")
            .nth(1)
            .and_then(|reason| reason.split(':').next());
        let why = why.as_str().expect("a text");
        assert!(
            reason.is_some_and(|reason| why.contains(reason)),
            "{row}: {why}"
        );
    }
    let rows = docs
        .lines()
        .filter(|line| line.starts_with("| `s") && line.contains(".csv`"));
    let told: usize = rows.map(|row| row.matches(".csv`").count()).sum();
    assert_eq!(
        told,
        refused.len(),
        "docs/sql.md says that others are refused"
    );
}
