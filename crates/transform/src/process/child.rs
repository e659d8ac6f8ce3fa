//! Runs a program in its own process group, and ends the whole group when the program ends, is cancelled, exceeds its deadline or its
//! memory, or when this program ends.

use crate::process::group::{self, Group, KeepAlive};
use crate::process::memory;
use rustix::process::Signal;
use std::ffi::{OsStr, OsString};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::{ChildStderr, ChildStdout, Command};

/// Longer lines are cut, so that a line of 100 MB is not held in memory.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// How long to read the output after the program has ended, because its children may keep the output open as long as they run.
const DRAIN: Duration = Duration::from_secs(1);

/// A constant script that receives its values as arguments only. It starts the program and kills the group when its own standard input
/// closes, which happens when the parent is gone, even after SIGKILL. It waits for its own watcher, so that no process is left to init.
/// Interrupts are for the program: the guard outlives it to report how it ended.
const GUARD: &str = "trap : INT; exec 3<&0; (read -r end <&3; kill -9 0) >/dev/null 2>&1 & \"$@\" </dev/null 3<&-; code=$?; { kill -9 $!; wait $!; } 2>/dev/null; exit $code";

/// Signals that end a program. A shell reports them as 128 plus the number (POSIX, "Exit Status for Commands"), but programs use such codes
/// for other reasons as well: git's usage error is 129, and Python turns -1 into 255.
const DEADLY: [Signal; 10] = [
    Signal::INT,
    Signal::ILL,
    Signal::ABORT,
    Signal::BUS,
    Signal::FPE,
    Signal::KILL,
    Signal::SEGV,
    Signal::TERM,
    Signal::XCPU,
    Signal::XFSZ,
];

/// How a program ended.
#[derive(Debug)]
pub(crate) enum Exit {
    /// The program exited with this code.
    Code(i32),
    /// The program was killed by this signal.
    Signal(i32),
    /// The program exceeded its deadline, whatever it reported at its end.
    TimedOut,
    /// The group exceeded its memory limit with this many bytes, and was killed.
    OverMemory(u64),
    /// `line` stopped the program.
    Stopped,
}

/// The limits of a program.
pub(crate) struct Limits {
    pub(crate) deadline: Duration,
    /// How long the program may clean up after its deadline or a cancellation. Zero kills it at once.
    pub(crate) grace: Duration,
    /// The most memory of the whole group.
    pub(crate) memory_bytes: Option<u64>,
    /// Resources that must outlive the program.
    pub(crate) held: Vec<KeepAlive>,
}

impl Limits {
    /// Limits with a deadline only.
    pub(crate) fn until(deadline: Duration) -> Self {
        Self {
            deadline,
            grace: Duration::ZERO,
            memory_bytes: None,
            held: Vec::new(),
        }
    }
}

/// Runs a program in `folder` to its end. `line` receives its output line by line, and returns whether the program may continue.
///
/// # Errors
/// The program cannot be started.
pub(crate) async fn run(
    program: &Path,
    args: &[OsString],
    folder: &Path,
    environment: &[(OsString, OsString)],
    mut limits: Limits,
    line: &mut (dyn FnMut(&str) -> bool + Send),
) -> std::io::Result<Exit> {
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(GUARD).arg("guard").arg(program);
    command.args(args).current_dir(folder);
    command.env_clear();
    for (name, value) in environment {
        command.env::<&OsStr, &OsStr>(name, value);
    }
    command.stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.process_group(0);
    let mut child = command.spawn()?;
    let (out, error) = (child.stdout.take(), child.stderr.take());
    let held = std::mem::take(&mut limits.held);
    let mut group = Group::new(child, limits.grace, held);
    let exit = to_its_end(&mut group, out, error, &limits, line).await;
    // The program has ended or must end now, together with everything that it started.
    group.kill();
    exit
}

