//! A program in a process group of its own, which ends with it, whatever happens: a cancel, a deadline, its memory, or this program's own end.

use crate::process::group::{self, Group, Held};
use crate::process::memory;
use rustix::process::Signal;
use std::ffi::{OsStr, OsString};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::{ChildStderr, ChildStdout, Command};

/// Longer lines are cut: 100 MB in one line must not be held.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// How long is listened to what a program's own children print after its end: they may hold its output open for as long as they run.
const DRAIN: Duration = Duration::from_secs(1);

/// A constant script, which sees no value but passes them on: it starts the program, and when its standard input ends, which it does
/// when whoever started it is gone, it kills the group. Nobody else can do this for a parent that is killed with SIGKILL. It waits
/// for its own watcher, so that no process of it is left to whoever is the first of this machine. An interrupt is the program's: the guard
/// outlives it, or nobody would hear how the program ended.
const GUARD: &str = "trap : INT; exec 3<&0; (read -r end <&3; kill -9 0) >/dev/null 2>&1 & \"$@\" </dev/null 3<&-; code=$?; { kill -9 $!; wait $!; } 2>/dev/null; exit $code";

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

/// How a program ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// By itself, with this exit code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// It had all its time, and was ended, whatever its own last words are.
    TimedOut,
    /// It and what it started had this many bytes of memory, which are too many, and was killed.
    OverMemory(u64),
    /// `line` said that it may not go on.
    Stopped,
}

/// What a program may use, and until when.
pub(crate) struct Terms {
    pub(crate) deadline: Duration,
    /// How long it may clean up when its time is over or its work is cancelled; it is killed at once where this is nothing.
    pub(crate) grace: Duration,
    /// Most memory of it and of all that it starts.
    pub(crate) memory_bytes: Option<u64>,
    /// What goes only after it.
    pub(crate) held: Vec<Held>,
}

impl Terms {
    /// A deadline, and nothing else.
    pub(crate) fn until(deadline: Duration) -> Self {
        Self {
            deadline,
            grace: Duration::ZERO,
            memory_bytes: None,
            held: Vec::new(),
        }
    }
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
    mut terms: Terms,
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
    command.process_group(0);
    let mut child = command.spawn()?;
    let (out, error) = (child.stdout.take(), child.stderr.take());
    let held = std::mem::take(&mut terms.held);
    let mut group = Group::new(child, terms.grace, held);
    let ended = to_its_end(&mut group, out, error, &terms, line).await;
    // By then it has ended, or must: whatever it started ends with it.
    group.kill();
    ended
}

async fn to_its_end(
    group: &mut Group,
    out: Option<ChildStdout>,
    error: Option<ChildStderr>,
    terms: &Terms,
    line: &mut (dyn FnMut(&str) -> bool + Send),
) -> std::io::Result<Ended> {
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
        status = &mut work => Ok(status?.map_or(Ended::Stopped, ended)),
        used = memory::exceeds(id, terms.memory_bytes) => Ok(Ended::OverMemory(used)),
        () = tokio::time::sleep(terms.deadline) => {
            if !terms.grace.is_zero() {
                group::interrupt(id);
                // What it says meanwhile is heard, or it could not write it.
                let _ = tokio::time::timeout(terms.grace, &mut work).await;
            }
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
    use rustix::process::{Pid, test_kill_process_group};
    use std::os::unix::process::CommandExt;
    use std::sync::Arc;
    use std::time::Instant;
    use tokio::signal::unix::{SignalKind, signal};

    /// What has not happened by then does not happen, however slow the machine is.
    const PATIENCE: Duration = Duration::from_secs(600);

    /// Runs a script of the shell's, within its terms; answers how it ended, and what it printed.
    async fn sh_until(script: &str, terms: Terms) -> (Ended, Vec<String>) {
        // As pudato does: who starts it in the background lets it ignore interrupts, and its children as well, unless it handles them.
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
        let ended = run(program, &args, folder, &environment, terms, &mut keep);
        (ended.await.expect("it starts"), said)
    }

    async fn sh(script: &str) -> (Ended, Vec<String>) {
        sh_until(script, Terms::until(Duration::from_secs(10))).await
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

    #[tokio::test]
    async fn at_its_deadline_a_program_may_clean_up_and_is_killed_where_it_does_not() {
        let terms = |grace| Terms {
            grace,
            ..Terms::until(Duration::from_secs(1))
        };
        let cleans = "trap 'echo cleaned; exit 0' INT; echo begun; while :; do sleep 0.1; done";
        let (ended, said) = sh_until(cleans, terms(Duration::from_secs(60))).await;
        // Its own exit code is no success: it is known whose interrupt it was.
        assert!(matches!(ended, Ended::TimedOut), "{ended:?}");
        assert_eq!(said, ["begun", "cleaned"]);
        // One that an interrupt simply ends, and one that hears of none.
        let (ended, _) = sh_until("sleep 60", terms(Duration::from_secs(60))).await;
        assert!(matches!(ended, Ended::TimedOut), "{ended:?}");
        let deaf = "trap '' INT TERM; echo $$; while :; do sleep 60; done";
        let (ended, said) = sh_until(deaf, terms(Duration::from_millis(200))).await;
        assert!(matches!(ended, Ended::TimedOut), "{ended:?}");
        assert!(dies(said[0].parse().expect("its id")), "it runs on");
        // Without a grace nobody is asked.
        let (ended, said) = sh_until(cleans, terms(Duration::ZERO)).await;
        assert!(matches!(ended, Ended::TimedOut), "{ended:?}");
        assert_eq!(said, ["begun"]);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_group_over_its_memory_is_killed_and_told_from_all_else() {
        let terms = |mebibytes: u64| Terms {
            memory_bytes: Some(mebibytes << 20),
            ..Terms::until(Duration::from_secs(60))
        };
        // A line without an end is held whole, by a child of the program's.
        let script = "echo $$; head -c 100000000 /dev/zero | tail -n 1 | sleep 30; exit 1";
        let (ended, said) = sh_until(script, terms(50)).await;
        let Ended::OverMemory(used) = ended else {
            panic!("{ended:?}");
        };
        assert!(used > 50 << 20, "{used}");
        assert!(dies(said[0].parse().expect("its id")), "it runs on");
        // One that stays below, and one that another killed.
        let (ended, _) = sh_until("sleep 1; exit 3", terms(50)).await;
        assert!(matches!(ended, Ended::Code(3)), "{ended:?}");
        let (ended, _) = sh_until("kill -9 $$", terms(50)).await;
        assert!(matches!(ended, Ended::Signal(9)), "{ended:?}");
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
        let used: Held = Arc::new(folder);
        let terms = Terms {
            grace: Duration::from_secs(60),
            held: vec![Arc::clone(&used)],
            ..Terms::until(Duration::from_secs(60))
        };
        let work = tokio::spawn(async move { sh_until(&script, terms).await });
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
