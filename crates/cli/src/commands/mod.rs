//! The commands, one file for each word of `pudato --help`.

pub mod backup;
pub mod call;
pub mod config;
#[cfg(feature = "aws")]
pub mod cost;
pub mod demo;
pub mod dlq;
pub mod doctor;
pub mod events;
pub mod job;
pub mod lineage;
pub mod publish;
mod publish_lines;
pub mod registry;
pub mod results;
pub mod run;
pub mod runner;
pub mod schema;
pub mod status;
#[cfg(feature = "aws")]
pub mod topology;
pub mod trace;
pub mod up;
