//! The rows of a query's answer, as a table.

use pudato_runtime::protocol::Object;
use serde_json::Value;

/// The width of the widest cell: longer texts are cut, so that a line stays readable. `--json` prints them in full.
const CELL_MAX: usize = 60;

/// A query's answer as lines; `None` if the data is not an answer of a query.
pub fn table(data: &Object) -> Option<Vec<String>> {
    let columns = data.get("columns")?.as_array()?;
    let rows = data.get("rows")?.as_array()?;
    let names: Vec<String> = columns.iter().map(|column| cell(&column["name"])).collect();
    let rows: Vec<&Vec<Value>> = rows.iter().filter_map(Value::as_array).collect();
    if names == ["explain_key", "explain_value"] {
        return Some(plans(&rows));
    }
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| row.iter().map(cell).collect())
        .collect();
    let is_number = |n: usize| {
        let r#type = columns[n]["type"].as_str().unwrap_or_default();
        let numbers = ["INT", "DECIMAL", "DOUBLE", "FLOAT"];
        numbers.iter().any(|number| r#type.contains(number)) && !r#type.contains(['[', '('])
            || r#type.starts_with("DECIMAL")
    };
    let width = |n: usize| {
        let widths = cells.iter().map(|row| row[n].chars().count());
        widths.chain([names[n].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..names.len()).map(width).collect();
    let line = |row: &[String]| {
        let padded = row.iter().enumerate().map(|(n, cell)| {
            let space = " ".repeat(widths[n] - cell.chars().count());
            if is_number(n) {
                format!("{space}{cell}")
            } else {
                format!("{cell}{space}")
            }
        });
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let rule: Vec<String> = widths.iter().map(|width| "─".repeat(*width)).collect();
    let mut lines = vec![line(&names), rule.join("  ")];
    lines.extend(cells.iter().map(|row| line(row)));
    if data.get("truncated") == Some(&Value::Bool(true)) {
        lines.push(format!(
            "… more rows than these {}; ask for more with max_rows",
            cells.len()
        ));
    }
    Some(lines)
}

/// The plans of an EXPLAIN, each below its name. They are drawings of several lines, which a cell could not show.
fn plans(rows: &[&Vec<Value>]) -> Vec<String> {
    let mut lines = Vec::new();
    for row in rows {
        let texts = row.iter().filter_map(Value::as_str);
        lines.extend(texts.flat_map(str::lines).map(str::to_owned));
    }
    lines
}

fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => String::new(),
        Value::String(text) => text.replace(['\n', '\r', '\t'], " "),
        other => other.to_string(),
    };
    if text.chars().count() <= CELL_MAX {
        return text;
    }
    let cut: String = text.chars().take(CELL_MAX - 1).collect();
    format!("{cut}…")
}

#[cfg(test)]
mod tests {
    use super::table;
    use serde_json::json;

    #[test]
    fn numbers_are_aligned_right_and_texts_left() {
        let data = json!({
            "columns": [{"name": "state", "type": "VARCHAR"}, {"name": "n", "type": "BIGINT"}],
            "rows": [["Texas", 12], [null, 3]], "truncated": true,
        });
        let lines = table(data.as_object().expect("an object")).expect("a table");
        assert_eq!(lines[0], "state   n");
        assert_eq!(lines[2], "Texas  12");
        assert_eq!(lines[3], "        3");
        assert!(lines[4].starts_with("… more rows"));
    }

    #[test]
    fn a_plan_keeps_its_lines() {
        let plan = "┌──────┐\n│ SCAN │\n└──────┘\n";
        let data = json!({
            "columns": [{"name": "explain_key", "type": "VARCHAR"}, {"name": "explain_value", "type": "VARCHAR"}],
            "rows": [["logical_plan", plan], ["physical_plan", plan]],
        });
        let lines = table(data.as_object().expect("an object")).expect("lines");
        let drawn = ["┌──────┐", "│ SCAN │", "└──────┘"];
        let right = [&["logical_plan"][..], &drawn, &["physical_plan"], &drawn].concat();
        assert_eq!(lines, right);
    }
}
