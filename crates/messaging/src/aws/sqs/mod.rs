//! Consumes the messages of one SQS queue.

pub(super) mod dead_letters;
mod event_source;
mod held;
mod leases;
pub(super) mod queue;
pub(super) mod receipt;
mod receive;
mod recently_deleted;
pub(super) mod settle;

pub use queue::SqsConsumer;
