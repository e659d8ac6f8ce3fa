//! Rows of Postgres for the queries that all stores share.

use crate::error::Error;
use crate::queries::Columns;
use tokio_postgres::Row;

impl Columns for Row {
    fn optional_text(&self, column: usize) -> Result<Option<String>, Error> {
        Ok(self.try_get(column)?)
    }

    fn optional_number(&self, column: usize) -> Result<Option<i64>, Error> {
        Ok(self.try_get(column)?)
    }
}
