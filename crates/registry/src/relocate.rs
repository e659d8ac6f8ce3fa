//! Renames datasets when their folder moves, and translates the old names in older Results.
//!
//! A Result stays as it was published. When the registry reads it again, it replaces old names with new ones: it stores each relocation
//! together with the last Result that used the old names.

use crate::error::{Error, ErrorKind};
use crate::model::Relocate;
use pudato_protocol::{Dataset, Object};
use serde_json::Value;
use std::collections::BTreeMap;

/// The most names that an error or an answer lists.
pub(crate) const LISTED_MAX: usize = 10;

/// A relocation of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Moved {
    /// The row of the last Result that was recorded before the relocation.
    pub(crate) upto: i64,
    pub(crate) from: String,
    pub(crate) to: String,
}

impl Relocate {
    /// # Errors
    /// `Invalid`: a path is not a folder, or one folder contains the other, so that names would move again the next time.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let invalid = |context: String| Err(Error::new(ErrorKind::Invalid, context));
        for folder in self.from.iter().chain([&self.to]) {
            let is_folder = folder.starts_with('/') && !folder.ends_with('/');
            if !is_folder || folder.contains('\0') {
                return invalid(format!(
                    "{folder:?}: expected an absolute path to a folder other than /, without a trailing slash"
                ));
            }
        }
        for from in self.from.iter().filter(|from| **from != self.to) {
            if below(from, &self.to).is_some() || below(&self.to, from).is_some() {
                return invalid(format!(
                    "{from} and {}: expected two folders that do not contain each other",
                    self.to
                ));
            }
        }
        Ok(())
    }

    /// Whether the same relocation ran before. In that case a late Result created the dataset that exists under both names.
    pub(crate) fn was_said_before(&self, known: &Relocations) -> bool {
        let is_it = |one: &Moved| one.to == self.to && self.from.contains(&one.from);
        known.0.iter().any(is_it)
    }

    /// The new name of a dataset; `None` if its name stays.
    pub(crate) fn renamed(&self, dataset: &Dataset) -> Option<Dataset> {
        let from = self.from.iter().filter(|from| **from != self.to);
        from.filter_map(|from| moved(dataset, from, &self.to))
            .next()
    }
}

/// # Errors
/// `Invalid`: two datasets would become one without `merge`; `clashes` holds their old and new names.
pub(crate) fn check_clashes(clashes: &[(Dataset, Dataset)]) -> Result<(), Error> {
    if clashes.is_empty() {
        return Ok(());
    }
    let listed = clashes.iter().take(LISTED_MAX);
    let listed: Vec<String> = listed.map(|(_, to)| to.location()).collect();
    let others = match clashes.len() - listed.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let context = format!(
        "nothing was changed: the registry already has datasets with these new names: {}{others}; if they are the same data, \
         use --merge",
        listed.join(", ")
    );
    Err(Error::new(ErrorKind::Invalid, context))
}

/// The rest of `path` behind `folder`, if it is the folder or lies below it.
fn below<'a>(path: &'a str, folder: &str) -> Option<&'a str> {
    let rest = path.strip_prefix(folder)?;
    (rest.is_empty() || rest.starts_with('/')).then_some(rest)
}

/// The name of a file is its path. For tables in a database file the path is in the namespace (`duckdb:///folder/file`).
fn moved(dataset: &Dataset, from: &str, to: &str) -> Option<Dataset> {
    if dataset.namespace == "file" {
        let rest = below(&dataset.name, from)?;
        return Some(Dataset::file(&format!("{to}{rest}")));
    }
    let (scheme, path) = dataset.namespace.split_once("://")?;
    // As `Dataset::file_namespace` writes it.
    let rest = below(path, &from.replace('#', "%23"))?;
    Some(Dataset {
        namespace: format!("{}{rest}", Dataset::file_namespace(scheme, to)),
        name: dataset.name.clone(),
    })
}

/// Sums up each folder, whether it was found through its warehouse (the first kind, as namespaces are written) or through its objects.
pub(crate) fn summed(found: Vec<(usize, String, u64)>) -> Vec<(String, u64)> {
    let mut folders = BTreeMap::new();
    for (kind, folder, count) in found {
        let folder = match kind {
            0 => folder.replace("%23", "#"),
            _ => folder,
        };
        *folders.entry(folder).or_default() += count;
    }
    folders.into_iter().collect()
}

/// All relocations, the earliest first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Relocations(pub(crate) Vec<Moved>);

impl Relocations {
    /// The current name of a location in a Result.
    fn location(&self, row: i64, location: &str) -> Option<String> {
        let mut dataset = Dataset::parse(location);
        let mut has_moved = false;
        for one in self.0.iter().filter(|one| row <= one.upto) {
            if let Some(renamed) = moved(&dataset, &one.from, &one.to) {
                (dataset, has_moved) = (renamed, true);
            }
        }
        has_moved.then(|| dataset.location())
    }

