//! The warehouse for another program, and a look into it afterwards.

use super::DuckDb;
use super::warehouse::{Loan, Mode, Place};
use crate::engine::EngineError;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long who wants the file waits for those who have it.
const WAIT_MAX: Duration = Duration::from_secs(15 * 60);

impl DuckDb {
    /// Whether `file` is the file of this warehouse.
    pub fn is_of(&self, file: &Path) -> bool {
        match &self.place {
            Place::Memory => false,
            Place::File(own) => own == file || file.canonicalize().is_ok_and(|file| *own == file),
        }
    }

    /// Closes the file and leaves it to others until what is returned is dropped; works wait meanwhile.
    ///
    /// # Errors
    /// `Unavailable`: works use it for too long.
    pub async fn lend(&self) -> Result<impl Send + use<>, EngineError> {
        let warehouse = std::sync::Arc::clone(&self.started()?.warehouse);
        let lent = tokio::task::spawn_blocking(move || -> Result<Loan, EngineError> {
            warehouse.lend(Instant::now() + WAIT_MAX)
        });
        lent.await
            .map_err(|error| EngineError::Retry(error.to_string()))?
    }

    /// The rows of tables, each by catalog, schema and name; `None` where it is none.
    pub async fn rows(&self, tables: &[[String; 3]]) -> Vec<Option<u64>> {
        let Ok(started) = self.started() else {
            return tables.iter().map(|_| None).collect();
        };
        let asked = tables.to_vec();
        let counted = tokio::task::spawn_blocking(move || {
            let Ok(lease) = started
                .warehouse
                .acquire(Mode::Read, Instant::now() + WAIT_MAX)
            else {
                return asked.iter().map(|_| None).collect();
            };
            let quoted = |part: &String| format!("\"{}\"", part.replace('"', "\"\""));
            let count = |table: &[String; 3]| {
                let name: Vec<String> = table.iter().map(quoted).collect();
                let sql = format!("SELECT count(*) FROM {}", name.join("."));
                let rows = lease
                    .connection()
                    .query_row(&sql, [], |row| row.get::<_, i64>(0));
                rows.ok().and_then(|rows| u64::try_from(rows).ok())
            };
            asked.iter().map(count).collect::<Vec<_>>()
        });
        let missing = || tables.iter().map(|_| None).collect();
        counted.await.unwrap_or_else(|_| missing())
    }
}
