//! What AWS needs: where topics and queues are, how buckets are reached, secrets.

use crate::backend::{self, Aws, Backend};
use crate::names::{HISTORY, Names, RESULTS};
use crate::settings::{DatabasePlace, Fabric, SecretName, Settings};
use crate::stores::{self, Database};
use crate::trust::Seal;
use crate::wiring::OpenError;
use async_trait::async_trait;
use aws_config::SdkConfig;
use pudato_messaging::aws::{
    AwsFabric, DynamoAnswers, OldestSignature, Places, Signatures, sdk_config,
};
use pudato_messaging::{ClaimStore, Clock, Error, Topology};
use pudato_protocol::Envelope;
use pudato_storage::S3Access;
use serde_json::Value;
use std::sync::Arc;
use std::time::SystemTime;

/// The services that have settings of their own.
const SERVICES: [&str; 4] = ["storage", "query", "transform", "registry"];

/// The SDK's configuration, where anything needs it.
pub(crate) async fn config(settings: &Settings) -> Option<SdkConfig> {
    let mut locations = settings.containers.values();
    let is_needed = settings.fabric == Fabric::Aws
        || matches!(settings.registry, DatabasePlace::Secret(_))
        || locations.any(|location| location.starts_with("s3://"));
    if !is_needed {
        return None;
    }
    Some(sdk_config(settings.endpoint.as_deref()).await)
}

/// How buckets are reached.
pub(crate) fn s3(config: &SdkConfig) -> Result<S3Access, OpenError> {
    S3Access::new(config).map_err(|error| OpenError::Settings(error.to_string()))
}

/// A place that holds no secret any more.
pub(crate) async fn resolved(
    place: &DatabasePlace,
    config: Option<&SdkConfig>,
) -> Result<DatabasePlace, OpenError> {
    let (DatabasePlace::Secret(name), Some(config)) = (place, config) else {
        return Ok(place.clone());
    };
    let text = secret(name, config).await?;
    let url = database_url(&text);
    // The secret itself is never repeated.
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
    found.ok_or_else(|| failed("it holds no text".into()))
}

/// The URL in a secret: the secret itself, or put together from the fields that RDS writes.
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

/// As a URL can hold it (RFC 3986, section 2.3).
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

/// The services whose queue the settings name, whether they have a handler in this program or not.
pub(crate) fn services_with_queue(settings: &Settings) -> impl Iterator<Item = &str> {
    let is_named = |service: &&str| {
        let variable = format!("PUDATO_{}_QUEUE_URL", service.to_ascii_uppercase());
        !settings.value(&variable).is_empty()
    };
    let is_aws = settings.fabric == Fabric::Aws;
    SERVICES
        .into_iter()
        .filter(is_named)
        .filter(move |_| is_aws)
}

/// The variable that says where a topic is, where there is one.
pub(crate) fn topic_variable(names: &Names, topic: &str) -> Option<String> {
    let of = |name: &str| format!("PUDATO_{}_TOPIC_ARN", name.to_ascii_uppercase());
    let service = SERVICES
        .iter()
        .find(|service| names.commands(service) == topic);
    match service {
        Some(service) => Some(of(service)),
        None if topic == names.results() => Some(of("results")),
        None if topic == names.events() => Some(of("events")),
        None => None,
    }
}

/// The variable that says where a queue is, where there is one.
pub(crate) fn queue_variable(names: &Names, queue: &str) -> Option<String> {
    let mut known = SERVICES.iter().chain(&[RESULTS, HISTORY]);
    let name = known.find(|name| names.queue(name) == queue)?;
    Some(format!("PUDATO_{}_QUEUE_URL", name.to_ascii_uppercase()))
}

