//! The databases that a dbt-duckdb profile attaches (`attach`). Lineage names each by its location, whatever alias the profile gives it.

use crate::dbt::profile::{Place, absolute, field};
use pudato_protocol::Dataset;
use saphyr::YamlOwned;
use std::path::{Path, PathBuf};

/// An attached database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attached {
    /// Its name in dbt.
    pub(crate) name: String,
    /// The namespace of its datasets.
    pub(crate) namespace: String,
    /// Its name on its own server; `None` if names there begin with the schema.
    pub(crate) own: Option<String>,
    /// The DuckDB file.
    pub(crate) file: Option<PathBuf>,
}

impl Attached {
    /// Compares without case, as DuckDB does.
    pub(crate) fn is_called(&self, database: &str) -> bool {
        self.name.eq_ignore_ascii_case(database)
    }
}

impl Place<'_> {
    /// Reads `attach` of a target; `at` is the path of the target in profiles.yml.
    ///
    /// # Errors
    /// Names the field that is missing or wrong.
    pub(crate) fn attached(&self, target: &YamlOwned, at: &str) -> Result<Vec<Attached>, String> {
        let Some(list) = field(target, "attach") else {
            return Ok(Vec::new());
        };
        let list = match list {
            YamlOwned::Sequence(list) => list.as_slice(),
            // A key without a value.
            YamlOwned::Value(saphyr::ScalarOwned::Null) => &[],
            _ => return Err(format!("{at}.attach: expected a list of databases")),
        };
        let each = list.iter().enumerate();
        each.map(|(n, entry)| {
            let at = |field: &str| format!("{at}.attach[{n}].{field}");
            let path = self
                .text(entry, "path")
                .map_err(|why| format!("{}: {why}", at("path")))?;
            let optional = |of: &YamlOwned, name: &str| match field(of, name) {
                None => Ok(None),
                Some(_) => self.text(of, name).map(Some),
            };
            let alias =
                optional(entry, "alias").map_err(|why| format!("{}: {why}", at("alias")))?;
            let options = field(entry, "options");
            let kind = match (field(entry, "type"), options) {
                (None, Some(options)) => optional(options, "type"),
                _ => optional(entry, "type"),
            };
            let kind = kind.map_err(|why| format!("{}: {why}", at("type")))?;
            Ok(self.database(&path, kind.as_deref(), alias))
        })
        .collect()
    }

    fn database(&self, path: &str, kind: Option<&str>, alias: Option<String>) -> Attached {
        let (kind, place) = kind_of(path, kind);
        let name = alias.unwrap_or_else(|| database_of(place));
        let by_name = |kind: &str| Attached {
            name: name.clone(),
            namespace: format!("{kind}://{name}"),
            own: None,
            file: None,
        };
        match kind.as_str() {
            "duckdb" if place.is_empty() || place == ":memory:" => by_name("duckdb"),
            "duckdb" | "sqlite" | "ducklake" if !place.contains("://") && !has_kind(place) => {
                let file = absolute(self.project, Path::new(place));
                let namespace = Dataset::file_namespace(&kind, &file.display().to_string());
                let own = (kind != "sqlite").then(|| database_of(place));
                let file = Some(file).filter(|_| kind == "duckdb");
                Attached {
                    name,
                    namespace,
                    own,
                    file,
                }
            }
            // A token may follow the `?`.
            "duckdb" | "motherduck" if !has_kind(place) => {
                let (place, _) = place.split_once('?').unwrap_or((place, ""));
                let prefix = if kind == "duckdb" {
                    "duckdb://"
                } else {
                    "duckdb://md:"
                };
                Attached {
                    namespace: format!("{prefix}{}", place.replace('#', "%23")),
                    own: Some(database_of(place)),
                    name,
                    file: None,
                }
            }
            "postgres" | "mysql" => match server(place, &kind) {
                Some((namespace, own)) => Attached {
                    name,
                    namespace,
                    own,
                    file: None,
                },
                None => by_name(&kind),
            },
            kind => by_name(kind),
        }
    }
}

/// The type of a path, and the rest of it. DuckDB takes the type from the option, or else from the prefix before a colon.
fn kind_of<'a>(path: &'a str, kind: Option<&str>) -> (String, &'a str) {
    let known = |kind: &str| match kind.to_ascii_lowercase().as_str() {
        "md" | "motherduck" => Some("motherduck"),
        "postgres" | "postgresql" | "postgres_scanner" => Some("postgres"),
        "sqlite" | "sqlite_scanner" => Some("sqlite"),
        "mysql" | "mysql_scanner" => Some("mysql"),
        "ducklake" => Some("ducklake"),
        "duckdb" => Some("duckdb"),
        _ => None,
    };
    let prefix = path
        .split_once(':')
        .filter(|(_, rest)| !rest.starts_with("//"));
    let prefix = prefix.and_then(|(kind, rest)| Some((known(kind)?, rest)));
    match (kind, prefix) {
        (None, Some((kind, rest))) => (kind.to_owned(), rest),
        (None, None) if path.starts_with("postgres://") || path.starts_with("postgresql://") => {
            ("postgres".to_owned(), path)
        }
        (None, None) => ("duckdb".to_owned(), path),
        (Some(kind), prefix) => {
            let kind = known(kind).map_or_else(|| kind.to_ascii_lowercase(), str::to_owned);
            let rest = prefix.filter(|(own, _)| *own == kind);
            (kind, rest.map_or(path, |(_, rest)| rest))
        }
    }
}

/// Whether a path contains the type of another one, as in `ducklake:postgres:..`.
fn has_kind(place: &str) -> bool {
    ["postgres:", "sqlite:", "mysql:", "duckdb:", "md:"]
        .iter()
        .any(|kind| place.starts_with(kind))
}

