//! Implements ports of one crate with the types of another.

mod claim_store;
#[cfg(feature = "duckdb")]
mod object_files;
mod old_records;
#[cfg(all(feature = "dbt", feature = "duckdb"))]
mod shared_warehouse;

pub(crate) use claim_store::ClaimObjects;
#[cfg(feature = "duckdb")]
pub(crate) use object_files::ObjectFiles;
pub(crate) use old_records::{forget, forget_old};
#[cfg(all(feature = "dbt", feature = "duckdb"))]
pub(crate) use shared_warehouse::SharedWarehouse;
