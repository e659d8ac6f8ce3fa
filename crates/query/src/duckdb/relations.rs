//! The names that a query reads from, out of the tree that DuckDB's own parser makes of it (`json_serialize_sql`).

use super::errors::engine_error;
use crate::engine::EngineError;
use duckdb::Connection;
use serde_json::Value;

/// The names that `query` reads from: one to three parts each, without those of its own CTEs. A query that DuckDB cannot
/// write as a tree has none: that tells of views only, the tables below them are told by the binder.
pub(super) fn names(connection: &Connection, query: &str) -> Result<Vec<Vec<String>>, EngineError> {
    let tree = connection.query_row(
        "SELECT system.main.json_serialize_sql(?::VARCHAR)",
        [query],
        |row| row.get::<_, String>(0),
    );
    let tree: Value = serde_json::from_str(&tree.map_err(engine_error)?).unwrap_or_default();
    let mut names = Vec::new();
    walk(&tree["statements"], &mut Vec::new(), &mut names);
    Ok(names)
}

fn walk(node: &Value, hidden: &mut Vec<String>, names: &mut Vec<Vec<String>>) {
    match node {
        Value::Array(items) => items.iter().for_each(|item| walk(item, hidden, names)),
        Value::Object(fields) => {
            let depth = hidden.len();
            let ctes = node["cte_map"]["map"].as_array();
            // A CTE may read a table of its own name, and those after it read the CTE.
            for cte in ctes.into_iter().flatten() {
                walk(&cte["value"], hidden, names);
                hidden.extend(cte["key"].as_str().map(str::to_lowercase));
            }
            if node["type"] == "BASE_TABLE" {
                let part = |name: &str| {
                    node[name]
                        .as_str()
                        .filter(|part| !part.is_empty())
                        .map(str::to_owned)
                };
                let parts: Vec<String> = ["catalog_name", "schema_name", "table_name"]
                    .into_iter()
                    .filter_map(part)
                    .collect();
                let is_cte = matches!(&parts[..], [name] if hidden.contains(&name.to_lowercase()));
                if !is_cte {
                    names.push(parts);
                }
            }
            for (name, field) in fields {
                if name != "cte_map" {
                    walk(field, hidden, names);
                }
            }
            hidden.truncate(depth);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::names;
    use duckdb::Connection;

    #[test]
    fn a_cte_hides_a_table_only_where_it_is_seen() {
        let connection = Connection::open_in_memory().expect("memory");
        let names = |query| names(&connection, query).expect("names");
        assert_eq!(
            names("WITH t AS (SELECT 1 AS a) SELECT * FROM t, main.\"U v\" JOIN x USING (a)").len(),
            2
        );
        assert_eq!(
            names("WITH t AS (SELECT * FROM t) SELECT * FROM t"),
            [["t"]]
        );
        assert_eq!(
            names("SELECT * FROM (WITH t AS (SELECT 1) FROM t), t"),
            [["t"]]
        );
        assert!(names("INSERT INTO t SELECT 1").is_empty());
    }
}
