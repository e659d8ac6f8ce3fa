//! From a decision to a settled message: make the answer ready, carry the decision out, settle in batches.

mod batch;
mod carry_out;
mod prepare;

pub use batch::{Pending, Settler};
pub use carry_out::{Answer, Policy, Settling, carry_out};
pub use prepare::{Prepared, Preparer};
