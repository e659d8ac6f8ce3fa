//! The worker and the results consumer on the fabric in memory and a clock that is moved.

mod poison;
mod simulation;
mod support;
mod waits;
mod worker;
