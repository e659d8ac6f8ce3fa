//! Real servers for the tests and measurements of pudato: on loopback, on free ports, stopped when who started them ends.

mod emulator;
mod postgres;
mod proxy;

pub use emulator::Emulator;
pub use postgres::{Database, Postgres, Session};
pub use proxy::{Call, Fault, Proxy};

/// What to do where a part that a test needs cannot be had: in CI, which sets `CI`, that is a failure; elsewhere the test says why
/// it did nothing.
///
/// # Panics
/// In CI.
pub fn skipped(test: &str, why: &str) {
    assert!(std::env::var_os("CI").is_none(), "{test}: {why}");
    eprintln!("{test}: skipped: {why}");
}
