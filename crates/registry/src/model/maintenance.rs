//! Maintenance: removing old data, and renaming datasets after a folder moved.

use pudato_protocol::Timestamp;
use serde::Serialize;

/// What is removed. Results go whose timestamp is before an instant, unless one of them is the last that wrote a dataset (then it
/// and what it says is kept, so that every dataset still has its origin), its step is not over, or others are still to be told of it.
/// Steps go of whose Results nothing is left, and jobs of whose steps nothing is.
#[derive(Debug, Clone)]
pub struct Prune {
    /// Only what is older than this.
    pub before: Timestamp,
    /// Where the call before ended; `None` begins with the oldest.
    pub after: Option<(i64, i64)>,
    /// Most Results that one call looks at: it is one transaction, which others wait for.
    pub limit: u64,
    /// Only count.
    pub dry_run: bool,
}

/// What was removed, or would be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Pruned {
    /// Results.
    pub results: u64,
    /// What they said that was read or written.
    pub edges: u64,
    /// Steps.
    pub steps: u64,
    /// Jobs.
    pub jobs: u64,
    /// Where the next call begins; `None`: there is nothing more.
    #[serde(skip)]
    pub next: Option<(i64, i64)>,
}

/// A folder that moved: its files and database files get names with the new path.
#[derive(Debug, Clone)]
pub struct Relocate {
    /// The old folder as it appears in names: absolute, without a trailing slash. Several paths if one place had several names.
    pub from: Vec<String>,
    /// The new path of the folder.
    pub to: String,
    /// If a dataset with the new name already exists, treat both as the same data.
    pub merge: bool,
    /// Only count.
    pub dry_run: bool,
}

/// Which names changed, or would change.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Relocated {
    /// How many datasets get another name.
    pub datasets: u64,
    /// How many of them were merged with a dataset that already had that name.
    pub merged: u64,
    /// The first few: old name and new name.
    pub examples: Vec<(String, String)>,
}
