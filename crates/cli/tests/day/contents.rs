//! What the tables and objects of one honest sender hold, as a sender knows it who only counts what it sent.

use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A number that no other row of the sender has, and a word that tells whose row it is.
pub type Row = (u64, String);

/// Tables and objects, each by its name.
#[derive(Debug, Default)]
pub struct Contents {
    pub tables: BTreeMap<String, Vec<Row>>,
    pub objects: BTreeMap<String, Vec<Row>>,
}

/// The rows as a CSV, with a header.
pub fn csv(rows: &[Row]) -> String {
    let lines = rows.iter().map(|(n, word)| format!("{n},{word}\n"));
    std::iter::once("n,word\n".to_owned())
        .chain(lines)
        .collect()
}

/// The rows in their order, as an answer has them.
pub fn answer(rows: &[Row]) -> Vec<Value> {
    sorted(rows)
        .into_iter()
        .map(|(n, word)| json!([n, word]))
        .collect()
}

/// The rows in the order of their numbers.
pub fn sorted(rows: &[Row]) -> Vec<Row> {
    let mut rows = rows.to_vec();
    rows.sort();
    rows
}

/// How many rows there are, the sum of their numbers, and the last of their words.
pub fn summary(rows: &[Row]) -> Value {
    let sum: u64 = rows.iter().map(|(n, _)| n).sum();
    let last = rows.iter().map(|(_, word)| word).max();
    json!([rows.len(), sum, last])
}

/// In words, in what an answer differs from what it must be.
pub fn differs(expected: &Value, found: &Value) -> String {
    format!("expected {expected}\nfound {found}")
}
