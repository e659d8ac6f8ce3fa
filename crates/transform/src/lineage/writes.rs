//! Finds out how dbt wrote a table, from the SQL that it ran: dbt writes the main statement of every node below `run/` in its target
//! folder. Whether dbt rebuilt an incremental model depends on its configuration, the flag and whether its table existed; only dbt knows
//! all three.

use crate::dbt::artifacts::{Artifacts, Node};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What a statement did to the contents of its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WriteKind {
    /// The statement created the table, so it holds nothing older.
    Created,
    /// The statement added rows.
    Appended,
    /// The statement changed, added or removed rows.
    Changed,
}

impl WriteKind {
    /// `DataReference.metadata.operation`.
    pub(crate) fn operation(self) -> &'static str {
        match self {
            Self::Created => "create",
            Self::Appended => "insert",
            Self::Changed => "merge",
        }
    }
}

/// Longer files are skipped; the first words of a statement suffice.
const SQL_BYTES_MAX: u64 = 64 << 20;

/// Reads what dbt did for each node that ran; `out` is dbt's target folder. Leaves out a node whose statement is missing or is not SQL.
pub(crate) fn read(out: &Path, artifacts: &Artifacts) -> BTreeMap<String, WriteKind> {
    let results = artifacts.results.results.iter();
    let writes = results.filter_map(|result| {
        let node = artifacts.manifest.nodes.get(&result.unique_id)?;
        let writes = files(out, "run", node)
            .into_iter()
            .filter_map(|file| of(&sql(&file)?));
        // Of several batches, the first creates a missing table.
        let write = writes.reduce(|one, other| match (one, other) {
            (WriteKind::Created, _) | (_, WriteKind::Created) => WriteKind::Created,
            (WriteKind::Appended, WriteKind::Appended) => WriteKind::Appended,
            _ => WriteKind::Changed,
        })?;
        Some((result.unique_id.clone(), write))
    });
    writes.collect()
}

/// The compiled SQL of a node; of the first batch, if there are several.
pub(crate) fn compiled(out: &Path, node: &Node) -> Option<String> {
    let mut files = files(out, "compiled", node);
    files.sort();
    files.iter().find_map(|file| sql(file))
}

/// The files in which dbt writes compiled and executed SQL (`ParsedNode.get_target_write_path` of dbt-core 1.8 to 1.11): one, or one for
/// each batch.
fn files(out: &Path, below: &str, node: &Node) -> Vec<PathBuf> {
    let out = out.join(below);
    let (own, of_file) = (Path::new(&node.path), Path::new(&node.original_file_path));
    let path = match own.file_name() == of_file.file_name() {
        true => of_file.to_owned(),
        false => of_file.join(own),
    };
    let package = node.package_name.as_deref().unwrap_or_default();
    let file = out.join(package).join(path);
    if node.config.incremental_strategy.as_deref() != Some("microbatch") {
        return vec![file];
    }
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    let (prefix, folder) = (format!("{stem}_"), file.with_extension(""));
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let is_batch = |path: &PathBuf| {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let batch = name.strip_prefix(&prefix);
        batch.is_some_and(|batch| batch.chars().all(|c| c.is_ascii_digit() || c == 'T'))
    };
    let batches = entries.map(|entry| entry.path()).filter(is_batch);
    std::iter::once(file).chain(batches).collect()
}

fn sql(file: &Path) -> Option<String> {
    let known = std::fs::metadata(file).ok()?;
    let is_sql = file.extension().is_some_and(|ending| ending == "sql");
    if !is_sql || !known.is_file() || known.len() > SQL_BYTES_MAX {
        return None;
    }
    std::fs::read_to_string(file).ok()
}

/// What these statements did; `None` if none of them writes rows.
fn of(sql: &str) -> Option<WriteKind> {
    let mut made: Option<Vec<String>> = None;
    let mut write = None;
    for statement in statements(sql) {
        let words: Vec<String> = statement.iter().map(|word| word.to_lowercase()).collect();
        let is = |n: usize, known: &str| words.get(n).is_some_and(|word| word == known);
        let head: Vec<&str> = words.iter().take(6).map(String::as_str).collect();
        match *head.first()? {
            // Statements that surround the write.
            "begin" | "commit" | "start" | "set" | "use" | "declare" | "analyze" | "vacuum"
            | "grant" | "comment" | "drop" | "alter" => {}
            "create" => {
                let table = head.iter().position(|word| *word == "table");
                let is_scratch = head
                    .iter()
                    .take(table.unwrap_or(0))
                    .any(|word| matches!(*word, "temp" | "temporary" | "volatile"));
                if let Some(at) = table.filter(|_| !is_scratch && write.is_none()) {
                    // A table that may have existed tells nothing.
                    if is(at + 1, "if") {
                        return Some(WriteKind::Changed);
                    }
                    made = Some(name(&words[at + 1..]));
                    write = Some(WriteKind::Created);
                }
            }
            "insert" if is(1, "into") => {
                let at = if is(2, "table") { 3 } else { 2 };
                let into = name(words.get(at..).unwrap_or_default());
                write = match (write, &made) {
                    (Some(WriteKind::Created), Some(made)) if *made == into => write,
                    (None | Some(WriteKind::Appended), _) => Some(WriteKind::Appended),
                    _ => return Some(WriteKind::Changed),
                };
            }
            _ => return Some(WriteKind::Changed),
        }
    }
    write
}

