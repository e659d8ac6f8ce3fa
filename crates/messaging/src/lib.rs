//! The ports of the message fabric, and the backends behind them. A backend is a module that implements the ports and
//! passes the suite in `conformance`.
//!
//! Without features this crate has the ports alone. `local`, `memory` and `aws` each add a backend, and `conformance` the suite.
//! `src/port.rs` draws the life of a delivery and lists what a backend has to provide.

#[cfg(feature = "aws")]
pub mod aws;
pub mod claims;
mod clock;
#[cfg(feature = "conformance")]
pub mod conformance;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod idempotency;
mod limits;
#[cfg(feature = "local")]
pub mod local;
#[cfg(feature = "memory")]
pub mod memory;
mod operations;
mod port;
mod topology;

pub use claims::ClaimStore;
pub use clock::{Clock, ManualClock, SystemClock};
pub use idempotency::{BeginOutcome, IdempotencyRecord, IdempotencyStore, Key, RunningRequest};
pub use operations::{Counts, Operations, Stored, replay_paced};
pub use port::{
    Consumer, DeadLetter, Deleted, Delivery, Hold, Kept, Lease, Limits, Message, Publisher,
    Receive, Settlement,
};
pub use pudato_protocol::{Code, Error, ErrorKind, Retry};
pub use topology::{QueueConfig, Redrive, Subscription, Topology};
