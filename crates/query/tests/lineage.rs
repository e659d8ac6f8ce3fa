//! The table of statements and their lineage: `lineage.toml`.

use pudato_protocol::DataReference;
use pudato_query::duckdb::{DuckDb, Isolation, Options};
use pudato_query::{
    AnswerTo, BeginOutcome, CsvOptions, EngineError, Format, Outcome, Parameters, QueryEngine,
    Source, Work,
};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    setup: String,
    statement: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    about: String,
    sql: String,
    #[serde(default)]
    script: bool,
    #[serde(default)]
    into: bool,
    #[serde(default)]
    reads: Vec<String>,
    #[serde(default)]
    writes: Vec<String>,
    #[serde(default)]
    from: BTreeMap<String, Vec<String>>,
    partial: Option<String>,
}

fn engine(folder: &std::path::Path) -> DuckDb {
    let options = Options {
        scratch: folder.join("scratch"),
        memory_bytes: 256 << 20,
        spill_bytes: 1 << 30,
        threads: 2,
        isolation: Isolation::InProcess,
    };
    DuckDb::file(&folder.join("w.duckdb"), options).expect("an engine")
}

async fn run(
    engine: &DuckDb,
    sql: &str,
    is_script: bool,
    into: bool,
) -> Result<Outcome, EngineError> {
    let scratch = engine.scratch()?;
    let file = scratch.path().join("source-0.csv");
    std::fs::write(&file, "a,b\n1,x\n2,y\n").expect("a source");
    let work = Work {
        label: "a work".into(),
        sql: sql.to_owned(),
        is_script,
        parameters: Parameters::None,
        sources: vec![Source {
            name: "src".into(),
            file,
            format: Format::Csv,
            options: CsvOptions::default(),
            reference: DataReference::new("file", "file:///lake/src.csv"),
        }],
        answer_to: match into {
            true => AnswerTo::File {
                file: scratch.path().join("answer"),
                format: Format::Parquet,
            },
            false => AnswerTo::Rows {
                rows_max: 10,
                bytes_max: 1 << 20,
            },
        },
        deadline: Duration::from_secs(30),
        identity: None,
        waits: Default::default(),
    };
    match engine.begin(work).await? {
        BeginOutcome::Ran(transaction) => {
            let outcome = transaction.outcome().clone();
            transaction.commit("").await?;
            Ok(outcome)
        }
        BeginOutcome::Answered(_) => unreachable!("the work has no identity"),
    }
}

/// `main.t` of `duckdb:///tmp/x/w.duckdb#w.main.t`.
fn short(location: &str) -> String {
    let (_, name) = location.split_once('#').expect("a table");
    name.strip_prefix("w.")
        .expect("of the warehouse")
        .to_owned()
}

fn with_rows(name: String, rows: Option<u64>) -> String {
    rows.map_or(name.clone(), |rows| format!("{name} {rows}"))
}

#[tokio::test]
async fn every_statement_has_the_lineage_of_the_table() {
    let table: Table = toml::from_str(include_str!("lineage.toml")).expect("the table");
    assert!(table.statement.len() >= 25);
    let mut wrong = Vec::new();
    for case in &table.statement {
        let folder = tempfile::tempdir().expect("a folder");
        let engine = engine(folder.path());
        run(&engine, &table.setup, true, false)
            .await
            .expect("the setup");
        let outcome = match run(&engine, &case.sql, case.script, case.into).await {
            Ok(outcome) => outcome,
            Err(error) => {
                wrong.push(format!("{}: {error}", case.about));
                continue;
            }
        };
        let mut reads = BTreeSet::new();
        let mut writes = Vec::new();
        let mut from: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut partial = None;
        for executed in &outcome.statements {
            let lineage = &executed.lineage;
            let tables = lineage.tables.iter();
            reads.extend(
                tables.map(|table| with_rows(short(&table.dataset.location()), table.row_count)),
            );
            reads.extend(
                lineage
                    .sources
                    .iter()
                    .map(|read| with_rows(read.name.clone(), read.row_count)),
            );
            if let Some((table, operation)) = &lineage.written {
                let name = short(&table.dataset.location());
                let from = from.entry(name.clone()).or_default();
                from.extend(
                    lineage
                        .tables
                        .iter()
                        .map(|table| short(&table.dataset.location())),
                );
                from.extend(lineage.sources.iter().map(|read| read.name.clone()));
                from.extend(lineage.own.iter().map(|own| short(own)));
                let operation = operation.name().to_owned();
                writes.push(format!(
                    "{} {}",
                    with_rows(name, table.row_count),
                    with_rows(operation, table.rows_changed)
                ));
            }
            partial = partial.or(lineage.partial.clone());
        }
        let reads: Vec<String> = reads.into_iter().collect();
        let mut expected = case.reads.clone();
        expected.sort();
        if (&reads, &writes, &partial) != (&expected, &case.writes, &case.partial) {
            wrong.push(format!(
                "{}: reads {reads:?}, writes {writes:?}, partial {partial:?}",
                case.about
            ));
        }
        for (name, expected) in &case.from {
            let expected: BTreeSet<String> = expected.iter().cloned().collect();
            if from.get(name) != Some(&expected) {
                wrong.push(format!(
                    "{}: {name} is made from {:?}",
                    case.about,
                    from.get(name)
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
