//! A program in a process group of its own, which ends with it, whatever happens: a cancel, a deadline, or this program's own end.

use rustix::process::{Pid, Signal};
use std::ffi::{OsStr, OsString};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

/// Longer lines are cut: 100 MB in one line must not be held.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// How long is listened to what a program's own children print after its end: they may hold its output open for as long as they run.
const DRAIN: Duration = Duration::from_secs(1);

/// A constant script, which sees no value but passes them on: it starts the program, and when its standard input ends, which it does
/// when whoever started it is gone, it kills the group. Nobody else can do this for a parent that is killed with SIGKILL. It waits
/// for its own watcher, so that no process of it is left to whoever is the first of this machine.
const GUARD: &str = "exec 3<&0; (read -r end <&3; kill -9 0) >/dev/null 2>&1 & \"$@\" </dev/null 3<&-; code=$?; { kill -9 $!; wait $!; } 2>/dev/null; exit $code";

/// Signals that end a program. A shell's exit code says 128 more (POSIX, "Exit Status for Commands"), but so do programs for reasons of
/// their own: git's usage is 129, and 255 is what Python makes of -1.
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

/// The running group; dropping it kills all of it.
struct Group {
    child: Child,
    id: Option<i32>,
    /// Held open as long as the group shall run.
    _alive: Option<ChildStdin>,
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.id.and_then(Pid::from_raw) {
            // The group may be gone already.
            let _ = rustix::process::kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.start_kill();
    }
}

/// How a program ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// By itself, with this exit code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// It had all its time, and was killed.
    TimedOut,
    /// `line` said that it may not go on.
    Stopped,
}

/// Runs a program in `folder` to its end; `line` is given what it prints, line by line, and says whether it may go on.
///
/// # Errors
/// It cannot be started.
pub(crate) async fn run(
    program: &Path,
    args: &[OsString],
    folder: &Path,
    environment: &[(OsString, OsString)],
    deadline: Duration,
    line: &mut (dyn FnMut(&str) -> bool + Send),
) -> std::io::Result<Ended> {
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(GUARD).arg("guard").arg(program);
    command.args(args).current_dir(folder);
    command.env_clear();
    for (name, value) in environment {
        command.env::<&OsStr, &OsStr>(name, value);
    }
    command.stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.process_group(0).kill_on_drop(true);
    let mut child = command.spawn()?;
    let alive = child.stdin.take();
    let (out, error) = (child.stdout.take(), child.stderr.take());
    let id = child.id().and_then(|id| i32::try_from(id).ok());
    let mut group = Group {
        child,
        id,
        _alive: alive,
    };
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
    match tokio::time::timeout(deadline, work).await {
        Ok(Ok(Some(status))) => Ok(ended(status)),
        Ok(Ok(None)) => Ok(Ended::Stopped),
        Ok(Err(error)) => Err(error),
        Err(_) => {
            drop(group);
            Ok(Ended::TimedOut)
        }
    }
}

/// Hands all that is printed on, line by line; `false` when `line` said that it may not go on.
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
                take(&mut a, line)
            }
            read = next(&mut error, &mut b), if has_error => {
                has_error = read?;
                take(&mut b, line)
            }
        };
        if !goes_on {
            return Ok(false);
        }
    }
    Ok(true)
}

/// How the program ended.
fn ended(status: ExitStatus) -> Ended {
    let is_deadly = |signal: &i32| DEADLY.iter().any(|deadly| deadly.as_raw() == *signal);
    match (status.code(), status.signal()) {
        (Some(code), _) => match Some(code - 128).filter(is_deadly) {
            Some(signal) => Ended::Signal(signal),
            None => Ended::Code(code),
        },
        (None, signal) => Ended::Signal(signal.unwrap_or_default()),
    }
}

/// Reads up to the end of a line; `false` at the end of all. What is read stays in `line` when this is dropped.
async fn next(
    from: &mut (impl AsyncRead + Unpin + AsyncBufReadExt),
    line: &mut Vec<u8>,
) -> std::io::Result<bool> {
    let room = LINE_BYTES_MAX.saturating_sub(line.len() as u64);
    let read = from.take(room.max(1)).read_until(b'\n', line).await?;
    Ok(read > 0)
}

/// Hands a whole line on.
fn take(bytes: &mut Vec<u8>, line: &mut (dyn FnMut(&str) -> bool + Send)) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let goes_on = line(text.trim_end_matches(['\n', '\r']));
    bytes.clear();
    goes_on
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::test_kill_process_group;
    use std::os::unix::process::CommandExt;
    use std::time::Instant;

    /// What has not happened by then does not happen, however slow the machine is.
    const PATIENCE: Duration = Duration::from_secs(600);

    /// Runs a script of the shell's, so long at most; answers how it ended, and what it printed.
    async fn sh(script: &str) -> (Ended, Vec<String>) {
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
        let (program, deadline) = (Path::new("/bin/sh"), PATIENCE);
        let folder = Path::new("/");
        let ended = run(program, &args, folder, &environment, deadline, &mut keep);
        (ended.await.expect("it starts"), said)
    }

    #[tokio::test]
    async fn signals_are_told_from_exit_codes() {
        for code in [0, 1, 2, 127, 128, 129, 131, 200, 255] {
            let (ended, _) = sh(&format!("exit {code}")).await;
            assert!(
                matches!(ended, Ended::Code(found) if found == code),
                "{code}: {ended:?}"
            );
        }
        for signal in [2, 6, 9, 11, 15] {
            let (ended, _) = sh(&format!("kill -{signal} $$")).await;
            assert!(
                matches!(ended, Ended::Signal(found) if found == signal),
                "{signal}: {ended:?}"
            );
        }
    }

    #[tokio::test]
    async fn a_program_has_ended_though_its_child_holds_its_output() {
        let (ended, said) = sh("sleep 10000 & echo $!; echo done >&2; exit 3").await;
        assert!(matches!(ended, Ended::Code(3)), "{ended:?}");
        assert!(said.contains(&"done".to_owned()), "{said:?}");
        let child = said.iter().find_map(|line| line.parse().ok());
        assert!(dies(child.expect("its id")), "it runs on");
    }

    /// Whether a process ends before long; one that nobody has waited for yet has ended.
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

    /// The guard by itself, with its end of the pipe that it watches.
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
        // A process that nobody has waited for is one of its group, too.
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
