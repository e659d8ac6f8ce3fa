//! The places of databases.

use crate::installation::Backend;
use std::fmt;
use std::path::{Path, PathBuf};

/// The place of a database.
#[derive(Clone, PartialEq, Eq)]
pub enum DatabasePlace {
    /// A SQLite file.
    File(PathBuf),
    /// A PostgreSQL server, by its URL, which may hold a password.
    Postgres(String),
    /// A table of DynamoDB; for answers only.
    Dynamo(String),
    /// A secret that has the URL.
    Secret(SecretName),
    /// In memory, for programs that need no database.
    Memory,
}

/// The name of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretName {
    /// A secret in AWS Secrets Manager: its name or ARN.
    SecretsManager(String),
    /// A parameter in the parameter store of AWS Systems Manager.
    Parameter(String),
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SecretsManager(name) => write!(f, "secretsmanager:{name}"),
            Self::Parameter(name) => write!(f, "ssm:{name}"),
        }
    }
}

impl fmt::Debug for DatabasePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "File({path:?})"),
            Self::Postgres(_) => f.write_str("Postgres(..)"),
            Self::Dynamo(table) => write!(f, "Dynamo({table:?})"),
            Self::Secret(name) => write!(f, "Secret({name:?})"),
            Self::Memory => f.write_str("Memory"),
        }
    }
}

impl DatabasePlace {
    /// Parses a URL; `None` if its scheme is unknown.
    pub(crate) fn parse(url: &str) -> Option<Self> {
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return Some(Self::Postgres(url.to_owned()));
        }
        let (scheme, rest) = url.split_once(':')?;
        let name = rest.strip_prefix("//").unwrap_or(rest);
        let place = match scheme {
            "sqlite" => Self::File(name.into()),
            "dynamodb" => Self::Dynamo(name.to_owned()),
            "secretsmanager" => Self::Secret(SecretName::SecretsManager(rest.to_owned())),
            "ssm" => Self::Secret(SecretName::Parameter(rest.to_owned())),
            _ => return None,
        };
        (!name.is_empty()).then_some(place)
    }
}

pub(super) fn registry(url: &str, data_dir: &Path, wrong: &mut Vec<String>) -> DatabasePlace {
    let default = DatabasePlace::File(data_dir.join("registry.db"));
    if url.is_empty() {
        return default;
    }
    match DatabasePlace::parse(url) {
        Some(place) if !matches!(place, DatabasePlace::Dynamo(_)) => place,
        _ => {
            // The URL may hold a password, so the error does not repeat it.
            let what = "REGISTRY_DATABASE_URL: expected sqlite:PATH, postgres://USER:PASSWORD@HOST:PORT/DATABASE, secretsmanager:NAME or ssm:NAME";
            wrong.push(what.into());
            default
        }
    }
}

pub(super) fn answers(
    url: &str,
    fabric: &Backend,
    wrong: &mut Vec<String>,
) -> Option<DatabasePlace> {
    if url.is_empty() {
        return None;
    }
    if fabric.stores_answers {
        let name = fabric.name;
        wrong.push(format!(
            "PUDATO_IDEMPOTENCY_URL: the {name} fabric stores answers itself; unset it"
        ));
        return None;
    }
    let place = DatabasePlace::parse(url);
    if place.is_none() {
        let what = "PUDATO_IDEMPOTENCY_URL: expected sqlite:PATH, postgres://USER:PASSWORD@HOST:PORT/DATABASE, dynamodb:TABLE, secretsmanager:NAME or ssm:NAME";
        wrong.push(what.into());
    }
    place
}
