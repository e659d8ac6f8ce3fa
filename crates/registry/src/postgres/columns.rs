//! Reads rows of PostgreSQL for the queries that all stores share.

use crate::error::{Error, postgres_error};
use crate::queries::Columns;
use tokio_postgres::Row;

impl Columns for Row {
    fn optional_text(&self, column: usize) -> Result<Option<String>, Error> {
        self.try_get(column).map_err(postgres_error)
    }

    fn optional_number(&self, column: usize) -> Result<Option<i64>, Error> {
        self.try_get(column).map_err(postgres_error)
    }
}
