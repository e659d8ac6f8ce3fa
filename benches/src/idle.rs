//! What `pudato up` costs while nothing happens.

use crate::Outcome;
use crate::figures::Figures;
use crate::up::Up;
use std::fs;
use std::time::{Duration, Instant};

/// How long it is watched.
const WATCH: Duration = Duration::from_secs(60);
/// Linux counts processor time in hundredths of a second (`getconf CLK_TCK`).
const TICKS_PER_S: f64 = 100.0;

pub fn measure(figures: &mut Figures) -> Outcome<()> {
    let up = Up::start()?;
    std::thread::sleep(Duration::from_secs(2));
    let (before, started) = (ticks(up.pid())?, Instant::now());
    std::thread::sleep(WATCH);
    let spent_s = (ticks(up.pid())? - before) / TICKS_PER_S;
    let percent = 100.0 * spent_s / started.elapsed().as_secs_f64();
    figures.figure("idle.cpu_percent", percent, "%");
    figures.figure("idle.rss_mb", resident_mb(up.pid())?, "MB");
    Ok(())
}

/// Processor time of a process, in ticks: fields 14 and 15 of its stat (proc(5)).
fn ticks(pid: u32) -> Outcome<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = stat.rsplit_once(") ").ok_or("no stat")?;
    let field = |n: usize| {
        fields
            .split(' ')
            .nth(n)
            .and_then(|field| field.parse::<f64>().ok())
    };
    Ok(field(11).ok_or("no utime")? + field(12).ok_or("no stime")?)
}

pub fn resident_mb(pid: u32) -> Outcome<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: f64 = line
        .and_then(|line| line.split_whitespace().next())
        .ok_or("no VmRSS")?
        .parse()?;
    Ok(kib * 1_024.0 / 1_000_000.0)
}
