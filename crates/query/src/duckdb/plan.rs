//! Reads what DuckDB's binder found: its logical plan before the optimizer, in which views, macros and CTEs are resolved and every
//! table has its full name.

use super::statements::printed_name;
use serde_json::Value;
use std::collections::BTreeSet;

/// What a bound statement reads.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Reads {
    /// Catalog, schema and name of each table.
    pub(super) tables: BTreeSet<[String; 3]>,
    /// Functions that read a file, or change how the engine runs.
    pub(super) outside: BTreeSet<String>,
    /// Functions that may read what the plan does not show.
    pub(super) unknown: BTreeSet<String>,
}

/// Leaves that read nothing but their arguments, their own rows, or the catalog. (DuckDB 1.5.6: `duckdb_functions()` where
/// the type is `table`, and the operators without children.)
const HARMLESS: [&str; 20] = [
    "CHUNK_GET",
    "COLUMN_DATA_SCAN",
    "CTE_SCAN",
    "REC_CTE_SCAN",
    "RECURSIVE_CTE_SCAN",
    "DELIM_GET",
    "DUMMY_SCAN",
    "EMPTY_RESULT",
    "EXPRESSION_GET",
    "GENERATE_SERIES",
    "ICU_CALENDAR_NAMES",
    "JSON_EACH",
    "JSON_TREE",
    "PG_TIMEZONE_NAMES",
    "RANGE",
    "REPEAT",
    "REPEAT_ROW",
    "TEST_ALL_TYPES",
    "TEST_VECTOR_TYPES",
    "UNNEST",
];
const HARMLESS_PREFIXES: [&str; 2] = ["DUCKDB_", "PRAGMA_"];

/// Functions that reach files or settings; the engine's own lock refuses most of them, but not inside the scratch folder.
const OUTSIDE_PREFIXES: [&str; 10] = [
    "READ_",
    "PARQUET_",
    "GLOB",
    "SNIFF_",
    "ENABLE_",
    "DISABLE_",
    "TRUNCATE_DUCKDB",
    "WHICH_SECRET",
    "ARROW_SCAN",
    "PANDAS_SCAN",
];

/// Operators that write; they have no children where they take no rows.
const WRITERS: [&str; 10] = [
    "ALTER",
    "ANALYZE",
    "CREATE_INDEX",
    "CREATE_MACRO",
    "CREATE_SCHEMA",
    "CREATE_SEQUENCE",
    "CREATE_TABLE",
    "CREATE_TYPE",
    "CREATE_VIEW",
    "DROP",
];

/// Reads the JSON of EXPLAIN. `None` where DuckDB shows no plan for the statement.
pub(super) fn reads(plan: &str) -> Option<Reads> {
    let nodes: Value = serde_json::from_str(plan).ok()?;
    let nodes = nodes.as_array().filter(|nodes| !nodes.is_empty())?;
    let mut reads = Reads::default();
    let mut open: Vec<&Value> = nodes.iter().collect();
    while let Some(node) = open.pop() {
        let children = node["children"].as_array();
        let is_leaf = children.is_none_or(Vec::is_empty);
        open.extend(children.into_iter().flatten());
        let name = node["name"].as_str().unwrap_or_default().trim();
        if let Some(table) = node["extra_info"]["Table"].as_str() {
            match printed_name(table).map(<[String; 3]>::try_from) {
                Some(Ok(parts)) => reads.tables.insert(parts),
                _ => reads.unknown.insert(table.to_owned()),
            };
            continue;
        }
        let is = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
        if is(&OUTSIDE_PREFIXES) {
            reads.outside.insert(name.to_ascii_lowercase());
        } else if is_leaf
            && !HARMLESS.contains(&name)
            && !is(&HARMLESS_PREFIXES)
            && !WRITERS.contains(&name)
        {
            reads.unknown.insert(name.to_ascii_lowercase());
        }
    }
    Some(reads)
}
