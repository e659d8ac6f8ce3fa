//! The messages of the engine's process about a work.

use super::batches::ReceivedRows;
use super::frame::{self, Kind};
use crate::duckdb::rows::Rows;
use crate::engine::{EngineError, Outcome};
use std::io;

/// One message.
pub(super) enum WorkerMessage {
    /// The work starts; the value says whether it only reads.
    Begun(bool),
    /// A part of the answer, which was accepted or refused.
    Part(Result<(), EngineError>),
    /// The work ran. Its rows came before.
    Ran(Outcome),
    /// The same request was answered before, with this answer.
    Answered(String),
    /// The work failed.
    Failed(EngineError),
}

/// Parses a frame, and passes its rows to `rows`.
///
/// # Errors
/// The process must not send this kind of frame about a work.
pub(super) fn read_message(
    kind: Kind,
    bytes: Vec<u8>,
    received: &mut ReceivedRows,
    rows: &mut dyn Rows,
) -> io::Result<WorkerMessage> {
    Ok(match kind {
        Kind::Begun => WorkerMessage::Begun(frame::json(&bytes)?),
        Kind::Columns => WorkerMessage::Part(received.columns(&bytes, rows)?),
        Kind::Rows => WorkerMessage::Part(received.rows(bytes, rows)?),
        Kind::Failed => {
            let frame::Failed(error) = frame::json(&bytes)?;
            WorkerMessage::Failed(error)
        }
        Kind::Answered => WorkerMessage::Answered(frame::text(bytes)?),
        Kind::Ran => {
            let mut outcome: Outcome = frame::json(&bytes)?;
            rows.finish(&mut outcome.answer);
            WorkerMessage::Ran(outcome)
        }
        _ => return Err(io::ErrorKind::InvalidData.into()),
    })
}
