use async_trait::async_trait;
use pudato_handler::Waits;
use std::path::Path;

/// The warehouse of the query service. dbt needs exclusive access while it runs, because only one process can write a DuckDB file.
#[async_trait]
pub trait Warehouse: Send + Sync {
    /// Lends `file` to `borrower` if it is this warehouse, until the returned value is dropped. Waits for current users, reports them in
    /// `waits`, and tells later callers that `borrower` has the file.
    ///
    /// # Errors
    /// The file stays in use; the text says by whom.
    async fn lend(
        &self,
        file: &Path,
        borrower: &str,
        waits: &Waits,
    ) -> Result<Option<Box<dyn Send>>, String>;

    /// The DuckDB version that must still be able to read `file`, if `file` is this warehouse: an older DuckDB cannot read the files of a
    /// newer one.
    fn version(&self, _file: &Path) -> Option<String> {
        None
    }

    /// Counts the rows of tables in `file`, each given by catalog, schema and name; `None` if a table cannot be counted.
    async fn rows(&self, file: &Path, tables: &[[String; 3]]) -> Vec<Option<u64>>;
}

/// Stands in when there is no query service.
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
