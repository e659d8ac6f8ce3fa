//! Names the datasets of a run in the same way as the query service names its tables, files and objects.

use crate::dbt::artifacts::{Exposure, Manifest, Node, Source};
use crate::dbt::attach::Attached;
use pudato_protocol::{DataReference, Dataset, folded};
use std::path::{Path, PathBuf};

/// The context of names.
pub(crate) struct Naming<'a> {
    /// The warehouse, e.g. `duckdb:///w.duckdb`.
    pub(crate) namespace: &'a str,
    /// dbt's adapter.
    pub(crate) adapter: &'a str,
    /// Databases that the profile attaches.
    pub(crate) attached: &'a [Attached],
    /// The project's folder.
    pub(crate) project: &'a Path,
    /// The repository that the project came from. Its files are named by the repository and not by the path of the checkout.
    pub(crate) repository: Option<&'a str>,
}

/// The resource types that are datasets.
const DATASETS: [&str; 4] = ["model", "seed", "snapshot", "function"];

/// Whether a node is a table, a view, a file or a function.
pub(crate) fn is_dataset(node: &Node) -> bool {
    DATASETS.contains(&node.resource_type.as_str())
}

/// Whether a node is a table of the warehouse, and neither a view nor a file.
pub(crate) fn is_table(node: &Node) -> bool {
    let materialized = node.config.materialized.as_deref();
    let is_own =
        is_dataset(node) && !matches!(materialized, Some("view" | "external" | "function"));
    let stores_as = node.config.store_failures_as.as_deref();
    is_own || stores_failures(node) && stores_as != Some("view")
}

/// Whether a test stores its failures. dbt then gives it a relation name, whether the configuration or the command line asked for it.
pub(crate) fn stores_failures(node: &Node) -> bool {
    node.resource_type == "test" && node.relation_name.is_some()
}

