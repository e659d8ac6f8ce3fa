//! Publishes many Commands in as few calls as the fabric allows.

use super::{CallError, Client, Subscribers};
use pudato_messaging::Message;
use pudato_protocol::Command;
use std::collections::BTreeMap;

impl Client<'_> {
    /// As [`Client::publish`], for many Commands. Those of one service are published in their order. Returns for each Command the id of its
    /// message, or why it was not published; one that was not does not keep the others back.
    pub async fn publish_all(&self, commands: &[Command]) -> Vec<Result<String, CallError>> {
        let mut services: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (n, command) in commands.iter().enumerate() {
            services.entry(&command.r#type).or_default().push(n);
        }
        let mut sent = BTreeMap::new();
        for (service, places) in services {
            let ends = self.publish_to(service, &places, commands).await;
            match ends {
                Ok(ends) => sent.extend(places.into_iter().zip(ends)),
                Err(error) => {
                    // None of them was sent, for one reason.
                    let ends = places.into_iter().map(|n| (n, Err(error.clone())));
                    sent.extend(ends);
                }
            }
        }
        sent.into_values().collect()
    }

    /// Publishes the Commands at `places`, all to one service.
    async fn publish_to(
        &self,
        service: &str,
        places: &[usize],
        commands: &[Command],
    ) -> Result<Vec<Result<String, CallError>>, CallError> {
        let pudato = self.pudato;
        let topic = pudato.names.commands(service);
        if pudato.subscribers(&topic).await == Subscribers::None {
            return Err(CallError::Refused(pudato.no_subscriber(service, &topic)));
        }
        let limits = pudato.fabric.publisher.limits(&topic).await;
        let entries = limits
            .map_err(|error| CallError::not_sent(&error))?
            .batch_entries_max;
        let mut ends = Vec::with_capacity(places.len());
        for part in places.chunks(entries.max(1)) {
            let (mut batch, mut each) = (Vec::new(), Vec::new());
            for n in part {
                match pudato.outbox.command(&topic, &commands[*n]).await {
                    Ok(message) => {
                        batch.push(message);
                        each.push(None);
                    }
                    Err(error) => each.push(Some(Err(CallError::not_sent(&error)))),
                }
            }
            let mut published = self.publish_batch(&topic, batch).await.into_iter();
            ends.extend(each.into_iter().map(|end| {
                let unknown = || {
                    Err(CallError::Unavailable(format!(
                        "topic {topic}: the fabric gave no answer"
                    )))
                };
                end.unwrap_or_else(|| published.next().unwrap_or_else(unknown))
            }));
        }
        Ok(ends)
    }

    async fn publish_batch(
        &self,
        topic: &str,
        batch: Vec<Message>,
    ) -> Vec<Result<String, CallError>> {
        let count = batch.len();
        if count == 0 {
            return Vec::new();
        }
        match self.pudato.fabric.publisher.publish(topic, batch).await {
            Ok(ends) => {
                let ends = ends.into_iter();
                ends.map(|end| end.map_err(|error| CallError::not_sent(&error)))
                    .collect()
            }
            Err(error) => vec![Err(CallError::not_sent(&error)); count],
        }
    }
}
