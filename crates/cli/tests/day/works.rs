//! The commands of an honest sender, each with its answer and its lineage.

use super::contents::{Row, answer, csv, sorted, summary};
use super::model::Write;
use super::senders::{Expects, Sender};
use serde_json::{Value, json};

/// Tables with more rows than this get no more rows, so that the commands of a long day are not slower than those of a short one.
const ROWS_MAX: usize = 300;

/// A command without its ids.
pub struct Work {
    pub service: &'static str,
    pub action: &'static str,
    pub payload: Value,
    pub expects: Expects,
    pub reads: Vec<String>,
    pub writes: Vec<Write>,
}

impl Work {
    fn sql(action: &'static str, payload: Value) -> Self {
        Self {
            service: "query",
            action,
            payload,
            expects: Expects::Done,
            reads: Vec::new(),
            writes: Vec::new(),
        }
    }

    fn storage(action: &'static str, payload: Value) -> Self {
        Self {
            service: "storage",
            ..Self::sql(action, payload)
        }
    }
}

impl Sender {
    /// The next commands of the sender.
    pub(super) fn work(&mut self, may_write: bool) -> Work {
        if self.contents.objects.is_empty() {
            return self.put();
        }
        if self.contents.tables.len() < 2 {
            return self.make();
        }
        // A command without lineage must not write, or the model would not know where the data came from.
        let kinds = if may_write { 14 } else { 5 };
        match self.random.below(kinds) {
            0 => self.select(),
            1 => self.summary(),
            2 => self.get(),
            3 => self.list(),
            4 => self.join(),
            5 | 6 => self.put(),
            7 => self.make(),
            8 => self.insert(),
            9 => self.copy(),
            10 => self.change(),
            11 => self.remove(),
            12 => self.export(),
            _ => self.script(),
        }
    }

    fn container(&self) -> String {
        self.prefix.clone()
    }

    fn object_location(&self, path: &str) -> String {
        format!("file://{}/{}/{path}", self.places.objects, self.prefix)
    }

    fn table_location(&self, table: &str) -> String {
        format!("duckdb://{}#warehouse.main.{table}", self.places.warehouse)
    }

    fn some_table(&mut self) -> String {
        let names: Vec<String> = self.contents.tables.keys().cloned().collect();
        self.random.pick(&names).clone()
    }

    fn some_object(&mut self) -> String {
        let names: Vec<String> = self.contents.objects.keys().cloned().collect();
        self.random.pick(&names).clone()
    }

    fn rows(&self, table: &str) -> Vec<Row> {
        self.contents.tables.get(table).cloned().unwrap_or_default()
    }

    /// New rows.
    fn new_rows(&mut self) -> Vec<Row> {
        let count = 1 + self.random.below(5);
        let rows = (0..count).map(|_| {
            self.last_row += 1;
            (self.last_row, format!("{}-{}", self.who, self.last_row))
        });
        rows.collect()
    }

    /// A condition in SQL, and whether a row meets it.
    fn condition(&mut self) -> (String, impl Fn(&Row) -> bool + use<>) {
        let modulus = 2 + self.random.below(4);
        let rest = self.random.below(modulus);
        let (modulus, rest) = (modulus as u64, rest as u64);
        (format!("n % {modulus} = {rest}"), move |row: &Row| {
            row.0 % modulus == rest
        })
    }

    fn put(&mut self) -> Work {
        let path = format!("raw/part-{}.csv", self.random.below(4));
        let rows = self.new_rows();
        let payload = json!({"container": self.container(), "path": path, "data": csv(&rows)});
        let written = Write {
            location: self.object_location(&path),
            adds: false,
            from: Vec::new(),
            rows: Some(rows.len() as u64),
            changed: None,
        };
        self.contents.objects.insert(path, rows);
        Work {
            writes: vec![written],
            ..Work::storage("put_object", payload)
        }
    }

