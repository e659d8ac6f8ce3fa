//! Access to AWS: credentials, buckets, and secrets.

use super::session::identity;
use crate::installation::OpenError;
use crate::settings::{DatabasePlace, SecretName, Settings};
use aws_config::SdkConfig;
use pudato_messaging::aws::sdk_config_of;
use pudato_storage::{Containers, ContainersBuilder, S3Access};
use serde_json::Value;

/// Access to AWS.
pub(in crate::installation) struct Access {
    pub(super) config: SdkConfig,
    pub(super) s3: S3Access,
}

impl Access {
    /// Finds credentials and region, if any setting needs AWS. Does not call AWS yet.
    pub(in crate::installation) async fn open(
        settings: &Settings,
    ) -> Result<Option<Self>, OpenError> {
        let Some(config) = config(settings).await else {
            return Ok(None);
        };
        let s3 = S3Access::new(&config).map_err(|error| OpenError::Settings(error.to_string()))?;
        Ok(Some(Self { config, s3 }))
    }

    /// The database whose URL is in a secret.
    pub(in crate::installation) async fn database_in(
        &self,
        name: &SecretName,
    ) -> Result<DatabasePlace, OpenError> {
        database_in(name, &self.config).await
    }

    /// A builder of containers that may be buckets.
    pub(in crate::installation) fn containers(&self) -> ContainersBuilder {
        Containers::builder().s3(self.s3.clone())
    }
}

/// The SDK's configuration, if anything in the settings needs it.
async fn config(settings: &Settings) -> Option<SdkConfig> {
    let places = [Some(&settings.registry), settings.answers.as_ref()];
    let mut places = places.into_iter().flatten();
    let mut locations = settings.containers.values();
    let is_needed = settings.fabric.needs_aws
        || places.any(|place| matches!(place, DatabasePlace::Secret(_)))
        || locations.any(|location| location.starts_with("s3://"));
    if !is_needed {
        return None;
    }
    Some(sdk_config_as(settings).await)
}

/// The SDK's configuration: the program's own session where it has one, the SDK's chain for the rest.
pub(crate) async fn sdk_config_as(settings: &Settings) -> SdkConfig {
    let identity = identity(settings.session.as_ref());
    sdk_config_of(settings.endpoint.as_deref(), identity).await
}

/// The database of the registry or of another role, whose URL may be in a secret.
pub(crate) async fn resolve(
    place: &DatabasePlace,
    settings: &Settings,
) -> Result<DatabasePlace, OpenError> {
    match place {
        DatabasePlace::Secret(name) => {
            let config = sdk_config_as(settings).await;
            database_in(name, &config).await
        }
        place => Ok(place.clone()),
    }
}

async fn database_in(name: &SecretName, config: &SdkConfig) -> Result<DatabasePlace, OpenError> {
    let text = secret(name, config).await?;
    let url = database_url(&text);
    // The error never repeats the secret.
    url.as_deref().and_then(DatabasePlace::parse).ok_or_else(|| {
        let expected = "a URL such as postgres://USER:PASSWORD@HOST:PORT/DATABASE, or the JSON of a secret that RDS made";
        OpenError::Settings(format!("{name}: expected it to hold {expected}"))
    })
}

async fn secret(name: &SecretName, config: &SdkConfig) -> Result<String, OpenError> {
    let failed = |error: String| OpenError::Unavailable(format!("{name}: {error}"));
    let found = match name {
        SecretName::SecretsManager(id) => {
            let client = aws_sdk_secretsmanager::Client::new(config);
            let asked = client.get_secret_value().secret_id(id).send().await;
            let found = asked.map_err(|error| {
                failed(aws_sdk_secretsmanager::error::DisplayErrorContext(error).to_string())
            })?;
            found.secret_string
        }
        SecretName::Parameter(id) => {
            let client = aws_sdk_ssm::Client::new(config);
            let asked = client.get_parameter().name(id).with_decryption(true);
            let found = asked.send().await.map_err(|error| {
                failed(aws_sdk_ssm::error::DisplayErrorContext(error).to_string())
            })?;
            found.parameter.and_then(|parameter| parameter.value)
        }
    };
    found.ok_or_else(|| failed("it has no text value".into()))
}

/// The URL in a secret: the whole secret, or composed of the fields that RDS writes.
fn database_url(secret: &str) -> Option<String> {
    if !secret.trim_start().starts_with('{') {
        return Some(secret.trim().to_owned());
    }
    let fields: Value = serde_json::from_str(secret).ok()?;
    let text = |name: &str| fields.get(name).and_then(Value::as_str).map(escaped);
    let port = fields.get("port").and_then(Value::as_u64).unwrap_or(5_432);
    let database = text("dbname").unwrap_or_else(|| "postgres".into());
    let (user, password, host) = (text("username")?, text("password")?, text("host")?);
    Some(format!(
        "postgres://{user}:{password}@{host}:{port}/{database}"
    ))
}

/// Percent-encodes a text for a URL (RFC 3986, section 2.3).
fn escaped(text: &str) -> String {
    use std::fmt::Write;
    text.bytes().fold(String::new(), |mut all, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            all.push(char::from(byte));
        } else {
            let _ = write!(all, "%{byte:02X}");
        }
        all
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_holds_a_url_or_the_fields_that_rds_writes() {
        let url = "postgres://me:pw@db/pudato";
        assert_eq!(database_url(&format!("{url}\n")).as_deref(), Some(url));
        let fields =
            r#"{"username":"me","password":"p@ss/word","host":"db","port":6000,"dbname":"pudato"}"#;
        let url = "postgres://me:p%40ss%2Fword@db:6000/pudato";
        assert_eq!(database_url(fields).as_deref(), Some(url));
        assert_eq!(database_url("{}"), None);
    }
}
