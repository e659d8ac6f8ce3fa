//! One day: four senders at once on a real installation, three of them honest.

use super::attempts::{Attempt, Ends, Seen, Sends, Topic};
use super::contents;
use super::engine;
use super::hostile::{HOSTILE, Hostile};
use super::judge;
use super::random::Random;
use super::senders::{Expects, HONEST, Order, Places, Plan};
use pudato_runtime::messaging::Message;
use pudato_runtime::protocol::{Result as Reply, Status};
use pudato_runtime::{Client, Installation};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// The longest wait for anything.
pub const PATIENCE: Duration = Duration::from_secs(600);

/// The installation and the settings of a day.
pub struct Day<'a> {
    pub seed: u64,
    /// The number of commands of all four senders together.
    pub commands: usize,
    /// This process's view of the installation: it publishes commands and reads the registry.
    pub pudato: &'a Installation,
    /// The process that serves.
    pub server: u32,
    pub data: PathBuf,
    /// Whether the hostile sender takes part.
    pub is_hostile: bool,
}

/// How long an honest sender waited for an answer.
#[derive(Debug, Clone, Copy)]
#[allow(
    dead_code,
    reason = "the measurement of the waits reads it, and no test"
)]
pub struct Wait {
    /// Whether the command was SQL.
    pub is_sql: bool,
    pub time: Duration,
}

/// The counts of a day.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// Commands of the honest senders.
    pub honest: usize,
    /// Attempts of the hostile sender.
    pub hostile: usize,
    /// Kills of the engine's process.
    pub kills: usize,
    /// Claims about steps of others.
    pub claims: usize,
    /// Steps whose lineage was compared.
    pub steps: usize,
}

impl Tally {
    pub fn add(&mut self, other: Self) {
        self.honest += other.honest;
        self.hostile += other.hostile;
        self.kills += other.kills;
        self.claims += other.claims;
        self.steps += other.steps;
    }
}

