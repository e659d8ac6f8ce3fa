//! The engine's process, found in the machine's list of processes.

use std::process::{Command, Stdio};
use std::time::Duration;

/// The argument that makes a program the engine's process.
const ROLE: &str = "--pudato-engine-process";

/// If the machine is too busy to start `kill`, it is tried again this many times, with this pause.
const TRIES: u32 = 50;
const PAUSE: Duration = Duration::from_millis(100);

/// Kills the engine's process of the program `server`, if it has one.
///
/// # Errors
/// `kill` cannot be started.
pub async fn kill(server: u32) -> Result<(), String> {
    for pid in children(server) {
        let mut tries = 0;
        loop {
            let killed = Command::new("kill")
                .args(["-9", &pid.to_string()])
                .stderr(Stdio::null())
                .status();
            tries += 1;
            match killed {
                // If `kill` failed, the process has ended by itself.
                Ok(_) => break,
                Err(error) if tries == TRIES => return Err(format!("kill -9 {pid}: {error}")),
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }
    Ok(())
}

fn children(server: u32) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| parent(*pid) == Some(server) && is_engine(*pid))
        .collect()
}

fn parent(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // After the name, which may contain any characters: the state, then the parent.
    stat.rsplit(')')
        .next()?
        .split_whitespace()
        .nth(1)?
        .parse()
        .ok()
}

fn is_engine(pid: u32) -> bool {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    line.split(|byte| *byte == 0)
        .any(|word| word == ROLE.as_bytes())
}
