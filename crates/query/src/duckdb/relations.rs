//! Finds the names that a query reads from, in the syntax tree of DuckDB's own parser (`json_serialize_sql`).

use super::errors::engine_error;
use super::tree::{Tree, Value};
use crate::engine::EngineError;
use duckdb::Connection;

/// The names that `query` reads from, with one to three parts each, without its own CTEs. `None` if DuckDB cannot serialize it.
pub(super) fn names(
    connection: &Connection,
    query: &str,
) -> Result<Option<Vec<Vec<String>>>, EngineError> {
    let sql = "SELECT system.main.json_serialize_sql(?::VARCHAR)";
    let tree = connection.query_row(sql, [query], |row| row.get::<_, String>(0));
    let tree = Tree::read(&tree.map_err(engine_error)?);
    let root = tree
        .as_ref()
        .and_then(|tree| Some((tree, tree.field(0, "statements")?)));
    Ok(root.map(|(tree, root)| walk(tree, root)))
}

/// The pending tasks, the last first.
enum Step {
    Visit(usize),
    /// From here on a CTE of this name is visible.
    Hide(String),
    /// The name of a table or a CTE.
    Name(Vec<String>),
    /// The number of visible CTEs.
    Restore(usize),
}

fn walk(tree: &Tree, root: usize) -> Vec<Vec<String>> {
    let (mut names, mut hidden) = (Vec::new(), Vec::<String>::new());
    let mut steps = vec![Step::Visit(root)];
    while let Some(step) = steps.pop() {
        let id = match step {
            Step::Visit(id) => id,
            Step::Hide(name) => {
                hidden.push(name);
                continue;
            }
            Step::Name(parts) => {
                let is_cte =
                    matches!(&parts[..], [name] if hidden.contains(&name.to_ascii_lowercase()));
                if !is_cte {
                    names.push(parts);
                }
                continue;
            }
            Step::Restore(depth) => {
                hidden.truncate(depth);
                continue;
            }
        };
        match tree.value(id) {
            Value::Array(items) => steps.extend(items.iter().rev().map(|id| Step::Visit(*id))),
            Value::Object(fields) => {
                steps.push(Step::Restore(hidden.len()));
                let others = fields.iter().filter(|(name, _)| *name != "cte_map");
                steps.extend(others.map(|(_, id)| Step::Visit(*id)));
                if tree.text_of(id, "type") == Some("BASE_TABLE") {
                    let parts = ["catalog_name", "schema_name", "table_name"].into_iter();
                    let parts = parts.filter_map(|part| tree.text_of(id, part));
                    let parts = parts.filter(|part| !part.is_empty()).map(str::to_owned);
                    steps.push(Step::Name(parts.collect()));
                }
                // A CTE may read a table of its own name, and later ones read the CTE.
                let ctes = tree
                    .field(id, "cte_map")
                    .and_then(|map| tree.field(map, "map"));
                for cte in ctes.map_or(&[][..], |map| tree.items(map)).iter().rev() {
                    let name = tree.text_of(*cte, "key").map(str::to_ascii_lowercase);
                    steps.extend(name.map(Step::Hide));
                    steps.extend(tree.field(*cte, "value").map(Step::Visit));
                }
            }
            _ => {}
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::names;
    use duckdb::Connection;

    #[test]
    fn a_cte_hides_a_table_only_where_it_is_seen() {
        let connection = Connection::open_in_memory().expect("memory");
        let names = |query| {
            let names = names(&connection, query).expect("names");
            names.unwrap_or_default()
        };
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

    #[test]
    fn a_long_expression_hides_no_name() {
        let connection = Connection::open_in_memory().expect("memory");
        let long = format!("SELECT {} FROM t", vec!["a"; 300].join(" + "));
        let names = names(&connection, &long).expect("names");
        assert_eq!(names, Some(vec![vec!["t".to_owned()]]));
    }
}
