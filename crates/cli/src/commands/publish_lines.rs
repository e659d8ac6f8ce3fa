//! `pudato publish --lines`: many commands, from a file or a pipe.

use crate::context::Context;
use crate::exit::{FAILED, Failure};
use crate::output;
use pudato_runtime::protocol::{Command, decode};
use pudato_runtime::{Client, Installation};
use serde_json::json;
use std::io::{BufRead, BufReader, Error, ErrorKind, Read};
use std::sync::Arc;
use tokio::task::JoinSet;

/// The most commands in flight: enough to fill batches.
const IN_FLIGHT: usize = 64;

/// Publishes a Command for every line that is not empty. All lines are tried; failed ones are listed at the end.
pub async fn publish(context: &Context, file: &str) -> Result<(), Failure> {
    let unreadable = |error: std::io::Error| Failure::usage(format!("--lines: {file}: {error}"));
    let reader: Box<dyn Read + Send> = match file {
        "-" => Box::new(std::io::stdin()),
        path => Box::new(std::fs::File::open(path).map_err(unreadable)?),
    };
    let pudato = Arc::new(context.open_to_call().await?);
    let mut running = JoinSet::new();
    let mut failed = 0;
    let mut reader = BufReader::new(reader);
    for n in 0.. {
        let line = line(&mut reader, context.settings.claim_bytes_max);
        let Some(line) = line.map_err(unreadable)? else {
            break;
        };
        if line.trim().is_empty() {
            continue;
        }
        while running.len() >= IN_FLIGHT {
            if let Some(done) = running.join_next().await {
                failed += told(context, done)?;
            }
        }
        let pudato = Arc::clone(&pudato);
        running.spawn(async move { one(&pudato, &line).await.map_err(|why| (n + 1, why)) });
    }
    while let Some(done) = running.join_next().await {
        failed += told(context, done)?;
    }
    pudato.record_last_calls();
    match failed {
        0 => Ok(()),
        failed => {
            let what = match failed {
                1 => "1 command could not be published; all others were".to_owned(),
                failed => format!("{failed} commands could not be published; all others were"),
            };
            Err(Failure::new(FAILED, what))
        }
    }
}

/// The next line; `None` at the end. Input without line ends, as from some devices, does not fill the memory.
fn line(reader: &mut impl BufRead, bytes_max: u64) -> std::io::Result<Option<String>> {
    let mut line = Vec::new();
    let read = reader
        .take(bytes_max.saturating_add(1))
        .read_until(b'\n', &mut line)?;
    if read as u64 > bytes_max {
        let what = format!("a line has more than {bytes_max} bytes (PUDATO_CLAIM_BYTES_MAX)");
        return Err(Error::new(ErrorKind::FileTooLarge, what));
    }
    if read == 0 {
        return Ok(None);
    }
    let kept = line.trim_ascii_end().len();
    line.truncate(kept);
    let line = String::from_utf8(line);
    line.map(Some)
        .map_err(|_| Error::new(ErrorKind::InvalidData, "expected text in UTF-8"))
}

/// Publishes one command. Returns its correlation id and the id of the message.
async fn one(pudato: &Installation, line: &str) -> Result<(String, String), String> {
    let command: Command = decode(line.as_bytes()).map_err(|error| error.to_string())?;
    let published = Client::new(pudato).publish(&command).await;
    let message_id = published.map_err(|error| error.to_string())?;
    Ok((command.correlation_id, message_id))
}

type Done = Result<Result<(String, String), (usize, String)>, tokio::task::JoinError>;

/// Prints the outcome of each command. Returns how many failed.
fn told(context: &Context, done: Done) -> Result<usize, Failure> {
    let done = done.map_err(|error| Failure::failed(error.to_string()))?;
    match done {
        Ok((id, message_id)) if context.json => {
            output::json_line(&json!({"correlation_id": id, "message_id": message_id}))?;
            Ok(0)
        }
        Ok((id, _)) => {
            output::line(&id)?;
            Ok(0)
        }
        Err((line, why)) => {
            eprintln!("pudato: line {line}: {why}");
            Ok(1)
        }
    }
}