/// Where everything of `topology` is.
fn places(settings: &Settings, names: &Names, topology: &Topology) -> Result<Places, OpenError> {
    let mut places = Places::default();
    for topic in &topology.topics {
        let Some(variable) = topic_variable(names, topic) else {
            continue;
        };
        let arn = settings.value(&variable);
        let is_arn = arn.starts_with("arn:") && arn.split(':').count() == 6;
        if !arn.is_empty() && !is_arn {
            let what =
                format!("{variable}: expected arn:aws:sns:REGION:ACCOUNT:TOPIC, found {arn:?}");
            return Err(OpenError::Settings(what));
        }
        if !arn.is_empty() {
            places.topics.insert(topic.clone(), arn.to_owned());
        }
    }
    // A handler of the caller's own has no settings: its topic lies where that of the Results does.
    let results = settings.value("PUDATO_RESULTS_TOPIC_ARN");
    if let Some((beside, _)) = results.rsplit_once(':') {
        for topic in &topology.topics {
            if topic_variable(names, topic).is_none() {
                let arn = format!("{beside}:{topic}");
                places.topics.insert(topic.clone(), arn);
            }
        }
    }
    for queue in &topology.queues {
        let Some(variable) = queue_variable(names, &queue.name) else {
            continue;
        };
        let url = settings.value(&variable);
        if !url.is_empty() && !url.starts_with("http") {
            let what = format!("{variable}: expected the URL of a queue, found {url:?}");
            return Err(OpenError::Settings(what));
        }
        if !url.is_empty() {
            places.queues.insert(queue.name.clone(), url.to_owned());
        }
    }
    Ok(places)
}

/// What `needed` parts of `topology` are called in the settings.
pub(crate) fn needed(names: &Names, topics: &[String], queues: &[String]) -> Vec<String> {
    let topics = topics
        .iter()
        .filter_map(|topic| topic_variable(names, topic));
    let queues = queues
        .iter()
        .filter_map(|queue| queue_variable(names, queue));
    let mut needed: Vec<String> = topics.chain(queues).collect();
    needed.push("REGISTRY_DATABASE_URL".into());
    needed
}

/// Who verifies the signatures of notifications; `None` where nobody does.
fn seal(settings: &Settings) -> Result<Option<Arc<dyn Seal>>, OpenError> {
    let oldest = match settings.value("PUDATO_SNS_SIGNATURES") {
        "off" => return Ok(None),
        "v1" => OldestSignature::Sha1,
        "v2" => OldestSignature::Sha256,
        other => {
            let what = format!("PUDATO_SNS_SIGNATURES: expected off, v1 or v2, found {other:?}");
            return Err(OpenError::Settings(what));
        }
    };
    Ok(Some(Arc::new(Signatures::new(oldest))))
}

#[async_trait]
impl Seal for Signatures {
    async fn verify(&self, envelope: &Envelope, now: SystemTime) -> Result<(), Error> {
        Signatures::verify(self, envelope, now).await
    }
}

/// Opens the fabric. Nothing is asked of AWS yet.
pub(crate) async fn fabric(
    settings: &Settings,
    names: &Names,
    topology: &Topology,
    config: &SdkConfig,
    registry: &Database,
    claims: Arc<dyn ClaimStore>,
    clock: Arc<dyn Clock>,
) -> Result<Backend, OpenError> {
    let places = places(settings, names, topology)?;
    let fabric = AwsFabric::new(config, places, Arc::clone(&clock));
    let fabric = fabric.with_claims(Arc::clone(&claims));
    let place = match &settings.answers {
        Some(place) => Some(resolved(place, Some(config)).await?),
        None => None,
    };
    let kept = match &place {
        None => Some(Arc::clone(&registry.answers)),
        // A table forgets by itself.
        Some(DatabasePlace::Dynamo(_)) => None,
        Some(place) => Some(stores::open(place, settings)?.answers),
    };
    let answers = match (&kept, place) {
        (Some(kept), _) => backend::answers(Arc::clone(kept), clock),
        (None, Some(DatabasePlace::Dynamo(table))) => Arc::new(DynamoAnswers::new(
            config,
            table,
            Arc::clone(&claims),
            clock,
        )),
        (None, _) => {
            let what = "PUDATO_IDEMPOTENCY_URL: expected a database or a table";
            return Err(OpenError::Settings(what.into()));
        }
    };
    Ok(Backend::Aws(Aws {
        fabric,
        answers,
        kept,
        claims,
        seal: seal(settings)?,
    }))
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
