//! The transform handler: runs dbt, and says what it read and wrote, model by model.

mod actions;
mod artifacts;
mod attach;
mod checkouts;
mod child;
mod deeds;
mod environment;
mod examination;
mod freshness;
mod git;
mod group;
mod handler;
mod installed;
mod kept;
mod lineage;
mod log;
mod logic;
mod memory;
mod mirror;
mod more;
mod naming;
mod options;
mod packages;
mod pins;
mod private;
mod profile;
mod program;
mod repository;
mod scratch;
mod verdict;
mod warehouse;
mod yaml;

pub use actions::ACTIONS;
pub use handler::{Settings, TransformHandler};
pub use logic::Logic;
pub use warehouse::{NoWarehouse, Warehouse};
