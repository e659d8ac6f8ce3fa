//! The engine's process, as somebody sees it who looks at the machine's processes.

use std::process::{Command, Stdio};

/// The argument that makes a program the engine's process.
const ROLE: &str = "--pudato-engine-process";

/// Kills the engine's process of the program `server`, where it has one.
pub fn kill(server: u32) {
    for pid in children(server) {
        // It may have ended by itself.
        let killed = Command::new("kill")
            .args(["-9", &pid.to_string()])
            .stderr(Stdio::null())
            .status();
        assert!(killed.is_ok(), "kill runs");
    }
}

fn children(server: u32) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| parent(*pid) == Some(server) && is_engine(*pid))
        .collect()
}

fn parent(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // After the name, which may have any characters: the state, then the parent.
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
