//! A hostile day: four senders on one installation, one of them hostile. The other three lose nothing, see no rows of others, and lineage
//! agrees with an independent model.
//!
//! The whole program serves (`pudato up`, with DuckDB in a separate process), on the embedded fabric, real folders and a registry in
//! SQLite. A seed determines what each sender sends; the interleaving of the four depends on the machine.
//!
//! A day in CI is short, and one installation serves several of them in turn, each with its own names: many seeds find rare faults better
//! than long days do, and a fresh installation for each would cost more than its day. `PUDATO_DAY_SEEDS` and `PUDATO_DAY_COMMANDS` increase
//! the numbers, `PUDATO_DAY_SEED` runs one seed alone (CONTRIBUTING.md).

mod attempts;
mod claims;
mod contents;
mod day;
mod engine;
mod hostile;
mod judge;
mod model;
mod random;
mod senders;
#[path = "../cli/support.rs"]
#[allow(dead_code, reason = "the other tests need more of it")]
mod support;
mod works;

use day::{Day, Tally};
use pudato_runtime::settings::Sources;
use pudato_runtime::{Installation, Settings};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;
use support::Installation as DataFolder;

/// The number of days in CI, and the number of commands of each.
const SEEDS: u64 = 100;
const COMMANDS: usize = 60;
/// The number of installations side by side: much of a day is waiting.
const LANES: usize = 4;

#[test]
fn three_senders_are_unharmed_by_a_fourth_that_is_hostile() {
    let only = setting("PUDATO_DAY_SEED");
    let seeds = match only {
        Some(seed) => seed..seed + 1,
        None => 0..setting("PUDATO_DAY_SEEDS").unwrap_or(SEEDS),
    };
    let commands = setting("PUDATO_DAY_COMMANDS").unwrap_or(COMMANDS as u64);
    let commands = usize::try_from(commands).expect("a number of commands");
    let began = Instant::now();
    let count = seeds.end - seeds.start;
    let next = AtomicU64::new(seeds.start);
    let all = Mutex::new(Tally::default());
    std::thread::scope(|scope| {
        let lanes = LANES.min(usize::try_from(count).unwrap_or(LANES));
        for _ in 0..lanes {
            scope.spawn(|| {
                lane(commands, &mut |tally| {
                    let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
                    all.add(tally);
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    (seed < seeds.end).then_some(seed)
                });
            });
        }
    });
    let all = all.into_inner().unwrap_or_else(PoisonError::into_inner);
    let seconds = began.elapsed().as_secs_f64();
    eprintln!("{count} days of {commands} commands in {seconds:.0} s: {all:?}");
    // Days on which nothing happened would prove little.
    assert!(all.honest > all.hostile && all.hostile > 0, "{all:?}");
    if only.is_none() {
        assert!(all.kills > 0 && all.claims > 0, "{all:?}");
    }
}

/// Serves days in turn on one installation. `next` receives the counts of the last day and returns the next seed.
fn lane(commands: usize, next: &mut dyn FnMut(Tally) -> Option<u64>) {
    let mut tally = Tally::default();
    let mut days: Option<Lane> = None;
    while let Some(seed) = next(tally) {
        let lane = days.get_or_insert_with(Lane::new);
        tally = match lane.day(seed, commands) {
            Ok(tally) => tally,
            Err(broken) => panic!(
                "seed {seed}: {broken}\nrun it alone: PUDATO_DAY_SEED={seed} PUDATO_DAY_COMMANDS={commands} \
                 cargo test --workspace --test day\nthe log of `pudato up` ends so:\n{}",
                lane.last_words()
            ),
        };
    }
}

/// An installation that serves.
struct Lane {
    runtime: tokio::runtime::Runtime,
    pudato: Installation,
    up: support::Serving,
    installation: DataFolder,
}

impl Lane {
    fn new() -> Self {
        let installation = DataFolder::new();
        let up = installation.up();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let data = installation.data().display().to_string();
        let environment = move |name: &str| match name {
            "PUDATO_DATA_DIR" => Some(data.clone()),
            // The same settings as those of the installation.
            "PUDATO_VISIBILITY_SECONDS" => Some("2".to_owned()),
            // This process runs no SQL.
            "PUDATO_QUERY_ISOLATION" => Some("none".to_owned()),
            _ => None,
        };
        let settings = Settings::load(&Sources {
            flags: BTreeMap::new(),
            environment: &environment,
            file: None,
        });
        let settings = settings.expect("settings");
        let pudato = runtime
            .block_on(Installation::open(settings))
            .expect("opened");
        Self {
            runtime,
            pudato,
            up,
            installation,
        }
    }

    fn day(&self, seed: u64, commands: usize) -> Result<Tally, String> {
        let day = Day {
            seed,
            commands,
            pudato: &self.pudato,
            server: self.up.0.id(),
            data: self.pudato.data_dir.clone(),
            is_hostile: true,
        };
        let (tally, _) = self.runtime.block_on(day.run())?;
        Ok(tally)
    }

    /// The end of the server's log.
    fn last_words(&self) -> String {
        let log = self.installation.logged();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

/// A number from the environment.
fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|_| panic!("{name}: expected a number, found {text:?}")))
}
