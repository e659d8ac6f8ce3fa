//! Gives messages up: SQS has no verb for it, so a copy with the reason is sent to the queue's own dead-letter queue, and then the
//! message is deleted. A crash in between leaves it in both.

use super::consumer::SqsConsumer;
use super::error::failed;
use super::settle::one;
use super::wire::{self, REASON, SOURCE};
use crate::{Consumer, Error, ErrorKind, Lease, Outgoing, Publisher};

/// A reason is cut so that it leaves room for the message.
const REASON_CHARS: usize = 1_000;

pub(super) async fn give_up(
    consumer: &SqsConsumer,
    mut lease: Lease,
    reason: &str,
    publish: Vec<(String, Outgoing)>,
) -> Result<(), Error> {
    let Some(arn) = &consumer.dead_letters else {
        let what = format!("{}: it has no dead-letter queue", consumer.context());
        return Err(Error::new(ErrorKind::NotFound, what));
    };
    let held = consumer.held(&lease)?;
    // Who lost the lease finds out here, before anything is sent.
    let renewed = consumer
        .renew(vec![&mut lease], consumer.visibility())
        .await;
    renewed.into_iter().collect::<Result<(), Error>>()?;
    for (topic, message) in publish {
        one(consumer.publisher.publish(&topic, vec![message]).await?)?;
    }
    let name = arn.rsplit(':').next().unwrap_or(arn);
    let url = consumer.shared.queue(name).await?;
    let mut attributes = held.attributes;
    let text: String = reason
        .chars()
        .filter(|c| !c.is_control())
        .take(REASON_CHARS)
        .collect();
    attributes.insert(
        REASON.into(),
        if text.is_empty() {
            "unknown".into()
        } else {
            text
        },
    );
    attributes.insert(SOURCE.into(), consumer.queue.clone());
    let sent = consumer
        .shared
        .sqs
        .send_message()
        .queue_url(url)
        .message_body(held.body)
        .set_message_attributes(Some(wire::sqs_attributes(&attributes)?))
        .send()
        .await;
    sent.map_err(|error| failed(&format!("queue {name}"), error))?;
    for deleted in consumer.delete(vec![lease]).await {
        deleted?;
    }
    Ok(())
}
