//! Converts rows of JSON values to Arrow arrays with the types of DuckDB's columns.

mod cells;
mod kinds;
mod nested;
mod texts;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::{ArrowError, Field, Schema};
use cells::Cells;
use kinds::Kind;
use serde_json::Value;
use std::sync::Arc;

/// The rows of an answer, and the columns that become strings in Arrow.
pub(crate) struct Table {
    pub(crate) batch: RecordBatch,
    pub(crate) as_text: Vec<String>,
}

/// Parses `rows`, each a list with one value per column. A column becomes strings if Arrow cannot represent its type or one of its values,
/// such as the date `infinity`. Values that are not strings become their JSON.
pub(crate) fn table(columns: &[(String, String)], rows: &[Value]) -> Result<Table, ArrowError> {
    let mut kinds: Vec<Kind> = columns.iter().map(|(_, name)| Kind::of(name)).collect();
    let mut cells: Vec<Box<dyn Cells>> = kinds.iter().map(|kind| kind.cells(rows.len())).collect();
    for (n, row) in rows.iter().enumerate() {
        let row = row.as_array().map(Vec::as_slice).unwrap_or_default();
        for (at, own) in cells.iter_mut().enumerate() {
            let value = row.get(at).unwrap_or(&Value::Null);
            if own.push(value) {
                continue;
            }
            kinds[at] = Kind::Text { is_exact: false };
            *own = kinds[at].cells(rows.len());
            for row in rows.iter().take(n + 1) {
                own.push(row.get(at).unwrap_or(&Value::Null));
            }
        }
    }
    let arrays: Vec<ArrayRef> = cells.iter_mut().map(|cells| cells.finish()).collect();
    let fields = columns.iter().zip(&arrays);
    let fields = fields.map(|((name, _), array)| Field::new(name, array.data_type().clone(), true));
    let schema = Schema::new(fields.collect::<Vec<_>>());
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    let batch = RecordBatch::try_new_with_options(Arc::new(schema), arrays, &options)?;
    let texts = columns
        .iter()
        .zip(&kinds)
        .filter(|(_, kind)| !kind.is_exact());
    Ok(Table {
        batch,
        as_text: texts.map(|((name, _), _)| name.clone()).collect(),
    })
}