    fn get(&mut self) -> Work {
        let path = self.some_object();
        let rows = &self.contents.objects[&path];
        Work {
            expects: Expects::Object(csv(rows)),
            reads: vec![self.object_location(&path)],
            ..Work::storage(
                "get_object",
                json!({"container": self.container(), "path": path}),
            )
        }
    }

    fn list(&mut self) -> Work {
        let paths = self.contents.objects.keys().cloned().collect();
        Work {
            expects: Expects::Paths(paths),
            ..Work::storage("list_objects", json!({"container": self.container()}))
        }
    }

    /// Makes a table from an object.
    fn make(&mut self) -> Work {
        let path = self.some_object();
        let table = format!(
            "{}_t{}",
            self.prefix.replace('-', "_"),
            self.random.below(4)
        );
        let rows = self.contents.objects[&path].clone();
        let source = self.object_location(&path);
        let payload = json!({
            "sql": format!("CREATE OR REPLACE TABLE {table} AS SELECT n::BIGINT AS n, word FROM src"),
            "sources": {"src": {"container": self.container(), "path": path}},
        });
        let written = Write {
            location: self.table_location(&table),
            adds: false,
            from: vec![source.clone()],
            rows: Some(rows.len() as u64),
            changed: None,
        };
        self.contents.tables.insert(table, rows);
        Work {
            reads: vec![source],
            writes: vec![written],
            ..Work::sql("execute_sql", payload)
        }
    }

    fn select(&mut self) -> Work {
        let table = self.some_table();
        Work {
            expects: Expects::Rows(answer(&self.rows(&table))),
            reads: vec![self.table_location(&table)],
            ..Work::sql(
                "execute_sql",
                json!({"sql": format!("SELECT n, word FROM {table} ORDER BY n, word"), "max_rows": 100_000}),
            )
        }
    }

    /// Calls functions whose names the hostile sender tries to take.
    fn summary(&mut self) -> Work {
        let table = self.some_table();
        let sql =
            format!("SELECT count(*), coalesce(sum(n), 0)::BIGINT, max(lower(word)) FROM {table}");
        Work {
            expects: Expects::Rows(vec![summary(&self.rows(&table))]),
            reads: vec![self.table_location(&table)],
            ..Work::sql("execute_sql", json!({"sql": sql}))
        }
    }

    fn join(&mut self) -> Work {
        let (left, right) = (self.some_table(), self.some_table());
        let (ours, theirs) = (self.rows(&left), self.rows(&right));
        let pairs = ours
            .iter()
            .map(|row| theirs.iter().filter(|other| other.0 == row.0).count());
        let mut reads = vec![self.table_location(&left), self.table_location(&right)];
        reads.dedup();
        Work {
            expects: Expects::Rows(vec![json!([pairs.sum::<usize>()])]),
            reads,
            ..Work::sql(
                "execute_sql",
                json!({"sql": format!("SELECT count(*) FROM {left} AS a JOIN {right} AS b ON a.n = b.n")}),
            )
        }
    }

    fn insert(&mut self) -> Work {
        let table = self.some_table();
        let rows = self.new_rows();
        let values = vec!["(?, ?)"; rows.len()].join(", ");
        let parameters: Vec<Value> = rows
            .iter()
            .flat_map(|(n, word)| [json!(n), json!(word)])
            .collect();
        let payload = json!({"sql": format!("INSERT INTO {table} VALUES {values}"), "parameters": parameters});
        let written = self.adds(&table, rows, Vec::new());
        Work {
            writes: vec![written],
            ..Work::sql("execute_sql", payload)
        }
    }

    /// Adds rows to a table.
    fn adds(&mut self, table: &str, rows: Vec<Row>, from: Vec<String>) -> Write {
        let location = self.table_location(table);
        let added = rows.len() as u64;
        let all = self.contents.tables.entry(table.to_owned()).or_default();
        all.extend(rows);
        Write {
            location,
            adds: true,
            from,
            rows: Some(all.len() as u64),
            changed: Some(added),
        }
    }

