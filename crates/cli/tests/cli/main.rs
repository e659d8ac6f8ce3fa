//! The program as people use it: real processes on real folders.

mod commands;
mod demo;
mod docs;
mod errors;
mod kill;
mod openlineage;
mod pipeline;
mod postgres;
mod query;
mod registry;
mod support;
mod waits;