async fn to_its_end(
    group: &mut Group,
    out: Option<ChildStdout>,
    error: Option<ChildStderr>,
    limits: &Limits,
    line: &mut (dyn FnMut(&str) -> bool + Send),
) -> std::io::Result<Exit> {
    let id = group.id();
    let work = async {
        let words = listen(out, error, line);
        tokio::pin!(words);
        tokio::select! {
            goes_on = &mut words => match goes_on? {
                true => group.child.wait().await.map(Some),
                false => Ok(None),
            },
            status = group.child.wait() => {
                let status = status?;
                match tokio::time::timeout(DRAIN, &mut words).await {
                    Ok(goes_on) => Ok(goes_on?.then_some(status)),
                    Err(_) => Ok(Some(status)),
                }
            }
        }
    };
    tokio::pin!(work);
    tokio::select! {
        status = &mut work => Ok(status?.map_or(Exit::Stopped, exit)),
        used = memory::exceeds(id, limits.memory_bytes) => Ok(Exit::OverMemory(used)),
        () = tokio::time::sleep(limits.deadline) => {
            if !limits.grace.is_zero() {
                group::interrupt(id);
                // Its output must still be read, or it could block on writing.
                let _ = tokio::time::timeout(limits.grace, &mut work).await;
            }
            Ok(Exit::TimedOut)
        }
    }
}

