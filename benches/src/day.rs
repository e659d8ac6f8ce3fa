//! How long three honest senders wait alone, and beside a hostile one: the days of the test suite (crates/cli/tests/day), each of
//! which is judged here as well.

#[path = "../../crates/cli/tests/day/attempts.rs"]
mod attempts;
#[path = "../../crates/cli/tests/day/claims.rs"]
mod claims;
#[path = "../../crates/cli/tests/day/contents.rs"]
mod contents;
#[allow(
    clippy::module_inception,
    reason = "the file is called what it is about"
)]
#[path = "../../crates/cli/tests/day/day.rs"]
mod day;
#[path = "../../crates/cli/tests/day/engine.rs"]
mod engine;
#[path = "../../crates/cli/tests/day/hostile.rs"]
mod hostile;
#[path = "../../crates/cli/tests/day/judge.rs"]
mod judge;
#[path = "../../crates/cli/tests/day/model.rs"]
mod model;
#[path = "../../crates/cli/tests/day/random.rs"]
mod random;
#[path = "../../crates/cli/tests/day/senders.rs"]
mod senders;
#[path = "../../crates/cli/tests/day/works.rs"]
mod works;

use crate::Outcome;
use crate::figures::{Figures, percentile};
use crate::up::Up;
use day::{Day, Tally, Wait};
use pudato_runtime::settings::Sources;
use pudato_runtime::{Installation, Settings};
use std::collections::BTreeMap;

/// Days of each kind, in turn, so that whatever else the machine does meets both.
const DAYS: u64 = 10;
/// Commands of a day, of which each sender has a quarter.
const COMMANDS: usize = 400;

pub fn measure(figures: &mut Figures) -> Outcome<()> {
    let up = Up::start()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let data = up.data().display().to_string();
    let environment = move |name: &str| match name {
        "PUDATO_DATA_DIR" => Some(data.clone()),
        // This process runs no SQL.
        "PUDATO_QUERY_ISOLATION" => Some("none".to_owned()),
        _ => None,
    };
    let settings = Settings::load(&Sources {
        flags: BTreeMap::new(),
        environment: &environment,
        file: None,
    })?;
    let pudato = runtime.block_on(Installation::open(settings))?;
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    let mut tally = Tally::default();
    // The first day of an installation makes its tables and starts the engine: it is not counted.
    for n in 0..=2 * DAYS {
        let is_hostile = n % 2 == 1;
        let day = Day {
            seed: n,
            commands: COMMANDS,
            pudato: &pudato,
            server: up.pid(),
            data: pudato.data_dir.clone(),
            is_hostile,
        };
        let (some, waits) = runtime.block_on(day.run())?;
        match (n, is_hostile) {
            (0, _) => {}
            (_, true) => {
                beside.extend(waits);
                tally.add(some);
            }
            (_, false) => alone.extend(waits),
        }
    }
    figures.note(&format!(
        "{DAYS} days of {COMMANDS} commands with a hostile sender, and as many without: {tally:?}"
    ));
    for (name, is_wanted) in [
        ("all", (|_| true) as fn(&Wait) -> bool),
        ("sql", |wait| wait.is_sql),
        ("other", |wait| !wait.is_sql),
    ] {
        let ms = |waits: &[Wait], part: f64| {
            let wanted = waits.iter().filter(|wait| is_wanted(wait));
            let mut times: Vec<f64> = wanted.map(|wait| wait.time.as_secs_f64() * 1e3).collect();
            percentile(&mut times, part)
        };
        figures.note(&format!(
            "{name}: alone p50 {:.1} ms, p95 {:.1} ms, p99 {:.1} ms; beside the hostile sender p50 {:.1} ms, p95 {:.1} ms, p99 {:.1} ms",
            ms(&alone, 0.5),
            ms(&alone, 0.95),
            ms(&alone, 0.99),
            ms(&beside, 0.5),
            ms(&beside, 0.95),
            ms(&beside, 0.99),
        ));
        let ratio = ms(&beside, 0.95) / ms(&alone, 0.95);
        figures.figure(&format!("day.{name}_p95_ratio"), ratio, "ratio");
    }
    Ok(())
}
