//! Reads DuckDB's logical plan before the optimizer, in which views, macros and CTEs are resolved and every table has its full name.
//!
//! This file lists everything that a plan may contain. Anything else is refused, because a function of a later DuckDB may reach what is
//! forbidden.

use super::answers::SCHEMA;
use super::statements::{Kind, printed_name};
use super::tree::Tree;
use std::collections::BTreeSet;

/// The names that a bound statement uses.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Reads {
    /// The catalog, schema and name of each table.
    pub(super) tables: BTreeSet<[String; 3]>,
    /// Functions that access files, settings or unknown things.
    pub(super) refused: BTreeSet<String>,
    /// Operators that do more than read.
    pub(super) changes: BTreeSet<String>,
}

/// Table functions that read only their arguments, their own rows, or the catalog (DuckDB 1.5.6: `duckdb_functions()` with the type
/// `table`). Functions that access files, settings, logs, other commands or a table by its name are left out, and so are those that run a
/// text. `query` and `query_table` are not needed, because the plan shows what they read.
const FUNCTIONS: [&str; 39] = [
    "DUCKDB_APPROX_DATABASE_COUNT",
    "DUCKDB_COLUMNS",
    "DUCKDB_CONNECTION_COUNT",
    "DUCKDB_CONSTRAINTS",
    "DUCKDB_COORDINATE_SYSTEMS",
    "DUCKDB_DATABASES",
    "DUCKDB_DEPENDENCIES",
    "DUCKDB_EXTENSIONS",
    "DUCKDB_FUNCTIONS",
    "DUCKDB_INDEXES",
    "DUCKDB_KEYWORDS",
    "DUCKDB_MEMORY",
    "DUCKDB_OPTIMIZERS",
    "DUCKDB_SCHEMAS",
    "DUCKDB_SECRET_TYPES",
    "DUCKDB_SEQUENCES",
    "DUCKDB_SETTINGS",
    "DUCKDB_TABLES",
    "DUCKDB_TYPES",
    "DUCKDB_VARIABLES",
    "DUCKDB_VIEWS",
    "GENERATE_SERIES",
    "ICU_CALENDAR_NAMES",
    "JSON_EACH",
    "JSON_TREE",
    "PG_TIMEZONE_NAMES",
    "PRAGMA_COLLATIONS",
    "PRAGMA_DATABASE_SIZE",
    "PRAGMA_PLATFORM",
    "PRAGMA_SHOW",
    "PRAGMA_TABLE_INFO",
    "PRAGMA_USER_AGENT",
    "PRAGMA_VERSION",
    "RANGE",
    "REPEAT",
    "REPEAT_ROW",
    "SUMMARY",
    "TEST_ALL_TYPES",
    "TEST_VECTOR_TYPES",
];

/// Operators of a query (DuckDB 1.5.6: `LogicalOperatorToString`). CHUNK_GET is left out: it is the result of DESCRIBE, and hides what
/// DESCRIBE read.
const OPERATORS: [&str; 28] = [
    "AGGREGATE",
    "ANY_JOIN",
    "ASOF_JOIN",
    "COMPARISON_JOIN",
    "CROSS_PRODUCT",
    "CTE",
    "CTE_SCAN",
    "DELIM_GET",
    "DELIM_JOIN",
    "DEPENDENT_JOIN",
    "DISTINCT",
    "DUMMY_SCAN",
    "EMPTY_RESULT",
    "EXCEPT",
    "EXPRESSION_GET",
    "FILTER",
    "INTERSECT",
    "JOIN",
    "LIMIT",
    "ORDER_BY",
    "PIVOT",
    "POSITIONAL_JOIN",
    "PROJECTION",
    "REC_CTE",
    "SAMPLE",
    "UNION",
    "UNNEST",
    "WINDOW",
];

/// The result of DESCRIBE.
pub(super) const DESCRIBED: &str = "CHUNK_GET";

