//! Properties of every input. The fuzzers (`fuzz/`) check them with generated inputs, the tests with the fuzzers' corpus.

mod records;
mod sources;
mod statements;

pub use super::process::fuzzing::frames;
pub use sources::source;
pub use statements::sql;

#[cfg(test)]
mod tests;
