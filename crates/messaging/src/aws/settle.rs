//! What follows from handled messages: keep the answer, publish, schedule, and only then delete. A crash in between leaves the message
//! to be delivered again; the answer that was kept is then given again without running anything twice.

use super::consumer::SqsConsumer;
use crate::{Consumer, Deleted, Error, ErrorKind, Publisher, Settlement};
use futures_util::future::join_all;

pub(super) async fn settle(
    consumer: &SqsConsumer,
    settlements: Vec<Settlement>,
) -> Vec<Result<Deleted, Error>> {
    let mut leases = Vec::with_capacity(settlements.len());
    let mut works = Vec::with_capacity(settlements.len());
    for settlement in settlements {
        let checked = consumer.check(&settlement).await;
        let Settlement {
            lease,
            publish,
            schedule,
            answered,
        } = settlement;
        leases.push(lease);
        works.push(async move {
            checked?;
            if let Some(answered) = answered {
                consumer.keep(answered).await?;
            }
            for (topic, message) in publish {
                one(consumer.publisher.publish(&topic, vec![message]).await?)?;
            }
            if !schedule.is_empty() {
                for sent in consumer.schedule(schedule).await? {
                    sent?;
                }
            }
            Ok::<(), Error>(())
        });
    }
    // Side by side, so that they share batches.
    let done = join_all(works).await;
    let mut answers: Vec<Result<Deleted, Error>> = Vec::with_capacity(done.len());
    let (mut settled, mut places) = (Vec::new(), Vec::new());
    for (lease, done) in leases.into_iter().zip(done) {
        match done {
            Ok(()) => {
                places.push(answers.len());
                settled.push(lease);
                answers.push(Ok(Deleted::Unknown));
            }
            Err(error) => answers.push(Err(error)),
        }
    }
    let deleted = consumer.delete(settled).await;
    for (place, deleted) in places.into_iter().zip(deleted) {
        answers[place] = deleted;
    }
    answers
}

/// The answer for the only message of a call.
pub(super) fn one(mut answers: Vec<Result<String, Error>>) -> Result<String, Error> {
    answers
        .pop()
        .unwrap_or_else(|| Err(Error::new(ErrorKind::Unavailable, "publish: no answer")))
}
