//! The lineage of a statement: what it read and wrote.

use pudato_protocol::{DataReference, Dataset};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// How a statement changes the dataset that it writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operation {
    /// Creates the dataset, or replaces all of its contents.
    Create,
    /// Adds rows and keeps the others.
    Insert,
    /// Changes rows.
    Update,
    /// Removes rows and keeps the others.
    Delete,
    /// Removes all rows.
    Truncate,
    /// Adds, changes and removes rows.
    Merge,
    /// Changes the columns or the name.
    Alter,
}

impl Operation {
    /// The name in `DataReference.metadata.operation`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Truncate => "truncate",
            Self::Merge => "merge",
            Self::Alter => "alter",
        }
    }
}

/// A table or view that a statement read or wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// The identity of the table.
    pub dataset: Dataset,
    /// `table` or `view`.
    pub kind: Cow<'static, str>,
    /// Its row count, if known without reading the data: before the statement for an input, after it for an
    /// output.
    pub row_count: Option<u64>,
    /// Rows that the statement inserted, updated or deleted; `None` if it created the table, changed no rows, or
    /// if the number is unknown.
    pub rows_changed: Option<u64>,
}

impl Table {
    pub(crate) fn reference(&self) -> DataReference {
        let mut reference = DataReference::new(&*self.kind, self.dataset.location());
        for (name, rows) in [
            ("row_count", self.row_count),
            ("rows_changed", self.rows_changed),
        ] {
            if let Some(rows) = rows {
                reference = reference.with(name, rows);
            }
        }
        reference
    }
}

/// A source that a statement read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceRead {
    /// The name of the source in the SQL.
    pub name: String,
    /// The number of rows, if counting them is cheap.
    pub row_count: Option<u64>,
}

/// The lineage of one statement. Temporary tables are replaced by what they were made from.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Lineage {
    /// The tables and views that the statement read; for a view, also the tables below it. Tables that the same work made before are in
    /// `own` instead.
    pub tables: Vec<Table>,
    /// The sources that the statement read.
    pub sources: Vec<SourceRead>,
    /// The table that the statement wrote, and how. A rename writes the new name.
    pub written: Option<(Table, Operation)>,
    /// Locations that the same work wrote before and this statement read.
    pub own: Vec<String>,
    /// Why the lineage may be incomplete; `None` if it is complete.
    pub partial: Option<String>,
}
