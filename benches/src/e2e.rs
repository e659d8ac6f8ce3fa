//! From a publish call to its row in the registry, through separate processes, everything durable.

use crate::figures::{Figures, percentile};
use crate::publisher::{content, path};
use crate::up::{Up, role};
use crate::{Outcome, floor, latency};
use std::process::Stdio;
use std::time::{Duration, Instant};

const COMMANDS: usize = 20_000;
/// Longest wait for a measurement; beyond it something is lost.
const WAIT_MAX: Duration = Duration::from_secs(300);

pub fn measure(figures: &mut Figures) -> Outcome<()> {
    let head = throughput("head", COMMANDS)?;
    figures.figure("e2e.head_per_s", head, "commands/s");
    let put = throughput("put", COMMANDS)?;
    figures.figure("e2e.put_per_s", put, "commands/s");
    let floor = floor::per_second(COMMANDS)?;
    figures.note(&format!(
        "floor: {floor:.0} of the same files and rows per second"
    ));
    figures.figure("e2e.put_floor_ratio", put / floor, "ratio");
    let mut paced = latency::paced(100, 1_500)?;
    figures.figure("e2e.p50_ms_at_100", percentile(&mut paced, 0.5), "ms");
    figures.figure("e2e.p99_ms_at_100", percentile(&mut paced, 0.99), "ms");
    let mut wakes = latency::wakes(1_000)?;
    figures.figure("e2e.wake_p99_ms", percentile(&mut wakes, 0.99), "ms");
    Ok(())
}

/// Commands per second from the first publish call to the last row.
fn throughput(kind: &str, count: usize) -> Outcome<f64> {
    let up = Up::start()?;
    seed(&up)?;
    let registry = up.registry()?;
    let folder = up.data().display().to_string();
    let started = Instant::now();
    let mut publisher = role(&["publisher", &folder, kind, &count.to_string(), "0"])?
        .stdout(Stdio::null())
        .spawn()?;
    let sql = "SELECT COUNT(*) FROM step WHERE status = 'success'";
    let mut statement = registry.prepare(sql)?;
    loop {
        let done: usize = statement.query_row([], |row| row.get(0))?;
        if done >= count {
            break;
        }
        if started.elapsed() > WAIT_MAX {
            return Err(format!("{done} of {count} steps after {WAIT_MAX:?}").into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let took = started.elapsed().as_secs_f64();
    if !publisher.wait()?.success() {
        return Err("the publisher failed".into());
    }
    if kind == "put" {
        for n in 0..count {
            let file = up.data().join("objects/bench").join(path(n));
            if std::fs::read_to_string(&file)? != content(n) {
                return Err(format!("{} holds other bytes", file.display()).into());
            }
        }
    }
    Ok(count as f64 / took)
}

/// The object that `head_object` looks at.
fn seed(up: &Up) -> Outcome<()> {
    let folder = up.data().join("objects/bench");
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("small.txt"), "x")?;
    Ok(())
}
