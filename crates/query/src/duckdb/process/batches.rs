//! Sends and receives the rows of an answer in Arrow's IPC format.

use super::frame::{self, Kind};
use crate::duckdb::json::Shape;
use crate::duckdb::rows::Rows;
use crate::engine::{Answer, Column, EngineError};
use arrow_ipc::reader::StreamDecoder;
use arrow_ipc::writer::StreamWriter;
use duckdb::arrow::array::{Array, RecordBatch, StructArray};
use duckdb::arrow::buffer::Buffer;
use serde::{Deserialize, Serialize};
use std::io;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The columns of an answer.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Columns {
    columns: Vec<Column>,
    shapes: Vec<Shape>,
}

/// The approximate size of a part, so that the receiver notices an answer that is too large before it holds all of it.
const PART_BYTES: usize = 8 << 20;

/// How much larger a row may be here than in JSON, where a 1 takes one byte instead of eight.
const ROW_FACTOR: usize = 16;
const ROW_BYTES_MIN: usize = 64 << 20;

/// Sends rows to the process that asked.
pub(super) struct SentRows {
    to: UnixStream,
    stream: Option<StreamWriter<Vec<u8>>>,
    row_bytes_max: usize,
}

impl SentRows {
    /// `bytes_max` limits the JSON size of all rows together.
    pub(super) fn new(to: UnixStream, bytes_max: usize) -> Self {
        Self {
            to,
            stream: None,
            row_bytes_max: bytes_max
                .saturating_mul(ROW_FACTOR)
                .clamp(ROW_BYTES_MIN, frame::BYTES_MAX / 2),
        }
    }

    fn part(&mut self, rows: &StructArray) -> Result<(), EngineError> {
        let batch = RecordBatch::from(rows);
        let unwritable = |error: duckdb::arrow::error::ArrowError| {
            EngineError::Retry(format!("rows cannot be sent to pudato: {error}"))
        };
        let stream = match &mut self.stream {
            Some(stream) => stream,
            None => {
                let new = StreamWriter::try_new(Vec::new(), &batch.schema());
                self.stream.insert(new.map_err(unwritable)?)
            }
        };
        stream.write(&batch).map_err(unwritable)?;
        let bytes = std::mem::take(stream.get_mut());
        frame::write(&mut self.to, Kind::Rows, &bytes).map_err(gone)
    }
}

impl Rows for SentRows {
    fn begin(&mut self, only_reads: bool) -> Result<(), EngineError> {
        frame::write_json(&mut self.to, Kind::Begun, &only_reads).map_err(gone)
    }

    fn columns(&mut self, columns: Vec<Column>, shapes: Vec<Shape>) -> Result<(), EngineError> {
        self.stream = None;
        let columns = Columns { columns, shapes };
        frame::write_json(&mut self.to, Kind::Columns, &columns).map_err(gone)
    }

    fn batch(&mut self, batch: &StructArray, take: usize) -> Result<(), EngineError> {
        let rows = batch.len().min(take);
        if rows == 0 {
            return Ok(());
        }
        let row_bytes = (batch.get_array_memory_size() / batch.len()).max(1);
        let step = (PART_BYTES / row_bytes).max(1);
        for from in (0..rows).step_by(step) {
            let part = batch.slice(from, step.min(rows - from));
            let bytes = part.to_data().get_slice_memory_size().unwrap_or(row_bytes);
            if bytes > self.row_bytes_max {
                return Err(EngineError::Invalid(format!(
                    "payload.sql: rows of {bytes} bytes are too large for an answer; write it to an object with `into`"
                )));
            }
            self.part(&part)?;
        }
        Ok(())
    }

    fn finish(&mut self, _answer: &mut Answer) {}
}

/// Receives rows and passes them on.
#[derive(Default)]
pub(super) struct ReceivedRows {
    decoder: StreamDecoder,
}

impl ReceivedRows {
    /// Reads the columns of an answer.
    ///
    /// # Errors
    /// `io`: the frame is malformed; otherwise the error of `rows`.
    pub(super) fn columns(
        &mut self,
        bytes: &[u8],
        rows: &mut dyn Rows,
    ) -> io::Result<Result<(), EngineError>> {
        let Columns { columns, shapes } = frame::json(bytes)?;
        self.decoder = StreamDecoder::new();
        Ok(rows.columns(columns, shapes))
    }

    /// Reads some of the rows.
    ///
    /// # Errors
    /// As [`columns`](Self::columns).
    pub(super) fn rows(
        &mut self,
        bytes: Vec<u8>,
        rows: &mut dyn Rows,
    ) -> io::Result<Result<(), EngineError>> {
        // Arrow validates its input, but panics on some malformed streams.
        let taken = catch_unwind(AssertUnwindSafe(|| {
            self.take(Buffer::from_vec(bytes), rows)
        }));
        taken.unwrap_or_else(|_| {
            self.decoder = StreamDecoder::new();
            Err(wrong("rows that cannot be read"))
        })
    }

    fn take(
        &mut self,
        mut left: Buffer,
        rows: &mut dyn Rows,
    ) -> io::Result<Result<(), EngineError>> {
        while !left.is_empty() {
            let Some(batch) = self.decoder.decode(&mut left).map_err(wrong)? else {
                break;
            };
            let batch = StructArray::from(batch);
            if let Err(error) = rows.batch(&batch, batch.len()) {
                return Ok(Err(error));
            }
        }
        // An incomplete batch would be kept for the next part, without a limit.
        self.decoder.finish().map_err(wrong)?;
        Ok(Ok(()))
    }
}

fn wrong(what: impl ToString) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_string())
}

fn gone(error: io::Error) -> EngineError {
    EngineError::Retry(format!("nobody takes the answer any more: {error}"))
}
