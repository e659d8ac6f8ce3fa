//! The function that creates the registry's tables, and the roles of all other functions in its database. Only this function has the
//! owner's secret. The person who deploys invokes it with `{"roles": {"registry": "secretsmanager:..", "answers": "secretsmanager:.."}}`.

use crate::installation::OpenError;
use crate::installation::aws::sdk;
use crate::settings::{DatabasePlace, Settings};
use pudato_registry::{PostgresRegistry, Purpose};
use serde_json::{Map, Value, json};

/// The name of this function in `HANDLER_TYPE`.
pub(super) const MIGRATE: &str = "migrate";

pub(super) struct MigrateFunction {
    settings: Settings,
}

impl MigrateFunction {
    pub(super) fn new(settings: Settings) -> Self {
        Self { settings }
    }

    pub(super) async fn invoke(&self, event: &Value) -> Result<Value, OpenError> {
        let roles = roles(event)?;
        let settings = &self.settings;
        let owner = url(&settings.registry, settings, "REGISTRY_DATABASE_URL").await?;
        let registry = PostgresRegistry::open(&owner).await?;
        let mut made = Vec::new();
        for (name, purpose, place) in roles {
            let url = url(&place, settings, &name).await?;
            registry.make_role(&url, purpose).await?;
            tracing::info!(
                role = name,
                "set the password and the permissions of a database role"
            );
            made.push(name);
        }
        Ok(json!({ "roles": made }))
    }
}

/// The roles in the event: for each purpose, the place of the role's name and password.
fn roles(event: &Value) -> Result<Vec<(String, Purpose, DatabasePlace)>, OpenError> {
    let wrong = |what: String| OpenError::Settings(format!("event: {what}"));
    let asked = event.as_object().filter(|event| event.len() == 1);
    let roles = asked.and_then(|event| event.get("roles")?.as_object());
    let roles: &Map<String, Value> =
        roles.ok_or_else(|| wrong("expected {\"roles\": {..}} and nothing else".into()))?;
    let role = |(name, place): (&String, &Value)| {
        let purpose = Purpose::named(name).ok_or_else(|| {
            wrong(format!(
                "roles.{name}: expected registry or answers as the name"
            ))
        })?;
        let secret = place.as_str().and_then(DatabasePlace::parse);
        match secret {
            Some(secret @ DatabasePlace::Secret(_)) => Ok((name.clone(), purpose, secret)),
            _ => Err(wrong(format!(
                "roles.{name}: expected secretsmanager:NAME or ssm:NAME"
            ))),
        }
    };
    roles.iter().map(role).collect()
}

/// The URL of a server at a place.
async fn url(place: &DatabasePlace, settings: &Settings, name: &str) -> Result<String, OpenError> {
    match sdk::resolve(place, settings).await? {
        DatabasePlace::Postgres(url) => Ok(url),
        _ => Err(OpenError::Settings(format!(
            "{name}: expected postgres://.., or a secret that holds such a URL"
        ))),
    }
}
