//! Opens SNS and SQS as a fabric.

mod queues;
mod secrets;
mod session;

pub(in crate::installation) use secrets::Access;
pub(crate) use secrets::{resolve, sdk_config_as};

use crate::admin::examination;
use crate::installation::OpenError;
use crate::installation::databases::{self, Databases};
use crate::installation::fabric::{Fabric, Parts, Profile};
use crate::names::Names;
use crate::settings::{self, DatabasePlace, Settings, SignaturePolicy};
use async_trait::async_trait;
use pudato_engine::{EnvelopePolicy, SignatureVerifier};
use pudato_messaging::aws::{
    AwsFabric, DynamoIdempotencyStore, OldestSignature, Places, Signatures,
};
use pudato_messaging::{Error, IdempotencyStore, Topology};
use pudato_protocol::Envelope;
use queues::Queues;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// The time between two searches of the dead-letter queues: each search costs a call for every queue.
const WATCH_EVERY: Duration = Duration::from_secs(60);

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
pub(in crate::installation) async fn open(parts: Parts<'_>) -> Result<Fabric, OpenError> {
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
        known_queues: Some(settings.aws.queue_urls.keys().copied().collect()),
        profile: Profile {
            is_shared: true,
            watch_every: WATCH_EVERY,
            queues: "SQS queues",
            no_subscriber_advice: |service| match service {
                "transform" => {
                    "`pudato topology apply` makes the queue of transform if a dbt project is set (DBT_PROJECT_DIR or PUDATO_LOGIC_REPO_URL)"
                }
                _ => "`pudato topology diff` shows what is missing",
            },
            no_dead_letter_advice: Some(
                "after a look at a dead letter, SQS hides it for up to two minutes",
            ),
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
