//! A program in a process group of its own, which ends with it, whatever happens: a cancel, a deadline, or this program's own end.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};

/// Longer lines are cut: 100 MB in one line must not be held.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// A constant script, which sees no value but passes them on: it starts the program, and when its standard input ends, which it does
/// when whoever started it is gone, it kills the group. Nobody else can do this for a parent that is killed with SIGKILL.
const GUARD: &str = "exec 3<&0; (cat <&3 >/dev/null; kill -9 -- -$$) >/dev/null 2>&1 & \"$@\" </dev/null 3<&-; exit $?";

/// The running group; dropping it kills all of it.
struct Group {
    child: Child,
    id: Option<i32>,
    /// Held open as long as the group shall run.
    _alive: Option<ChildStdin>,
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.id.and_then(rustix::process::Pid::from_raw) {
            // The group may be gone already.
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        let _ = self.child.start_kill();
    }
}

/// How a program ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// By itself, or by a signal.
    Status(ExitStatus),
    /// It had all its time, and was killed.
    TimedOut,
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
        let (Some(out), Some(error)) = (out, error) else {
            return group.child.wait().await.map(Some);
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
                return Ok(None);
            }
        }
        group.child.wait().await.map(Some)
    };
    match tokio::time::timeout(deadline, work).await {
        Ok(Ok(Some(status))) => Ok(Ended::Status(status)),
        // It was told to stop; its last word says why.
        Ok(Ok(None)) => Ok(Ended::TimedOut),
        Ok(Err(error)) => Err(error),
        Err(_) => {
            drop(group);
            Ok(Ended::TimedOut)
        }
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
