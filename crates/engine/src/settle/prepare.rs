//! The messages that are published about a handled message.

use crate::outbox::Outbox;
use crate::process::Outcome;
use pudato_handler::FollowUp;
use pudato_messaging::{Error, ErrorKind, IdempotencyRecord, Lease, Limits, Message, Settlement};
use pudato_protocol::Result as Reply;
use std::time::Duration;

/// Makes Results, Events and follow-ups ready.
#[derive(Clone, Copy)]
pub struct Preparer<'a> {
    /// Turns them into messages.
    pub outbox: &'a Outbox,
    /// The topic of Results.
    pub results_topic: &'a str,
    /// The topic of Events.
    pub events_topic: &'a str,
}

/// The answer to a handled message, ready to be sent as often as necessary.
pub struct Prepared {
    publish: Vec<(String, Message)>,
    schedule: Vec<(Duration, Message)>,
    answered: Option<IdempotencyRecord>,
}

impl Prepared {
    /// The settlement of the message that `lease` belongs to.
    pub fn settlement(&self, lease: Lease) -> Settlement {
        Settlement {
            lease,
            publish: self.publish.clone(),
            schedule: self.schedule.clone(),
            answered: self.answered.clone(),
        }
    }
}

impl Preparer<'_> {
    /// Makes an answer ready. `limits` are those of the queue on which a follow-up is scheduled. Bodies that are too large are stored as
    /// claims.
    ///
    /// # Errors
    /// The limits of a topic cannot be read, or a claim cannot be stored.
    pub async fn prepare(
        &self,
        outcome: &Outcome,
        follow_up: Option<&FollowUp>,
        limits: &Limits,
    ) -> Result<Prepared, Error> {
        let mut publish = self.result(Some(&outcome.result)).await?;
        for event in &outcome.events {
            let message = self.outbox.event(self.events_topic, event).await?;
            publish.push((self.events_topic.to_owned(), message));
        }
        let mut schedule = Vec::new();
        if let Some(FollowUp { after, command }) = follow_up {
            schedule.push((*after, self.outbox.follow_up(limits, command).await?));
        }
        Ok(Prepared {
            publish,
            schedule,
            answered: outcome.answered.clone(),
        })
    }

    /// Makes the Result for the sender ready, if there is one.
    ///
    /// # Errors
    /// As [`Preparer::prepare`].
    pub async fn result(&self, result: Option<&Reply>) -> Result<Vec<(String, Message)>, Error> {
        let Some(result) = result else {
            return Ok(Vec::new());
        };
        let (outbox, topic) = (self.outbox, self.results_topic);
        let message = match outbox.result(topic, result).await {
            // A Result that is too large even for a claim is replaced by a small one that reports this and keeps the lineage.
            Err(error) if error.kind == ErrorKind::TooLarge => {
                tracing::error!(%error, "the Result is too large; an error Result replaces it");
                outbox.result(topic, &without_data(result, &error)).await?
            }
            message => message?,
        };
        Ok(vec![(topic.to_owned(), message)])
    }
}

/// The same Result with an error instead of its data, and without the executed texts (SQL), which may be most of it.
fn without_data(result: &Reply, error: &Error) -> Reply {
    let advice = "ask for less at once";
    let mut small = Reply {
        status: pudato_protocol::Status::Error,
        data: None,
        errors: vec![format!("the Result cannot be published: {error}; {advice}")],
        ..result.clone()
    };
    for record in &mut small.executions {
        record.details.remove("query");
    }
    small
}