impl Day<'_> {
    /// Runs the day and judges it.
    ///
    /// # Errors
    /// The first promise that was broken.
    pub async fn run(&self) -> Result<(Tally, Vec<Wait>), String> {
        let share = self.commands / (HONEST.len() + 1);
        let places = Places {
            objects: self.data.join("objects").display().to_string(),
            warehouse: self.data.join("warehouse.duckdb").display().to_string(),
        };
        let plans = HONEST.map(|who| Plan::new(self.seed, who, share, &places));
        let seen = Seen::default();
        let [ann, ben, cay] = &plans;
        let (ann, ben, cay, hostile) = tokio::join!(
            self.honest(HONEST[0], ann, &seen),
            self.honest(HONEST[1], ben, &seen),
            self.honest(HONEST[2], cay, &seen),
            self.hostile(if self.is_hostile { share } else { 0 }, &seen),
        );
        let (mut tally, sent) = hostile?;
        let waits = [ann?, ben?, cay?].concat();
        for (attempt, id) in &sent {
            self.ended(attempt, id).await?;
        }
        for plan in &plans {
            judge::nothing_is_lost(self.pudato, plan).await?;
            judge::lineage(self.pudato, plan).await?;
            tally.honest += plan.orders.len();
            tally.steps += plan
                .orders
                .iter()
                .filter(|order| order.step.is_some())
                .count();
        }
        Ok((tally, waits))
    }

    /// An honest sender sends one command after the other, and compares each answer.
    async fn honest(&self, who: &str, plan: &Plan, seen: &Seen) -> Result<Vec<Wait>, String> {
        let client = Client::new(self.pudato);
        let mut waits = Vec::with_capacity(plan.orders.len());
        let declared: Vec<&str> = plan
            .jobs
            .iter()
            .filter(|job| job.is_declared)
            .flat_map(|job| job.steps.iter().map(String::as_str))
            .collect();
        for (n, order) in plan.orders.iter().enumerate() {
            let command = &order.command;
            let told = |what: String| {
                let sent = serde_json::to_string(&command.payload).unwrap_or_default();
                format!(
                    "{who}, command {n} ({}, {sent}): {what}",
                    command.correlation_id
                )
            };
            let began = Instant::now();
            let result = client.call(command, PATIENCE).await;
            waits.push(Wait {
                is_sql: command.r#type == "query",
                time: began.elapsed(),
            });
            let result = result.map_err(|error| told(error.to_string()))?;
            answers(order, &result).map_err(told)?;
            let is_declared = order
                .step
                .as_ref()
                .is_some_and(|step| declared.contains(&step.id.as_str()));
            seen.shows(order, is_declared, true);
            // The last declaration of a job comes before its first step.
            if let [
                Order {
                    command,
                    step: None,
                    ..
                },
                next @ ..,
            ] = &plan.orders[n..]
                && command.action == "add_step"
                && next
                    .first()
                    .is_some_and(|next| next.command.action != "add_step")
            {
                let job = command.payload.get("job_id").and_then(Value::as_str);
                let of_job = |order: &&Order| {
                    let step = order.step.as_ref();
                    step.is_some_and(|step| Some(step.job.as_str()) == job)
                };
                for order in next.iter().filter(of_job) {
                    seen.shows(order, true, false);
                }
            }
        }
        Ok(waits)
    }

    /// The hostile sender. Returns its attempts, with the correlation id of each.
    async fn hostile(
        &self,
        count: usize,
        seen: &Seen,
    ) -> Result<(Tally, Vec<(Attempt, String)>), String> {
        let mut hostile = Hostile::new(self.seed, seen, &HONEST);
        let mut pace = Random::new(self.seed, "pace");
        let (mut tally, mut sent) = (Tally::default(), Vec::new());
        let first = hostile.first();
        let id = self.sends(&first).await?;
        self.ended(&first, &id).await?;
        self.lay(&hostile)?;
        while tally.hostile < count {
            for attempt in hostile.next() {
                let is_waited_for =
                    pace.percent(60) || attempt.what == "an object nested too deeply";
                tally.hostile += 1;
                tally.claims += usize::from(attempt.ends == Ends::Claimed);
                tally.kills += usize::from(matches!(attempt.sends, Sends::Kill));
                let id = self.sends(&attempt).await?;
                // It sends some messages at once, to get in the way of others.
                if is_waited_for {
                    self.ended(&attempt, &id).await?;
                } else {
                    sent.push((attempt, id));
                }
            }
        }
        Ok((tally, sent))
    }

    /// Puts a pipe and links into the hostile sender's container.
    fn lay(&self, hostile: &Hostile<'_>) -> Result<(), String> {
        let folder = self.data.join("objects").join(hostile.container());
        let made = Command::new("mkfifo").arg(folder.join("pipe.csv")).status();
        if !made.is_ok_and(|made| made.success()) {
            return Err("mkfifo does not run".into());
        }
        for (name, to) in hostile.lays() {
            let made = std::os::unix::fs::symlink(Path::new(&to), folder.join(name));
            made.map_err(|error| format!("a link: {error}"))?;
        }
        Ok(())
    }

    /// Sends an attempt. Returns its correlation id.
    async fn sends(&self, attempt: &Attempt) -> Result<String, String> {
        let failed = |error: &dyn std::fmt::Display| {
            format!("{HOSTILE}, {}: it cannot be sent: {error}", attempt.what)
        };
        match &attempt.sends {
            Sends::Command(command) => {
                let published = Client::new(self.pudato).publish(command).await;
                published.map_err(|error| failed(&error))?;
                Ok(command.correlation_id.clone())
            }
            Sends::Raw {
                correlation_id,
                topic,
                message,
            } => {
                let is_refused = self.raw(*topic, message.clone()).await.is_err();
                if is_refused != (attempt.ends == Ends::Unpublished) {
                    let what = if is_refused {
                        "was not taken"
                    } else {
                        "was taken"
                    };
                    return Err(format!("{HOSTILE}, {}: the message {what}", attempt.what));
                }
                Ok(correlation_id.clone())
            }
            Sends::Kill => {
                engine::kill(self.server).await?;
                Ok(String::new())
            }
        }
    }

    async fn raw(&self, topic: Topic, message: Message) -> Result<(), String> {
        let topic = match topic {
            Topic::Commands(service) => self.pudato.names.commands(service),
            Topic::Results => self.pudato.names.results(),
        };
        let published = self
            .pudato
            .fabric
            .publisher
            .publish(&topic, vec![message])
            .await;
        let answers = published.map_err(|error| error.to_string())?;
        for answer in answers {
            answer.map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// Waits for the end of an attempt. The error says if it is another end than expected.
    async fn ended(&self, attempt: &Attempt, id: &str) -> Result<(), String> {
        let what = attempt.what;
        match attempt.ends {
            Ends::Unpublished | Ends::Unknown => Ok(()),
            Ends::DeadLettered => {
                let told = format!("{what}, {id}, is dead-lettered");
                let dead = judge::until(&told, async || {
                    let found = self
                        .pudato
                        .fabric
                        .operations
                        .find("correlation_id", id)
                        .await;
                    let found = found.map_err(|error| error.to_string())?;
                    let is_dead = found.iter().any(|stored| stored.dead_letter.is_some());
                    Ok(is_dead.then_some(()))
                });
                dead.await
            }
            Ends::Claimed => {
                let told = format!("{what}, {id}, is a claim");
                let claimed = judge::until(&told, async || {
                    let found = judge::results(self.pudato, id).await?;
                    let is_claim = |found: &judge::Found| found.is_claim;
                    match found.iter().any(is_claim) {
                        true => Ok(Some(())),
                        // The correlation id of an honest sender has that sender's Result as well.
                        false if found.is_empty() || !id.contains(HOSTILE) => Ok(None),
                        false => Err(format!("{what}, {id}: it counts for a step of another")),
                    }
                });
                claimed.await
            }
            Ends::Done | Ends::Refused(_) => {
                let told = format!("{what}, {id}, has its Result");
                let result = judge::until(&told, async || {
                    let found = judge::results(self.pudato, id).await?;
                    Ok(found.into_iter().map(|found| found.result).next())
                });
                let result = result.await?;
                let is_expected = match attempt.ends {
                    Ends::Refused(words) => {
                        result.status == Status::Error
                            && result.errors.iter().any(|error| error.contains(words))
                    }
                    _ => result.status == Status::Success,
                };
                if is_expected {
                    return Ok(());
                }
                Err(format!(
                    "{HOSTILE}, {what}, {:?}: expected {:?}, found {:?}: {:?}",
                    attempt.sends, attempt.ends, result.status, result.errors
                ))
            }
        }
    }
}

/// Compares an answer with the expected one.
fn answers(order: &Order, result: &Reply) -> Result<(), String> {
    if result.status != Status::Success {
        return Err(format!("{:?}: {:?}", result.status, result.errors));
    }
    let data = result.data.clone().unwrap_or_default();
    let found = |name: &str| data.get(name).cloned().unwrap_or_default();
    let (expected, found) = match &order.expects {
        Expects::Done => return Ok(()),
        Expects::Rows(rows) => (Value::from(rows.clone()), found("rows")),
        Expects::Object(text) => (Value::from(text.clone()), found("data")),
        Expects::Paths(paths) => {
            let objects = found("objects");
            let objects = objects.as_array().into_iter().flatten();
            let paths_found: Vec<Value> = objects.map(|object| object["path"].clone()).collect();
            (Value::from(paths.clone()), Value::from(paths_found))
        }
    };
    match expected == found {
        true => Ok(()),
        false => Err(contents::differs(&expected, &found)),
    }
}
