//! Settles handled messages: stores the answer, publishes, schedules, and only then deletes. After a crash in between the message is
//! delivered again, and the stored answer is returned without running the handler twice.

use super::queue::SqsConsumer;
use crate::{Consumer, Deleted, Error, ErrorKind, Lease, Message, Settlement};
use futures_util::future::join_all;
use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;
use tokio::time::timeout;

/// The number of renewals within the visibility timeout. Part of it may have passed before the first.
const RENEWALS: u32 = 4;

/// The progress of a settlement.
struct State {
    lease: Option<Lease>,
    schedule: Vec<(Duration, Message)>,
    outcome: Result<Deleted, Error>,
}

impl State {
    fn is_open(&self) -> bool {
        matches!(self.outcome, Ok(Deleted::Unknown))
    }

    fn fail(&mut self, error: Error) {
        if self.is_open() {
            self.outcome = Err(error);
        }
    }
}

pub(super) async fn settle(
    consumer: &SqsConsumer,
    settlements: Vec<Settlement>,
) -> Vec<Result<Deleted, Error>> {
    let (mut states, publishes) = begin(consumer, settlements).await;
    publish_and_hold(consumer, &mut states, publishes).await;
    for state in &mut states {
        if state.is_open() && !state.schedule.is_empty() {
            let scheduled = consumer.schedule(std::mem::take(&mut state.schedule)).await;
            let failed = scheduled.and_then(|all| all.into_iter().collect::<Result<Vec<_>, _>>());
            if let Err(error) = failed {
                state.fail(error);
            }
        }
    }
    let (mut leases, mut places) = (Vec::new(), Vec::new());
    for (place, state) in states.iter_mut().enumerate() {
        if state.is_open() {
            leases.extend(state.lease.take());
            places.push(place);
        }
    }
    let deleted = consumer.delete(leases).await;
    for (place, deleted) in places.into_iter().zip(deleted) {
        states[place].outcome = deleted;
    }
    states.into_iter().map(|state| state.outcome).collect()
}

/// Checks the settlements and stores their answers in one call.
async fn begin(
    consumer: &SqsConsumer,
    settlements: Vec<Settlement>,
) -> (Vec<State>, Vec<Vec<(String, Message)>>) {
    let checked = join_all(settlements.iter().map(|one| consumer.check(one))).await;
    let (mut states, mut publishes) = (Vec::new(), Vec::new());
    let (mut places, mut answers) = (Vec::new(), Vec::new());
    for (settlement, checked) in settlements.into_iter().zip(checked) {
        if let (Ok(()), Some(answered)) = (&checked, settlement.answered) {
            places.push(states.len());
            answers.push(answered);
        }
        states.push(State {
            lease: Some(settlement.lease),
            schedule: settlement.schedule,
            outcome: checked.map(|()| Deleted::Unknown),
        });
        publishes.push(settlement.publish);
    }
    let kept = consumer.keep(answers).await;
    for (place, kept) in places.into_iter().zip(kept) {
        states[place].outcome = kept.map(|is_own| match is_own {
            true => Deleted::Unknown,
            // Another worker has the request by now and answers it.
            false => Deleted::LeaseLost,
        });
    }
    (states, publishes)
}

/// Publishes, and renews the leases meanwhile. SNS may take longer than they last, and a redelivery would use up an attempt.
async fn publish_and_hold(
    consumer: &SqsConsumer,
    states: &mut [State],
    publishes: Vec<Vec<(String, Message)>>,
) {
    let mut leases: Vec<Option<Lease>> = states.iter_mut().map(|one| one.lease.take()).collect();
    {
        let mut publishing = pin!(publish(consumer, states, publishes));
        let visibility = consumer.visibility();
        while timeout(visibility / RENEWALS, &mut publishing)
            .await
            .is_err()
        {
            let held = leases.iter_mut().flatten().collect();
            for renewed in consumer.renew(held, visibility).await {
                if let Err(error) = renewed {
                    tracing::debug!(%error, "a lease could not be renewed while its answer was being published");
                }
            }
        }
    }
    for (state, lease) in states.iter_mut().zip(leases) {
        state.lease = lease;
    }
}

/// Publishes the messages of all settlements by topic, so that they share calls.
async fn publish(
    consumer: &SqsConsumer,
    states: &mut [State],
    publishes: Vec<Vec<(String, Message)>>,
) {
    let mut topics: BTreeMap<String, (Vec<usize>, Vec<Message>)> = BTreeMap::new();
    for (place, publish) in publishes.into_iter().enumerate() {
        if states[place].is_open() {
            for (topic, message) in publish {
                let (places, messages) = topics.entry(topic).or_default();
                places.push(place);
                messages.push(message);
            }
        }
    }
    let calls = topics
        .into_iter()
        .map(|(topic, (places, messages))| async move {
            let sent = consumer.publisher.publish_any(&topic, messages).await;
            (places, sent)
        });
    for (places, sent) in join_all(calls).await {
        match sent {
            Ok(answers) => {
                for (place, answer) in places.into_iter().zip(answers) {
                    if let Err(error) = answer {
                        states[place].fail(error);
                    }
                }
            }
            Err(error) => {
                for place in places {
                    states[place].fail(error.clone());
                }
            }
        }
    }
}

/// The outcome of a call with a single message.
pub(in crate::aws) fn one(mut answers: Vec<Result<String, Error>>) -> Result<String, Error> {
    answers
        .pop()
        .unwrap_or_else(|| Err(Error::new(ErrorKind::Unavailable, "publish: no answer")))
}
