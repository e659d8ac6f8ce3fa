//! How each engine compares table names, so that two spellings of one table are one dataset.

use std::borrow::Cow;

/// How an engine treats the case of names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// The engine ignores case, even in quoted names.
    NoCase,
    /// The engine stores unquoted names in lower case.
    Lower,
    /// The engine stores unquoted names in upper case.
    Upper,
    /// The engine stores every name as written.
    AsWritten,
}

/// The rule of an engine, by the scheme of its namespace or by the name of dbt's adapter.
///
/// DuckDB, SQLite: documentation, "Identifiers": compared without case. Redshift: small letters, also in quotes, unless
/// `enable_case_sensitive_identifier` is set. Spark, Databricks, Hive, Trino, Athena: compared without case. PostgreSQL: "Identifiers and Key
/// Words". Snowflake: "Identifier requirements". BigQuery: tables have case. MySQL and SQL Server: as the server is set up.
fn rule(engine: &str) -> Rule {
    match engine {
        "duckdb" | "ducklake" | "sqlite" | "redshift" | "spark" | "databricks" | "hive"
        | "trino" | "athena" | "awsathena" => Rule::NoCase,
        "postgres" => Rule::Lower,
        "snowflake" | "oracle" => Rule::Upper,
        _ => Rule::AsWritten,
    }
}

/// The engine of a namespace, e.g. `duckdb` of `duckdb:///w.duckdb`.
fn engine(namespace: &str) -> &str {
    namespace
        .split_once("://")
        .map_or(namespace, |(scheme, _)| scheme)
}

/// A part of a table's name as the engine of `namespace` stores it. Engines change the case of ASCII letters only.
///
/// ```
/// use pudato_protocol::folded;
///
/// assert_eq!(folded("postgres://db:5432", "Orders", false), "orders");
/// assert_eq!(folded("postgres://db:5432", "Orders", true), "Orders");
/// assert_eq!(folded("snowflake://acme", "Orders", false), "ORDERS");
/// assert_eq!(folded("duckdb:///w.duckdb", "Orders", true), "orders");
/// ```
pub fn folded<'a>(namespace: &str, name: &'a str, is_quoted: bool) -> Cow<'a, str> {
    match (rule(engine(namespace)), is_quoted) {
        (Rule::NoCase, _) | (Rule::Lower, false) => lower(name),
        (Rule::Upper, false) if name.contains(|c: char| c.is_ascii_lowercase()) => {
            Cow::Owned(name.to_ascii_uppercase())
        }
        _ => Cow::Borrowed(name),
    }
}

fn lower(text: &str) -> Cow<'_, str> {
    match text.contains(|c: char| c.is_ascii_uppercase()) {
        true => Cow::Owned(text.to_ascii_lowercase()),
        false => Cow::Borrowed(text),
    }
}

/// The canonical location of a dataset: for engines that ignore case, the table name is in lower case.
///
/// ```
/// use pudato_protocol::canonical;
///
/// assert_eq!(canonical("duckdb:///Data/w.duckdb#W.RAW.Orders"), "duckdb:///Data/w.duckdb#w.raw.orders");
/// assert_eq!(canonical("s3://lake/RAW/Orders.csv"), "s3://lake/RAW/Orders.csv");
/// ```
pub fn canonical(location: &str) -> Cow<'_, str> {
    let table = location.split_once('#');
    let Some((namespace, name)) = table.filter(|(namespace, _)| namespace.contains("://")) else {
        return Cow::Borrowed(location);
    };
    match (rule(engine(namespace)), lower(name)) {
        (Rule::NoCase, Cow::Owned(name)) => Cow::Owned(format!("{namespace}#{name}")),
        _ => Cow::Borrowed(location),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dataset;

    #[test]
    fn each_engine_compares_names_by_its_own_rule() {
        for (engine, unquoted, quoted) in [
            ("duckdb", "straße a", "straße a"),
            ("sqlite", "straße a", "straße a"),
            ("redshift", "straße a", "straße a"),
            ("spark", "straße a", "straße a"),
            ("postgres", "straße a", "Straße A"),
            ("snowflake", "STRAßE A", "Straße A"),
            ("bigquery", "Straße A", "Straße A"),
            ("mysql", "Straße A", "Straße A"),
        ] {
            let namespace = format!("{engine}://host");
            assert_eq!(folded(&namespace, "Straße A", false), unquoted, "{engine}");
            assert_eq!(folded(&namespace, "Straße A", true), quoted, "{engine}");
            assert_eq!(
                Dataset::table(&namespace, &["Straße A"]).name,
                quoted,
                "{engine}"
            );
        }
    }

    #[test]
    fn what_is_no_table_keeps_its_name() {
        for location in [
            "s3://lake/A#B",
            "file:///A/B#C",
            "A.B",
            "postgres://db:5432#d.s.Orders",
            "duckdb:///W.duckdb",
            "bigquery#P.D.T",
        ] {
            assert_eq!(canonical(location), location);
        }
    }
}