impl Naming<'_> {
    /// A table by its names. Names without quotes in `rendered` (the SQL form) are folded as the engine does.
    fn table(
        &self,
        database: Option<&str>,
        schema: Option<&str>,
        name: &str,
        rendered: Option<&str>,
    ) -> Dataset {
        let attached = self.attached.iter();
        let mut attached = attached.filter(|one| database.is_some_and(|name| one.is_called(name)));
        let (namespace, own) = match attached.next() {
            Some(one) => (one.namespace.as_str(), one.own.as_deref()),
            None => (self.namespace, database),
        };
        let mut quoted = quoted(rendered.unwrap_or_default()).into_iter().rev();
        let mut part = |name: &'_ str| {
            let is_quoted = quoted.next().unwrap_or(true);
            folded(namespace, name, is_quoted).into_owned()
        };
        let (name, schema) = (part(name), schema.map(&mut part));
        let database = own.map(&mut part);
        let parts = [database, schema, Some(name)].into_iter().flatten();
        let parts: Vec<String> = parts.collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        Dataset::table(namespace, &parts)
    }

    /// The dataset that a node writes. An external model of dbt-duckdb writes a file; if its location is not a literal, the dataset is the
    /// view on it that dbt-duckdb creates.
    pub(crate) fn node(&self, node: &Node) -> DataReference {
        let kind = match node.config.materialized.as_deref() {
            Some("external") => match node.config.location.as_deref() {
                Some(location) if is_literal(location) => return self.place(location),
                _ => "view",
            },
            Some("view") => "view",
            _ if node.resource_type == "function" => "function",
            _ if node.config.store_failures_as.as_deref() == Some("view") => "view",
            _ => "table",
        };
        let name = called(node, node.alias.as_deref());
        let rendered = node.relation_name.as_deref();
        let table = self.table(
            node.database.as_deref(),
            node.schema.as_deref(),
            &name,
            rendered,
        );
        DataReference::new(kind, table.location())
    }

    /// An exposure. It belongs to the project, wherever the checkout is.
    pub(crate) fn exposure(&self, exposure: &Exposure) -> DataReference {
        let dataset = Dataset {
            namespace: format!("dbt://{}", exposure.package_name),
            name: format!("exposure.{}", exposure.name),
        };
        DataReference::new("exposure", dataset.location())
    }

    /// The dataset of a source; `None` if it is more than one file, or the result of a function.
    fn source(&self, source: &Source) -> Option<DataReference> {
        // dbt-duckdb has already filled in the names: the location is a quoted literal or a call.
        let rendered = source.relation_name.as_deref().unwrap_or_default();
        let literal = rendered
            .strip_prefix('\'')
            .and_then(|rest| rest.strip_suffix('\''));
        if literal.is_none() && !source.is_external() {
            let (database, schema) = (source.database.as_deref(), source.schema.as_deref());
            let table = self.table(database, schema, &source.identifier, Some(rendered));
            return Some(DataReference::new("table", table.location()));
        }
        let place = literal.filter(|place| is_literal(place))?;
        Some(self.place(place))
    }

    /// The CSV file of a seed.
    pub(crate) fn seed(&self, manifest: &Manifest, node: &Node) -> DataReference {
        let path = &node.original_file_path;
        let dataset = match self.repository {
            Some(repository) => {
                let package = node.package_name.as_deref();
                let of_package = package.filter(|_| package != manifest.project_name());
                // Packages may have seeds of the same name.
                let name = match of_package {
                    Some(package) => format!("dbt_packages/{package}/{path}"),
                    None => path.clone(),
                };
                let namespace = repository.to_owned();
                Dataset { namespace, name }
            }
            None => {
                let root = node.root_path.as_deref().map(Path::new);
                file(&root.unwrap_or(self.project).join(path))
            }
        };
        DataReference::new("file", dataset.location()).format("csv")
    }

    /// A file, by its path or `file://` URL, or an object, by its URL. Relative paths start at the project folder.
    fn place(&self, place: &str) -> DataReference {
        let path = place.strip_prefix("file://").unwrap_or(place);
        let dataset = match self.repository {
            _ if path.contains("://") => Dataset::parse(path),
            Some(repository) if Path::new(path).is_relative() => Dataset {
                namespace: repository.to_owned(),
                name: path.trim_start_matches("./").to_owned(),
            },
            _ => file(&self.project.join(path)),
        };
        let reference = DataReference::new("file", dataset.location());
        match path.rsplit_once('.') {
            Some((_, format @ ("csv" | "json" | "parquet"))) => reference.format(format),
            _ => reference,
        }
    }

    /// The tables of a parent that a node with this SQL read. Whether dbt took a model from another environment (`--defer`) depends on what
    /// existed when it ran, so pudato reads it from the SQL. If the SQL does not tell, both are possible.
    pub(crate) fn read(
        &self,
        manifest: &Manifest,
        id: &str,
        sql: Option<&str>,
    ) -> Vec<DataReference> {
        let mut all: Vec<DataReference> = self.parent(manifest, id).into_iter().collect();
        let node = manifest.node(id).filter(|node| is_dataset(node));
        if let Some((node, other)) =
            node.and_then(|node| Some((node, node.defer_relation.as_ref()?)))
        {
            let sql = sql.unwrap_or_default();
            let is_read =
                |name: &Option<String>| name.as_ref().is_some_and(|name| names(sql, name));
            let (own, deferred) = (is_read(&node.relation_name), is_read(&other.relation_name));
            if deferred && !own {
                all.clear();
            }
            if deferred || !own {
                let name = called(node, other.alias.as_deref());
                let rendered = other.relation_name.as_deref();
                let (database, schema) = (other.database.as_deref(), other.schema.as_deref());
                let table = self.table(database, schema, &name, rendered);
                let kind = self.node(node).ref_type;
                let reference = DataReference::new(kind, table.location());
                if !all.iter().any(|one| one.location == reference.location) {
                    all.push(reference);
                }
            }
        }
        all
    }

    /// The dataset of a parent; `None` if it has none.
    pub(crate) fn parent(&self, manifest: &Manifest, id: &str) -> Option<DataReference> {
        if let Some(source) = manifest.sources.get(id) {
            return self.source(source);
        }
        let node = manifest.node(id)?;
        is_dataset(node).then(|| self.node(node))
    }
}

/// The name of a node in its schema. A function may have the same name as a table.
fn called(node: &Node, alias: Option<&str>) -> String {
    let name = alias.unwrap_or(&node.name);
    match node.resource_type.as_str() {
        "function" => format!("{name}()"),
        _ => name.to_owned(),
    }
}

/// Whether a location is a literal for one file or object: no glob, call, quoted text or template.
fn is_literal(place: &str) -> bool {
    let is_home = place.starts_with('~');
    !place.is_empty() && !is_home && !place.contains(['*', '?', '[', '(', '{', '\''])
}

/// Whether each part of a relation name is quoted, e.g. `"w".raw.orders`.
fn quoted(rendered: &str) -> Vec<bool> {
    let (mut parts, mut rest) = (Vec::new(), rendered);
    loop {
        let quote = rest.chars().next().filter(|c| matches!(c, '"' | '`' | '['));
        parts.push(quote.is_some());
        let end = match quote {
            // A quote within a name is doubled.
            Some(quote) => {
                let close = if quote == '[' { ']' } else { quote };
                let mut inside = rest[1..].char_indices().peekable();
                let mut end = rest.len();
                while let Some((at, c)) = inside.next() {
                    if c == close && inside.next_if(|(_, next)| *next == close).is_none() {
                        end = at + 1 + close.len_utf8();
                        break;
                    }
                }
                end
            }
            None => rest.find('.').unwrap_or(rest.len()),
        };
        match rest.get(end..).and_then(|rest| rest.strip_prefix('.')) {
            Some(after) => rest = after,
            None => return parts,
        }
    }
}

