//! Reading `pudato.toml`, and containers from the environment.

use super::variables::{VARIABLES, instead_of, nearest};
use std::collections::BTreeMap;
use std::path::Path;

/// The settings and the containers of a file.
pub(super) type Table = (BTreeMap<String, String>, BTreeMap<String, String>);

/// Containers as `NAME=LOCATION,NAME=LOCATION`.
pub(super) fn read_containers(text: &str, wrong: &mut Vec<String>) -> BTreeMap<String, String> {
    let mut containers = BTreeMap::new();
    for entry in text.split(',') {
        match entry.trim().split_once('=') {
            Some((name, location)) if !name.is_empty() && !location.is_empty() => {
                containers.insert(name.to_owned(), location.to_owned());
            }
            _ => wrong.push(format!(
                "PUDATO_CONTAINERS: expected NAME=LOCATION such as lake=s3://bucket/prefix, found {entry:?}"
            )),
        }
    }
    containers
}

pub(super) fn read_file(path: Option<&Path>, wrong: &mut Vec<String>) -> Table {
    let mut table = Table::default();
    let Some(path) = path else {
        return table;
    };
    let name = path.display();
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            wrong.push(format!("{name}: cannot be read: {error}"));
            return table;
        }
    };
    let parsed: toml::Table = match text.parse() {
        Ok(parsed) => parsed,
        Err(error) => {
            wrong.push(format!("{name}: {error}"));
            return table;
        }
    };
    for (key, value) in parsed {
        match value {
            toml::Value::Table(containers) if key == "containers" => {
                for (container, location) in containers {
                    match location {
                        toml::Value::String(location) => {
                            table.1.insert(container, location);
                        }
                        other => wrong.push(format!(
                            "{name}: containers.{container}: expected a text such as \"file:///data/lake\", found {}",
                            other.type_str()
                        )),
                    }
                }
            }
            _ if !VARIABLES.iter().any(|variable| variable.key == key) => {
                let known = VARIABLES.iter().map(|variable| variable.key);
                let near = nearest(&key, known.chain(["containers"])).unwrap_or_default();
                wrong.push(match instead_of(&key) {
                    Some(instead) => {
                        format!("{name}: {key}: pudato has no such setting; {instead}")
                    }
                    None => format!("{name}: {key}: unknown; did you mean {near}?"),
                });
            }
            toml::Value::String(text) => {
                table.0.insert(key, text);
            }
            toml::Value::Boolean(flag) => {
                table.0.insert(key, flag.to_string());
            }
            toml::Value::Integer(number) => {
                table.0.insert(key, number.to_string());
            }
            other => wrong.push(format!(
                "{name}: {key}: expected a text, a whole number, true or false, found {}",
                other.type_str()
            )),
        }
    }
    table
}
