//! The ports of the message fabric. A backend is one module that implements them.

mod clock;
mod error;
mod port;

pub use clock::{Clock, ManualClock, SystemClock};
pub use error::{Error, ErrorKind};
pub use port::{
    Consumer, Deleted, Delivery, Lease, Limits, Outgoing, Publisher, Receive, Settlement,
};
