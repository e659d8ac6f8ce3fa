//! Measures the memory of a process group. A kernel limit (`ulimit`) applies to each process and to addresses instead of memory: Python and
//! DuckDB reserve far more than they use, and a program that hits the limit fails with an error of its own. Polling the group gives a clear
//! error instead.

use rustix::process::Pid;
use std::path::Path;
use std::time::Duration;

/// How often to measure. A machine with 500 processes is read in a few milliseconds.
const LOOK: Duration = Duration::from_millis(200);

/// Waits until `group` uses more than `limit` bytes, and returns how many. It waits for ever on systems other than Linux, where this cannot
/// be measured.
pub(crate) async fn exceeds(group: Option<Pid>, limit: Option<u64>) -> u64 {
    let (Some(group), Some(limit)) = (group, limit) else {
        return std::future::pending().await;
    };
    loop {
        tokio::time::sleep(LOOK).await;
        let used = tokio::task::spawn_blocking(move || used(group.as_raw_nonzero().get()));
        if let Ok(used) = used.await
            && used > limit
        {
            return used;
        }
    }
}

/// The private bytes of all processes of the group, in memory or swapped out. Mapped files do not count.
fn used(group: i32) -> u64 {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let of_processes = entries.filter(|entry| {
        let name = entry.file_name();
        name.as_encoded_bytes().iter().all(u8::is_ascii_digit)
    });
    let members = of_processes.filter(|entry| group_of(&entry.path()) == Some(group));
    members.map(|entry| of_process(&entry.path())).sum()
}

/// The group of a process (proc_pid_stat(5)). The name in front of it may contain spaces and parentheses.
fn group_of(process: &Path) -> Option<i32> {
    let stat = std::fs::read_to_string(process.join("stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(2)?.parse().ok()
}

/// A process that has ended meanwhile counts as zero.
fn of_process(process: &Path) -> u64 {
    const COUNTED: [&str; 3] = ["RssAnon:", "RssShmem:", "VmSwap:"];
    let status = std::fs::read_to_string(process.join("status")).unwrap_or_default();
    let lines = status.lines().filter_map(|line| {
        let (name, value) = line.split_once('\t')?;
        let kib = value.split_whitespace().next()?.parse::<u64>().ok()?;
        COUNTED.contains(&name).then_some(kib * 1024)
    });
    lines.sum()
}
