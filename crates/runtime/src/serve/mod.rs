//! Serving: starts the roles of a program and supervises them together.

pub(crate) mod health;
pub mod logs;
pub mod notices;
mod roles;

use crate::adapters::forget_old;
use crate::installation::{Installation, OpenError};
use crate::names::{HISTORY, RESULTS};
use crate::settings::services;
use health::{Readiness, serve};
use notices::{Program, keep_posted};
use pudato_engine::Kind;
use pudato_messaging::{Error, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// The time between two writes of this program's call counts.
const RECORD_EVERY: Duration = Duration::from_secs(10);

/// A role of a program. It runs until the program drains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// The worker of this service.
    Worker(String),
    /// The results consumer, which also stores Events, exports lineage and watches the dead-letter queues.
    Results,
}

type Running = JoinSet<Result<(), Error>>;

impl Installation {
    /// Runs `roles` side by side until `drain` is cancelled and the messages in flight are finished.
    ///
    /// # Errors
    /// A role cannot start or continue. The other roles are drained then.
    pub async fn run(&self, roles: &[Role], drain: CancellationToken) -> Result<(), OpenError> {
        let settings = self.settings();
        settings.require(&(settings.fabric.requires)(roles))?;
        let readiness = self.serve_health().await?;
        // Cancelled with this future, however it ends.
        let stop = CancellationToken::new();
        let stops = stop.clone().drop_guard();
        let (board, data_dir) = (self.board.clone(), self.data_dir.clone());
        let posted = tokio::spawn(keep_posted(board, data_dir, self.program(roles), stop));
        let mut running = Running::new();
        for role in roles {
            match role {
                Role::Worker(service) => {
                    let worker = self.worker(service).await?;
                    running.spawn(worker.run(drain.clone()));
                }
                Role::Results => self.start_results(&mut running, &drain).await?,
            }
        }
        readiness.set(true);
        let draining = drain.clone();
        tokio::spawn(async move {
            draining.cancelled().await;
            readiness.set(false);
        });
        let outcome = self.supervise(running, &drain).await;
        self.record_calls();
        drop(stops);
        let _ = posted.await;
        outcome
    }

    async fn serve_health(&self) -> Result<Readiness, OpenError> {
        let readiness = Readiness::default();
        if let Some(port) = self.settings().health_port {
            let listener = TcpListener::bind(("127.0.0.1", port)).await;
            let listener = listener.map_err(|error| {
                OpenError::Settings(format!("PUDATO_HEALTH_PORT: port {port}: {error}"))
            })?;
            tokio::spawn(serve(listener, readiness.clone()));
        }
        Ok(readiness)
    }

    async fn start_results(
        &self,
        running: &mut Running,
        drain: &CancellationToken,
    ) -> Result<(), OpenError> {
        for (name, kind) in [(RESULTS, Kind::Results), (HISTORY, Kind::Events)] {
            if !self.has_queue(name) {
                let setting = services::queue_variable(name);
                tracing::info!("Events are not stored: {setting} is not set");
                continue;
            }
            let queue = self.names.queue(name);
            let consumer = self.fabric.consumers.consumer(&queue).await?;
            let consumer = self.results_consumer(consumer, kind);
            let drain = drain.clone();
            running.spawn(async move { consumer.run(drain).await });
        }
        if let Some(exporter) = self.openlineage_exporter() {
            let drain = drain.clone();
            running.spawn(async move {
                exporter.run(drain).await;
                Ok(())
            });
        }
        if let Some(answers) = self.fabric.expiring_answers.clone() {
            let (clock, drain) = (Arc::clone(&self.clock), drain.clone());
            running.spawn(async move {
                forget_old(&*answers, &*clock, &drain).await;
                Ok(())
            });
        }
        let watch = self.dead_letter_watch();
        let drain = drain.clone();
        running.spawn(async move {
            watch.run(drain).await;
            Ok(())
        });
        Ok(())
    }

    /// Waits until all roles have ended. If one fails, the others are drained.
    async fn supervise(
        &self,
        mut running: Running,
        drain: &CancellationToken,
    ) -> Result<(), OpenError> {
        let mut due = tokio::time::interval(RECORD_EVERY);
        let mut outcome = Ok(());
        loop {
            let ended = tokio::select! {
                ended = running.join_next() => ended,
                _ = due.tick() => {
                    self.record_calls();
                    continue;
                }
            };
            let Some(ended) = ended else {
                return outcome;
            };
            let ended = ended.unwrap_or_else(|error| {
                let context = format!("a role of pudato stopped: {error}");
                Err(Error::new(ErrorKind::Unavailable, context))
            });
            if let Err(error) = ended {
                tracing::error!(%error, "a role cannot continue; the program drains");
                drain.cancel();
                outcome = Err(OpenError::Unavailable(error.to_string()));
            }
        }
    }

    /// This program, as its notice shows it.
    fn program(&self, roles: &[Role]) -> Program {
        let runs = roles.iter().map(|role| match role {
            Role::Worker(service) => service.clone(),
            Role::Results => RESULTS.to_owned(),
        });
        Program {
            pid: std::process::id(),
            since_ms: self.clock.now_ms(),
            runs: runs.collect(),
            ..Program::default()
        }
    }

    /// Writes the call counts of a program that does not serve and is ending, for `pudato cost`.
    pub fn record_last_calls(&self) {
        if let Some(usage) = &self.fabric.usage {
            self.ledger.append(&usage.calls());
        }
    }

    /// Writes the call counts so far of a program that serves.
    fn record_calls(&self) {
        if let Some(usage) = &self.fabric.usage {
            let commands = self.deliveries.load(Ordering::Relaxed);
            self.ledger.write(commands, &usage.calls());
        }
    }
}
