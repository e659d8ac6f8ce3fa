//! Where the rows of an answer go: into JSON, here or in the program that started this process.

use super::json::{self, Shape};
use crate::engine::{Answer, Column, EngineError};
use duckdb::arrow::array::{Array, StructArray};
use serde_json::Value;

/// Takes the rows of the last statement.
pub(super) trait Rows: Send {
    /// The statements are known now, and whether they all leave everything as it is.
    ///
    /// # Errors
    /// Nobody listens any more.
    fn begin(&mut self, only_reads: bool) -> Result<(), EngineError>;

    /// An answer begins; what was taken before is forgotten, since a work that collided runs again.
    ///
    /// # Errors
    /// Nobody listens any more.
    fn columns(&mut self, columns: Vec<Column>, shapes: Vec<Shape>) -> Result<(), EngineError>;

    /// The first `take` rows of `batch` are of the answer.
    ///
    /// # Errors
    /// `Invalid`: the answer is too large, or has a value that no message can carry.
    fn batch(&mut self, batch: &StructArray, take: usize) -> Result<(), EngineError>;

    /// Puts what was taken into the answer.
    fn finish(&mut self, answer: &mut Answer);
}

/// Makes JSON of the rows (contract.md, type table).
pub(super) struct JsonRows {
    bytes_max: usize,
    columns: Vec<Column>,
    shapes: Vec<Shape>,
    rows: Vec<Value>,
    bytes: usize,
}

impl JsonRows {
    /// All rows together have at most `bytes_max` bytes.
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            columns: Vec::new(),
            shapes: Vec::new(),
            rows: Vec::new(),
            bytes: 0,
        }
    }
}

impl Rows for JsonRows {
    fn begin(&mut self, _only_reads: bool) -> Result<(), EngineError> {
        Ok(())
    }

    fn columns(&mut self, columns: Vec<Column>, shapes: Vec<Shape>) -> Result<(), EngineError> {
        self.columns = columns;
        self.shapes = shapes;
        self.rows.clear();
        self.bytes = 0;
        Ok(())
    }

    fn batch(&mut self, batch: &StructArray, take: usize) -> Result<(), EngineError> {
        for row in 0..batch.len().min(take) {
            let values = batch.columns().iter().zip(&self.shapes);
            let values = values.map(|(column, shape)| json::value(column, row, shape));
            let values = values.collect::<Result<Value, String>>();
            let values =
                values.map_err(|what| EngineError::Invalid(format!("payload.sql: {what}")))?;
            self.bytes += json::bytes(&values);
            if self.bytes > self.bytes_max {
                return Err(too_large(self.bytes_max));
            }
            self.rows.push(values);
        }
        Ok(())
    }

    fn finish(&mut self, answer: &mut Answer) {
        if let Answer::Rows { columns, rows, .. } = answer {
            *columns = std::mem::take(&mut self.columns);
            *rows = std::mem::take(&mut self.rows);
        }
    }
}

fn too_large(bytes_max: usize) -> EngineError {
    EngineError::Invalid(format!(
        "payload.sql: the answer has more than {bytes_max} bytes; ask for fewer rows with `max_rows`, or write it to an object with `into`"
    ))
}

/// Hands rows on as they come.
pub(super) struct HandedRows<F>(pub(super) F);

impl<F: FnMut(&StructArray) + Send> Rows for HandedRows<F> {
    fn begin(&mut self, _only_reads: bool) -> Result<(), EngineError> {
        Ok(())
    }

    fn columns(&mut self, _columns: Vec<Column>, _shapes: Vec<Shape>) -> Result<(), EngineError> {
        Ok(())
    }

    fn batch(&mut self, batch: &StructArray, take: usize) -> Result<(), EngineError> {
        match take < batch.len() {
            true => (self.0)(&batch.slice(0, take)),
            false => (self.0)(batch),
        }
        Ok(())
    }

    fn finish(&mut self, _answer: &mut Answer) {}
}