/// DuckDB's default name for a database: the file name up to the first dot.
pub(crate) fn database_of(path: &str) -> String {
    let (path, _) = path.split_once('?').unwrap_or((path, ""));
    let file = path.rsplit(['/', '\\']).next().unwrap_or(path);
    let name = file.trim_start_matches('.').split('.').next();
    name.unwrap_or(file).to_owned()
}

/// The namespace and the database of a connection: a URL, or `host=.. port=.. dbname=..`. `None` if it names no server.
fn server(place: &str, kind: &str) -> Option<(String, Option<String>)> {
    let port = if kind == "mysql" { "3306" } else { "5432" };
    let (host, database) = match place.split_once("://") {
        Some((_, rest)) => {
            let (rest, _) = rest.split_once('?').unwrap_or((rest, ""));
            let (server, database) = rest.split_once('/').unwrap_or((rest, ""));
            // The part before the last `@` is the user.
            let host = server.rsplit('@').next().unwrap_or(server).to_owned();
            let host = if host.contains(':') {
                host
            } else {
                format!("{host}:{port}")
            };
            (host, Some(database.to_owned()))
        }
        None => {
            let value = |names: &[&str]| {
                let pairs = place
                    .split_whitespace()
                    .filter_map(|pair| pair.split_once('='));
                let mut pairs = pairs.filter(|(name, _)| names.contains(name));
                pairs
                    .next()
                    .map(|(_, value)| value.trim_matches('\'').to_owned())
            };
            let host = value(&["host", "hostaddr"])?;
            let port = value(&["port"]).unwrap_or_else(|| port.to_owned());
            (
                format!("{host}:{port}"),
                value(&["dbname", "database", "db"]),
            )
        }
    };
    let is_named = !host.is_empty() && !host.starts_with(':');
    let database = database.filter(|database| !database.is_empty());
    is_named.then(|| (format!("{kind}://{host}"), database))
}

#[cfg(test)]
mod tests {
    use super::*;
    use saphyr::LoadableYamlNode;

    fn read(yaml: &str) -> Result<Vec<Attached>, String> {
        let variable = |name: &str| (name == "HERE").then(|| "here".to_owned());
        let place = Place {
            project: Path::new("/nowhere/shop"),
            profiles: Path::new("/nowhere"),
            target: None,
            variable: &variable,
        };
        let all = YamlOwned::load_from_str(yaml).expect("YAML");
        place.attached(&all[0], "shop.outputs.dev")
    }

    #[test]
    fn a_database_is_named_by_where_it_lies() {
        for (entry, name, namespace, own) in [
            (
                "path: lake.duckdb",
                "lake",
                "duckdb:///nowhere/shop/lake.duckdb",
                Some("lake"),
            ),
            (
                "path: /x/my.db.duckdb, alias: other",
                "other",
                "duckdb:///x/my.db.duckdb",
                Some("my"),
            ),
            (
                "path: \"/x/{{ env_var('HERE') }} #2.db\"",
                "here #2",
                "duckdb:///x/here %232.db",
                Some("here #2"),
            ),
            (
                "path: s3://lake/w.duckdb, alias: w2",
                "w2",
                "duckdb://s3://lake/w.duckdb",
                Some("w"),
            ),
            (
                "path: \"md:prod?motherduck_token=abc\"",
                "prod",
                "duckdb://md:prod",
                Some("prod"),
            ),
            (
                "path: /x/s.sqlite, type: sqlite",
                "s",
                "sqlite:///x/s.sqlite",
                None,
            ),
            (
                "path: \"sqlite:/x/s.db\", alias: s",
                "s",
                "sqlite:///x/s.db",
                None,
            ),
            (
                "path: \"dbname=d host=db user=me password=abc\", type: postgres, alias: pg",
                "pg",
                "postgres://db:5432",
                Some("d"),
            ),
            (
                "path: \"postgres:postgresql://me:abc@db:6000/d?sslmode=require\", alias: pg",
                "pg",
                "postgres://db:6000",
                Some("d"),
            ),
            (
                "path: \"\", type: POSTGRES, alias: pg, secret: s",
                "pg",
                "postgres://pg",
                None,
            ),
            (
                "path: \"host=db\", alias: my, options: {type: mysql}",
                "my",
                "mysql://db:3306",
                None,
            ),
            (
                "path: \"ducklake:/x/meta.ducklake\", alias: lake",
                "lake",
                "ducklake:///x/meta.ducklake",
                Some("meta"),
            ),
            (
                "path: \"ducklake:postgres:dbname=d\", alias: lake",
                "lake",
                "ducklake://lake",
                None,
            ),
            (
                "path: \"db.xyz\", alias: z, type: snowflake",
                "z",
                "snowflake://z",
                None,
            ),
        ] {
            let found = read(&format!("attach: [{{{entry}}}]")).expect(entry);
            let found = &found[0];
            let found = (&*found.name, &*found.namespace, found.own.as_deref());
            assert_eq!(found, (name, namespace, own), "{entry}");
        }
        assert_eq!(read("attach:").expect("none"), []);
        assert_eq!(read("path: x").expect("none"), []);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        for (yaml, said) in [
            ("attach: x", "shop.outputs.dev.attach: expected a list"),
            (
                "attach: [{alias: x}]",
                "shop.outputs.dev.attach[0].path: expected a text",
            ),
            (
                "attach: [{path: x}, {path: \"{{ var('x') }}\"}]",
                "shop.outputs.dev.attach[1].path: expected a text or env_var",
            ),
        ] {
            let refused = read(yaml).expect_err(yaml);
            assert!(refused.contains(said), "{yaml}: {refused}");
        }
    }
}
