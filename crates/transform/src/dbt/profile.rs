//! Reads the project's target from `profiles.yml`. It understands no Jinja except `env_var`.

use crate::dbt::attach::Attached;
use crate::dbt::options::is_name;
use pudato_protocol::Dataset;
use saphyr::{LoadableYamlNode, ScalarOwned, YamlOwned};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The warehouse of a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// dbt's adapter, e.g. `duckdb`.
    pub(crate) adapter: String,
    /// The namespace of its datasets in OpenLineage, e.g. `duckdb:///w.duckdb` or `postgres://db:5432`.
    pub(crate) namespace: String,
    /// The file, if the warehouse is one.
    pub(crate) file: Option<PathBuf>,
    /// Attached databases.
    pub(crate) attached: Vec<Attached>,
}

impl Target {
    /// The DuckDB files that dbt opens, each once and in a fixed order.
    pub(crate) fn files(&self) -> BTreeSet<&Path> {
        let attached = self.attached.iter().filter_map(|one| one.file.as_deref());
        self.file.as_deref().into_iter().chain(attached).collect()
    }

    /// The file that holds a database, and the database's name in it.
    pub(crate) fn file_of<'a>(&'a self, database: &'a str) -> Option<(&'a Path, &'a str)> {
        match self.attached.iter().find(|one| one.is_called(database)) {
            Some(one) => one.file.as_deref().zip(one.own.as_deref()),
            None => self.file.as_deref().map(|file| (file, database)),
        }
    }
}

/// The inputs of [`Place::read`].
pub(crate) struct Place<'a> {
    pub(crate) project: &'a Path,
    pub(crate) profiles: &'a Path,
    /// `DBT_TARGET`, if it is set.
    pub(crate) target: Option<&'a str>,
    /// The environment of dbt.
    pub(crate) variable: &'a dyn Fn(&str) -> Option<String>,
}

impl Place<'_> {
    /// Reads the project's profile.
    ///
    /// # Errors
    /// Names the file and the field that is missing or wrong.
    pub(crate) fn read(&self) -> Result<Target, String> {
        let project = self.project.join("dbt_project.yml");
        let project = yaml(&project)?;
        let name = self
            .text(&project, "profile")
            .map_err(|why| format!("dbt_project.yml: profile: {why}"))?;
        let all = yaml(&self.profiles.join("profiles.yml"))
            .map_err(|why| format!("{why}; set DBT_PROFILES_DIR to the folder of profiles.yml"))?;
        let profile = field(&all, &name).ok_or_else(|| {
            format!("profiles.yml: expected a profile {name:?}, as dbt_project.yml names it")
        })?;
        let chosen = match self.target {
            Some(target) => target.to_owned(),
            None => self
                .text(profile, "target")
                .unwrap_or_else(|_| "default".into()),
        };
        let at = |field: &str| format!("profiles.yml: {name}.outputs.{chosen}.{field}");
        let output = field(profile, "outputs")
            .and_then(|outputs| field(outputs, &chosen))
            .ok_or_else(|| {
                let who = match self.target {
                    Some(_) => "as DBT_TARGET says",
                    None => "its target",
                };
                format!("profiles.yml: {name}.outputs: expected {chosen:?}, {who}; it is not there")
            })?;
        let text = |field: &str| {
            self.text(output, field)
                .map_err(|why| format!("{}: {why}", at(field)))
        };
        let adapter = text("type")?;
        let attached = match adapter.as_str() {
            "duckdb" => {
                let at = format!("profiles.yml: {name}.outputs.{chosen}");
                self.attached(output, &at)?
            }
            _ => Vec::new(),
        };
        // The database that dbt uses if a node names none.
        let database = self.text(output, "database").unwrap_or_default();
        let is_elsewhere = attached.iter().any(|one| one.is_called(&database));
        let (namespace, file) = match adapter.as_str() {
            "duckdb" if is_elsewhere && self.is_in_memory(output) => {
                ("duckdb://:memory:".to_owned(), None)
            }
            "duckdb" => {
                let path = match field(output, "path") {
                    None => {
                        return Err(format!(
                            "{}: expected the file of the warehouse; a warehouse in memory keeps nothing",
                            at("path")
                        ));
                    }
                    Some(_) => text("path")?,
                };
                if path == ":memory:" || path.contains("://") || path.starts_with("md:") {
                    return Err(format!(
                        "{}: expected a file on this machine, found {path:?}",
                        at("path")
                    ));
                }
                let file = absolute(self.project, Path::new(&path));
                let path = file.display().to_string();
                (Dataset::file_namespace("duckdb", &path), Some(file))
            }
            "postgres" | "redshift" => {
                let default = if adapter == "postgres" {
                    "5432"
                } else {
                    "5439"
                };
                let port = match field(output, "port") {
                    Some(_) => text("port")?,
                    None => default.to_owned(),
                };
                (format!("{adapter}://{}:{port}", text("host")?), None)
            }
            // In the naming of OpenLineage ("Naming conventions").
            "snowflake" => (format!("snowflake://{}", text("account")?), None),
            "bigquery" => ("bigquery".to_owned(), None),
            "athena" => (
                format!("awsathena://athena.{}.amazonaws.com", text("region_name")?),
                None,
            ),
            other => {
                let host = self.text(output, "host").unwrap_or_default();
                (format!("{other}://{host}"), None)
            }
        };
        Ok(Target {
            adapter,
            namespace,
            file,
            attached,
        })
    }

    /// Whether a dbt-duckdb target has no file of its own.
    fn is_in_memory(&self, output: &YamlOwned) -> bool {
        field(output, "path").is_none()
            || self
                .text(output, "path")
                .is_ok_and(|path| path == ":memory:")
    }

    /// The text of a field, rendered as far as possible.
    pub(crate) fn text(&self, of: &YamlOwned, name: &str) -> Result<String, String> {
        let value = field(of, name).ok_or("expected a text, found nothing")?;
        let raw = match value {
            YamlOwned::Value(scalar) => match scalar {
                ScalarOwned::String(text) => text.clone(),
                ScalarOwned::Integer(number) => number.to_string(),
                other => return Err(format!("expected a text, found {other:?}")),
            },
            _ => return Err("expected a text".into()),
        };
        self.render(&raw)
    }

    /// Replaces `{{ env_var('NAME') }}` and `{{ env_var('NAME', 'default') }}`.
    fn render(&self, raw: &str) -> Result<String, String> {
        let mut text = String::new();
        let mut rest = raw;
        while let Some((before, after)) = rest.split_once("{{") {
            let (inside, after) = after
                .split_once("}}")
                .ok_or_else(|| format!("{raw:?}: '{{{{' without '}}}}'"))?;
            text.push_str(before);
            text.push_str(&self.expression(inside.trim()).ok_or_else(|| {
                format!("expected a text or env_var('NAME') that is set and that dbt can see (PUDATO_DBT_ENV), found {raw:?}")
            })?);
            rest = after;
        }
        text.push_str(rest);
        Ok(text)
    }

    fn expression(&self, text: &str) -> Option<String> {
        let (arguments, rest) = arguments(text.strip_prefix("env_var(")?)?;
        // Filters such as `| int` change the type, not the text.
        let rest = rest.trim_start();
        if !rest.is_empty() && !rest.starts_with('|') {
            return None;
        }
        let mut arguments = arguments.into_iter();
        let name = arguments.next()?.text()?;
        let default = arguments.next();
        (self.variable)(&name).or_else(|| default?.text())
    }
}

