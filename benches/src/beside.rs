//! How long small writes and builds wait beside a SELECT of a minute.

use crate::Outcome;
use crate::figures::{Figures, percentile};
use crate::up::Up;
use std::path::Path;
use std::time::{Duration, Instant};

const WRITES: usize = 100;
const BUILDS: usize = 20;
const SELECT_SECONDS: &str = "timeout_seconds:=60";

/// It would run for hours: its deadline ends it.
const SELECT: &str = "sql=SELECT count(*) FROM range(10000000) a, range(10000000) b WHERE (a.range * b.range) % 7 = 3";

pub fn measure(figures: &mut Figures) -> Outcome<()> {
    let folder = tempfile::tempdir()?;
    let project = folder.path().join("project");
    generate(&project)?;
    let dbt = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.venv/bin/dbt");
    let up = Up::start_with(&[
        ("DBT_PROJECT_DIR", project.display().to_string()),
        ("PUDATO_DBT", dbt.display().to_string()),
    ])?;
    up.call(&["query", "execute_sql", "sql=CREATE TABLE small (n INTEGER)"])?;
    up.call(&["transform", "build", "--timeout", "300"])?;

    let mut alone_writes = writes(&up)?;
    let (mut alone, alone_s) = both(&up)?;
    let (mut beside_writes, (mut beside, beside_s), select_s) = std::thread::scope(|scope| {
        let long = scope.spawn(|| {
            let started = Instant::now();
            let ended = up.call(&[
                "query",
                "execute_sql",
                SELECT,
                SELECT_SECONDS,
                "--timeout",
                "300",
            ]);
            (ended.is_err(), started.elapsed().as_secs_f64())
        });
        // The SELECT runs by then.
        std::thread::sleep(Duration::from_secs(2));
        let alone = writes(&up)?;
        let both = both(&up)?;
        let (was_stopped, select_s) = long.join().map_err(|_| "the SELECT's thread panicked")?;
        if !was_stopped {
            return Err("the SELECT ended by itself".into());
        }
        Outcome::Ok((alone, both, select_s))
    })?;
    let p95 = |times: &mut Vec<f64>| percentile(times, 0.95) * 1e3;
    let p50 = |times: &mut Vec<f64>| percentile(times, 0.5) * 1e3;
    figures.note(&format!(
        "{WRITES} writes alone: p50 {:.0} ms, p95 {:.0} ms; beside the SELECT, which took {select_s:.1} s: p50 {:.0} ms, p95 {:.0} ms",
        p50(&mut alone_writes),
        p95(&mut alone_writes),
        p50(&mut beside_writes),
        p95(&mut beside_writes),
    ));
    figures.note(&format!(
        "{WRITES} writes with {BUILDS} builds: p50 {:.0} ms, p95 {:.0} ms, {alone_s:.0} s in all; with the SELECT as well: p50 {:.0} ms, p95 {:.0} ms, {beside_s:.0} s in all",
        p50(&mut alone),
        p95(&mut alone),
        p50(&mut beside),
        p95(&mut beside),
    ));
    let lone = p95(&mut beside_writes) / p95(&mut alone_writes);
    figures.figure("waits.write_beside_select_p95_ratio", lone, "ratio");
    let all = p95(&mut beside) / p95(&mut alone);
    figures.figure("waits.write_beside_all_p95_ratio", all, "ratio");
    Ok(())
}

/// Seconds of each write, one after the other.
fn writes(up: &Up) -> Outcome<Vec<f64>> {
    let mut times = Vec::with_capacity(WRITES);
    for n in 0..WRITES {
        let sql = format!("sql=INSERT INTO small VALUES ({n})");
        let started = Instant::now();
        up.call(&["query", "execute_sql", &sql, "--timeout", "300"])?;
        times.push(started.elapsed().as_secs_f64());
    }
    Ok(times)
}

/// The same while builds run, one after the other; and the seconds until all of it is done.
fn both(up: &Up) -> Outcome<(Vec<f64>, f64)> {
    let started = Instant::now();
    let times = std::thread::scope(|scope| {
        let builds = scope.spawn(|| {
            for _ in 0..BUILDS {
                up.call(&["transform", "build", "--timeout", "600"])
                    .map_err(|error| error.to_string())?;
            }
            Ok::<(), String>(())
        });
        let times = writes(up)?;
        builds.join().map_err(|_| "the builds' thread panicked")??;
        Outcome::Ok(times)
    })?;
    Ok((times, started.elapsed().as_secs_f64()))
}

/// A project of one model, which reads what the writes write.
fn generate(project: &Path) -> Outcome<()> {
    std::fs::create_dir_all(project.join("models"))?;
    std::fs::write(
        project.join("dbt_project.yml"),
        "name: waits\nversion: '1.0'\nprofile: waits\nmodel-paths: [models]\n",
    )?;
    std::fs::write(
        project.join("profiles.yml"),
        "waits:\n  target: dev\n  outputs:\n    dev: {type: duckdb, path: \"{{ env_var('DUCKDB_PATH') }}\"}\n",
    )?;
    std::fs::write(
        project.join("models/total.sql"),
        "select count(*) as n from main.small",
    )?;
    Ok(())
}
