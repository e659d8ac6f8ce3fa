//! The expected contents of one honest sender's tables and objects, from the commands that it sent.

use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A number that no other row of the sender has, and a word that shows whose row it is.
pub type Row = (u64, String);

/// The tables and objects, by name.
#[derive(Debug, Default)]
pub struct Contents {
    pub tables: BTreeMap<String, Vec<Row>>,
    pub objects: BTreeMap<String, Vec<Row>>,
}

/// The rows as a CSV file, with a header.
pub fn csv(rows: &[Row]) -> String {
    let lines = rows.iter().map(|(n, word)| format!("{n},{word}\n"));
    std::iter::once("n,word\n".to_owned())
        .chain(lines)
        .collect()
}

/// The rows in order, as they are in an answer.
pub fn answer(rows: &[Row]) -> Vec<Value> {
    sorted(rows)
        .into_iter()
        .map(|(n, word)| json!([n, word]))
        .collect()
}

/// The rows, ordered by number.
pub fn sorted(rows: &[Row]) -> Vec<Row> {
    let mut rows = rows.to_vec();
    rows.sort();
    rows
}

/// The number of rows, the sum of their numbers, and the last of their words.
pub fn summary(rows: &[Row]) -> Value {
    let sum: u64 = rows.iter().map(|(n, _)| n).sum();
    let last = rows.iter().map(|(_, word)| word).max();
    json!([rows.len(), sum, last])
}

/// The difference between an answer and the expected one, in words.
pub fn differs(expected: &Value, found: &Value) -> String {
    format!("expected {expected}\nfound {found}")
}
