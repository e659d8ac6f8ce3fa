//! docs/registry-schema.md names the columns of both stores, with their types, and its queries run on both.

use pudato_registry::{PostgresRegistry, RegistryStore, SqliteRegistry};
use pudato_testing::{Postgres, skipped};
use std::collections::{BTreeMap, BTreeSet};

const PAGE: &str = include_str!("../../../../docs/registry-schema.md");

/// Tables and their columns, each with its type.
type Tables = BTreeMap<String, BTreeMap<String, String>>;

/// What the page says of a store; a type that differs on PostgreSQL is written `text; PostgreSQL: bytea`.
fn described(is_postgres: bool) -> Tables {
    let mut tables = Tables::new();
    let mut table = None;
    for line in PAGE.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            let name = heading
                .strip_prefix('`')
                .and_then(|rest| rest.strip_suffix('`'));
            table = name.map(str::to_owned);
        }
        let cells: Vec<&str> = line.split(" | ").collect();
        if let (Some(table), [column, types, _]) = (&table, &cells[..])
            && let Some(column) = column.strip_prefix("| `")
        {
            let (first, other) = types.split_once("; PostgreSQL: ").unwrap_or((types, types));
            let of_store = if is_postgres { other } else { first };
            let columns = tables.entry(table.clone()).or_default();
            columns.insert(column.trim_end_matches('`').to_owned(), of_store.to_owned());
        }
    }
    tables
}

/// The names of tables and columns that the page says are internal.
fn internal() -> BTreeSet<&'static str> {
    let (_, rest) = PAGE
        .split_once("- Everything else is internal")
        .expect("a list");
    let item = rest.split("\n- ").next().unwrap_or_default();
    item.split('`').skip(1).step_by(2).collect()
}

fn queries() -> Vec<&'static str> {
    let blocks = PAGE.split("```sql\n").skip(1);
    blocks
        .filter_map(|block| block.split("```").next())
        .collect()
}

/// Compares the page with what a store has, in both directions.
fn check(described: &Tables, found: &Tables) {
    assert_eq!(described.len(), 8, "{described:?}");
    for (table, columns) in described {
        for (column, r#type) in columns {
            let there = found.get(table).and_then(|columns| columns.get(column));
            assert_eq!(there, Some(r#type), "the page says {table}.{column}");
        }
    }
    let internal = internal();
    for (table, columns) in found {
        for column in columns.keys() {
            let told = described
                .get(table)
                .is_some_and(|columns| columns.contains_key(column));
            let is_internal = internal.contains(&**table) || internal.contains(&**column);
            assert!(told || is_internal, "the page lacks {table}.{column}");
        }
    }
}

/// Rows of table, column and type, as the store calls it.
fn tables(rows: impl Iterator<Item = (String, String, String)>) -> Tables {
    let mut tables = Tables::new();
    for (table, column, r#type) in rows {
        let r#type = match r#type.to_ascii_lowercase().as_str() {
            "integer" | "bigint" => "integer".to_owned(),
            other => other.to_owned(),
        };
        tables.entry(table).or_default().insert(column, r#type);
    }
    tables
}

#[test]
fn the_page_of_the_tables_describes_a_sqlite_registry() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("registry.db");
    drop(SqliteRegistry::open(&path).expect("opened"));
    let connection = rusqlite::Connection::open(&path).expect("opened");
    let mut statement = connection
        .prepare(
            "SELECT t.name, c.name, c.type FROM sqlite_master AS t JOIN pragma_table_info(t.name) AS c
             WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%'",
        )
        .expect("prepared");
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
    let rows = rows.expect("asked").map(|row| row.expect("a row"));
    check(&described(false), &tables(rows));
    assert_eq!(queries().len(), 5);
    for query in queries() {
        let mut statement = connection.prepare(query).expect(query);
        let rows = statement.query_map([], |_| Ok(())).expect(query);
        assert_eq!(rows.count(), 0);
    }
}

#[tokio::test]
async fn the_page_of_the_tables_describes_a_postgresql_registry() {
    let server = match Postgres::shared() {
        Ok(server) => server,
        Err(why) => return skipped("the_page_of_the_tables", &why),
    };
    let database = server.database().expect("a database");
    let store = PostgresRegistry::open(&database.url).await.expect("opened");
    // The first question connects, and makes the tables.
    store.get_job("job-1").await.expect("asked");
    let psql = |sql: &str| server.psql(&database.name, sql).expect(sql);
    let found = psql(
        "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = 'pudato'",
    );
    let rows = found.lines().map(|line| {
        let mut cells = line.split('|').map(str::to_owned);
        let mut cell = || cells.next().unwrap_or_default();
        (cell(), cell(), cell())
    });
    check(&described(true), &tables(rows));
    for query in queries() {
        assert_eq!(
            psql(&format!("SET search_path = pudato; {query}")).trim(),
            ""
        );
    }
}