    fn copy(&mut self) -> Work {
        let (to, from) = (self.some_table(), self.some_table());
        let Some((sql, written)) = self.copies(&to, &from) else {
            return self.remove();
        };
        Work {
            reads: written.from.clone(),
            writes: vec![written],
            ..Work::sql("execute_sql", json!({"sql": sql}))
        }
    }

    /// Copies some rows of a table into another one; `None` if that has too many already.
    fn copies(&mut self, to: &str, from: &str) -> Option<(String, Write)> {
        let (text, is_met) = self.condition();
        let rows = self.rows(from);
        if self.rows(to).len() + rows.len() > ROWS_MAX {
            return None;
        }
        let rows = rows.into_iter().filter(is_met).collect();
        let sql = format!("INSERT INTO {to} SELECT n, word FROM {from} WHERE {text}");
        let source = self.table_location(from);
        Some((sql, self.adds(to, rows, vec![source])))
    }

    fn change(&mut self) -> Work {
        let table = self.some_table();
        let (text, is_met) = self.condition();
        let sql = format!("UPDATE {table} SET word = word || '+' WHERE {text}");
        let mut changed = 0;
        for row in self.contents.tables.get_mut(&table).into_iter().flatten() {
            if is_met(row) {
                row.1.push('+');
                changed += 1;
            }
        }
        self.in_place(&table, sql, changed)
    }

    fn remove(&mut self) -> Work {
        let table = self.some_table();
        let (text, is_met) = self.condition();
        let rows = self.rows(&table);
        let left: Vec<Row> = rows.iter().filter(|row| !is_met(row)).cloned().collect();
        let removed = rows.len() - left.len();
        self.contents.tables.insert(table.clone(), left);
        self.in_place(
            &table,
            format!("DELETE FROM {table} WHERE {text}"),
            removed as u64,
        )
    }

    /// A statement that reads the table that it changes.
    fn in_place(&self, table: &str, sql: String, changed: u64) -> Work {
        let location = self.table_location(table);
        Work {
            reads: vec![location.clone()],
            writes: vec![Write {
                location: location.clone(),
                adds: false,
                from: vec![location],
                rows: Some(self.rows(table).len() as u64),
                changed: Some(changed),
            }],
            ..Work::sql("execute_sql", json!({"sql": sql}))
        }
    }

    /// Makes an object from a table.
    fn export(&mut self) -> Work {
        let table = self.some_table();
        let path = format!("out/{}.csv", self.random.below(3));
        let rows = sorted(&self.rows(&table));
        let payload = json!({
            "sql": format!("SELECT n, word FROM {table} ORDER BY n, word"),
            "into": {"container": self.container(), "path": path},
        });
        let (source, location) = (self.table_location(&table), self.object_location(&path));
        let written = Write {
            location,
            adds: false,
            from: vec![source.clone()],
            rows: Some(rows.len() as u64),
            changed: None,
        };
        // An object without rows shows no types to a reader that makes a table of it.
        match rows.is_empty() {
            true => self.put(),
            false => {
                self.contents.objects.insert(path, rows);
                Work {
                    reads: vec![source],
                    writes: vec![written],
                    ..Work::sql("execute_sql", payload)
                }
            }
        }
    }

    /// Two statements in one transaction: the output of each was made from the inputs of that statement.
    fn script(&mut self) -> Work {
        let (first, from) = (self.some_table(), self.some_table());
        let (second, other) = (self.some_table(), self.some_table());
        if first == second || other == first {
            return self.copy();
        }
        let Some((insert, one)) = self.copies(&first, &from) else {
            return self.remove();
        };
        let mut sql = insert;
        let mut writes = vec![one];
        if let Some((insert, two)) = self.copies(&second, &other) {
            sql = format!("{sql}; {insert}");
            writes.push(two);
        }
        let mut reads: Vec<String> = Vec::new();
        for location in writes.iter().flat_map(|write| &write.from) {
            if !reads.contains(location) {
                reads.push(location.clone());
            }
        }
        Work {
            reads,
            writes,
            ..Work::sql("execute_script", json!({"sql": sql}))
        }
    }
}
