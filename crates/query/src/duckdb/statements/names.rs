//! Quotes names and texts for SQL, and reads quoted names back.

use super::cursor::Cursor;
use crate::duckdb::tokens::tokens;

/// The parts of a name as DuckDB prints it: `catalog.schema."quoted ""name"""`.
pub(in crate::duckdb) fn printed_name(name: &str) -> Option<Vec<String>> {
    let tokens = tokens(name).ok()?;
    let mut cursor = Cursor::new(name, &tokens);
    let parts = cursor.name()?;
    (cursor.next == tokens.len()).then_some(parts)
}

/// Quotes a name for SQL. The one function that does.
pub(in crate::duckdb) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Quotes a text for SQL; for names of files of our own only, since values are bound.
pub(in crate::duckdb) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::{printed_name, quote};

    #[test]
    fn a_quoted_name_is_one_name_and_read_back_as_it_was() {
        let long = "x".repeat(10_000);
        for name in [
            "a",
            "a\"b",
            "a.b",
            "\"",
            "; DROP TABLE t --",
            "Größe\n日本",
            "select",
            " ",
            &long,
        ] {
            assert_eq!(
                printed_name(&quote(name)),
                Some(vec![name.to_owned()]),
                "{name:?}"
            );
        }
    }
}
