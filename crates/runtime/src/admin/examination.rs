//! The checks of `pudato doctor` on AWS.

use super::deployment::Deployment;
use super::usage::spent;
use crate::client::Client;
use crate::installation::{Installation, OpenError};
use crate::names::{HISTORY, RESULTS};
use pudato_messaging::ErrorKind;
use pudato_messaging::aws::EMPTY_RECEIVES;
use pudato_protocol::{Command, Event, Object};
use std::time::Duration;

/// How long the test message of a topic may take.
const TEST_WAIT: Duration = Duration::from_secs(15);
/// How long a queue that seems to have no reader is watched.
const WATCH: Duration = Duration::from_secs(5);
/// An action that no handler has: it is answered, and nothing is executed.
const TEST: &str = "doctor_test";
/// The receives of an idle queue per hour: one long poll of 20 s after the other, with a margin.
const RECEIVES_PER_HOUR: f64 = 190.0;
/// The share of empty receives above which there are too many of them.
const EMPTY_SHARE: f64 = 0.95;

/// Returns all problems. May take half a minute.
///
/// # Errors
/// AWS or the registry cannot be reached.
pub async fn examine(pudato: &Installation) -> Result<Vec<String>, OpenError> {
    let deployment = Deployment::new(pudato.settings()).await;
    let differences = deployment.diff().await?;
    let mut wrong: Vec<String> = differences.iter().map(ToString::to_string).collect();
    wrong.extend(unread(pudato).await?);
    wrong.extend(blocked_topics(pudato).await?);
    wrong.extend(receives(pudato)?);
    Ok(wrong)
}

/// Queues with messages that no reader takes.
async fn unread(pudato: &Installation) -> Result<Vec<String>, OpenError> {
    let names = pudato.services().into_iter().map(str::to_owned);
    let names = names.chain([RESULTS.to_owned(), HISTORY.to_owned()]);
    let mut waiting = Vec::new();
    for name in names.filter(|name| pudato.has_queue(name)) {
        let queue = pudato.names.queue(&name);
        let counts = match pudato.fabric.operations.counts(&queue).await {
            // A missing queue is reported already.
            Err(error) if error.kind == ErrorKind::NotFound => continue,
            counts => counts?,
        };
        if counts.visible > 0 && counts.in_flight == 0 {
            waiting.push((queue, counts.visible));
        }
    }
    if waiting.is_empty() {
        return Ok(Vec::new());
    }
    tokio::time::sleep(WATCH).await;
    let mut wrong = Vec::new();
    for (queue, before) in waiting {
        let counts = pudato.fabric.operations.counts(&queue).await?;
        if counts.visible >= before && counts.in_flight == 0 {
            let visible = counts.visible;
            wrong.push(format!(
                "{queue}: no reader took a message in {} s; waiting: {visible}",
                WATCH.as_secs()
            ));
        }
    }
    Ok(wrong)
}

/// Topics whose test message does not come through: topic, queue, worker, Results, registry.
async fn blocked_topics(pudato: &Installation) -> Result<Vec<String>, OpenError> {
    let client = Client::new(pudato);
    let services = pudato.services();
    let services = services.into_iter().filter(|name| pudato.has_queue(name));
    let calls = services.map(|service| {
        let client = &client;
        async move {
            let command = Command::new(service, TEST, Object::new());
            let answered = client.call(&command, TEST_WAIT).await;
            answered.err().map(|error| {
                let topic = pudato.names.commands(service);
                format!("topic {topic}: its test message was not answered: {error}")
            })
        }
    });
    let mut wrong: Vec<String> = futures_util::future::join_all(calls)
        .await
        .into_iter()
        .flatten()
        .collect();
    if pudato.has_queue(HISTORY) && !event_arrives(pudato).await? {
        let topic = pudato.names.events();
        let seconds = TEST_WAIT.as_secs();
        wrong.push(format!(
            "topic {topic}: the registry did not have its test message after {seconds} s; is `pudato results` running?"
        ));
    }
    Ok(wrong)
}

async fn event_arrives(pudato: &Installation) -> Result<bool, OpenError> {
    let mut event = Event::new("doctor.test", Object::new());
    event.source = Some("doctor".into());
    let topic = pudato.names.events();
    let message = pudato.outbox.event(&topic, &event).await?;
    for sent in pudato
        .fabric
        .publisher
        .publish(&topic, vec![message])
        .await?
    {
        sent?;
    }
    let until_ms = pudato.clock.now_ms() + u64::try_from(TEST_WAIT.as_millis()).unwrap_or(0);
    while pudato.clock.now_ms() < until_ms {
        if !pudato
            .registry
            .events_of(&event.correlation_id)
            .await?
            .is_empty()
        {
            return Ok(true);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(false)
}

/// The number of empty receives beyond those of one poller per queue.
fn receives(pudato: &Installation) -> Result<Vec<String>, OpenError> {
    let spent = spent(&pudato.data_dir)?;
    let of = |name: &str| spent.calls.get(name).copied().unwrap_or(0) as f64;
    let (all, empty) = (of("SQS ReceiveMessage"), of(EMPTY_RECEIVES));
    let Some(since) = spent.since else {
        return Ok(Vec::new());
    };
    let now = crate::time::timestamp(pudato.clock.now_ms());
    let hours = (now.instant() - since.instant()).as_seconds_f64() / 3_600.0;
    let queues = pudato.dead_letter_queues().len().max(1) as f64;
    let per_hour = empty / hours / queues;
    if hours < 0.2 || empty / all.max(1.0) < EMPTY_SHARE || per_hour <= RECEIVES_PER_HOUR {
        return Ok(Vec::new());
    }
    let share = 100.0 * empty / all;
    Ok(vec![format!(
        "{share:.0} % of the receives of the programs on this folder found nothing, {per_hour:.0} an hour and queue; \
         fewer programs on the same queues would do"
    )])
}
