//! The transform handler: runs dbt, and says what it read and wrote, model by model.

mod artifacts;
mod child;
mod environment;
mod handler;
mod lineage;
mod log;
mod options;
mod profile;
mod program;
mod repository;
mod scratch;
mod warehouse;

pub use handler::{Settings, TransformHandler};
pub use repository::Logic;
pub use warehouse::{NoWarehouse, Warehouse};
