//! Lends the warehouse to another program, and reads row counts afterwards.

use super::gate::LoanPass;
use super::warehouse::Place;
use super::{DuckDb, Runs, process};
use crate::engine::EngineError;
use pudato_handler::Waits;
use std::path::Path;

/// A loan of the file. Dropping it returns the file.
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

    /// Closes the file and lends it to `borrower` until the returned loan is dropped; works wait meanwhile. `waits` receives the works that
    /// the borrower waits for: those that began before it came, and those that write.
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

    /// The row counts of tables, each given by catalog, schema and name; `None` if a table does not exist.
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

    /// The id of the engine's process, if one is running.
    pub fn process_id(&self) -> Option<u32> {
        match &self.started().ok()?.runs {
            Runs::Here(_) => None,
            Runs::Elsewhere(supervisor) => supervisor.process_id(),
        }
    }

    /// The sandbox of the engine's process; `None` before it has run, or if DuckDB runs in this process.
    pub fn sandbox(&self) -> Option<process::Sandbox> {
        let started = self.started().ok()?;
        match &started.runs {
            Runs::Here(_) => None,
            Runs::Elsewhere(supervisor) => supervisor.sandbox(),
        }
    }
}
