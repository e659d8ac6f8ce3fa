//! Transform, with a real dbt on real warehouses.

#[path = "../cli/support.rs"]
#[allow(dead_code, reason = "the other tests need more of it")]
mod support;

mod actions;
mod attached;
mod days;
mod faults;
mod grown;
mod limits;
mod lineage;
mod logic;
mod postgres;
mod project;
mod security;
mod started;
mod turns;
