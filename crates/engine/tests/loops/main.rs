//! The worker and the results consumer on the fabric in memory, with a clock that the tests move.

mod poison;
mod simulation;
mod support;
mod waits;
mod worker;
