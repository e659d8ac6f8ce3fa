//! Full deployments: topics, queues and both packages as real Lambdas on an emulator, with PostgreSQL.

#[path = "../cli/support.rs"]
#[allow(dead_code, reason = "the other tests need more of it")]
mod support;

mod applied;
mod deployed;
mod faults;
mod packages;
mod planned;
mod terraform;
