//! A hundred SIGKILLs, at random moments, to publisher, worker and consumer: separate processes on one data folder.

use crate::support::{Installation, wait};
use std::collections::HashMap;
use std::process::Stdio;
use std::time::Duration;

const ROUNDS: usize = 100;
const COMMANDS_OF_A_ROUND: usize = 3;
/// A message that six killed workers in a row were handling is given up, so the queues are emptied before that.
const KILLED_WORKERS_MAX: usize = 5;
/// A command that waited for something may have a `pending` Result before its final one.
const FINAL: &str = "FROM result WHERE body NOT LIKE '{\"status\":\"pending\"%'";

/// Pseudo-random numbers (a linear congruential generator with Knuth's constants).
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

fn content(n: usize) -> String {
    format!("object {n} ").repeat(200)
}

#[test]
fn a_hundred_kills_lose_nothing_and_do_nothing_twice() {
    let installation = Installation::new();
    let seed = u64::from(std::process::id());
    eprintln!("seed {seed}");
    let mut random = Random(seed);
    let serve = |name: &str| match name {
        "worker" => installation.serve(&["runner", "--handler", "storage"]),
        _ => installation.serve(&["results"]),
    };
    let mut serving = HashMap::from([("worker", serve("worker")), ("consumer", serve("consumer"))]);
    let mut accepted = Vec::new();
    let mut killed = HashMap::new();
    let mut n = 0;
    let mut killed_workers = 0;
    let empty_queues = || {
        wait("empty queues", || {
            let sql = "SELECT COUNT(*) FROM delivery JOIN queue ON queue.id = queue WHERE name NOT LIKE '%-dlq'
                       AND name NOT LIKE '%registry%'";
            installation.count("fabric.db", sql) == 0
        });
    };
    for _ in 0..ROUNDS {
        if killed_workers == KILLED_WORKERS_MAX {
            empty_queues();
            killed_workers = 0;
        }
        let victim = ["publisher", "worker", "consumer"][random.below(3) as usize];
        let moment = random.below(COMMANDS_OF_A_ROUND as u64) as usize;
        for turn in 0..COMMANDS_OF_A_ROUND {
            let (path, data) = (
                format!("path=part={}/{n}.txt", n % 7),
                format!("data={}", content(n)),
            );
            let (id, step) = (format!("request-{n}"), format!("step-{n}"));
            let args = [
                "publish",
                "storage",
                "put_object",
                "container=lake",
                &path,
                &data,
                "--job",
                "job-1",
                "--step",
                &step,
                "--correlation-id",
                &id,
            ];
            let mut publisher = installation
                .command(&args)
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .expect("the program starts");
            if turn == moment {
                std::thread::sleep(Duration::from_micros(random.below(15_000)));
                *killed.entry(victim).or_insert(0) += 1;
                if victim == "publisher" {
                    let _ = publisher.kill();
                } else {
                    killed_workers += usize::from(victim == "worker");
                    // Dropping sends SIGKILL.
                    serving.remove(victim);
                    serving.insert(victim, serve(victim));
                }
            }
            let output = publisher.wait_with_output().expect("a child");
            // Printed commands were accepted; the last ones before a kill may or may not be.
            if String::from_utf8_lossy(&output.stdout).trim() == id {
                accepted.push(n);
            }
            n += 1;
        }
    }
    eprintln!("{} of {n} accepted, killed: {killed:?}", accepted.len());
    assert!(accepted.len() > ROUNDS && killed.len() == 3);
    empty_queues();

    let registry = installation.open("registry.db");
    let given_up = installation.count("fabric.db", "SELECT COUNT(*) FROM delivery");
    assert_eq!(
        given_up, 0,
        "no message was held by six killed workers in a row"
    );
    for n in &accepted {
        let one = |sql: &str, key: &str| -> i64 {
            registry
                .query_row(sql, [key], |row| row.get(0))
                .expect("counted")
        };
        let (id, step) = (format!("request-{n}"), format!("step-{n}"));
        let results = one(
            &format!("SELECT COUNT(*) {FINAL} AND correlation_id = ?"),
            &id,
        );
        assert_eq!(results, 1, "{id} has {results} Results");
        let sql = "SELECT COUNT(*) FROM step JOIN edge ON edge.step = step.id WHERE step_id = ? AND status = 'success'";
        assert_eq!(one(sql, &step), 1, "{step} wrote one object once");
        let file = installation
            .data()
            .join(format!("objects/lake/part={}/{n}.txt", n % 7));
        let stored = std::fs::read_to_string(&file).expect("an object");
        assert_eq!(stored, content(*n), "{} is whole", file.display());
    }
    let sql = format!("SELECT COUNT(*) - COUNT(DISTINCT correlation_id) {FINAL}");
    assert_eq!(
        installation.count("registry.db", &sql),
        0,
        "no Result twice"
    );
    let sql = "SELECT COUNT(*) - COUNT(DISTINCT correlation_id) FROM event";
    assert_eq!(installation.count("registry.db", sql), 0, "no Event twice");
    let (ended, steps) = (
        installation.count("registry.db", "SELECT steps_ended FROM job"),
        installation.count("registry.db", "SELECT COUNT(*) FROM step"),
    );
    assert_eq!(ended, steps, "no step is counted twice");
    for database in ["fabric.db", "registry.db"] {
        let connection = installation.open(database);
        let check: String = connection
            .query_row("PRAGMA integrity_check", [], |row| row.get(0))
            .expect("checked");
        assert_eq!(check, "ok", "{database}");
    }
}

