//! What follows from a decision, as messages: the same for the worker and for a Lambda.

use crate::outbox::Outbox;
use crate::process::Outcome;
use pudato_handler::FollowUp;
use pudato_messaging::{Answered, Error, ErrorKind, Lease, Limits, Outgoing, Settlement};
use pudato_protocol::Result as Reply;
use std::time::Duration;

/// Makes Results, Events and follow-ups ready.
#[derive(Clone, Copy)]
pub(crate) struct Answering<'a> {
    pub(crate) outbox: &'a Outbox,
    pub(crate) results_topic: &'a str,
    pub(crate) events_topic: &'a str,
}

/// What follows from a handled message, ready to be sent: it can be tried again as often as it takes.
pub(crate) struct Prepared {
    publish: Vec<(String, Outgoing)>,
    schedule: Vec<(Duration, Outgoing)>,
    answered: Option<Answered>,
}

impl Prepared {
    /// With the right to settle the message.
    pub(crate) fn settlement(&self, lease: Lease) -> Settlement {
        Settlement {
            lease,
            publish: self.publish.clone(),
            schedule: self.schedule.clone(),
            answered: self.answered.clone(),
        }
    }
}

impl Answering<'_> {
    /// What settles a message that was handled, on a queue that carries `limits`; what is too large lies in its claims then.
    pub(crate) async fn prepare(
        &self,
        outcome: &Outcome,
        follow_up: Option<&FollowUp>,
        limits: &Limits,
    ) -> Result<Prepared, Error> {
        let mut publish = self.told(Some(&outcome.result)).await?;
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

    /// What tells the sender, where there is one.
    pub(crate) async fn told(
        &self,
        result: Option<&Reply>,
    ) -> Result<Vec<(String, Outgoing)>, Error> {
        let Some(result) = result else {
            return Ok(Vec::new());
        };
        let (outbox, topic) = (self.outbox, self.results_topic);
        let message = match outbox.result(topic, result).await {
            // Too large even for a claim: then a small Result says so, and keeps the lineage of what was done.
            Err(error) if error.kind == ErrorKind::TooLarge => {
                tracing::error!(%error, "the Result is too large");
                outbox.result(topic, &without_data(result, &error)).await?
            }
            message => message?,
        };
        Ok(vec![(topic.to_owned(), message)])
    }
}

/// The same Result with an error in the place of its data, and without the texts of what was executed (SQL), which may be most of it.
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
