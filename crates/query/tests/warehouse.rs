//! The warehouse's file, and what its sessions are like.

mod support;

use serde_json::json;
use support::{engine, refused, rows, work};

#[tokio::test]
async fn a_warehouse_of_a_newer_duckdb_is_refused_for_good_with_both_versions() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("warehouse.duckdb");
    drop(duckdb::Connection::open(&file).expect("a warehouse"));
    let mut bytes = std::fs::read(&file).expect("read");
    // Where DuckDB's first page says what wrote the file.
    bytes[12..20].copy_from_slice(&999_u64.to_le_bytes());
    bytes[52..60].copy_from_slice(b"v99.0.1\0");
    std::fs::write(&file, bytes).expect("written");
    let engine = engine(folder.path());
    let why = refused(&engine, work("SELECT 1")).await;
    assert!(
        why.contains("was written by DuckDB v99.0.1") && why.contains("pip install"),
        "{why}"
    );
}

#[tokio::test]
async fn the_day_of_an_instant_is_that_of_utc() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(folder.path());
    let day =
        "SELECT CAST(TIMESTAMPTZ '2024-01-01 02:00:00+00' AS DATE), current_setting('TimeZone')";
    assert_eq!(
        rows(&engine, work(day)).await,
        [json!(["2024-01-01", "UTC"])]
    );
}