/// Operators that do more than read (DuckDB 1.5.6: `LogicalOperatorToString`).
const CHANGES: [&str; 30] = [
    "ALTER",
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

/// The table functions in the plan of a COPY from a file.
const LOADERS: [&str; 5] = [
    "PARQUET_SCAN",
    "READ_CSV",
    "READ_CSV_AUTO",
    "READ_JSON",
    "READ_PARQUET",
];

/// Checks that the plan does what the statement's kind says and nothing else. The kind comes from the text, the plan from DuckDB.
///
/// # Errors
/// The error for the caller.
pub(super) fn check(reads: &Reads, kind: Kind) -> Result<(), String> {
    let allowed: &[&str] = match kind {
        Kind::Query
        | Kind::Show
        | Kind::Explain
        | Kind::ExplainAnalyze
        | Kind::ExplainChange
        | Kind::Unknown => &[],
        Kind::Insert => &["INSERT", "MERGE_INTO"],
        Kind::CopyFrom => &["INSERT"],
        Kind::Update => &["UPDATE"],
        Kind::Delete | Kind::Truncate => &["DELETE"],
        Kind::Merge => &["MERGE_INTO"],
        Kind::CreateTable => &["CREATE_TABLE"],
        Kind::CreateView => &["CREATE_VIEW"],
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
        Kind::Upkeep => &["RESET", "SET", "VACUUM"],
    };
    let is_allowed = |name: &&String| allowed.contains(&name.as_str());
    if let Some(other) = reads.changes.iter().find(|name| !is_allowed(name)) {
        return Err(format!(
            "payload.sql: it is not allowed: it begins like {}, but DuckDB reads it as {}",
            kind.name(),
            other.to_ascii_lowercase()
        ));
    }
    if reads.changes.is_empty() && !allowed.is_empty() {
        return Err(format!(
            "payload.sql: it is not allowed: it begins like {}, but DuckDB reads it as a query",
            kind.name()
        ));
    }
    let is_loader = |name: &str| kind == Kind::CopyFrom && LOADERS.contains(&name);
    if let Some(function) = reads.refused.iter().find(|name| !is_loader(name)) {
        let function = function.to_ascii_lowercase();
        return Err(match function.eq_ignore_ascii_case(DESCRIBED) {
            true => "payload.sql: DESCRIBE within a query is not allowed: send it as a statement of its own".into(),
            false => format!(
                "payload.sql: {function} is not allowed: SQL reads the warehouse and the Command's `sources` only"
            ),
        });
    }
    match reads
        .tables
        .iter()
        .find(|parts| parts[1].eq_ignore_ascii_case(SCHEMA))
    {
        Some(_) => Err(super::answers::refused()),
        None => Ok(()),
    }
}

/// Parses the JSON of EXPLAIN; `None` if it is not a plan.
pub(super) fn reads(plan: &str) -> Option<Reads> {
    let tree = Tree::read(plan)?;
    let mut open = tree.items(0).to_vec();
    if open.is_empty() {
        return None;
    }
    let mut reads = Reads::default();
    while let Some(node) = open.pop() {
        if let Some(children) = tree.field(node, "children") {
            open.extend(tree.items(children));
        }
        let name = tree.text_of(node, "name")?.trim();
        let table = tree.field(node, "extra_info");
        if let Some(table) = table.and_then(|extra| tree.text_of(extra, "Table")) {
            match printed_name(table).map(<[String; 3]>::try_from) {
                Some(Ok(parts)) => reads.tables.insert(parts),
                _ => reads.refused.insert(table.to_owned()),
            };
        } else if CHANGES.contains(&name) {
            reads.changes.insert(name.to_owned());
        } else if !OPERATORS.contains(&name) && !FUNCTIONS.contains(&name) {
            reads.refused.insert(name.to_owned());
        }
    }
    Some(reads)
}

#[cfg(test)]
mod tests {
    use super::{FUNCTIONS, OPERATORS};
    use duckdb::Connection;
    use std::collections::BTreeSet;

    /// Table functions of the linked DuckDB that are refused. A new function must be reviewed and added here or to the allowed ones; until
    /// then it is refused as well.
    const REFUSED: [&str; 50] = [
        "ARROW_SCAN",
        "ARROW_SCAN_DUMB",
        "CHECKPOINT",
        "CHECK_PEG_PARSER",
        "DISABLE_LOGGING",
        "DISABLE_PEG_PARSER",
        "DISABLE_PROFILING",
        "DUCKDB_EXTERNAL_FILE_CACHE",
        "DUCKDB_LOGS",
        "DUCKDB_LOG_CONTEXTS",
        "DUCKDB_PREPARED_STATEMENTS",
        "DUCKDB_SECRETS",
        "DUCKDB_TABLE_SAMPLE",
        "DUCKDB_TEMPORARY_FILES",
        "ENABLE_LOGGING",
        "ENABLE_PEG_PARSER",
        "ENABLE_PROFILING",
        "FORCE_CHECKPOINT",
        "GLOB",
        "JSON_EXECUTE_SERIALIZED_SQL",
        "PARQUET_BLOOM_PROBE",
        "PARQUET_FILE_METADATA",
        "PARQUET_FULL_METADATA",
        "PARQUET_KV_METADATA",
        "PARQUET_METADATA",
        "PARQUET_SCAN",
        "PARQUET_SCHEMA",
        "PRAGMA_METADATA_INFO",
        "PRAGMA_STORAGE_INFO",
        "QUERY",
        "QUERY_TABLE",
        "READ_BLOB",
        "READ_CSV",
        "READ_CSV_AUTO",
        "READ_DUCKDB",
        "READ_JSON",
        "READ_JSON_AUTO",
        "READ_JSON_OBJECTS",
        "READ_JSON_OBJECTS_AUTO",
        "READ_NDJSON",
        "READ_NDJSON_AUTO",
        "READ_NDJSON_OBJECTS",
        "READ_NDJSON_OBJECTS_AUTO",
        "READ_PARQUET",
        "READ_TEXT",
        "SEQ_SCAN",
        "SNIFF_CSV",
        "SQL_AUTO_COMPLETE",
        "TRUNCATE_DUCKDB_LOGS",
        "WHICH_SECRET",
    ];

    #[test]
    fn every_table_function_of_duckdb_is_allowed_or_refused() {
        let connection = Connection::open_in_memory().expect("memory");
        let sql = "SELECT DISTINCT upper(function_name) FROM duckdb_functions() WHERE function_type = 'table'";
        let mut statement = connection.prepare(sql).expect("prepared");
        let found = statement.query_map([], |row| row.get::<_, String>(0));
        let found: BTreeSet<String> = found
            .expect("functions")
            .collect::<Result<_, _>>()
            .expect("names");
        let known = |name: &&String| {
            let name = name.as_str();
            FUNCTIONS.contains(&name) || OPERATORS.contains(&name) || REFUSED.contains(&name)
        };
        let new: Vec<&String> = found.iter().filter(|name| !known(name)).collect();
        assert!(new.is_empty(), "to be looked at: {new:?}");
        let gone: Vec<&&str> = FUNCTIONS
            .iter()
            .filter(|name| !found.contains(**name))
            .collect();
        assert!(gone.is_empty(), "not in this DuckDB: {gone:?}");
    }
}
