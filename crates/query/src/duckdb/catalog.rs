//! Lists tables and views, and resolves the names in a statement.

use super::errors::engine_error;
use crate::engine::EngineError;
use duckdb::Connection;

// pudato's own SQL names every function with `system.main`, because a macro in the warehouse with the name of a built-in function would
// replace it (seen with DuckDB 1.5.6, also for `count(*)`, `{..}` and `||`).

/// Whether DuckDB has a built-in function with this name.
pub(super) fn is_built_in(connection: &Connection, function: &str) -> Result<bool, EngineError> {
    let sql = "SELECT system.main.count(*) > 0 FROM system.main.duckdb_functions() WHERE internal AND function_name = ?";
    let found = connection.query_row(sql, [function.to_ascii_lowercase()], |row| row.get(0));
    found.map_err(engine_error)
}

/// A table or view of the catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// The catalog, schema and name, as first written.
    pub(super) parts: [String; 3],
    pub(super) is_view: bool,
    /// The statement that created it.
    pub(super) sql: Option<String>,
}

/// The catalog of tables that live as long as their connection.
pub(super) const TEMPORARY: &str = "temp";

/// The tables and views at one moment of a transaction.
#[derive(Debug, Clone, Default)]
pub(super) struct Catalog {
    entries: Vec<Entry>,
    database: String,
}

impl Catalog {
    pub(super) fn read(connection: &Connection, database: &str) -> Result<Self, EngineError> {
        // One after the other, because a UNION of both takes DuckDB twice as long (measured with 1.5.6).
        let mut entries = Vec::new();
        for sql in [
            "SELECT database_name, schema_name, table_name, false, NULL FROM system.main.duckdb_tables() WHERE NOT internal",
            "SELECT database_name, schema_name, view_name, true, sql FROM system.main.duckdb_views() WHERE NOT internal",
        ] {
            let mut statement = connection.prepare(sql).map_err(engine_error)?;
            let rows = statement.query_map([], |row| {
                Ok(Entry {
                    parts: [row.get(0)?, row.get(1)?, row.get(2)?],
                    is_view: row.get(3)?,
                    sql: row.get(4)?,
                })
            });
            let rows = rows.map_err(engine_error)?.collect::<Result<Vec<_>, _>>();
            entries.extend(rows.map_err(engine_error)?);
        }
        Ok(Self {
            entries,
            database: database.to_owned(),
        })
    }

    /// Whether there are views. If not, no statement can have read one.
    pub(super) fn has_views(&self) -> bool {
        self.entries
            .iter()
            .any(|entry| entry.is_view && entry.parts[0] != TEMPORARY)
    }

    /// Resolves `name` in DuckDB's order: temporary objects, then the schema `main`. Like DuckDB, it ignores the case of ASCII letters,
    /// even in quoted names.
    pub(super) fn resolve(&self, name: &[String]) -> Option<&Entry> {
        let find = |parts: [&str; 3]| {
            self.entries.iter().find(|entry| {
                let pairs = entry.parts.iter().zip(parts);
                pairs
                    .into_iter()
                    .all(|(own, other)| own.eq_ignore_ascii_case(other))
            })
        };
        let database = self.database.as_str();
        match name {
            [name] => find([TEMPORARY, "main", name]).or_else(|| find([database, "main", name])),
            [first, name] => find([database, first, name]).or_else(|| find([first, "main", name])),
            [catalog, schema, name] => find([catalog, schema, name]),
            _ => None,
        }
    }
}
