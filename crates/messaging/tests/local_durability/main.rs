//! The promises of the embedded fabric beyond one process: crashes, several processes, a full disk (lines 75 to 79 and 81 of the
//! behaviours). A child is this test binary again, in the role that an environment variable names.

mod child;
mod crash;
mod disk;
mod fabric;
mod processes;
