//! Lends the query service's warehouse to dbt.

use async_trait::async_trait;
use pudato_handler::Waits;
use pudato_query::duckdb::DuckDb;
use pudato_transform::Warehouse;
use std::path::Path;
use std::sync::Arc;

pub(crate) struct SharedWarehouse(pub(crate) Arc<DuckDb>);

#[async_trait]
impl Warehouse for SharedWarehouse {
    async fn lend(
        &self,
        file: &Path,
        borrower: &str,
        waits: &Waits,
    ) -> Result<Option<Box<dyn Send>>, String> {
        if !self.0.is_of(file) {
            return Ok(None);
        }
        let loan = self.0.lend(borrower, waits).await;
        let loan = loan.map_err(|error| error.to_string())?;
        Ok(Some(Box::new(loan)))
    }

    fn version(&self, file: &Path) -> Option<String> {
        self.0.is_of(file).then(pudato_query::duckdb::version)?
    }

    async fn rows(&self, file: &Path, tables: &[[String; 3]]) -> Vec<Option<u64>> {
        if !self.0.is_of(file) {
            return tables.iter().map(|_| None).collect();
        }
        self.0.rows(tables).await
    }
}
