//! dbt: its arguments, settings and log, and the files that it writes.

pub(crate) mod actions;
pub(crate) mod artifact_store;
pub(crate) mod artifacts;
pub(crate) mod attach;
pub(crate) mod extra_output;
pub(crate) mod freshness;
pub(crate) mod installed;
pub(crate) mod log;
pub(crate) mod options;
pub(crate) mod packages;
pub(crate) mod profile;
pub(crate) mod program;
pub(crate) mod run;
pub(crate) mod verdict;
pub(crate) mod yaml;
