//! Where a Command is and what it is waiting for, as far as this machine can know; it also reports what it cannot know.

use crate::installation::Installation;
use crate::names::{HISTORY, Names, RESULTS};
use crate::serve::notices::{Program, programs, up_process};
use crate::settings::services;
use crate::time::since;
use pudato_engine::board::{InHand, Outage};
use pudato_messaging::{ErrorKind, Stored};
use std::path::PathBuf;

/// The programs that serve on this machine's data folder, as they report themselves.
pub struct View {
    /// The programs.
    pub programs: Vec<Program>,
    /// The process id of the `pudato up` that runs here.
    pub up: Option<String>,
    /// When the reports were read, in milliseconds since the Unix epoch.
    pub now_ms: u64,
    data_dir: PathBuf,
    names: Names,
    is_shared: bool,
}

impl View {
    /// Reads the reports now.
    pub fn of(pudato: &Installation) -> Self {
        Self {
            programs: programs(&pudato.data_dir),
            up: up_process(&pudato.data_dir),
            now_ms: pudato.clock.now_ms(),
            data_dir: pudato.data_dir.clone(),
            names: pudato.names.clone(),
            is_shared: pudato.fabric.profile.is_shared,
        }
    }

    /// The programs on this machine that run the worker of a service, or the results consumer.
    pub fn who_runs(&self, name: &str) -> impl Iterator<Item = &Program> {
        let name = consumer_of(name).to_owned();
        let runs = move |program: &&Program| program.runs.contains(&name);
        self.programs.iter().filter(runs)
    }

    /// The remark that no program runs the worker of a service, or the results consumer; `None` if a program does or may. On AWS, one may
    /// always run on another machine.
    pub fn nobody_runs(&self, name: &str) -> Option<String> {
        // A program that has just started has not reported yet.
        let may_run = self.is_shared || self.up.is_some();
        if may_run || self.who_runs(name).next().is_some() {
            return None;
        }
        let folder = self.data_dir.display();
        Some(match consumer_of(name) {
            RESULTS => format!(
                "no results consumer runs on {folder}: start `pudato up` or `pudato results`"
            ),
            service if services::service(service).is_some() => format!(
                "no worker of the service {service} runs on {folder}: start `pudato up` or `pudato runner --handler {service}`"
            ),
            service => format!(
                "no worker of the service {service} runs on {folder}: start the program that handles it"
            ),
        })
    }

    /// Every message that a program on this machine has been handling for more than a second.
    pub fn in_hand(&self) -> impl Iterator<Item = (&Program, &InHand)> {
        self.programs.iter().flat_map(|program| {
            let entries = program.in_hand.iter();
            entries.map(move |entry| (program, entry))
        })
    }

