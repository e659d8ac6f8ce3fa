//! Serving until Ctrl-C or SIGTERM: the common part of `pudato up`, `pudato runner` and `pudato results`.

use crate::context::Context;
use crate::exit::Failure;
use crate::output;
use pudato_runtime::{CancellationToken, Installation, Role, since};
use serde_json::json;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Runs `roles` until a signal comes; a second signal stops the program at once.
pub async fn serve(
    context: &Context,
    pudato: &Installation,
    roles: &[Role],
) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::failed(format!("signals: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let names: Vec<&str> = roles
        .iter()
        .map(|role| match role {
            Role::Worker(service) => service.as_str(),
            Role::Results => "results",
        })
        .collect();
    let folder = pudato.data_dir.display().to_string();
    if context.json {
        output::json_line(&json!({"running": names, "data_dir": folder}))?;
    } else {
        let names = names.join(", ");
        output::line(&format!("pudato runs {names} on {folder}; Ctrl-C stops it"))?;
    }
    let drain = CancellationToken::new();
    let running = pudato.run(roles, drain.clone());
    tokio::pin!(running);
    tokio::select! {
        ended = &mut running => return Ok(ended?),
        _ = either(&mut terminate, &mut interrupt) => {}
    }
    eprintln!(
        "pudato: {}; a second signal stops immediately",
        finishing(pudato)
    );
    drain.cancel();
    tokio::select! {
        ended = running => Ok(ended?),
        code = either(&mut terminate, &mut interrupt) => {
            // Messages in flight are redelivered when their leases end.
            eprintln!("pudato: stopped immediately");
            std::process::exit(code)
        }
    }
}

/// The commands that the program is waiting for, and how long it will wait.
fn finishing(pudato: &Installation) -> String {
    let in_hand = pudato.board.in_hand();
    let count = match in_hand.len() {
        0 => return "stopping".into(),
        1 => "1 command".to_owned(),
        count => format!("{count} commands"),
    };
    let now_ms = pudato.clock.now_ms();
    let mut named: Vec<String> = in_hand
        .iter()
        .take(NAMED_MAX)
        .map(|entry| {
            let from = since(entry.since_ms, now_ms);
            let wait = entry.waits_for.as_ref();
            let wait = wait.map(|wait| format!(", waiting for {}", wait.what));
            format!(
                "{} (since {from}{})",
                entry.called(),
                wait.unwrap_or_default()
            )
        })
        .collect();
    if in_hand.len() > NAMED_MAX {
        named.push("...".into());
    }
    let seconds = pudato.settings().drain.as_secs();
    format!(
        "waiting up to {seconds} s for {count}: {}",
        named.join(", ")
    )
}

/// The most commands that are listed by name.
const NAMED_MAX: usize = 5;

/// The time between two attempts to take the lock: another program that only checks for it holds it for a moment.
const TRIES: u32 = 10;
const TRY_EVERY: std::time::Duration = std::time::Duration::from_millis(20);

/// Waits for a signal. Returns the exit code that a shell would give.
async fn either(terminate: &mut Signal, interrupt: &mut Signal) -> i32 {
    tokio::select! {
        _ = terminate.recv() => 143,
        _ = interrupt.recv() => 130,
    }
}

/// Two `up` on one folder would do everything twice, which is safe but never intended. The lock ends with the process.
pub fn only_one(pudato: &Installation) -> Result<File, Failure> {
    let path = pudato.data_dir.join("up.lock");
    let failed =
        |error: std::io::Error| Failure::configuration(format!("{}: {error}", path.display()));
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    options.mode(0o600);
    let mut file = options.open(&path).map_err(failed)?;
    let mut locked = file.try_lock();
    for _ in 1..TRIES {
        if !matches!(locked, Err(TryLockError::WouldBlock)) {
            break;
        }
        std::thread::sleep(TRY_EVERY);
        locked = file.try_lock();
    }
    match locked {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            let _ = file.read_to_string(&mut pid);
            return Err(Failure::configuration(format!(
                "another `pudato up` (process {}) is running on {}; stop it, or use another --data-dir",
                pid.trim(),
                pudato.data_dir.display()
            )));
        }
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    let pid = std::process::id().to_string();
    file.set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| file.write_all(pid.as_bytes()))
        .map_err(failed)?;
    Ok(file)
}
