use async_trait::async_trait;
use pudato_handler::Waits;
use std::path::Path;

/// The query service's warehouse, which dbt needs for itself while it runs: DuckDB's file has one writing process.
#[async_trait]
pub trait Warehouse: Send + Sync {
    /// Lends `file` to `borrower`, where it is this warehouse's, until what is returned is dropped. Waits for those who use it, says in
    /// `waits` who they are, and tells those who come later that `borrower` has it.
    ///
    /// # Errors
    /// It stays in use; the text says by whom.
    async fn lend(
        &self,
        file: &Path,
        borrower: &str,
        waits: &Waits,
    ) -> Result<Option<Box<dyn Send>>, String>;

    /// The DuckDB version that must still be able to read `file`, if `file` is this warehouse: it cannot read what a newer version writes.
    fn version(&self, _file: &Path) -> Option<String> {
        None
    }

    /// The rows of tables in `file`, each by catalog, schema and name; `None` where they cannot be counted.
    async fn rows(&self, file: &Path, tables: &[[String; 3]]) -> Vec<Option<u64>>;
}

/// Where there is no query service.
pub struct NoWarehouse;

#[async_trait]
impl Warehouse for NoWarehouse {
    async fn lend(
        &self,
        _file: &Path,
        _borrower: &str,
        _waits: &Waits,
    ) -> Result<Option<Box<dyn Send>>, String> {
        Ok(None)
    }

    async fn rows(&self, _file: &Path, tables: &[[String; 3]]) -> Vec<Option<u64>> {
        tables.iter().map(|_| None).collect()
    }
}