/// Whether these statements may write rows. A template at the beginning can become anything.
pub(crate) fn may_write(sql: &str) -> bool {
    let harmless = |words: &Vec<String>| {
        let word = |n: usize| words.get(n).map(|word| word.to_lowercase());
        match word(0).as_deref().unwrap_or_default() {
            "create" => !words.iter().take(6).any(|word| {
                let is = |known: &str| word.eq_ignore_ascii_case(known);
                is("table") || is("view")
            }),
            "select" => !words.iter().any(|word| word.eq_ignore_ascii_case("into")),
            "set" | "reset" | "use" | "begin" | "commit" | "grant" | "revoke" | "analyze"
            | "vacuum" | "comment" | "drop" | "alter" | "attach" | "detach" | "load"
            | "install" | "pragma" | "checkpoint" | "explain" | "show" => true,
            _ => false,
        }
    };
    !statements(sql).iter().all(harmless)
}

/// The parts of the first name: words with dots between them.
fn name(words: &[String]) -> Vec<String> {
    let mut parts = Vec::new();
    for pair in words.chunks(2) {
        parts.extend(pair.first().cloned());
        if pair.get(1).is_none_or(|word| word != ".") {
            break;
        }
    }
    parts
}

/// The words of each statement: unquoted names and dots, without anything inside comments, strings and parentheses.
fn statements(sql: &str) -> Vec<Vec<String>> {
    let (mut all, mut words, mut depth) = (Vec::new(), Vec::new(), 0_usize);
    let mut rest = sql;
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        let until =
            |text: &'_ str, end: &str| text.find(end).map_or(text.len(), |at| at + end.len());
        rest = match c {
            '-' if after.starts_with('-') => &after[until(after, "\n")..],
            '/' if after.starts_with('*') => &after[until(after, "*/")..],
            '\'' => &after[until(after, "'")..],
            '$' if after.starts_with('$') => {
                let inside = &after[1..];
                &inside[until(inside, "$$")..]
            }
            '"' | '`' => {
                let end = after.find(c).unwrap_or(after.len());
                if depth == 0 {
                    words.push(after[..end].to_owned());
                }
                after.get(end + 1..).unwrap_or_default()
            }
            '(' => {
                depth += 1;
                after
            }
            ')' => {
                depth = depth.saturating_sub(1);
                after
            }
            ';' if depth == 0 => {
                all.push(std::mem::take(&mut words));
                after
            }
            '.' => {
                if depth == 0 {
                    words.push(".".to_owned());
                }
                after
            }
            c if c.is_alphanumeric() || c == '_' => {
                let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$'));
                let end = end.unwrap_or(rest.len());
                if depth == 0 {
                    words.push(rest[..end].to_owned());
                }
                &rest[end..]
            }
            _ => after,
        };
    }
    all.push(words);
    all.retain(|words| !words.is_empty());
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_is_read_from_the_statements() {
        for (sql, expected) in [
            (
                "  create  table\n \"w\".\"main\".\"t__dbt_tmp\"\n as (select 'a; delete' as n);",
                Some(WriteKind::Created),
            ),
            (
                "-- merge\n/* delete */ create or replace table W.MAIN.T as select 1",
                Some(WriteKind::Created),
            ),
            (
                "create transient table t (n int); insert into t (n) (select 1)",
                Some(WriteKind::Created),
            ),
            (
                "create table \"w\".\"t\" (n int); insert into w.t select 1;",
                Some(WriteKind::Created),
            ),
            (
                "create temporary table x as select 1; insert into t select * from x",
                Some(WriteKind::Appended),
            ),
            (
                "create table t__dbt_tmp as select 1; insert into t select * from t__dbt_tmp",
                Some(WriteKind::Changed),
            ),
            (
                "create table if not exists t as select 1",
                Some(WriteKind::Changed),
            ),
            (
                "create table x as select 1; merge into t using x on true",
                Some(WriteKind::Changed),
            ),
            (
                "insert into \"w\".\"t\" (\"n\") (select 1)",
                Some(WriteKind::Appended),
            ),
            (
                "insert overwrite table t partition (d) select 1",
                Some(WriteKind::Changed),
            ),
            (
                "MERGE INTO t USING x ON true WHEN MATCHED THEN UPDATE BY NAME",
                Some(WriteKind::Changed),
            ),
            (
                "delete from t where true; insert into t select 1",
                Some(WriteKind::Changed),
            ),
            (
                "begin; update t set n = 1 from x; insert into t select 1; commit",
                Some(WriteKind::Changed),
            ),
            (
                "with x as (select 1) insert into t select * from x",
                Some(WriteKind::Changed),
            ),
            ("create schema s; create index i on t (n); commit", None),
            ("", None),
        ] {
            assert_eq!(of(sql), expected, "{sql}");
        }
    }

    #[test]
    fn what_may_write_is_told_from_what_does_not() {
        for sql in [
            "insert into audit select * from {{ this }}",
            "grant select on t to x; update t set n = 1",
            "create table if not exists audit (n int)",
            "{{ log_run() }}",
            "{% if true %} insert into t select 1 {% endif %}",
            "copy t to 'x'",
            "call p()",
            "select n into t from {{ this }}",
        ] {
            assert!(may_write(sql), "{sql}");
        }
        for sql in [
            "",
            " -- insert into t select 1",
            "grant select on {{ this }} to reporter",
            "create index if not exists i on {{ this }} (n); analyze {{ this }}",
            "CREATE SCHEMA s; set search_path = s",
            "drop table if exists t",
        ] {
            assert!(!may_write(sql), "{sql}");
        }
    }
}
