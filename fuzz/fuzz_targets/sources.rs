//! The rows of CSV, TSV, JSON and JSON lines, against another reader. DuckDB is not instrumented, so each kind of outcome counts as
//! something new instead.
#![no_main]

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU8, Ordering};

const COUNTERS: usize = 1 << 14;

/// libFuzzer looks at what lies in this section as it looks at its own counters, and clears it before each input.
// SAFETY: the section exists for this, and its bytes are changed as atomics only while an input is run.
#[unsafe(link_section = "__libfuzzer_extra_counters")]
static OUTCOMES: [AtomicU8; COUNTERS] = [const { AtomicU8::new(0) }; COUNTERS];

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let outcome = pudato_query::duckdb::fuzzing::source(input);
    let mut hasher = DefaultHasher::new();
    outcome.hash(&mut hasher);
    let place = hasher.finish() as usize % COUNTERS;
    OUTCOMES[place].store(1, Ordering::Relaxed);
});
