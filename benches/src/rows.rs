//! How fast a large answer passes from the engine's process: as Arrow, before anything is made of it.

use crate::Outcome;
use crate::figures::{Figures, percentile};
use pudato_runtime::query::duckdb::process::Program;
use pudato_runtime::query::duckdb::{DuckDb, Isolation, Options};
use pudato_runtime::query::{AnswerTo, Parameters, Waits, Work};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// 100 MB: so many rows of eight columns of eight bytes.
const ROWS: u64 = 1_562_500;
const ROUNDS: usize = 15;

const TABLE: &str =
    "CREATE TABLE measures AS SELECT range AS a, range * 2 AS b, range * 3 AS c, range * 5 AS d,
    range / 7.0 AS e, range / 11.0 AS f, range / 13.0 AS g, range / 17.0 AS h FROM range(1562500)";

pub fn engine(folder: &Path, isolation: Isolation) -> Outcome<DuckDb> {
    let options = Options {
        scratch: folder.join("scratch"),
        memory_bytes: 1 << 30,
        spill_bytes: 1 << 30,
        threads: 2,
        isolation,
    };
    Ok(DuckDb::file(&folder.join("warehouse.duckdb"), options)?)
}

pub fn work(sql: &str) -> Work {
    Work {
        label: "the bench".into(),
        waits: Waits::default(),
        sql: sql.to_owned(),
        is_script: false,
        parameters: Parameters::None,
        sources: Vec::new(),
        answer_to: AnswerTo::Rows {
            rows_max: usize::MAX,
            bytes_max: 1 << 30,
        },
        deadline: Duration::from_secs(120),
        identity: None,
    }
}

/// Seconds in which all rows arrived.
async fn take(engine: &DuckDb) -> Outcome<f64> {
    let rows = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&rows);
    let started = Instant::now();
    let counts = move |batch: &duckdb::arrow::array::StructArray| {
        counted.fetch_add(
            duckdb::arrow::array::Array::len(batch) as u64,
            Ordering::Relaxed,
        );
    };
    engine.batches(work("FROM measures"), counts).await?;
    let took = started.elapsed().as_secs_f64();
    match rows.load(Ordering::Relaxed) {
        ROWS => Ok(took),
        other => Err(format!("expected {ROWS} rows, found {other}").into()),
    }
}

pub fn measure(figures: &mut Figures) -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let (through, here) = (tempfile::tempdir()?, tempfile::tempdir()?);
        let program = Program::own().ok_or("this program is not its own child")?;
        let through = (
            engine(through.path(), Isolation::Process(program))?,
            through,
        );
        let here = (engine(here.path(), Isolation::InProcess)?, here);
        for (engine, _) in [&through, &here] {
            engine.batches(work(TABLE), |_| {}).await?;
        }
        let (mut passed, mut alone) = (Vec::new(), Vec::new());
        for round in 0..ROUNDS + 3 {
            let (through_s, here_s) = (take(&through.0).await?, take(&here.0).await?);
            // The first ones warm both up.
            if round >= 3 {
                passed.push(through_s);
                alone.push(here_s);
            }
        }
        let megabytes = (ROWS * 64) as f64 / 1e6;
        let (passed, alone) = (percentile(&mut passed, 0.5), percentile(&mut alone, 0.5));
        figures.note(&format!(
            "100 MB of rows: {:.0} ms through the engine's process, {:.0} ms in this one",
            passed * 1e3,
            alone * 1e3
        ));
        figures.figure("query.rows_mb_per_s", megabytes / passed, "MB/s");
        figures.figure("query.rows_here_mb_per_s", megabytes / alone, "MB/s");
        Ok(())
    })
}
