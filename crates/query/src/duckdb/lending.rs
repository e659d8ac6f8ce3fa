//! The warehouse for another program, and a look into it afterwards.

use super::gate::LoanPass;
use super::warehouse::Place;
use super::{DuckDb, Runs, process};
use crate::engine::EngineError;
use pudato_handler::Waits;
use std::path::Path;

/// The file is lent as long as this lives.
pub struct Loan {
    _pass: LoanPass,
}

impl DuckDb {
    /// Whether `file` is the file of this warehouse.
    pub fn is_of(&self, file: &Path) -> bool {
        match &self.place {
            Place::Memory => false,
            Place::File(own) => own == file || file.canonicalize().is_ok_and(|file| *own == file),
        }
    }

    /// Closes the file and leaves it to `borrower` until what is returned is dropped; works wait meanwhile. `waits` is told for whom
    /// the borrower waits: works that began before it came, and those that write. It has the file when they have ended.
    ///
    /// # Errors
    /// `Unavailable`: the engine cannot be started.
    pub async fn lend(&self, borrower: &str, waits: &Waits) -> Result<Loan, EngineError> {
        let started = self.started()?;
        let pass = self.gate.loan(borrower, waits).await;
        let closed = tokio::task::spawn_blocking(move || match &started.runs {
            Runs::Here(local) => local.close(),
            Runs::Elsewhere(supervisor) => supervisor.close(),
        });
        closed
            .await
            .map_err(|error| EngineError::Retry(error.to_string()))?;
        Ok(Loan { _pass: pass })
    }

    /// The rows of tables, each by catalog, schema and name; `None` where it is none.
    pub async fn rows(&self, tables: &[[String; 3]]) -> Vec<Option<u64>> {
        let missing = || tables.iter().map(|_| None).collect();
        let Ok(started) = self.started() else {
            return missing();
        };
        let pass = self
            .gate
            .work("counting rows after dbt", false, &Waits::default())
            .await;
        let asked = tables.to_vec();
        let counted = tokio::task::spawn_blocking(move || {
            let counts = match &started.runs {
                Runs::Here(local) => local.row_counts(&asked),
                Runs::Elsewhere(supervisor) => process::row_counts(supervisor, &asked),
            };
            drop(pass);
            counts
        });
        counted.await.unwrap_or_else(|_| missing())
    }

    /// The number of the engine's process, where one runs.
    pub fn process_id(&self) -> Option<u32> {
        match &self.started().ok()?.runs {
            Runs::Here(_) => None,
            Runs::Elsewhere(supervisor) => supervisor.process_id(),
        }
    }

    /// What holds the engine's process; `None` before it has run, and where DuckDB runs in this process.
    pub fn sandbox(&self) -> Option<process::Sandbox> {
        let started = self.started().ok()?;
        match &started.runs {
            Runs::Here(_) => None,
            Runs::Elsewhere(supervisor) => supervisor.sandbox(),
        }
    }
}