    /// The body of the Result in that row, with current names.
    pub(crate) fn body(&self, row: i64, body: String) -> String {
        if !self.0.iter().any(|one| row <= one.upto) {
            return body;
        }
        let Ok(Value::Object(mut said)) = serde_json::from_str(&body) else {
            return body;
        };
        self.rename(row, &mut said);
        Value::Object(said).to_string()
    }

    fn rename(&self, row: i64, said: &mut Object) {
        let rename = |value: &mut Value| {
            if let Some(renamed) = value.as_str().and_then(|text| self.location(row, text)) {
                *value = renamed.into();
            }
        };
        for field in ["inputs", "outputs"] {
            for reference in items(said.get_mut(field)) {
                reference.get_mut("location").map(rename);
                let from = reference
                    .get_mut("metadata")
                    .and_then(|metadata| metadata.get_mut("from"));
                items(from).iter_mut().for_each(rename);
            }
        }
        // dbt records the dataset of each of its nodes.
        for record in items(said.get_mut("executions")) {
            let details = record.get_mut("details");
            details
                .and_then(|details| details.get_mut("dataset"))
                .map(rename);
        }
    }
}

fn items(value: Option<&mut Value>) -> &mut [Value] {
    match value {
        Some(Value::Array(items)) => items,
        _ => &mut [],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn from_a_to_b() -> Relocate {
        Relocate {
            from: vec!["/data/a #1".into()],
            to: "/mnt/b".into(),
            merge: false,
            dry_run: false,
        }
    }

    #[test]
    fn what_lies_in_the_folder_moves_and_nothing_else() {
        for (location, renamed) in [
            (
                "file:///data/a #1/objects/lake/x.csv",
                Some("file:///mnt/b/objects/lake/x.csv"),
            ),
            ("file:///data/a #1", Some("file:///mnt/b")),
            (
                "duckdb:///data/a %231/w.duckdb#w.main.t",
                Some("duckdb:///mnt/b/w.duckdb#w.main.t"),
            ),
            ("file:///data/a #10/x.csv", None),
            ("file:///data/x.csv", None),
            ("duckdb:///data/a %2312/w.duckdb#w.main.t", None),
            ("s3://data/a #1/x.csv", None),
            ("postgres://data:5432#a", None),
            ("/data/a #1/x.csv", None),
        ] {
            let found = from_a_to_b().renamed(&Dataset::parse(location));
            assert_eq!(
                found.map(|dataset| dataset.location()).as_deref(),
                renamed,
                "{location}"
            );
        }
    }

    #[test]
    fn folders_within_each_other_and_what_is_none_are_refused() {
        for (from, to, is_fine) in [
            ("/a", "/b", true),
            ("/a", "/ab", true),
            ("/a", "/a", true),
            ("/a", "/a/b", false),
            ("/a/b", "/a", false),
            ("/", "/a", false),
            ("/a/", "/b", false),
            ("a", "/b", false),
            ("/a", "", false),
        ] {
            let relocate = Relocate {
                from: vec![from.into()],
                to: to.into(),
                ..from_a_to_b()
            };
            assert_eq!(relocate.check().is_ok(), is_fine, "{from} {to}");
        }
    }

    #[test]
    fn older_results_are_read_by_the_names_of_today_and_newer_ones_as_they_are() {
        let one = |upto, from: &str, to: &str| Moved {
            upto,
            from: from.into(),
            to: to.into(),
        };
        let relocations = Relocations(vec![one(5, "/a", "/b"), one(9, "/b", "/c")]);
        let body = |folder: &str| {
            json!({
                "inputs": [{"location": format!("file://{folder}/x")}, {"location": "s3://a/x"}],
                "outputs": [{"location": format!("duckdb://{folder}/w#w.main.t"), "metadata": {"from": [format!("file://{folder}/x")]}}],
                "executions": [{"details": {"dataset": format!("duckdb://{folder}/w#w.main.t"), "query": "FROM '/a/x'"}}],
            })
        };
        for (row, said, read) in [
            (5, "/a", "/c"),
            (9, "/b", "/c"),
            // After the first move this folder is a different one.
            (6, "/a", "/a"),
            (10, "/b", "/b"),
        ] {
            let found = relocations.body(row, body(said).to_string());
            let found: Value = serde_json::from_str(&found).expect("JSON");
            assert_eq!(found, body(read), "{row} {said}");
        }
        assert_eq!(relocations.body(1, "no JSON".into()), "no JSON");
    }
}
