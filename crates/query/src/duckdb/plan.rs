//! Reads what DuckDB's binder found: its logical plan before the optimizer, in which views, macros and CTEs are resolved and every
//! table has its full name.

use super::statements::{Kind, printed_name};
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
    /// Operators that do something else than to read.
    pub(super) changes: BTreeSet<String>,
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

/// Operators that do something else than to read (DuckDB 1.5.6: `LogicalOperatorToString`).
const CHANGES: [&str; 31] = [
    "ALTER",
    "ANALYZE",
    "ATTACH",
    "COPY_DATABASE",
    "COPY_TO_FILE",
    "CREATE_INDEX",
    "CREATE_MACRO",
    "CREATE_SCHEMA",
    "CREATE_SECRET",
    "CREATE_SEQUENCE",
    "CREATE_TABLE",
    "CREATE_TYPE",
    "CREATE_VIEW",
    "CUSTOM_OP",
    "DELETE",
    "DETACH",
    "DROP",
    "EXECUTE",
    "EXPLAIN",
    "EXPORT",
    "INSERT",
    "LOAD",
    "MERGE_INTO",
    "PRAGMA",
    "PREPARE",
    "RESET",
    "SET",
    "TRANSACTION",
    "UPDATE",
    "UPDATE_EXTENSIONS",
    "VACUUM",
];

/// Whether the plan does what its statement's kind says, and nothing else: the kind was read from the text, the plan is what
/// DuckDB makes of it.
///
/// # Errors
/// What is said to whoever sent it.
pub(super) fn check(reads: &Reads, kind: Kind) -> Result<(), String> {
    let allowed: &[&str] = match kind {
        Kind::Query
        | Kind::Show
        | Kind::Explain
        | Kind::ExplainAnalyze
        | Kind::CreateView
        | Kind::Unknown => &[],
        Kind::Insert => &["INSERT", "MERGE_INTO"],
        Kind::CopyFrom => &["INSERT"],
        Kind::Update => &["UPDATE"],
        Kind::Delete | Kind::Truncate => &["DELETE"],
        Kind::Merge => &["MERGE_INTO"],
        Kind::CreateTable => &["CREATE_TABLE"],
        Kind::CreateOther => &[
            "ALTER",
            "CREATE_INDEX",
            "CREATE_MACRO",
            "CREATE_SCHEMA",
            "CREATE_SEQUENCE",
            "CREATE_TYPE",
        ],
        Kind::Drop => &["DROP"],
        Kind::Alter => &["ALTER"],
        Kind::Upkeep => &["ANALYZE", "RESET", "SET", "VACUUM"],
        Kind::ExplainChange => return Ok(()),
    };
    let is_allowed = |name: &&String| allowed.contains(&name.as_str());
    match reads.changes.iter().find(|name| !is_allowed(name)) {
        Some(other) => Err(format!(
            "payload.sql: it is not allowed: it begins like {}, and DuckDB reads it as {}",
            kind.name(),
            other.to_ascii_lowercase()
        )),
        None if reads.changes.is_empty() && !allowed.is_empty() => Err(format!(
            "payload.sql: it is not allowed: it begins like {}, and DuckDB reads it as a query",
            kind.name()
        )),
        None => Ok(()),
    }
}

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
        if CHANGES.contains(&name) {
            reads.changes.insert(name.to_owned());
        } else if is(&OUTSIDE_PREFIXES) {
            reads.outside.insert(name.to_ascii_lowercase());
        } else if is_leaf && !HARMLESS.contains(&name) && !is(&HARMLESS_PREFIXES) {
            reads.unknown.insert(name.to_ascii_lowercase());
        }
    }
    Some(reads)
}
