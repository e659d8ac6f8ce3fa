//! The commands of an honest sender, from a seed: objects in its own container and tables of its own, in jobs of several steps. Every
//! answer is known in advance, because nobody else writes there.

use super::contents::Contents;
use super::model::Step;
use super::random::Random;
use pudato_runtime::protocol::{Command, Object};
use serde_json::{Value, json};

/// The honest senders.
pub const HONEST: [&str; 3] = ["ann", "ben", "cay"];

/// The places of data, as lineage names them.
#[derive(Debug, Clone)]
pub struct Places {
    /// The folder of all containers.
    pub objects: String,
    /// The file of the warehouse.
    pub warehouse: String,
}

/// A command, and its expected outcome.
#[derive(Debug, Clone)]
pub struct Order {
    pub command: Command,
    pub expects: Expects,
    /// The step, if the command leaves lineage.
    pub step: Option<Step>,
}

/// The expected data of the Result.
#[derive(Debug, Clone)]
pub enum Expects {
    Done,
    Rows(Vec<Value>),
    Object(String),
    Paths(Vec<String>),
}

/// A job, and whether it and its steps are declared beforehand.
#[derive(Debug, Clone)]
pub struct Job {
    pub id: String,
    pub is_declared: bool,
    pub steps: Vec<String>,
}

/// All commands of a sender on one day, in order.
#[derive(Debug, Default)]
pub struct Plan {
    pub orders: Vec<Order>,
    pub jobs: Vec<Job>,
}

impl Plan {
    /// The commands of `who` on the day of `seed`: `count` of them, and a few more if a job is not finished.
    pub fn new(seed: u64, who: &'static str, count: usize, places: &Places) -> Self {
        let sender = Sender {
            prefix: format!("d{seed}-{who}"),
            who,
            random: Random::new(seed, who),
            contents: Contents::default(),
            places: places.clone(),
            last_row: 0,
        };
        sender.plan(count)
    }
}

/// An honest sender while its day is planned.
pub struct Sender {
    /// The prefix of its ids and of its container.
    pub(super) prefix: String,
    pub(super) who: &'static str,
    pub(super) random: Random,
    pub(super) contents: Contents,
    pub(super) places: Places,
    pub(super) last_row: u64,
}

fn object(value: Value) -> Object {
    value.as_object().cloned().unwrap_or_default()
}

impl Sender {
    fn plan(mut self, count: usize) -> Plan {
        let mut plan = Plan::default();
        while plan.orders.len() < count {
            let id = format!("{}-job-{}", self.prefix, plan.jobs.len());
            let mut job = Job {
                is_declared: self.random.percent(40),
                steps: Vec::new(),
                id,
            };
            let steps = 2 + self.random.below(4);
            let mut works = Vec::new();
            while job.steps.len() < steps {
                let n = plan.orders.len() + works.len();
                // Some commands belong to no step of a job: they leave no lineage.
                let is_step = !self.random.percent(10);
                let order = self.order(&job, n, is_step);
                job.steps
                    .extend(order.step.iter().map(|step| step.id.clone()));
                works.push(order);
            }
            if job.is_declared {
                plan.orders.extend(self.declarations(&job, &works));
            }
            plan.orders.append(&mut works);
            plan.jobs.push(job);
        }
        plan
    }

    fn order(&mut self, job: &Job, n: usize, is_step: bool) -> Order {
        let is_keyed = self.random.percent(10);
        let work = self.work(is_step);
        let mut command = Command::new(work.service, work.action, object(work.payload));
        command.correlation_id = format!("{}-command-{n}", self.prefix);
        command.metadata.insert("source".into(), self.who.into());
        let mut step = None;
        if is_step {
            let id = format!("{}-step-{}", job.id, job.steps.len());
            (command.job_id, command.step_id) = (Some(job.id.clone()), Some(id.clone()));
            step = Some(Step {
                id,
                job: job.id.clone(),
                reads: work.reads,
                writes: work.writes,
            });
        }
        if is_keyed {
            let key = format!("{}-key-{n}", self.prefix);
            command
                .metadata
                .insert("idempotency_key".into(), key.into());
        }
        Order {
            command,
            expects: work.expects,
            step,
        }
    }

    /// The commands that declare the steps of a job before it runs.
    fn declarations(&self, job: &Job, works: &[Order]) -> Vec<Order> {
        let create =
            json!({"job_id": job.id, "pipeline": self.prefix, "expected_steps": job.steps.len()});
        let mut all = vec![("create_job", create)];
        for order in works {
            let Some(step) = &order.step else {
                continue;
            };
            let command = &order.command;
            all.push((
                "add_step",
                json!({"job_id": job.id, "step_id": step.id, "step_name": step.id, "handler_type": command.r#type,
                    "action": command.action, "correlation_id": command.correlation_id}),
            ));
        }
        let orders = all.into_iter().enumerate().map(|(n, (action, payload))| {
            let mut command = Command::new("registry", action, object(payload));
            command.correlation_id = format!("{}-declares-{n}", job.id);
            Order {
                command,
                expects: Expects::Done,
                step: None,
            }
        });
        orders.collect()
    }
}
