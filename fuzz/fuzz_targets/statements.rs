//! The statements of a text, against DuckDB's parser.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &[u8]| pudato_query::duckdb::fuzzing::sql(text));
