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

/// Makes JSON of the rows (docs/design/messages.md, "Values").
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
            // A row is not made that will be too large: it could be far larger than what it is made of.
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

#[cfg(test)]
mod tests {
    use super::*;
    use duckdb::arrow::array::{FixedSizeListArray, NullArray};
    use duckdb::arrow::datatypes::{DataType, Field};
    use std::sync::Arc;

    #[test]
    fn a_row_that_is_too_large_is_refused_before_it_is_made() {
        // As values they have 64 GB, here none.
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
