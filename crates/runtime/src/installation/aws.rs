//! AWS: SNS and SQS as a fabric, buckets, and secrets.

use super::OpenError;
use super::databases::{self, Databases};
use super::fabric::{
    Consumers, Delivered, Fabric, Parts, Profile, PushedConsumer, ReplyQueue, ReplyQueues, Usage,
};
use super::session::identity;
use crate::admin::examination;
use crate::names::Names;
use crate::settings::{self, DatabasePlace, SecretName, Settings, SignaturePolicy};
use async_trait::async_trait;
use aws_config::SdkConfig;
use pudato_engine::{EnvelopePolicy, SignatureVerifier};
use pudato_messaging::aws::{
    AwsFabric, DynamoIdempotencyStore, OldestSignature, Places, Signatures, SqsConsumer, sdk_config,
};
use pudato_messaging::{ClaimStore, Consumer, Delivery, Error, IdempotencyStore, Topology};
use pudato_protocol::Envelope;
use pudato_storage::{Containers, ContainersBuilder, S3Access};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// The time between two searches of the dead-letter queues: each search costs a call for every queue.
const WATCH_EVERY: Duration = Duration::from_secs(60);

/// Access to AWS.
pub(super) struct Access {
    config: SdkConfig,
    s3: S3Access,
}

impl Access {
    /// Finds credentials and region, if any setting needs AWS. Does not call AWS yet.
    pub(super) async fn open(settings: &Settings) -> Result<Option<Self>, OpenError> {
        let Some(config) = config(settings).await else {
            return Ok(None);
        };
        let s3 = S3Access::new(&config).map_err(|error| OpenError::Settings(error.to_string()))?;
        Ok(Some(Self { config, s3 }))
    }

    /// The database whose URL is in a secret.
    pub(super) async fn database_in(&self, name: &SecretName) -> Result<DatabasePlace, OpenError> {
        database_in(name, &self.config).await
    }

    /// A builder of containers that may be buckets.
    pub(super) fn containers(&self) -> ContainersBuilder {
        Containers::builder().s3(self.s3.clone())
    }
}

/// The SDK's configuration, if anything in the settings needs it.
async fn config(settings: &Settings) -> Option<SdkConfig> {
    let places = [Some(&settings.registry), settings.answers.as_ref()];
    let mut places = places.into_iter().flatten();
    let mut locations = settings.containers.values();
    let is_needed = settings.fabric == settings::Fabric::Aws
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
    sdk_config(settings.endpoint.as_deref(), identity).await
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

/// The ARNs and URLs of everything in `topology`.
fn places(settings: &Settings, names: &Names, topology: &Topology) -> Places {
    let mut places = Places::default();
    let arns = &settings.aws.topic_arns;
    for topic in &topology.topics {
        if let Some(arn) = names.carries(topic).and_then(|name| arns.get(name)) {
            places.topics.insert(topic.clone(), arn.clone());
        }
    }
    // A caller's own handler has no setting, so its topic has the account and region of the Results topic.
    if let Some((beside, _)) = arns
        .get(crate::names::RESULTS)
        .and_then(|arn| arn.rsplit_once(':'))
    {
        for topic in &topology.topics {
            let has_setting = names
                .carries(topic)
                .is_some_and(settings::services::has_topic_setting);
            if !has_setting {
                places
                    .topics
                    .insert(topic.clone(), format!("{beside}:{topic}"));
            }
        }
    }
    for queue in &topology.queues {
        let name = names.reader_of(&queue.name);
        if let Some(url) = name.and_then(|name| settings.aws.queue_urls.get(name)) {
            places.queues.insert(queue.name.clone(), url.clone());
        }
    }
    places
}

/// Verifies the signatures of notifications; `None` if the settings ask for no verification.
fn verifier(policy: SignaturePolicy) -> Option<Arc<dyn SignatureVerifier>> {
    let oldest = match policy {
        SignaturePolicy::Off => return None,
        SignaturePolicy::Sha1 => OldestSignature::Sha1,
        SignaturePolicy::Sha256 => OldestSignature::Sha256,
    };
    Some(Arc::new(SnsSignatures(Signatures::new(oldest))))
}

struct SnsSignatures(Signatures);

#[async_trait]
impl SignatureVerifier for SnsSignatures {
    async fn verify(&self, envelope: &Envelope, now: SystemTime) -> Result<(), Error> {
        self.0.verify(envelope, now).await
    }
}

/// Envelopes may name the topics in the settings, and those of the installation beside them: a worker's settings need not name its own
/// topic.
fn envelopes(fabric: &AwsFabric, topics: &[String], policy: SignaturePolicy) -> EnvelopePolicy {
    let arns = fabric.topic_arns();
    let beside = arns.iter().filter_map(|arn| arn.rsplit_once(':'));
    let beside: Vec<String> = beside
        .flat_map(|(beside, _)| topics.iter().map(move |topic| format!("{beside}:{topic}")))
        .collect();
    EnvelopePolicy::only(arns.into_iter().chain(beside)).with_verifier(verifier(policy))
}

/// Opens the fabric. Does not call AWS yet.
pub(super) async fn open(parts: Parts<'_>) -> Result<Fabric, OpenError> {
    let Parts {
        settings,
        names,
        topology,
        places: found,
        databases,
        claims,
        clock,
    } = parts;
    let Some(access) = &found.aws else {
        let what = "PUDATO_FABRIC: AWS has no configuration";
        return Err(OpenError::Settings(what.into()));
    };
    let places = places(settings, names, topology);
    let fabric = AwsFabric::new(&access.config, places, Arc::clone(&clock));
    let fabric = fabric.with_claims(Arc::clone(&claims));
    let stored = stored_answers(settings, found.answers.as_ref(), databases)?;
    let idempotency: Arc<dyn IdempotencyStore> = match (&stored, &found.answers) {
        (Some(store), _) => Arc::clone(store),
        (None, Some(DatabasePlace::Dynamo(table))) => Arc::new(DynamoIdempotencyStore::new(
            &access.config,
            table.clone(),
            Arc::clone(&claims),
            clock,
        )),
        (None, _) => {
            let what = "PUDATO_IDEMPOTENCY_URL: expected a database or a table";
            return Err(OpenError::Settings(what.into()));
        }
    };
    let queues = Arc::new(Queues {
        fabric: fabric.clone(),
        idempotency: Arc::clone(&idempotency),
        claims,
        prefix: settings.prefix.clone(),
        results_topic: names.results(),
        s3: access.s3.clone(),
    });
    Ok(Fabric {
        publisher: Arc::new(fabric.publisher()),
        operations: Arc::new(fabric.clone()),
        idempotency,
        consumers: Arc::clone(&queues) as _,
        envelopes: envelopes(&fabric, &topology.topics, settings.aws.signatures),
        settles_atomically: false,
        replies: Some(Arc::clone(&queues) as _),
        usage: Some(queues),
        file: None,
        expiring_answers: stored,
        profile: Profile {
            is_shared: true,
            watch_every: WATCH_EVERY,
            no_subscriber_advice,
            examine: Some(|installation| Box::pin(examination::examine(installation))),
        },
    })
}

/// The database that stores answers; `None` for a table of DynamoDB, which expires old ones by itself.
fn stored_answers(
    settings: &Settings,
    place: Option<&DatabasePlace>,
    databases: &Databases,
) -> Result<Option<Arc<dyn IdempotencyStore>>, OpenError> {
    Ok(match place {
        None => Some(Arc::clone(&databases.answers)),
        Some(DatabasePlace::Dynamo(_)) => None,
        Some(place) => Some(databases::open(place, settings)?.answers),
    })
}

fn no_subscriber_advice(service: &str) -> &'static str {
    match service {
        "transform" => {
            "`pudato topology apply` makes the queue of transform if a dbt project is set (DBT_PROJECT_DIR or PUDATO_LOGIC_REPO_URL)"
        }
        _ => "`pudato topology diff` shows what is missing",
    }
}

