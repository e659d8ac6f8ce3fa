//! The transform handler: runs dbt, and reports what it read and wrote, model by model.

mod dbt;
mod doctor;
mod handler;
mod lineage;
mod process;
mod repository;
mod warehouse;

pub use dbt::actions::ACTIONS;
pub use handler::{Settings, TransformHandler};
pub use repository::logic::Logic;
pub use warehouse::{NoWarehouse, Warehouse};
