//! How soon a query is answered whose process must be killed at its deadline, and the one after it.

use crate::Outcome;
use crate::figures::{Figures, percentile};
use crate::rows::{engine, work};
use pudato_runtime::query::QueryEngine;
use pudato_runtime::query::duckdb::process::Program;
use pudato_runtime::query::duckdb::{DuckDb, Isolation};
use rustix::process::{Pid, Signal, kill_process};
use std::time::{Duration, Instant};

const ROUNDS: usize = 10;
const DEADLINE: Duration = Duration::from_secs(1);

/// Milliseconds until the query has ended, well or not.
async fn ask(engine: &DuckDb, deadline: Duration) -> (f64, bool) {
    let mut asked = work("SELECT 1");
    asked.deadline = deadline;
    let started = Instant::now();
    let is_answered = engine.begin(asked).await.is_ok();
    (started.elapsed().as_secs_f64() * 1e3, is_answered)
}

pub fn measure(figures: &mut Figures) -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let folder = tempfile::tempdir()?;
        let program = Program::own().ok_or("this program is not its own child")?;
        let engine = engine(folder.path(), Isolation::Process(program))?;
        let (mut late, mut next) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            ask(&engine, Duration::from_secs(60)).await;
            // Stopped, it does not hear that its deadline has come, like a statement that looks at no interrupt.
            let pid = engine
                .process_id()
                .and_then(|pid| Pid::from_raw(pid.cast_signed()));
            kill_process(pid.ok_or("no process runs")?, Signal::STOP)?;
            let (took_ms, is_answered) = ask(&engine, DEADLINE).await;
            if is_answered {
                return Err("a stopped process has answered".into());
            }
            late.push(took_ms - DEADLINE.as_secs_f64() * 1e3);
            let (took_ms, is_answered) = ask(&engine, Duration::from_secs(60)).await;
            if !is_answered {
                return Err("the next query failed".into());
            }
            next.push(took_ms);
        }
        let slowest = |times: &mut Vec<f64>| percentile(times, 1.0);
        figures.figure("query.after_deadline_ms_max", slowest(&mut late), "ms");
        figures.figure("query.next_after_kill_ms_max", slowest(&mut next), "ms");
        Ok(())
    })
}
