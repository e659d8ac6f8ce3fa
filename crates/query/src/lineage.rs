//! What a statement read and wrote.

use pudato_protocol::{DataReference, Dataset};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// What a statement does to a dataset that it writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operation {
    /// Makes it, or puts new contents in the place of all it had.
    Create,
    /// Adds rows; the others stay.
    Insert,
    /// Changes rows.
    Update,
    /// Removes rows; the others stay.
    Delete,
    /// Removes all rows.
    Truncate,
    /// Adds, changes and removes rows.
    Merge,
    /// Changes its columns or its name.
    Alter,
}

impl Operation {
    /// Its name in `DataReference.metadata.operation`.
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
    /// Its identity.
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
    /// Its name in the SQL.
    pub name: String,
    /// Its rows, where counting them is cheap.
    pub row_count: Option<u64>,
}

/// The lineage of one statement. Tables that live only while the work runs are not in it: what was read through them is.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Lineage {
    /// Tables and views that were read, views together with the tables below them. Not those that the same work had
    /// made before.
    pub tables: Vec<Table>,
    /// The sources that were read.
    pub sources: Vec<SourceRead>,
    /// What was written, and how; a rename writes the new name.
    pub written: Option<(Table, Operation)>,
    /// Locations of what was written before by the same work and read now.
    pub own: Vec<String>,
    /// Why something that was read or written may be missing above; `None` where all of it is there.
    pub partial: Option<String>,
}
