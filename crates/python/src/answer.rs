//! The answer to a query, as Python rows and as Arrow for data frames.

use crate::arrow::{Table, table};
use crate::errors::{self, PudatoError};
use arrow_array::{RecordBatchIterator, ffi_stream::FFI_ArrowArrayStream};
use pudato_protocol::{Object, Result as Reply, decode_claim, encode};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyCapsule, PyDict, PyFloat, PyList, PyTuple};
use serde_json::Value;

/// The answer to a query.
#[pyclass(frozen, module = "pudato._core")]
pub(crate) struct Answer {
    /// The text of the Result.
    text: String,
    columns: Vec<(String, String)>,
    row_count: u64,
    truncated: bool,
    table: Result<Table, String>,
}

impl Answer {
    /// Reads the answer from its Result.
    pub(crate) fn new(mut result: Reply) -> Self {
        let text = encode(&result);
        let data = result.data.take().unwrap_or_default();
        let columns = columns(&data);
        let rows = data.get("rows").and_then(Value::as_array);
        let table = match rows {
            Some(rows) => table(&columns, rows).map_err(|error| error.to_string()),
            None => Err("the answer has no rows".to_owned()),
        };
        Self {
            text,
            columns,
            row_count: data.get("row_count").and_then(Value::as_u64).unwrap_or(0),
            truncated: data.get("truncated") == Some(&Value::Bool(true)),
            table,
        }
    }
}

fn columns(data: &Object) -> Vec<(String, String)> {
    let columns = data.get("columns").and_then(Value::as_array);
    let text = |column: &Value, name: &str| column[name].as_str().unwrap_or_default().to_owned();
    let columns = columns.into_iter().flatten();
    columns
        .map(|column| (text(column, "name"), text(column, "type")))
        .collect()
}

#[pymethods]
impl Answer {
    /// Reads the answer from the text of its Result.
    #[new]
    fn from_text(py: Python<'_>, text: &[u8]) -> PyResult<Self> {
        py.detach(|| decode_claim(text).map(Self::new))
            .map_err(|error| errors::message(&error))
    }

    /// The text of the Result.
    #[getter]
    fn text(&self) -> &str {
        &self.text
    }

    /// The name and the type of each column.
    #[getter]
    fn columns(&self) -> Vec<(String, String)> {
        self.columns.clone()
    }

    /// The number of rows.
    #[getter]
    fn row_count(&self) -> u64 {
        self.row_count
    }

    /// Whether the answer was cut off.
    #[getter]
    fn truncated(&self) -> bool {
        self.truncated
    }

    /// The columns that become strings in Arrow.
    #[getter]
    fn as_text(&self) -> Vec<String> {
        let table = self.table.as_ref();
        table.map(|table| table.as_text.clone()).unwrap_or_default()
    }

    /// At most `max` rows, as tuples. Blobs become `bytes`; NaN and the infinities become `float`s.
    #[pyo3(signature = (max=None))]
    fn rows<'py>(&self, py: Python<'py>, max: Option<usize>) -> PyResult<Bound<'py, PyList>> {
        let read = py.detach(|| serde_json::from_str::<Value>(&self.text));
        let read = read.map_err(|error| PudatoError::new_err(error.to_string()))?;
        let rows = read["data"]["rows"].as_array();
        let rows = rows.map(Vec::as_slice).unwrap_or_default();
        let list = PyList::empty(py);
        for row in rows.iter().take(max.unwrap_or(rows.len())) {
            let cells = row.as_array().map(Vec::as_slice).unwrap_or_default();
            let cells = cells.iter().map(|cell| python(py, cell));
            list.append(PyTuple::new(py, cells.collect::<PyResult<Vec<_>>>()?)?)?;
        }
        // Freeing millions of values takes a while, so do it without the GIL.
        py.detach(|| drop(read));
        Ok(list)
    }

    /// The rows as an Arrow C stream.
    fn stream<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        let table = self.table.as_ref();
        let table = table.map_err(|error| PyRuntimeError::new_err(error.clone()))?;
        let batches = [Ok(table.batch.clone())];
        let reader = RecordBatchIterator::new(batches, table.batch.schema());
        let stream = FFI_ArrowArrayStream::new(Box::new(reader));
        PyCapsule::new_with_value(py, stream, c"arrow_array_stream")
    }
}

/// Converts a value of an answer to Python.
fn python<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::Null => py.None().into_bound(py),
        Value::Bool(flag) => flag.into_pyobject(py)?.to_owned().into_any(),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => number.into_pyobject(py)?.into_any(),
            (_, Some(number)) => number.into_pyobject(py)?.into_any(),
            _ => PyFloat::new(py, number.as_f64().unwrap_or(f64::NAN)).into_any(),
        },
        Value::String(text) => text.into_pyobject(py)?.into_any(),
        Value::Array(items) => {
            let items = items.iter().map(|item| python(py, item));
            PyList::new(py, items.collect::<PyResult<Vec<_>>>()?)?.into_any()
        }
        Value::Object(object) => match tagged(py, object) {
            Some(value) => value,
            None => {
                let dict = PyDict::new(py);
                for (name, value) in object {
                    dict.set_item(name, python(py, value)?)?;
                }
                dict.into_any()
            }
        },
    })
}

/// Converts a tagged object: a blob, NaN or an infinity.
fn tagged<'py>(py: Python<'py>, object: &Object) -> Option<Bound<'py, PyAny>> {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    if object.len() != 2 {
        return None;
    }
    match object.get("$type")?.as_str()? {
        "blob" => {
            let bytes = STANDARD.decode(object.get("base64")?.as_str()?).ok()?;
            Some(PyBytes::new(py, &bytes).into_any())
        }
        "float" => {
            let number = match object.get("value")?.as_str()? {
                "NaN" => f64::NAN,
                "Infinity" => f64::INFINITY,
                "-Infinity" => f64::NEG_INFINITY,
                _ => return None,
            };
            Some(PyFloat::new(py, number).into_any())
        }
        _ => None,
    }
}