/// An argument of a Jinja call.
enum Argument {
    /// A quoted argument, without its quotes.
    Quoted(String),
    /// A number, or an expression that is not understood here.
    Bare(String),
}

impl Argument {
    fn text(self) -> Option<String> {
        match self {
            Self::Quoted(text) => Some(text),
            Self::Bare(text) => text.parse::<f64>().is_ok().then_some(text),
        }
    }
}

/// The arguments up to the closing bracket, and the text after it. Quoted arguments may contain commas and brackets.
fn arguments(text: &str) -> Option<(Vec<Argument>, &str)> {
    let mut all = Vec::new();
    let mut rest = text.trim_start();
    loop {
        let argument;
        if let Some(quote) = rest.chars().next().filter(|c| matches!(c, '\'' | '"')) {
            let (inside, after) = rest[1..].split_once(quote)?;
            argument = Argument::Quoted(inside.to_owned());
            rest = after.trim_start();
        } else {
            let end = rest.find([',', ')'])?;
            argument = Argument::Bare(rest[..end].trim().to_owned());
            rest = &rest[end..];
        }
        all.push(argument);
        match rest.strip_prefix(',') {
            Some(after) => rest = after.trim_start(),
            None => return Some((all, rest.strip_prefix(')')?)),
        }
    }
}

/// A field of a mapping, or of those merged into it: `<<: *base`, or a list of them, of which the first takes precedence (YAML's merge
/// keys, which dbt supports). The mapping's own fields come first.
pub(crate) fn field<'a>(of: &'a YamlOwned, name: &str) -> Option<&'a YamlOwned> {
    if let Some(found) = of.as_mapping_get(name) {
        return Some(found);
    }
    match of.as_mapping_get("<<")? {
        YamlOwned::Sequence(all) => all.iter().find_map(|one| field(one, name)),
        one => field(one, name),
    }
}

/// The name of the project in this folder. dbt uses it to distinguish the project's macros from those of packages.
pub(crate) fn project_name(project: &Path) -> Result<String, String> {
    let read = yaml(&project.join("dbt_project.yml"))?;
    let name = field(&read, "name").and_then(|name| name.as_str());
    let name = name.filter(|name| is_name(name)).map(str::to_owned);
    name.ok_or_else(|| "dbt_project.yml: name: expected letters, digits and '_'".to_owned())
}

fn yaml(path: &Path) -> Result<YamlOwned, String> {
    let name = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| format!("{name}: {error}"))?;
    let mut all = YamlOwned::load_from_str(&text).map_err(|error| format!("{name}: {error}"))?;
    match all.is_empty() {
        true => Err(format!("{name}: it is empty")),
        false => Ok(all.remove(0)),
    }
}

