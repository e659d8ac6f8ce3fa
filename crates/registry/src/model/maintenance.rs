//! Maintenance: removing old data, and renaming datasets after a folder moved.

use pudato_protocol::Timestamp;
use serde::Serialize;

/// Selects what to remove: Results with a timestamp before an instant. A Result stays if it is the last that wrote a dataset (so that every
/// dataset keeps its origin), if its step has not ended, or if it still has to be exported. Steps without Results and jobs without steps
/// are removed as well.
#[derive(Debug, Clone)]
pub struct Prune {
    /// Removes only data that is older than this.
    pub before: Timestamp,
    /// The position where the previous call ended; `None` starts with the oldest.
    pub after: Option<(i64, i64)>,
    /// The most Results that one call looks at. A call is one transaction, and other writers wait for it.
    pub limit: u64,
    /// Counts without removing anything.
    pub dry_run: bool,
}

/// The numbers of removed rows, or of rows that would be removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Pruned {
    /// Removed Results.
    pub results: u64,
    /// Removed lineage edges.
    pub edges: u64,
    /// Removed steps.
    pub steps: u64,
    /// Removed jobs.
    pub jobs: u64,
    /// The position where the next call starts; `None` if nothing is left.
    #[serde(skip)]
    pub next: Option<(i64, i64)>,
}

/// Renames the files and database files of a folder that moved.
#[derive(Debug, Clone)]
pub struct Relocate {
    /// The old folder as it appears in names: absolute, without a trailing slash. Several paths if one place had several names.
    pub from: Vec<String>,
    /// The new path of the folder.
    pub to: String,
    /// If a dataset with the new name already exists, treat both as the same data.
    pub merge: bool,
    /// Counts without changing anything.
    pub dry_run: bool,
}

/// The names that changed, or would change.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Relocated {
    /// The number of datasets with a new name.
    pub datasets: u64,
    /// The number of datasets that were merged with one that already had the new name.
    pub merged: u64,
    /// The first few changes, as pairs of old and new name.
    pub examples: Vec<(String, String)>,
}