/// Implements everything about queues that the ports of messaging do not cover.
struct Queues {
    fabric: AwsFabric,
    idempotency: Arc<dyn IdempotencyStore>,
    claims: Arc<dyn ClaimStore>,
    prefix: String,
    results_topic: String,
    s3: S3Access,
}

impl Queues {
    async fn open(&self, queue: &str) -> Result<SqsConsumer, Error> {
        let consumer = self.fabric.consumer(queue).await?;
        let consumer = consumer.with_answers(Arc::clone(&self.idempotency));
        Ok(consumer.with_claims(Arc::clone(&self.claims)))
    }
}

#[async_trait]
impl Consumers for Queues {
    async fn consumer(&self, queue: &str) -> Result<Arc<dyn Consumer>, Error> {
        Ok(Arc::new(self.open(queue).await?))
    }

    async fn pushed(&self, queue: &str) -> Result<Option<Arc<dyn PushedConsumer>>, Error> {
        Ok(Some(Arc::new(self.open(queue).await?.of_event_source())))
    }
}

impl PushedConsumer for SqsConsumer {
    fn adopt(&self, event: &Value) -> Result<Vec<Delivery>, Error> {
        Self::adopt(self, event)
    }

    fn left(&self) -> Vec<String> {
        Self::left(self)
    }

    fn visibility(&self) -> Duration {
        Self::visibility(self)
    }

    fn as_consumer(self: Arc<Self>) -> Arc<dyn Consumer> {
        self
    }
}

#[async_trait]
impl ReplyQueues for Queues {
    async fn listen(&self, correlation_id: &str) -> Result<Box<dyn ReplyQueue>, Error> {
        let queue = self
            .fabric
            .listen(&self.prefix, &self.results_topic, correlation_id);
        Ok(Box::new(Replies(queue.await?)))
    }

    async fn sweep(&self) -> Result<u64, Error> {
        let swept = self.fabric.sweep_replies(&self.prefix, &self.results_topic);
        Ok(swept.await? as u64)
    }
}

struct Replies(pudato_messaging::aws::ReplyQueue);

#[async_trait]
impl ReplyQueue for Replies {
    async fn receive(&mut self, wait: Duration) -> Result<Vec<Delivered>, Error> {
        let received = self.0.receive(wait).await?.into_iter();
        let delivered = received.map(|one| Delivered {
            body: one.body,
            attributes: one.attributes,
        });
        Ok(delivered.collect())
    }

    async fn close(self: Box<Self>) {
        self.0.close().await;
    }
}

impl Usage for Queues {
    fn calls(&self) -> BTreeMap<String, u64> {
        let mut calls = self.fabric.calls();
        calls.extend(self.s3.calls());
        calls
    }
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
