//! How many Results with four inputs and four outputs a store takes in a second.

use crate::Outcome;
use crate::figures::Figures;
use crate::stores::{OnPostgres, Sqlite, load};
use std::time::Instant;

/// Steps that are there before SQLite is measured, and that are measured then.
const THERE: u64 = 1_000_000;
const MEASURED: u64 = 100_000;

/// After so many steps the same ones run again: about 100,000 datasets.
const REPEATED_AFTER: u64 = 100_000;

/// What the rows of a Result are spread over.
const TABLES: [&str; 5] = ["job", "step", "result", "dataset", "edge"];

pub fn measure(figures: &mut Figures) -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        postgres(figures).await?;
        sqlite(figures).await
    })
}

async fn sqlite(figures: &mut Figures) -> Outcome<()> {
    let sqlite = Sqlite::new()?;
    let seconds = load(&sqlite.store, 0, THERE, REPEATED_AFTER).await?;
    figures.note(&format!(
        "SQLite: {THERE} steps in {seconds:.0} s ({:.0}/s)",
        THERE as f64 / seconds
    ));
    let seconds = load(&sqlite.store, THERE, THERE + MEASURED, REPEATED_AFTER).await?;
    figures.figure("results.sqlite_per_s", MEASURED as f64 / seconds, "/s");
    Ok(())
}

/// The same rows by COPY, from a file on the server into equal tables: nothing can be faster.
fn copied_s(on: &OnPostgres) -> Outcome<f64> {
    let database = &on.database.name;
    let folder = on.server.data();
    let file = |table: &str| folder.join(format!("{table}.copy")).display().to_string();
    on.server.psql(
        database,
        "DROP SCHEMA IF EXISTS copied CASCADE; CREATE SCHEMA copied",
    )?;
    for table in TABLES {
        let sql = format!(
            "CREATE TABLE copied.{table} (LIKE pudato.{table} INCLUDING ALL);
             COPY pudato.{table} TO '{}' (FORMAT binary)",
            file(table)
        );
        for statement in sql.split(';') {
            on.server.psql(database, statement)?;
        }
    }
    on.server.psql(database, "CHECKPOINT")?;
    let started = Instant::now();
    for table in TABLES {
        let sql = format!("COPY copied.{table} FROM '{}' (FORMAT binary)", file(table));
        on.server.psql(database, &sql)?;
    }
    Ok(started.elapsed().as_secs_f64())
}

async fn postgres(figures: &mut Figures) -> Outcome<()> {
    let on = OnPostgres::new().await?;
    let seconds = load(&on.store, 0, MEASURED, REPEATED_AFTER).await?;
    let copied_s = copied_s(&on)?;
    figures.figure("results.postgres_per_s", MEASURED as f64 / seconds, "/s");
    figures.note(&format!(
        "COPY of the same rows: {:.0}/s",
        MEASURED as f64 / copied_s
    ));
    figures.figure("results.postgres_copy_ratio", copied_s / seconds, "");
    Ok(())
}
