//! The ports of one crate on the types of another.

mod claim_store;
mod kept_answers;
#[cfg(feature = "duckdb")]
mod object_files;
#[cfg(all(feature = "dbt", feature = "duckdb"))]
mod shared_warehouse;

pub(crate) use claim_store::ClaimObjects;
pub use kept_answers::KeptAnswers;
pub(crate) use kept_answers::{forget, forget_old};
#[cfg(feature = "duckdb")]
pub(crate) use object_files::ObjectFiles;
#[cfg(all(feature = "dbt", feature = "duckdb"))]
pub(crate) use shared_warehouse::SharedWarehouse;