    /// The messages in flight with this correlation id.
    pub fn in_hand_of<'a>(&'a self, correlation_id: &'a str) -> Vec<(&'a Program, &'a InHand)> {
        let is_it = |entry: &InHand| entry.correlation_id.as_deref() == Some(correlation_id);
        self.in_hand().filter(|(_, entry)| is_it(entry)).collect()
    }

    /// The outages of programs on this machine, as sentences.
    pub fn outages(&self) -> Vec<String> {
        let all = self.programs.iter();
        let all = all.flat_map(|program| program.outages.iter().map(move |one| (program, one)));
        all.map(|(program, outage)| self.stopped(program, outage))
            .collect()
    }

    fn stopped(&self, program: &Program, outage: &Outage) -> String {
        let who = self.worker(program, &outage.of);
        let from = since(outage.since_ms, self.now_ms);
        let held = outage.held_by.as_ref();
        let held = held.map(|id| format!(" (found by {id})"));
        format!(
            "{who} has received no messages since {from}: {}{}",
            outage.why,
            held.unwrap_or_default()
        )
    }

    fn worker(&self, program: &Program, name: &str) -> String {
        match name {
            RESULTS | HISTORY => format!("the results consumer (process {})", program.pid),
            service => format!("the {service} worker (process {})", program.pid),
        }
    }

    /// A sentence: which program is handling the message since when, and what it is waiting for.
    pub fn held(&self, program: &Program, entry: &InHand) -> String {
        let who = self.worker(program, &entry.service);
        let from = since(entry.since_ms, self.now_ms);
        let attempt = entry.attempt.map(|attempt| format!(" (attempt {attempt})"));
        let mut text = format!(
            "{who} has been handling it since {from}{}",
            attempt.unwrap_or_default()
        );
        if let Some(wait) = self.wait(entry) {
            text.push_str(&format!("; it is waiting for {wait}"));
        }
        text
    }

    /// The current wait of a message, with its beginning.
    pub fn wait(&self, entry: &InHand) -> Option<String> {
        let waited = entry.waits_for.as_ref()?;
        let from = since(waited.since_ms, self.now_ms);
        Some(format!("{} (since {from})", waited.what))
    }

    /// The state of a message on a queue, as a verb phrase.
    pub fn state(&self, stored: &Stored) -> String {
        let queue = &stored.queue;
        if let Some(dead) = &stored.dead_letter {
            let reason = dead.reason.as_deref();
            let reason = reason.map(|reason| format!(": {reason}"));
            return format!("is a dead letter on {queue}{}", reason.unwrap_or_default());
        }
        let reader = self.names.reader_of(queue).unwrap_or(queue);
        let until = since(stored.visible_at_ms, self.now_ms);
        if stored.visible_at_ms <= self.now_ms {
            return self.waits(stored, reader);
        }
        if stored.receive_count == 0 {
            return format!("is delayed on {queue} until {until}");
        }
        let is_it = |entry: &InHand| entry.message_id == stored.message_id;
        if let Some((program, entry)) = self.in_hand().find(|(_, entry)| is_it(entry)) {
            // `held` is a sentence of its own.
            return format!("is in flight: {}", self.held(program, entry));
        }
        let attempt = stored.receive_count;
        match self.nobody_runs(reader) {
            Some(nobody) => format!(
                "is hidden on {queue} until {until}, after attempt {attempt}; then the next worker gets it, and {nobody}"
            ),
            None => format!(
                "is hidden on {queue} until {until}: attempt {attempt} has just begun, or the next begins then"
            ),
        }
    }

    /// The phrase for a message that can be received, with the reason why it is not.
    fn waits(&self, stored: &Stored, reader: &str) -> String {
        let from = since(stored.visible_at_ms, self.now_ms);
        let mut text = format!("waits on {} since {from}", stored.queue);
        if stored.receive_count > 0 {
            text.push_str(&format!(" for attempt {}", stored.receive_count + 1));
        }
        if let Some(nobody) = self.nobody_runs(reader) {
            return format!("{text}; {nobody}");
        }
        for program in self.who_runs(reader) {
            for outage in program.outages.iter().filter(|one| one.of == reader) {
                text.push_str(&format!("; {}", self.stopped(program, outage)));
            }
            let busy: Vec<&InHand> = program
                .in_hand
                .iter()
                .filter(|entry| entry.service == reader)
                .collect();
            if let Some(longest) = busy.first() {
                let who = self.worker(program, reader);
                let (count, longest_since) = (busy.len(), since(longest.since_ms, self.now_ms));
                let called = longest.called();
                text.push_str(&format!(
                    "; {who} is handling {count}, the longest since {longest_since}: {called}"
                ));
            }
        }
        text
    }
}

impl Installation {
    /// Where the Commands and Results of a correlation id are, as the end of the sentence "no Result: ..". `service` is the service of the
    /// Command.
    pub(crate) async fn whereabouts(&self, correlation_id: &str, service: Option<&str>) -> String {
        let view = View::of(self);
        let mut said = Vec::new();
        let found = self
            .fabric
            .operations
            .find("correlation_id", correlation_id)
            .await;
        match &found {
            Ok(found) => {
                for stored in found {
                    let what = match view.names.reader_of(&stored.queue) {
                        Some(RESULTS) => "its Result",
                        Some(HISTORY) => continue,
                        _ => "it",
                    };
                    said.push(format!("{what} {}", view.state(stored)));
                }
                if said.is_empty() {
                    said.push(
                        "no queue has a message with this id, and the registry has no final Result"
                            .into(),
                    );
                }
            }
            Err(error) if error.kind == ErrorKind::Invalid => {
                let held = view.in_hand_of(correlation_id);
                said.extend(
                    held.iter()
                        .map(|(program, entry)| view.held(program, entry)),
                );
                if said.is_empty() {
                    said.extend(self.seen_from_here(service).await);
                }
            }
            Err(error) => said.push(format!("its place is unknown: {error}")),
        }
        let nobody = view.nobody_runs(RESULTS);
        if let Some(nobody) = nobody.filter(|nobody| !said.iter().any(|one| one.contains(nobody))) {
            said.push(nobody);
        }
        said.join("; ")
    }

    /// What can be said about a Command that no program on this machine is handling, on a fabric whose queues cannot be searched.
    async fn seen_from_here(&self, service: Option<&str>) -> Vec<String> {
        let mut said = Vec::new();
        if let Some(service) = service {
            let (topic, queue) = (self.names.commands(service), self.names.queue(service));
            if let Some(text) = self.subscribers(&topic).await.unknown() {
                said.push(text);
            }
            if let Ok(counts) = self.fabric.operations.counts(&queue).await {
                let (visible, in_flight) = (counts.visible, counts.in_flight);
                said.push(format!(
                    "{queue} has about {visible} waiting and {in_flight} in-flight messages"
                ));
            }
        }
        let queues = self.fabric.profile.queues;
        said.push(format!(
            "no program on this machine is handling it, and neither {queues} nor workers elsewhere can be searched from here"
        ));
        said
    }
}

/// Only the results consumer stores Events.
fn consumer_of(name: &str) -> &str {
    match name {
        HISTORY => RESULTS,
        name => name,
    }
}