/// Whether the SQL contains this relation, and not a longer name that starts with it. In Python, names are in strings, with backslashes.
fn names(sql: &str, relation: &str) -> bool {
    let sql = sql.replace('\\', "");
    let goes_on = |c: char| c.is_alphanumeric() || c == '_';
    sql.match_indices(relation).any(|(at, _)| {
        let before = sql[..at].chars().next_back();
        let after = sql[at + relation.len()..].chars().next();
        !before.is_some_and(|c| goes_on(c) || c == '.') && !after.is_some_and(goes_on)
    })
}

/// A file that may not exist, by its canonical path.
fn file(path: &Path) -> Dataset {
    let known = path.canonicalize().or_else(|_| {
        let folder = path.parent().unwrap_or(path).canonicalize()?;
        Ok::<PathBuf, std::io::Error>(folder.join(path.file_name().unwrap_or_default()))
    });
    let path = known.unwrap_or_else(|_| path.to_owned());
    Dataset::file(&path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn naming(repository: Option<&str>) -> Naming<'_> {
        Naming {
            namespace: "duckdb:///w.duckdb",
            adapter: "duckdb",
            attached: &[],
            project: Path::new("/nowhere/shop"),
            repository,
        }
    }

    fn manifest(nodes: Value, sources: Value) -> Manifest {
        let manifest =
            json!({"metadata": {"project_name": "shop"}, "nodes": nodes, "sources": sources});
        serde_json::from_value(manifest).expect("a manifest")
    }

    #[test]
    fn a_source_that_is_a_file_or_an_object_is_named_by_its_place() {
        // The form in which dbt-duckdb 1.11 writes `relation_name` and `meta`.
        let place = json!({"external_location": "x/{name}.csv"});
        let (old, new) = (json!({"meta": place}), json!({"config": {"meta": place}}));
        let table = "duckdb:///w.duckdb#w.raw.orders";
        for (rendered, more, expected) in [
            ("\"w\".\"raw\".\"orders\"", json!({}), Some(table)),
            (
                "'x/o.csv'",
                old.clone(),
                Some("file:///nowhere/shop/x/o.csv"),
            ),
            (
                "'x/o.csv'",
                new.clone(),
                Some("file:///nowhere/shop/x/o.csv"),
            ),
            (
                "'/lake/o.parquet'",
                new.clone(),
                Some("file:///lake/o.parquet"),
            ),
            (
                "'file:///lake/o.csv'",
                new.clone(),
                Some("file:///lake/o.csv"),
            ),
            (
                "'s3://lake/raw/o.parquet'",
                new.clone(),
                Some("s3://lake/raw/o.parquet"),
            ),
            ("'x/*.csv'", new.clone(), None),
            ("'s3://lake/raw/?.csv'", old.clone(), None),
            ("read_csv('x/o.csv', header=true)", old.clone(), None),
            ("'a.csv' UNION ALL FROM 'b.csv'", old, None),
        ] {
            let mut source = json!({"database": "w", "schema": "raw", "identifier": "orders", "relation_name": rendered});
            let more = more.as_object().cloned().expect("an object");
            source.as_object_mut().expect("an object").extend(more);
            let manifest = manifest(json!({}), json!({"source.shop.raw.orders": source}));
            let found = naming(None).parent(&manifest, "source.shop.raw.orders");
            let found = found.map(|one| one.location);
            assert_eq!(found.as_deref(), expected, "{rendered}");
        }
        // A file of the repository is named by it, wherever the checkout is.
        let source = json!({"identifier": "o", "relation_name": "'./x/o.csv'"});
        let manifest = manifest(json!({}), json!({"source.shop.raw.o": source}));
        let naming = naming(Some("git+https://h/r.git"));
        let found = naming.parent(&manifest, "source.shop.raw.o").expect("one");
        assert_eq!(found.location, "git+https://h/r.git#x/o.csv");
        assert_eq!(found.format.as_deref(), Some("csv"));
    }

    #[test]
    fn a_model_that_is_a_file_is_named_by_its_place_and_else_by_its_view() {
        let view = "duckdb:///w.duckdb#w.main.e";
        for (location, kind, expected) in [
            (
                json!("out/e.parquet"),
                "file",
                "file:///nowhere/shop/out/e.parquet",
            ),
            (json!("s3://lake/e.parquet"), "file", "s3://lake/e.parquet"),
            (json!("out/{{ model.name }}.csv"), "view", view),
            (json!(null), "view", view),
        ] {
            let node = json!({"resource_type": "model", "database": "w", "schema": "main", "name": "e",
                "config": {"materialized": "external", "location": location}});
            let manifest = manifest(json!({"model.shop.e": node}), json!({}));
            let found = naming(None).parent(&manifest, "model.shop.e").expect("one");
            assert_eq!(
                (found.ref_type.as_str(), found.location.as_str()),
                (kind, expected)
            );
            assert!(
                !is_table(&manifest.nodes["model.shop.e"]),
                "its rows are not counted"
            );
        }
    }

    #[test]
    fn a_model_of_another_environment_is_what_the_sql_names() {
        let (dev, prod) = ("\"w\".\"dev\".\"a\"", "\"w\".\"prod\".\"a\"");
        let node = json!({"resource_type": "model", "database": "w", "schema": "dev", "name": "a", "relation_name": dev,
            "defer_relation": {"database": "w", "schema": "prod", "alias": "a", "relation_name": prod}});
        let mut manifest = manifest(json!({"model.shop.a": node}), json!({}));
        let read = |manifest: &Manifest, sql: Option<&str>| {
            let read = naming(None).read(manifest, "model.shop.a", sql);
            let names = read.iter().map(|one| {
                one.location
                    .rsplit('#')
                    .next()
                    .unwrap_or_default()
                    .to_owned()
            });
            names.collect::<Vec<_>>()
        };
        for (sql, expected) in [
            (
                Some(format!("select * from {prod} limit 1")),
                &["w.prod.a"][..],
            ),
            (Some(format!("select * from {dev}")), &["w.dev.a"]),
            (
                Some(format!("select {dev}.n from {dev}, {prod}")),
                &["w.dev.a", "w.prod.a"],
            ),
            (
                Some("refs = {\"a\": \"\\\"w\\\".\\\"prod\\\".\\\"a\\\"\"}".to_owned()),
                &["w.prod.a"],
            ),
            (Some("select 1".to_owned()), &["w.dev.a", "w.prod.a"]),
            (None, &["w.dev.a", "w.prod.a"]),
        ] {
            assert_eq!(read(&manifest, sql.as_deref()), expected, "{sql:?}");
        }
        // Without `--defer` it is the node's own table.
        if let Some(node) = manifest.nodes.get_mut("model.shop.a") {
            node.defer_relation = None;
        }
        assert_eq!(read(&manifest, None), ["w.dev.a"]);
        assert!(names("from p.a", "p.a") && names("from p.a.n", "p.a"));
        assert!(!names("from p.ab, x.p.a, p.a_1", "p.a"));
    }

    #[test]
    fn a_name_without_quotes_is_what_the_engine_makes_of_it() {
        let node = |rendered: &str| {
            let node = json!({"resource_type": "model", "database": "Shop", "schema": "Raw", "name": "o", "alias": "Orders", "relation_name": rendered});
            let manifest = manifest(json!({"model.shop.o": node}), json!({}));
            move |namespace: &str| {
                let naming = Naming {
                    namespace,
                    ..naming(None)
                };
                let found = naming
                    .parent(&manifest, "model.shop.o")
                    .expect("one")
                    .location;
                found.rsplit('#').next().unwrap_or_default().to_owned()
            }
        };
        let (quoted, plain) = (
            node("\"Shop\".\"Raw\".\"Orders\""),
            node("Shop.\"Raw\".Orders"),
        );
        for (engine, in_quotes, without) in [
            ("duckdb:///w", "shop.raw.orders", "shop.raw.orders"),
            ("postgres://db:5432", "Shop.Raw.Orders", "shop.Raw.orders"),
            ("snowflake://acme", "Shop.Raw.Orders", "SHOP.Raw.ORDERS"),
            ("bigquery", "Shop.Raw.Orders", "Shop.Raw.Orders"),
        ] {
            assert_eq!(
                (quoted(engine).as_str(), plain(engine).as_str()),
                (in_quotes, without),
                "{engine}"
            );
        }
        assert_eq!(super::quoted("\"a.b\"\"c\".d.`e`"), [true, false, true]);
        assert_eq!(super::quoted("\"a"), [true]);
    }

    #[test]
    fn seeds_of_packages_are_not_the_projects() {
        let seed = |package: &str| json!({"resource_type": "seed", "name": "s", "original_file_path": "seeds/s.csv", "package_name": package});
        let nodes = json!({"seed.shop.s": seed("shop"), "seed.helpers.s": seed("helpers")});
        let manifest = manifest(nodes, json!({}));
        let naming = naming(Some("git+https://h/r.git"));
        let name = |id: &str| naming.seed(&manifest, &manifest.nodes[id]).location;
        assert_eq!(name("seed.shop.s"), "git+https://h/r.git#seeds/s.csv");
        assert_eq!(
            name("seed.helpers.s"),
            "git+https://h/r.git#dbt_packages/helpers/seeds/s.csv"
        );
    }
}
