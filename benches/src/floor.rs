//! What the machine can do at best: the same files made durable, and the same rows committed, without a fabric.

use crate::Outcome;
use crate::publisher::{content, path};
use crate::up::target;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// Threads that write files, as many as a worker has messages in hand.
const THREADS: usize = 16;
/// Commands of one commit.
const BATCH: usize = 10;

/// Commands per second of which the files and rows are durable.
pub fn per_second(count: usize) -> Outcome<f64> {
    let folder = tempfile::tempdir_in(target()?)?;
    let root = folder.path();
    for part in 0..100 {
        fs::create_dir(root.join(format!("part={part}")))?;
    }
    let next = AtomicUsize::new(0);
    let started = Instant::now();
    std::thread::scope(|scope| -> Outcome<()> {
        let writers: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| -> std::io::Result<()> {
                    loop {
                        let n = next.fetch_add(1, Ordering::Relaxed);
                        if n >= count {
                            return Ok(());
                        }
                        durable(root, n)?;
                    }
                })
            })
            .collect();
        rows(root, count)?;
        for writer in writers {
            writer.join().map_err(|_| "a writer panicked")??;
        }
        Ok(())
    })?;
    Ok(count as f64 / started.elapsed().as_secs_f64())
}

fn durable(root: &Path, n: usize) -> std::io::Result<()> {
    let file = root.join(path(n));
    let staged = file.with_extension("new");
    let mut writing = File::create(&staged)?;
    writing.write_all(content(n).as_bytes())?;
    writing.sync_all()?;
    fs::rename(&staged, &file)?;
    File::open(file.parent().unwrap_or(root))?.sync_all()
}

/// The rows that a put leaves: a Result, a step, an edge, a dataset, an Event, each with its index.
fn rows(root: &Path, count: usize) -> Outcome<()> {
    let connection = rusqlite::Connection::open(root.join("floor.db"))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.execute_batch(
        "CREATE TABLE result (id INTEGER PRIMARY KEY, identity TEXT UNIQUE, body TEXT);
         CREATE TABLE step (id INTEGER PRIMARY KEY, step_id TEXT UNIQUE, status TEXT);
         CREATE TABLE dataset (id INTEGER PRIMARY KEY, name TEXT UNIQUE);
         CREATE TABLE edge (dataset INTEGER, step INTEGER, PRIMARY KEY (dataset, step)) WITHOUT ROWID;
         CREATE TABLE event (id INTEGER PRIMARY KEY, identity TEXT UNIQUE, body TEXT);",
    )?;
    let body = "x".repeat(700);
    for first in (0..count).step_by(BATCH) {
        connection.execute_batch("BEGIN IMMEDIATE")?;
        for n in first..(first + BATCH).min(count) {
            let id = format!("{n:064x}");
            let run = |sql: &str, params: &[&dyn rusqlite::ToSql]| {
                connection.prepare_cached(sql)?.execute(params)
            };
            run(
                "INSERT INTO result (identity, body) VALUES (?, ?)",
                &[&id, &body],
            )?;
            run(
                "INSERT INTO step (step_id, status) VALUES (?, 'success')",
                &[&path(n)],
            )?;
            run("INSERT INTO dataset (name) VALUES (?)", &[&path(n)])?;
            run("INSERT INTO edge VALUES (?, ?)", &[&n, &n])?;
            run(
                "INSERT INTO event (identity, body) VALUES (?, ?)",
                &[&id, &body],
            )?;
        }
        connection.execute_batch("COMMIT")?;
    }
    Ok(())
}
