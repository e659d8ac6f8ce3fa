//! What the engine's process says about a work, frame by frame.

use super::batches::ReceivedRows;
use super::frame::{self, Kind};
use crate::duckdb::rows::Rows;
use crate::engine::{EngineError, Outcome};
use std::io;

/// What a frame says.
pub(super) enum Heard {
    /// The work begins; whether it only reads.
    Begun(bool),
    /// A part of the answer, which was taken or is refused.
    Part(Result<(), EngineError>),
    /// The work was run. Its rows came before.
    Ran(Outcome),
    /// The same request was answered before, with this.
    Answered(String),
    /// The work failed.
    Failed(EngineError),
}

/// Understands a frame; rows in it go to `rows`.
///
/// # Errors
/// The process must not say this about a work.
pub(super) fn heard(
    kind: Kind,
    bytes: Vec<u8>,
    received: &mut ReceivedRows,
    rows: &mut dyn Rows,
) -> io::Result<Heard> {
    Ok(match kind {
        Kind::Begun => Heard::Begun(frame::json(&bytes)?),
        Kind::Columns => Heard::Part(received.columns(&bytes, rows)?),
        Kind::Rows => Heard::Part(received.rows(bytes, rows)?),
        Kind::Failed => {
            let frame::Failed(error) = frame::json(&bytes)?;
            Heard::Failed(error)
        }
        Kind::Answered => Heard::Answered(frame::text(bytes)?),
        Kind::Ran => {
            let mut outcome: Outcome = frame::json(&bytes)?;
            rows.finish(&mut outcome.answer);
            Heard::Ran(outcome)
        }
        _ => return Err(io::ErrorKind::InvalidData.into()),
    })
}
