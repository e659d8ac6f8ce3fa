//! What holds for every input whatever. The fuzzers (`fuzz/`) run this with what they make up, the tests with the fuzzers' corpus.

mod records;
mod sources;
mod statements;

pub use super::process::fuzzing::frames;
pub use sources::source;
pub use statements::sql;

#[cfg(test)]
mod tests;
