//! What the whole path of a query costs, from its publish call to its Result, over calling DuckDB directly.

use crate::Outcome;
use crate::figures::{Figures, percentile};
use crate::publisher::open;
use crate::up::Up;
use duckdb::Connection;
use pudato_runtime::messaging::local::{LocalConsumer, LocalFabric};
use pudato_runtime::messaging::{
    Consumer, QueueConfig, Receive, Subscription, SystemClock, Topology,
};
use pudato_runtime::protocol::{Command, Object};
use pudato_runtime::{Client, Installation};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A million rows as a data engineer has them: a few keys, a few measures.
const TABLE: &str = "CREATE TABLE strikes AS SELECT
    'S' || hash(range) % 50 AS state, 'A' || hash(range + 1) % 500 AS airport,
    1990 + hash(range + 2) % 30 AS year, hash(range + 3) % 1000000 / 100.0 AS cost,
    hash(range + 4) % 20000 AS height
    FROM range(1000000)";

/// All of it by state and year.
const AGGREGATE: &str = "SELECT state, year, count(*) AS strikes, count(DISTINCT airport) AS airports,
    sum(cost) AS cost, median(cost) AS median_cost, quantile_cont(cost, 0.9) AS high_cost, avg(height) AS height
    FROM strikes GROUP BY ALL ORDER BY ALL";

/// An answer like that of [`AGGREGATE`].
const ROWS: &str = "SELECT 'S' || range % 50 AS state, 1990 + range % 30 AS year, range AS strikes, range AS airports,
    range / 7.0 AS cost, range / 3.0 AS median_cost, range / 11.0 AS high_cost, range / 13.0 AS height FROM range(1500)";

const QUEUE: &str = "bench-query-results";

/// Somebody who publishes a query and waits for its Result on the results topic.
struct Caller {
    pudato: Installation,
    results: LocalConsumer,
}

impl Caller {
    async fn open(folder: &Path) -> Outcome<Self> {
        let pudato = open(&folder.display().to_string()).await?;
        let fabric = LocalFabric::open(folder, Arc::new(SystemClock))?;
        let topology = Topology {
            topics: vec![pudato.names.results()],
            queues: vec![QueueConfig::new(QUEUE)],
            subscriptions: vec![Subscription::new(pudato.names.results(), QUEUE)],
        };
        fabric.declare(topology).await?;
        let results = fabric.consumer(QUEUE).await?;
        Ok(Self { pudato, results })
    }

    /// Milliseconds from the publish call to the Result, and its rows.
    async fn ask(&self, sql: &str) -> Outcome<(f64, Value)> {
        let payload = json!({"sql": sql, "max_rows": 10_000});
        let payload: Object = payload.as_object().cloned().unwrap_or_default();
        let command = Command::new("query", "execute_sql", payload);
        let started = Instant::now();
        Client::new(&self.pudato).publish(&command).await?;
        let receive = Receive {
            max: 10,
            wait: Duration::from_secs(20),
        };
        loop {
            let received = self.results.receive(receive).await?;
            let took_ms = ms(started);
            let mut answer = None;
            let mut leases = Vec::new();
            for delivery in received {
                let result: Value = serde_json::from_slice(&delivery.body)?;
                if result["correlation_id"] == command.correlation_id.as_str() {
                    answer = Some(result);
                }
                leases.push(delivery.lease);
            }
            for outcome in self.results.delete(leases).await {
                outcome?;
            }
            if let Some(result) = answer {
                if result["status"] != "success" {
                    return Err(result["errors"].to_string().into());
                }
                return Ok((took_ms, result["data"]["rows"].clone()));
            }
        }
    }
}

fn ms(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1_000.0
}

/// The rows of a direct call are fetched as a program would: every one of them, with the values.
fn direct(connection: &Connection, sql: &str) -> Outcome<(f64, usize)> {
    let started = Instant::now();
    let mut statement = connection.prepare(sql)?;
    let rows = statement.query_map([], |row| {
        let mut column = 0;
        while row.get_ref(column).is_ok() {
            column += 1;
        }
        Ok(column)
    })?;
    let mut count = 0;
    for row in rows {
        row?;
        count += 1;
    }
    Ok((ms(started), count))
}

