//! The engine's process: what it cannot reach, and the effect of its end.

mod support;

use pudato_handler::Waiting;
use pudato_query::duckdb::DuckDb;
use pudato_query::duckdb::process::Program;
use pudato_query::{BeginOutcome, EngineError, Outcome, QueryEngine, Waits, Work};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use support::run;

/// A read that runs for minutes, and stops as soon as it is interrupted.
const LONG: &str =
    "SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE (a.range * b.range) % 7 = 3";
/// The longest wait for something that must happen, even on a slow machine.
const SOON: Duration = Duration::from_secs(60);

fn engine(folder: &Path) -> Arc<DuckDb> {
    Arc::new(support::engine_with(folder, "warehouse.duckdb", 64 << 20))
}

/// A work with a long deadline, for a slow machine.
fn work(sql: &str) -> Work {
    Work {
        label: format!("the work {sql}"),
        deadline: Duration::from_secs(300),
        ..support::work(sql)
    }
}

async fn rows(engine: &DuckDb, sql: &str) -> Vec<Value> {
    support::rows(engine, work(sql)).await
}

/// Runs a work beside the test.
fn start(
    engine: &Arc<DuckDb>,
    work: Work,
) -> tokio::task::JoinHandle<Result<Outcome, EngineError>> {
    let engine = Arc::clone(engine);
    tokio::spawn(async move { run(&engine, work).await })
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < SOON, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn pid(engine: &DuckDb) -> Pid {
    let id = engine.process_id().expect("it runs");
    Pid::from_raw(i32::try_from(id).expect("a number")).expect("a process")
}

/// Waits until the process has used CPU time, which shows that its work is running.
async fn is_busy(engine: &DuckDb) {
    let ticks = |engine: &DuckDb| {
        let id = engine.process_id()?;
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
        fields.get(11)?.parse::<u64>().ok()
    };
    let before = ticks(engine).unwrap_or(0);
    until("the process has work", || {
        ticks(engine).is_some_and(|now| now > before + 20)
    })
    .await;
}

/// Waits until the process has this many works. Each has sockets of its own.
async fn has_works(engine: &DuckDb, count: usize) {
    let sockets = |engine: &DuckDb| {
        let folder = format!("/proc/{}/fd", engine.process_id()?);
        let entries = std::fs::read_dir(folder).ok()?.flatten();
        let links = entries.filter_map(|entry| std::fs::read_link(entry.path()).ok());
        let links = links.filter(|link| link.to_string_lossy().starts_with("socket:"));
        Some(links.count())
    };
    until("the process has its works", || {
        sockets(engine).is_some_and(|sockets| sockets > 3 * count)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_process_is_held_by_the_kernel() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(folder.path());
    rows(&engine, "SELECT 1").await;
    let sandbox = engine.sandbox().expect("it has run");
    let status = std::fs::read_to_string(format!("/proc/{}/status", pid(&engine).as_raw_nonzero()));
    let status = status.expect("a status");
    let is = |line: &str| {
        status
            .lines()
            .any(|own| own.split_whitespace().eq(line.split_whitespace()))
    };
    assert!(sandbox.calls.is_ok(), "{sandbox:?}");
    assert!(is("NoNewPrivs: 1") && is("Seccomp: 2"), "{status}");
    let environment = format!("/proc/{}/environ", pid(&engine).as_raw_nonzero());
    let environment = std::fs::read_to_string(environment).expect("its environment");
    let mut inherited = environment
        .split('\0')
        .filter(|variable| !variable.is_empty());
    assert!(
        inherited.all(|variable| variable.starts_with("LD_LIBRARY_PATH=")),
        "{environment}"
    );
    // With Landlock in the kernel, the restriction holds; without it, the engine reports that.
    if std::fs::read_to_string("/sys/kernel/security/lsm").is_ok_and(|lsm| lsm.contains("landlock"))
    {
        assert!(sandbox.files.is_ok(), "{sandbox:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_does_not_wait_for_a_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(folder.path());
    run(&engine, work("CREATE TABLE t AS SELECT 1 AS a"))
        .await
        .expect("made");
    let long = start(&engine, work(LONG));
    is_busy(&engine).await;
    for n in 0..20 {
        run(&engine, work(&format!("INSERT INTO t VALUES ({n})")))
            .await
            .expect("written");
    }
    assert_eq!(rows(&engine, "SELECT count(*) FROM t").await, [json!([21])]);
    assert!(!long.is_finished(), "the read was to run meanwhile");
    long.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_that_ignores_its_deadline_is_stopped_with_its_process() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(folder.path());
    rows(&engine, "SELECT 1").await;
    let stopped = pid(&engine);
    kill_process(stopped, Signal::STOP).expect("it runs");
    let mut late = work("SELECT 2");
    late.deadline = Duration::from_secs(1);
    let error = run(&engine, late).await.expect_err("it cannot be run");
    assert!(
        matches!(&error, EngineError::Invalid(text) if text.contains("deadline of 1 s")),
        "{error:?}"
    );
    assert_eq!(rows(&engine, "SELECT 3").await, [json!([3])]);
    assert_ne!(pid(&engine), stopped);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn works_that_lost_their_process_with_others_run_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(folder.path());
    run(&engine, work("CREATE TABLE t (n INTEGER)"))
        .await
        .expect("made");
    let slow = |n: u32| {
        work(&format!(
            "INSERT INTO t SELECT {n} FROM range(300000000) a WHERE hash(a.range) = 0 OR a.range = 1"
        ))
    };
    let works: Vec<_> = (0..3).map(|n| start(&engine, slow(n))).collect();
    has_works(&engine, 3).await;
    kill_process(pid(&engine), Signal::ABORT).expect("it runs");
    for work in works {
        work.await.expect("no panic").expect("it is run again");
    }
    let kept = rows(&engine, "SELECT DISTINCT n FROM t ORDER BY n").await;
    assert_eq!(kept, [json!([0]), json!([1]), json!([2])]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_work_that_was_alone_when_the_process_ended_is_told_how() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(folder.path());
    let lone = start(&engine, work(LONG));
    until("the process runs", || engine.process_id().is_some()).await;
    is_busy(&engine).await;
    kill_process(pid(&engine), Signal::ABORT).expect("it runs");
    let error = lone.await.expect("no panic").expect_err("it was alone");
    assert!(
        matches!(&error, EngineError::Retry(text) if text.contains("SIGABRT")),
        "{error:?}"
    );
    assert_eq!(rows(&engine, "SELECT 1").await, [json!([1])]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_that_ended_well_waits_for_nobody_though_its_process_was_killed_before() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(folder.path());
    run(&engine, work("CREATE TABLE t (n BIGINT)"))
        .await
        .expect("made");
    let count = "INSERT INTO t SELECT count(*) FROM range(200000000) a WHERE hash(a.range) = 0";
    let lone = start(&engine, work(count));
    is_busy(&engine).await;
    kill_process(pid(&engine), Signal::KILL).expect("it runs");
    let error = lone.await.expect("no panic").expect_err("it was alone");
    assert!(matches!(error, EngineError::Retry(_)), "{error:?}");
    run(&engine, work(count)).await.expect("written");
    let long = start(&engine, work(LONG));
    is_busy(&engine).await;
    let beside = tokio::time::timeout(3 * SOON, run(&engine, work(count))).await;
    beside
        .expect("it does not wait for the read")
        .expect("written");
    assert!(!long.is_finished(), "the read was to run meanwhile");
    long.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_ends_while_it_starts_is_not_waited_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = support::engine_by(
        folder.path(),
        Program {
            program: "/bin/sh".into(),
            args: ["-c", "sleep 0.2; kill -9 $$"].map(Into::into).into(),
            called: None,
        },
    );
    // Half of the longest start.
    let ended = tokio::time::timeout(SOON / 2, run(&engine, work("SELECT 1"))).await;
    let error = ended.expect("it is known").expect_err("it did not start");
    assert!(
        matches!(&error, EngineError::Unavailable(text) if text.contains("SIGKILL")),
        "{error:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_was_lost_with_the_process_says_that_it_is_to_be_run_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(folder.path());
    let begun = engine
        .begin(work("CREATE TABLE t AS SELECT 1 AS a"))
        .await
        .expect("it ran");
    let BeginOutcome::Ran(transaction) = begun else {
        panic!("it has no identity");
    };
    kill_process(pid(&engine), Signal::KILL).expect("it runs");
    let error = transaction
        .commit("answer")
        .await
        .expect_err("the process is gone");
    assert!(matches!(error, EngineError::Again(_)), "{error:?}");
    let left = "SELECT count(*) FROM duckdb_tables() WHERE table_name = 't'";
    assert_eq!(rows(&engine, left).await, [json!([0])]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_that_duckdb_does_not_count_is_limited_from_outside() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(folder.path());
    let error = run(&engine, work("SELECT length(repeat('x', 2000000000))")).await;
    let error = error.expect_err("it is more than the limit");
    assert!(
        matches!(&error, EngineError::Invalid(text) if text.contains("PUDATO_QUERY_MEMORY_BYTES") || text.contains("Out of Memory")),
        "{error:?}"
    );
    assert_eq!(rows(&engine, "SELECT 1").await, [json!([1])]);
}

#[derive(Default)]
struct RecordedWaits(Mutex<Vec<String>>);

impl Waiting for RecordedWaits {
    fn begins(&self, what: String) -> u64 {
        self.0.lock().expect("whole").push(what);
        0
    }

    fn changes(&self, _wait: u64, what: String) {
        self.0.lock().expect("whole").push(what);
    }

    fn ends(&self, _wait: u64) {}
}

/// Another program can open the file only if pudato's own process does not hold it.
fn opens(folder: &Path) -> Result<(), String> {
    let opened = duckdb::Connection::open(folder.join("warehouse.duckdb"));
    opened.map(|_| ()).map_err(|error| error.to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loan_waits_for_earlier_works_alone_and_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(folder.path());
    run(&engine, work("CREATE TABLE t (n INTEGER)"))
        .await
        .expect("made");
    let early = start(&engine, work(LONG));
    is_busy(&engine).await;
    let recorded = Arc::new(RecordedWaits::default());
    let waits = Waits::new(Arc::clone(&recorded) as Arc<dyn Waiting>);
    let borrower = Arc::clone(&engine);
    let loan = tokio::spawn(async move {
        borrower
            .lend("dbt build", &waits)
            .await
            .map_err(|error| error.to_string())
    });
    let is_told = || {
        recorded
            .0
            .lock()
            .expect("whole")
            .iter()
            .any(|what| what.contains("range(1000000)"))
    };
    until("the borrower hears for whom it waits", is_told).await;
    // A later work does not wait for it.
    run(&engine, work("INSERT INTO t VALUES (1)"))
        .await
        .expect("written");
    let late = start(&engine, work(&LONG.replace("% 7", "% 11")));
    is_busy(&engine).await;
    assert!(!loan.is_finished());
    early.abort();
    let lent = loan.await.expect("no panic").expect("lent");
    assert_eq!(opens(folder.path()), Ok(()));
    assert!(!late.is_finished(), "it runs again after the loan");
    let waiting = start(&engine, work("SELECT count(*) FROM t"));
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!waiting.is_finished(), "the file is lent");
    drop(lent);
    waiting.await.expect("no panic").expect("an answer");
    is_busy(&engine).await;
    late.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_is_dropped_leaves_no_process() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(folder.path());
    rows(&engine, "SELECT 1").await;
    let id = pid(&engine).as_raw_nonzero();
    drop(engine);
    let is_gone = || {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat"));
        stat.map_or(true, |stat| stat.contains(") Z "))
    };
    until("the process ends", is_gone).await;
}
