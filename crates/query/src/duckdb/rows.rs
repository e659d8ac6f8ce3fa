//! The destination of an answer's rows: JSON, in this process or in its parent.

use super::json::{self, Shape};
use crate::engine::{Answer, Column, EngineError};
use duckdb::arrow::array::{Array, StructArray};
use serde_json::Value;

/// Receives the rows of the last statement.
pub(super) trait Rows: Send {
    /// The statements are known, and whether all of them only read.
    ///
    /// # Errors
    /// The receiver is gone.
    fn begin(&mut self, only_reads: bool) -> Result<(), EngineError>;

    /// An answer starts. Earlier rows are discarded, because a work that conflicted runs again.
    ///
    /// # Errors
    /// The receiver is gone.
    fn columns(&mut self, columns: Vec<Column>, shapes: Vec<Shape>) -> Result<(), EngineError>;

    /// Adds the first `take` rows of `batch` to the answer.
    ///
    /// # Errors
    /// `Invalid`: the answer is too large, or contains a value that no message can carry.
    fn batch(&mut self, batch: &StructArray, take: usize) -> Result<(), EngineError>;

    /// Moves the received rows into the answer.
    fn finish(&mut self, answer: &mut Answer);
}

/// Converts the rows to JSON.
pub(super) struct JsonRows {
    bytes_max: usize,
    columns: Vec<Column>,
    shapes: Vec<Shape>,
    rows: Vec<Value>,
    bytes: usize,
}

impl JsonRows {
    /// `bytes_max` limits all rows together.
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
            // A row that will be too large is not built, because it could be far larger than its source.
            let mut room = self.bytes_max.saturating_sub(self.bytes);
            let values = batch.columns().iter().zip(&self.shapes);
            let values = values.map(|(column, shape)| json::value(column, row, shape, &mut room));
            let values = values.collect::<Result<Value, json::NoValue>>();
            let values = values.map_err(|error| match error {
                json::NoValue::TooLarge => too_large(self.bytes_max),
                json::NoValue::NoForm(what) => EngineError::Invalid(format!("payload.sql: {what}")),
            })?;
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

/// Passes rows on as they come.
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

#[cfg(test)]
mod tests {
    use super::*;
    use duckdb::arrow::array::{FixedSizeListArray, NullArray};
    use duckdb::arrow::datatypes::{DataType, Field};
    use std::sync::Arc;

    #[test]
    fn a_row_that_is_too_large_is_refused_before_it_is_made() {
        // As JSON values they would take 64 GB; here they take nothing.
        let items = i32::MAX;
        let item = Arc::new(Field::new("item", DataType::Null, true));
        let nulls = Arc::new(NullArray::new(items as usize));
        let list = FixedSizeListArray::new(item, items, nulls, None);
        let column = Arc::new(Field::new("a", list.data_type().clone(), true));
        let batch = StructArray::from(vec![(column, Arc::new(list) as _)]);
        let mut rows = JsonRows::new(10_000);
        let shape = serde_json::json!({"is_hugeint": false, "children": []});
        let shapes = vec![serde_json::from_value(shape).expect("a shape")];
        rows.columns(Vec::new(), shapes).expect("columns");
        let error = rows.batch(&batch, 1).expect_err("too large");
        assert!(
            matches!(&error, EngineError::Invalid(text) if text.contains("more than 10000 bytes")),
            "{error:?}"
        );
    }
}