/// As [`direct`], by a program that opens the file for it.
fn opened_ms(file: &Path, sql: &str) -> Outcome<f64> {
    let started = Instant::now();
    let connection = Connection::open(file)?;
    direct(&connection, sql)?;
    drop(connection);
    Ok(ms(started))
}

/// Milliseconds of `count` calls of each kind, one after the other, in turns.
async fn in_turns(
    caller: &Caller,
    connection: &Connection,
    sql: &str,
    count: usize,
) -> Outcome<(Vec<f64>, Vec<f64>)> {
    let (mut whole, mut alone) = (Vec::new(), Vec::new());
    for n in 0..count + count / 5 {
        let (alone_ms, rows) = direct(connection, sql)?;
        let (whole_ms, answer) = caller.ask(sql).await?;
        if answer.as_array().map(Vec::len) != Some(rows) {
            return Err(format!("{sql}: the answers differ").into());
        }
        // The first fifth warms both up.
        if n >= count / 5 {
            whole.push(whole_ms);
            alone.push(alone_ms);
        }
    }
    Ok((whole, alone))
}

pub fn measure(figures: &mut Figures) -> Outcome<()> {
    let up = Up::start()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let caller = Caller::open(&up.data()).await?;
        caller.ask(TABLE).await?;
        let file = up.folder.path().join("direct.duckdb");
        let connection = Connection::open(&file)?;
        connection.execute_batch(TABLE)?;
        connection.execute_batch("CHECKPOINT")?;

        let (mut whole, mut alone) = in_turns(&caller, &connection, "SELECT 1", 400).await?;
        let (whole_ms, alone_ms) = (percentile(&mut whole, 0.5), percentile(&mut alone, 0.5));
        figures.note(&format!(
            "SELECT 1: {whole_ms:.2} ms, p99 {:.2} ms; directly {alone_ms:.2} ms",
            percentile(&mut whole, 0.99)
        ));
        figures.figure("query.overhead_ms_p50", whole_ms - alone_ms, "ms");

        // As many rows as the aggregate answers with, and hardly any work: what an answer of this size costs.
        let (mut whole, mut alone) = in_turns(&caller, &connection, ROWS, 100).await?;
        let (whole_ms, alone_ms) = (percentile(&mut whole, 0.5), percentile(&mut alone, 0.5));
        figures.note(&format!(
            "1,500 rows of 8 columns: {whole_ms:.2} ms; directly {alone_ms:.2} ms"
        ));
        let (mut whole, mut alone) = in_turns(&caller, &connection, AGGREGATE, 40).await?;
        let (whole_ms, alone_ms) = (percentile(&mut whole, 0.5), percentile(&mut alone, 0.5));
        figures.note(&format!(
            "1,000,000 rows: {whole_ms:.1} ms; directly {alone_ms:.1} ms"
        ));
        drop(connection);
        let mut opened = Vec::new();
        for _ in 0..20 {
            opened.push(opened_ms(&file, AGGREGATE)?);
        }
        figures.note(&format!(
            "1,000,000 rows, opened, asked and closed directly: {:.1} ms",
            percentile(&mut opened, 0.5)
        ));
        let percent = 100.0 * (whole_ms / alone_ms - 1.0);
        figures.figure("query.aggregate_overhead_percent", percent, "%");

        // One now and then: the warehouse is opened for each, so it is compared with a program that opens its file too.
        let (mut whole, mut alone) = (Vec::new(), Vec::new());
        for _ in 0..20 {
            tokio::time::sleep(Duration::from_millis(500)).await;
            whole.push(caller.ask("SELECT 1").await?.0);
            alone.push(opened_ms(&file, "SELECT 1")?);
        }
        let (whole_ms, alone_ms) = (percentile(&mut whole, 0.5), percentile(&mut alone, 0.5));
        figures.note(&format!(
            "SELECT 1 twice a second: {whole_ms:.2} ms; opened, asked and closed directly {alone_ms:.2} ms"
        ));
        figures.figure("query.lone_overhead_ms_p50", whole_ms - alone_ms, "ms");
        Ok(())
    })
}
