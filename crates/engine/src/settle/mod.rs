//! From a decision to a settled message: makes the answer ready, carries out the decision, settles in batches.

mod batch;
mod carry_out;
mod prepare;

pub use batch::{Pending, Settler};
pub use carry_out::{Answer, Policy, Settling, carry_out};
pub use prepare::{Prepared, Preparer};