/// The canonical path of a file. dbt resolves relative paths from the project folder.
pub(crate) fn absolute(project: &Path, path: &Path) -> PathBuf {
    let path = project.join(path);
    if let Ok(path) = path.canonicalize() {
        return path;
    }
    let parent = path.parent().and_then(|parent| parent.canonicalize().ok());
    match (parent, path.file_name()) {
        (Some(parent), Some(name)) => parent.join(name),
        _ => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(profiles: &str, target: Option<&str>) -> Result<Target, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let project = folder.path().canonicalize().expect("a path");
        std::fs::write(project.join("dbt_project.yml"), "name: p\nprofile: shop\n")
            .expect("written");
        std::fs::write(project.join("profiles.yml"), profiles).expect("written");
        let variable = |name: &str| (name == "HERE").then(|| "w.duckdb".to_owned());
        let place = Place {
            project: &project,
            profiles: &project,
            target,
            variable: &variable,
        };
        let mut target = place.read()?;
        // Independent of the temporary folder.
        target.namespace = target.namespace.replace(&project.display().to_string(), "");
        target.file = target
            .file
            .map(|file| file.strip_prefix(&project).expect("below").to_owned());
        Ok(target)
    }

    #[test]
    fn the_warehouse_is_named_as_others_name_it() {
        let profiles = "shop:\n  target: dev\n  outputs:\n    dev: {type: duckdb, path: \"{{ env_var('HERE') }}\"}\n    \
            other: {type: duckdb, path: \"{{ env_var('NOT', 'x.duckdb') }}\"}\n    \
            pg: {type: postgres, host: db, port: 6000, dbname: d}\n    plain: {type: postgres, host: db}\n";
        let dev = read(profiles, None).expect("dev");
        assert_eq!(dev.namespace, "duckdb:///w.duckdb");
        assert_eq!(dev.file.as_deref(), Some(Path::new("w.duckdb")));
        assert_eq!(
            read(profiles, Some("other")).expect("other").namespace,
            "duckdb:///x.duckdb"
        );
        assert_eq!(
            read(profiles, Some("pg")).expect("pg").namespace,
            "postgres://db:6000"
        );
        assert_eq!(
            read(profiles, Some("plain")).expect("plain").namespace,
            "postgres://db:5432"
        );
        let missing = read(profiles, Some("prod")).expect_err("no such target");
        assert!(
            missing.contains("shop.outputs: expected \"prod\", as DBT_TARGET says"),
            "{missing}"
        );
    }

    #[test]
    fn a_profile_may_be_merged_from_others() {
        let profiles = "base: &base {type: postgres, host: db, port: 6000}\nmore: &more {<<: *base, host: other}\n\
            shop:\n  target: one\n  outputs:\n    one: {<<: *base, port: 7000}\n    two:\n      <<: [*more, *base]\n    \
            three: {<<: *more}\n";
        for (target, expected) in [
            ("one", "postgres://db:7000"),
            ("two", "postgres://other:6000"),
            ("three", "postgres://other:6000"),
        ] {
            let found = read(profiles, Some(target)).expect(target);
            assert_eq!(found.namespace, expected, "{target}");
        }
    }

    #[test]
    fn the_arguments_of_env_var_may_hold_what_divides_others() {
        for (value, expected) in [
            ("env_var('NOT', 'a, b|c).duckdb')", Some("a, b|c).duckdb")),
            ("env_var( \"NOT\" , \"x.duckdb\" ) | trim", Some("x.duckdb")),
            ("env_var('HERE', nothing)", Some("w.duckdb")),
            ("env_var('NOT', 5432) | int", Some("5432")),
            ("env_var('NOT', nothing)", None),
            ("env_var('NOT')", None),
            ("env_var('HERE' ~ 'X')", None),
            ("env_var('HERE') ~ 'x'", None),
            ("env_var('HERE", None),
            ("env_var()", None),
        ] {
            let value = value.replace('"', "\\\"");
            let profiles = format!(
                "shop: {{target: dev, outputs: {{dev: {{type: duckdb, path: \"{{{{ {value} }}}}\"}}}}}}"
            );
            let found = read(&profiles, None).ok().and_then(|target| target.file);
            assert_eq!(found.as_deref(), expected.map(Path::new), "{value}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        for (profiles, said) in [
            ("other: {}", "expected a profile \"shop\""),
            (
                "shop: {target: dev, outputs: {dev: {type: duckdb}}}",
                "shop.outputs.dev.path",
            ),
            (
                "shop: {target: dev, outputs: {dev: {type: duckdb, path: ':memory:'}}}",
                "a file on this machine",
            ),
            (
                "shop: {target: dev, outputs: {dev: {type: duckdb, path: \"{{ var('x') }}\"}}}",
                "env_var('NAME')",
            ),
            (
                "shop: {target: dev, outputs: {dev: {path: x}}}",
                "shop.outputs.dev.type",
            ),
            ("a: [", "profiles.yml"),
        ] {
            let refused = read(profiles, None).expect_err(profiles);
            assert!(refused.contains(said), "{profiles}: {refused}");
        }
    }
}
