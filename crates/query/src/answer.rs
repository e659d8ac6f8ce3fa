//! The answer to a Command: the data of its last statement, and the lineage of all.

use crate::engine::{Answer as EngineAnswer, Outcome};
use crate::files::ObjectFile;
use crate::lineage::Lineage;
use crate::request::ObjectName;
use pudato_handler::Answer;
use pudato_protocol::{DataReference, Object};
use serde_json::{Value, json};

/// The Command's answer: the data of the last statement, the lineage of all.
pub(crate) fn answer(
    outcome: &Outcome,
    sources: &[(String, DataReference)],
    stored: Option<(ObjectName, ObjectFile)>,
) -> Answer {
    let mut answer = Answer::default();
    for executed in &outcome.statements {
        add_lineage(&mut answer, &executed.lineage, sources);
    }
    match &outcome.answer {
        EngineAnswer::Rows {
            columns,
            rows,
            truncated,
        } => {
            let columns = columns.iter();
            let columns = columns.map(|column| json!({"name": column.name, "type": column.r#type}));
            answer.data = object(json!({
                "columns": columns.collect::<Vec<_>>(), "rows": rows, "row_count": rows.len(), "truncated": truncated,
            }));
        }
        EngineAnswer::File { row_count } => {
            let Some((into, file)) = stored else {
                return answer;
            };
            answer.data = object(json!({
                "into": {
                    "container": into.container, "path": into.path, "format": into.format.name(),
                    "location": file.reference.location, "etag": file.etag,
                },
                "row_count": row_count, "size": file.size,
            }));
            let last = outcome.statements.last().map(|last| &last.lineage);
            let from = last
                .map(|lineage| from(lineage, sources))
                .unwrap_or_default();
            let written = file.reference.format(into.format.name());
            let written = written
                .with("row_count", *row_count)
                .with("operation", "create")
                .with("from", from);
            put(&mut answer.outputs, written);
        }
    }
    answer
}

fn add_lineage(answer: &mut Answer, lineage: &Lineage, sources: &[(String, DataReference)]) {
    for table in &lineage.tables {
        put_new(&mut answer.inputs, table.reference());
    }
    for read in &lineage.sources {
        if let Some(reference) = source_reference(&read.name, sources) {
            let reference = reference.clone();
            let reference = match read.row_count {
                Some(rows) => reference.with("row_count", rows),
                None => reference,
            };
            put_new(&mut answer.inputs, reference);
        }
    }
    if let Some((table, operation)) = &lineage.written {
        let written = table.reference().with("operation", operation.name());
        put(
            &mut answer.outputs,
            written.with("from", from(lineage, sources)),
        );
    }
}

/// The locations that a statement's output was made from, so that lineage pairs them and not all with all.
fn from(lineage: &Lineage, sources: &[(String, DataReference)]) -> Vec<Value> {
    let tables = lineage.tables.iter().map(|table| table.dataset.location());
    let sources = lineage.sources.iter().filter_map(|read| {
        let reference = source_reference(&read.name, sources)?;
        Some(reference.location.clone())
    });
    let own = lineage.own.iter().cloned();
    tables
        .chain(sources)
        .chain(own)
        .map(Value::String)
        .collect()
}

fn source_reference<'a>(
    name: &str,
    sources: &'a [(String, DataReference)],
) -> Option<&'a DataReference> {
    let found = sources.iter().find(|(source, _)| source == name);
    found.map(|(_, reference)| reference)
}

/// The first statement that reads a dataset saw it as it was before the work.
fn put_new(references: &mut Vec<DataReference>, reference: DataReference) {
    if !references
        .iter()
        .any(|other| other.location == reference.location)
    {
        references.push(reference);
    }
}

/// Two statements that write the same dataset are one output: made from what both were made from.
fn put(references: &mut Vec<DataReference>, mut reference: DataReference) {
    let earlier = references
        .iter()
        .position(|other| other.location == reference.location);
    let Some(earlier) = earlier.map(|n| references.remove(n)) else {
        references.push(reference);
        return;
    };
    let operation = |reference: &DataReference| {
        let operation = reference.metadata.get("operation");
        operation.and_then(Value::as_str).map(str::to_owned)
    };
    let replaces = matches!(
        operation(&reference).as_deref(),
        Some("create" | "truncate")
    );
    if !replaces {
        let list = |reference: &DataReference| match reference.metadata.get("from") {
            Some(Value::Array(from)) => from.clone(),
            _ => Vec::new(),
        };
        let mut from = list(&earlier);
        for location in list(&reference) {
            if !from.contains(&location) {
                from.push(location);
            }
        }
        reference = reference.with("from", from);
        // Rows that were inserted add up. Others may have been changed twice, and all rows of a table that the same work made are
        // its work.
        let changed = |reference: &DataReference| {
            let inserts = reference.metadata.get("operation") == Some(&Value::from("insert"));
            let changed = reference.metadata.get("rows_changed");
            changed.and_then(Value::as_u64).filter(|_| inserts)
        };
        match (changed(&earlier), changed(&reference)) {
            (Some(before), Some(added)) => {
                reference = reference.with("rows_changed", before + added)
            }
            _ => {
                reference.metadata.remove("rows_changed");
            }
        }
        if let Some(first) = operation(&earlier) {
            let is_filled = operation(&reference).as_deref() == Some("insert");
            // What was emptied and filled is new.
            let first = match (first.as_str(), is_filled) {
                ("truncate", true) => "create".to_owned(),
                _ => first,
            };
            reference = reference.with("operation", first);
        }
    }
    references.push(reference);
}

/// The object that `json!` made.
pub(crate) fn object(value: Value) -> Object {
    match value {
        Value::Object(object) => object,
        _ => Object::new(),
    }
}