#[test]
fn a_hundred_kills_during_inserts_write_every_row_once() {
    let installation = Installation::new();
    let seed = u64::from(std::process::id());
    eprintln!("seed {seed}");
    let mut random = Random(seed);
    let serve = || installation.serve(&["runner", "--handler", "query"]);
    let _results = installation.serve(&["results"]);
    let mut worker = serve();
    let publish = |args: &[&str]| {
        installation.ok(&[&["publish", "query"], args].concat());
    };
    publish(&[
        "execute_sql",
        "sql=CREATE TABLE t (n INTEGER, part INTEGER)",
    ]);
    let results = |installation: &Installation| {
        let sql = format!("SELECT COUNT(DISTINCT correlation_id) {FINAL}");
        installation.count("registry.db", &sql)
    };
    for n in 0..ROUNDS {
        // So that no message is held by six killed workers in a row, after which it would be given up.
        if n % 5 == 0 {
            wait("every Result so far", || {
                installation.data().join("registry.db").exists()
                    && results(&installation) > n as i64
            });
        }
        // Every fourth command is a script, whose statements belong together.
        let id = format!("request-{n}");
        let insert = format!("INSERT INTO t SELECT {n}, range FROM range(1000)");
        if n % 4 == 0 {
            let sql = format!("sql={insert}; UPDATE t SET part = part + 1000 WHERE n = {n}");
            publish(&["execute_script", &sql, "--correlation-id", &id]);
        } else {
            publish(&[
                "execute_sql",
                &format!("sql={insert}"),
                "--correlation-id",
                &id,
            ]);
        }
        std::thread::sleep(Duration::from_micros(random.below(120_000)));
        drop(worker);
        worker = serve();
    }
    wait("every Result", || {
        results(&installation) == ROUNDS as i64 + 1
    });
    let sql = format!("SELECT COUNT(*) - COUNT(DISTINCT correlation_id) {FINAL}");
    assert_eq!(
        installation.count("registry.db", &sql),
        0,
        "no Result twice"
    );
    let given_up = format!(
        "SELECT COALESCE(MAX(body), '') {FINAL} AND body NOT LIKE '{{\"status\":\"success\"%'"
    );
    let given_up: String = installation
        .open("registry.db")
        .query_row(&given_up, [], |row| row.get(0))
        .expect("read");
    assert_eq!(given_up, "", "every one succeeded");
    let wrong =
        "sql=SELECT n, count(*), count(DISTINCT part), min(part), max(part) FROM t GROUP BY n
                 HAVING count(*) <> 1000 OR count(DISTINCT part) <> 1000
                     OR min(part) <> CASE WHEN n % 4 = 0 THEN 1000 ELSE 0 END";
    let wrong = installation.ok(&["call", "query", "execute_sql", wrong]);
    assert!(wrong.contains("\"row_count\": 0"), "{wrong}");
    let rows = installation.ok(&["call", "query", "execute_sql", "sql=SELECT count(*) FROM t"]);
    assert!(rows.contains("100000"), "{rows}");
}