/// Passes the output on line by line; `false` if `line` stopped the program.
async fn listen(
    out: Option<ChildStdout>,
    error: Option<ChildStderr>,
    line: &mut (dyn FnMut(&str) -> bool + Send),
) -> std::io::Result<bool> {
    let (Some(out), Some(error)) = (out, error) else {
        return Ok(true);
    };
    let (mut out, mut error) = (BufReader::new(out), BufReader::new(error));
    let (mut has_out, mut has_error) = (true, true);
    let (mut a, mut b) = (Vec::new(), Vec::new());
    while has_out || has_error {
        let goes_on = tokio::select! {
            read = next(&mut out, &mut a), if has_out => {
                has_out = read?;
                take(&mut a, line) && take_buffered(&mut out, line)
            }
            read = next(&mut error, &mut b), if has_error => {
                has_error = read?;
                take(&mut b, line) && take_buffered(&mut error, line)
            }
        };
        if !goes_on {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Converts an exit status.
fn exit(status: ExitStatus) -> Exit {
    let is_deadly = |signal: &i32| DEADLY.iter().any(|deadly| deadly.as_raw() == *signal);
    match (status.code(), status.signal()) {
        (Some(code), _) => match Some(code - 128).filter(is_deadly) {
            Some(signal) => Exit::Signal(signal),
            None => Exit::Code(code),
        },
        (None, signal) => Exit::Signal(signal.unwrap_or_default()),
    }
}

/// Reads to the end of a line; `false` at the end of the output. If this is dropped, the bytes so far stay in `line`.
async fn next(
    from: &mut (impl AsyncRead + Unpin + AsyncBufReadExt),
    line: &mut Vec<u8>,
) -> std::io::Result<bool> {
    let room = LINE_BYTES_MAX.saturating_sub(line.len() as u64);
    let read = from.take(room.max(1)).read_until(b'\n', line).await?;
    Ok(read > 0)
}

/// Passes a complete line on.
fn take(bytes: &mut Vec<u8>, line: &mut (dyn FnMut(&str) -> bool + Send)) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let goes_on = line(text.trim_end_matches(['\n', '\r']));
    bytes.clear();
    goes_on
}

/// Passes on the complete lines that were read already. Waiting for each of millions of short lines would take minutes.
fn take_buffered(
    from: &mut BufReader<impl AsyncRead + Unpin>,
    line: &mut (dyn FnMut(&str) -> bool + Send),
) -> bool {
    let (mut used, mut goes_on) = (0, true);
    while goes_on && let Some(end) = from.buffer()[used..].iter().position(|byte| *byte == b'\n') {
        let text = String::from_utf8_lossy(&from.buffer()[used..used + end]);
        goes_on = line(text.trim_end_matches('\r'));
        used += end + 1;
    }
    std::pin::Pin::new(from).consume(used);
    goes_on
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{Pid, test_kill_process_group};
    use std::os::unix::process::CommandExt;
    use std::sync::Arc;
    use std::time::Instant;
    use tokio::signal::unix::{SignalKind, signal};

    /// Generous, because the machine may be slow.
    const PATIENCE: Duration = Duration::from_secs(600);

    /// Runs a shell script within the limits, and returns how it ended and its output.
    async fn sh_until(script: &str, limits: Limits) -> (Exit, Vec<String>) {
        // As pudato does: a parent in the background may ignore interrupts, and its children inherit that unless they set a handler.
        let _heard = signal(SignalKind::interrupt()).expect("a handler");
        let args = ["-c".into(), script.into()];
        let path = std::env::var_os("PATH").unwrap_or_default();
        let environment = [("PATH".into(), path)];
        let mut said = Vec::new();
        let mut keep = |line: &str| {
            if !line.is_empty() {
                said.push(line.to_owned());
            }
            true
        };
        let (program, folder) = (Path::new("/bin/sh"), Path::new("/"));
        let exit = run(program, &args, folder, &environment, limits, &mut keep);
        (exit.await.expect("it starts"), said)
    }

    async fn sh(script: &str) -> (Exit, Vec<String>) {
        sh_until(script, Limits::until(Duration::from_secs(10))).await
    }

    #[tokio::test]
    async fn signals_are_told_from_exit_codes() {
        for code in [0, 1, 2, 127, 128, 129, 131, 200, 255] {
            let (exit, _) = sh(&format!("exit {code}")).await;
            assert!(
                matches!(exit, Exit::Code(found) if found == code),
                "{code}: {exit:?}"
            );
        }
        for signal in [2, 6, 9, 11, 15] {
            let (exit, _) = sh(&format!("kill -{signal} $$")).await;
            assert!(
                matches!(exit, Exit::Signal(found) if found == signal),
                "{signal}: {exit:?}"
            );
        }
    }

    #[tokio::test]
    async fn a_program_has_ended_though_its_child_holds_its_output() {
        let (exit, said) = sh("sleep 10000 & echo $!; echo done >&2; exit 3").await;
        assert!(matches!(exit, Exit::Code(3)), "{exit:?}");
        assert!(said.contains(&"done".to_owned()), "{said:?}");
        let child = said.iter().find_map(|line| line.parse().ok());
        assert!(dies(child.expect("its id")), "it runs on");
    }

    #[tokio::test]
    async fn at_its_deadline_a_program_may_clean_up_and_is_killed_where_it_does_not() {
        let limits = |grace| Limits {
            grace,
            ..Limits::until(Duration::from_secs(1))
        };
        let cleans = "trap 'echo cleaned; exit 0' INT; echo begun; while :; do sleep 0.1; done";
        let (exit, said) = sh_until(cleans, limits(Duration::from_secs(60))).await;
        // Its own exit code does not count, because the deadline caused the interrupt.
        assert!(matches!(exit, Exit::TimedOut), "{exit:?}");
        assert_eq!(said, ["begun", "cleaned"]);
        // A program that an interrupt ends, and one that ignores it.
        let (exit, _) = sh_until("sleep 60", limits(Duration::from_secs(60))).await;
        assert!(matches!(exit, Exit::TimedOut), "{exit:?}");
        let deaf = "trap '' INT TERM; echo $$; while :; do sleep 60; done";
        let (exit, said) = sh_until(deaf, limits(Duration::from_millis(200))).await;
        assert!(matches!(exit, Exit::TimedOut), "{exit:?}");
        assert!(dies(said[0].parse().expect("its id")), "it runs on");
        // Without a grace period the program gets no interrupt.
        let (exit, said) = sh_until(cleans, limits(Duration::ZERO)).await;
        assert!(matches!(exit, Exit::TimedOut), "{exit:?}");
        assert_eq!(said, ["begun"]);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_group_over_its_memory_is_killed_and_told_from_all_else() {
        let limits = |mebibytes: u64| Limits {
            memory_bytes: Some(mebibytes << 20),
            ..Limits::until(Duration::from_secs(60))
        };
        // A child of the program holds an endless line in memory.
        let script = "echo $$; head -c 100000000 /dev/zero | tail -n 1 | sleep 30; exit 1";
        let (exit, said) = sh_until(script, limits(50)).await;
        let Exit::OverMemory(used) = exit else {
            panic!("{exit:?}");
        };
        assert!(used > 50 << 20, "{used}");
        assert!(dies(said[0].parse().expect("its id")), "it runs on");
        // A program below the limit, and one that something else killed.
        let (exit, _) = sh_until("sleep 1; exit 3", limits(50)).await;
        assert!(matches!(exit, Exit::Code(3)), "{exit:?}");
        let (exit, _) = sh_until("kill -9 $$", limits(50)).await;
        assert!(matches!(exit, Exit::Signal(9)), "{exit:?}");
    }

    #[tokio::test]
    async fn what_is_cancelled_may_clean_up_and_keeps_what_it_uses_until_then() {
        let folder = tempfile::tempdir().expect("a folder");
        let (begun, cleaned) = (folder.path().join("begun"), folder.path().join("cleaned"));
        let script = format!(
            "trap 'sleep 1; touch {}; exit 0' INT; touch {}; while :; do sleep 0.1; done",
            cleaned.display(),
            begun.display()
        );
        let used: KeepAlive = Arc::new(folder);
        let limits = Limits {
            grace: Duration::from_secs(60),
            held: vec![Arc::clone(&used)],
            ..Limits::until(Duration::from_secs(60))
        };
        let work = tokio::spawn(async move { sh_until(&script, limits).await });
        let started = Instant::now();
        while !begun.exists() && started.elapsed() < Duration::from_secs(10) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        work.abort();
        assert!(work.await.is_err_and(|error| error.is_cancelled()));
        assert!(
            Arc::strong_count(&used) > 1,
            "it is held while it cleans up"
        );
        while Arc::strong_count(&used) > 1 && started.elapsed() < Duration::from_secs(30) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(Arc::strong_count(&used), 1, "it is held for ever");
        assert!(cleaned.exists(), "it had no time");
    }

    /// Whether a process ends soon. A zombie counts as ended.
    fn dies(id: u32) -> bool {
        let started = Instant::now();
        let is_alive = || {
            let stat = std::fs::read_to_string(format!("/proc/{id}/stat"));
            stat.is_ok_and(|stat| !stat.contains(") Z "))
        };
        while is_alive() && started.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(10));
        }
        !is_alive()
    }

    /// The guard alone, with this end of the pipe that it watches.
    fn guarded(script: &str) -> (std::process::Child, Pid) {
        let mut guard = std::process::Command::new("/bin/sh");
        guard.args(["-c", GUARD, "guard", "/bin/sh", "-c", script]);
        guard.process_group(0);
        guard.stdin(Stdio::piped()).stdout(Stdio::piped());
        let guard = guard.spawn().expect("it starts");
        let group = Pid::from_raw(guard.id().try_into().expect("an id"));
        (guard, group.expect("an id"))
    }

    #[test]
    fn a_guard_that_ends_leaves_no_process_to_others() {
        let (mut guard, group) = guarded("exit 7");
        let watched = guard.stdin.take();
        assert_eq!(guard.wait().expect("it ends").code(), Some(7));
        // A zombie still belongs to its group.
        assert!(test_kill_process_group(group).is_err(), "one is left");
        drop(watched);
    }

    #[test]
    fn a_guard_kills_its_group_when_nobody_holds_its_pipe() {
        let (mut guard, _) = guarded("trap '' TERM INT HUP; echo $$; sleep 10000; exit 1");
        let mut line = String::new();
        let out = guard.stdout.take().expect("its output");
        std::io::BufRead::read_line(&mut std::io::BufReader::new(out), &mut line).expect("a line");
        drop(guard.stdin.take());
        assert_eq!(guard.wait().expect("it ends").signal(), Some(9));
        assert!(dies(line.trim().parse().expect("its id")), "it runs on");
    }
}
