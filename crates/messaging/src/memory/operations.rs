//! Browses, replays and purges queues.

use super::MemoryFabric;
use super::state::{Place, Queue, State, StoredMessage};
use crate::{Counts, Error, ErrorKind, Message, Operations, Stored};
use async_trait::async_trait;

#[async_trait]
impl Operations for MemoryFabric {
    async fn counts(&self, queue: &str) -> Result<Counts, Error> {
        let now_ms = self.now_ms();
        let state = self.state();
        let mut counts = Counts::default();
        for ((due_ms, _), message) in &state.queue(queue)?.messages {
            match (*due_ms <= now_ms, message.receive_count > 0) {
                (true, _) => counts.visible += 1,
                (false, true) => counts.in_flight += 1,
                (false, false) => counts.delayed += 1,
            }
        }
        Ok(counts)
    }

    async fn browse(&self, queue: &str, max: usize) -> Result<Vec<Stored>, Error> {
        let state = self.state();
        let mut found = state.queue(queue)?.stored();
        found.sort_by_key(|(number, _)| *number);
        let found = found.into_iter().take(max);
        Ok(found.map(|(_, stored)| stored).collect())
    }

    async fn unexplained(&self, dead_letters: &str, max: usize) -> Result<Vec<Stored>, Error> {
        let mut found = self.browse(dead_letters, usize::MAX).await?;
        found.retain(Stored::is_unexplained);
        found.truncate(max);
        Ok(found)
    }

    async fn has_subscribers(&self, topic: &str) -> Result<bool, Error> {
        self.state().has_subscribers(topic)
    }

    async fn find(&self, name: &str, value: &str) -> Result<Vec<Stored>, Error> {
        let state = self.state();
        let mut found: Vec<_> = state.queues.values().flat_map(Queue::stored).collect();
        found.retain(|(_, stored)| stored.attributes.get(name).is_some_and(|it| it == value));
        found.sort_by_key(|(number, _)| *number);
        Ok(found.into_iter().map(|(_, stored)| stored).collect())
    }

    async fn replay(
        &self,
        dead_letters: &str,
        message_ids: &[String],
        to: Option<&str>,
    ) -> Result<u64, Error> {
        let now_ms = self.now_ms();
        let mut state = self.state();
        let routes = state.routes(dead_letters, message_ids, to)?;
        let mut moved = 0;
        for (at, to) in routes {
            let from = state.queue_mut(dead_letters)?;
            // An id that was given twice is moved once.
            let Some(mut message) = from.messages.remove(&at) else {
                continue;
            };
            message.receive_count = 0;
            message.excused = 0;
            message.excused_last = 0;
            message.dead_letter = None;
            state.queue_mut(&to)?.put(now_ms, at.1, message);
            moved += 1;
        }
        Ok(moved)
    }

    async fn purge(&self, queue: &str, message_ids: Option<&[String]>) -> Result<u64, Error> {
        let mut state = self.state();
        let messages = &state.queue(queue)?.messages;
        let chosen: Vec<Place> = messages
            .iter()
            .filter(|(_, message)| message_ids.is_none_or(|ids| ids.contains(&message.message_id)))
            .map(|(at, _)| *at)
            .collect();
        for at in &chosen {
            state.queue_mut(queue)?.messages.remove(at);
            state.alive.remove(&at.1);
        }
        Ok(chosen.len() as u64)
    }

    async fn explain(
        &self,
        dead_letters: &str,
        message_id: &str,
        reason: &str,
        publish: Vec<(String, Message)>,
    ) -> Result<bool, Error> {
        let now_ms = self.now_ms();
        let mut state = self.state();
        let queue = state.queue(dead_letters)?;
        let dead_letter = |message: &StoredMessage| message.dead_letter.clone();
        let at = queue.locate(message_id);
        let found = at.and_then(|at| Some((at, queue.messages.get(&at).and_then(dead_letter)?)));
        let Some((at, mut dead_letter)) = found.filter(|(_, found)| found.reason.is_none()) else {
            return Ok(false);
        };
        state.check_publish(&publish)?;
        dead_letter.reason = Some(reason.to_owned());
        if let Some(message) = state.queue_mut(dead_letters)?.messages.get_mut(&at) {
            message.dead_letter = Some(dead_letter);
        }
        state.publish_all(publish, now_ms);
        Ok(true)
    }
}

impl State {
    /// The destination of each message of `from` that still exists. All named queues exist.
    fn routes(
        &self,
        from: &str,
        message_ids: &[String],
        to: Option<&str>,
    ) -> Result<Vec<(Place, String)>, Error> {
        let queue = self.queue(from)?;
        if let Some(to) = to {
            self.queue(to)?;
        }
        let there = message_ids.iter().filter_map(|id| queue.locate(id));
        there
            .map(|at| {
                let message = queue.messages.get(&at);
                let source = message.and_then(|message| message.dead_letter.as_ref());
                let to = to.or(source.map(|source| source.source.as_str()));
                let to = to.ok_or_else(|| {
                    let context = format!(
                        "{from:?}: a message did not come from another queue; name the queue to send it to"
                    );
                    Error::new(ErrorKind::NotFound, context)
                })?;
                self.queue(to).map(|_| (at, to.to_owned()))
            })
            .collect()
    }
}

impl Queue {
    /// The messages of the queue, each with its number.
    fn stored(&self) -> Vec<(u64, Stored)> {
        let messages = self.messages.iter();
        messages
            .map(|((due_ms, number), message)| {
                let stored = Stored {
                    queue: self.config.name.clone(),
                    message_id: message.message_id.clone(),
                    body: message.content.body.clone().into_bytes(),
                    attributes: message.content.attributes.clone(),
                    sent_at_ms: message.sent_at_ms,
                    visible_at_ms: *due_ms,
                    receive_count: message.receive_count,
                    attempts: Some(message.receive_count),
                    first_received_ms: message.first_received_ms,
                    dead_letter: message.dead_letter.clone(),
                };
                (*number, stored)
            })
            .collect()
    }
}
