//! Puts the parts together. The one place that names backends.

use crate::chance::Chance;
use crate::claim_folder::ClaimFolder;
use crate::dead_letters::DeadLetterWatch;
use crate::health::{Readiness, serve};
use crate::names::{HISTORY, Names, RESULTS};
use crate::openlineage::{Teller, Transport};
use crate::outbox::Outbox;
use crate::process::Processor;
use crate::results::{Kind, ResultsConsumer};
use crate::settings::{Fabric, RegistryPlace, Settings};
use crate::spawn::TokioTasks;
use crate::worker::Worker;
use pudato_handler::Handler;
use pudato_messaging::local::LocalFabric;
use pudato_messaging::{
    Clock, Consumer, Error, ErrorKind, IdempotencyStore, Limits, Operations, Publisher, SystemClock,
};
use pudato_registry::{PostgresRegistry, RegistryHandler, RegistryStore, SqliteRegistry};
use pudato_storage::{Containers, Objects, StorageHandler};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Why pudato cannot start.
#[derive(Debug)]
pub enum OpenError {
    /// A setting or the data folder is to blame.
    Settings(String),
    /// The fabric or a store cannot be reached.
    Unavailable(String),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Settings(text) | Self::Unavailable(text)) = self;
        f.write_str(text)
    }
}

impl std::error::Error for OpenError {}

impl From<Error> for OpenError {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error.kind {
            ErrorKind::Unavailable => Self::Unavailable(text),
            _ => Self::Settings(text),
        }
    }
}

impl From<pudato_registry::Error> for OpenError {
    fn from(error: pudato_registry::Error) -> Self {
        let text = error.to_string();
        if error.is_retryable() {
            Self::Unavailable(text)
        } else {
            Self::Settings(text)
        }
    }
}

/// Something that runs until it is told to stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// A worker of this service.
    Handler(String),
    /// The results consumer, and what keeps Events and watches the dead letters.
    Results,
}

/// An installation of pudato: its fabric, stores and handlers.
pub struct Pudato {
    /// Its names.
    pub names: Names,
    /// Sends messages.
    pub publisher: Arc<dyn Publisher>,
    /// Looks at queues.
    pub operations: Arc<dyn Operations>,
    /// Jobs, steps, lineage.
    pub registry: Arc<dyn RegistryStore>,
    /// Makes messages ready.
    pub outbox: Outbox,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The data folder, absolute.
    pub data_dir: PathBuf,
    fabric: LocalFabric,
    handlers: BTreeMap<String, Arc<dyn Handler>>,
    settings: Settings,
}

impl Pudato {
    /// Opens everything that `settings` name; makes what is not there.
    ///
    /// # Errors
    /// A setting, the data folder or a store cannot be used.
    pub async fn open(settings: Settings) -> Result<Self, OpenError> {
        Self::open_with(settings, Vec::new()).await
    }

    /// As [`Pudato::open`], with handlers of the caller's own. Each has a topic `<prefix>-<service>-commands` and a queue
    /// `<prefix>-<service>-queue` like those of pudato.
    ///
    /// # Errors
    /// As [`Pudato::open`].
    pub async fn open_with(
        settings: Settings,
        own: Vec<Arc<dyn Handler>>,
    ) -> Result<Self, OpenError> {
        if settings.fabric == Fabric::Aws {
            let what = "PUDATO_FABRIC: this build has the embedded fabric only; unset the AWS settings or build with aws";
            return Err(OpenError::Settings(what.into()));
        }
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let fabric = LocalFabric::open(&settings.data_dir, Arc::clone(&clock))?;
        let data_dir = settings
            .data_dir
            .canonicalize()
            .map_err(|error| OpenError::Unavailable(format!("data folder: {error}")))?;
        let tells = settings.openlineage.is_some();
        let registry: Arc<dyn RegistryStore> = match &settings.registry {
            RegistryPlace::File(path) => {
                let registry = SqliteRegistry::open(path)?;
                Arc::new(if tells {
                    registry.with_outbox()
                } else {
                    registry
                })
            }
            RegistryPlace::Postgres(url) => {
                let registry = PostgresRegistry::new(url)?;
                Arc::new(if tells {
                    registry.with_outbox()
                } else {
                    registry
                })
            }
        };
        let containers = containers(&settings, &data_dir, false)?;
        let objects = Objects::new(containers);
        let claims = ClaimFolder {
            objects: Objects::new(self::containers(&settings, &data_dir, true)?),
            container: settings.claims_container.clone(),
            bytes_max: settings.claim_bytes_max,
        };
        let outbox = Outbox {
            limits: Limits::SQS,
            claims: Arc::new(claims),
            clock: Arc::clone(&clock),
        };
        let told = Arc::clone(&clock);
        let now = move || crate::time::timestamp(told.now_ms());
        let built_in: Vec<Arc<dyn Handler>> = vec![
            #[cfg(feature = "duckdb")]
            Arc::new(query(&settings, &data_dir, objects.clone())?),
            Arc::new(StorageHandler::new(objects, settings.claim_bytes_max)),
            Arc::new(RegistryHandler::new(Arc::clone(&registry), now)),
        ];
        let handlers = built_in
            .into_iter()
            .chain(own)
            .map(|handler| (handler.service().to_owned(), handler));
        let handlers: BTreeMap<_, _> = handlers.collect();
        let names = Names::new(&settings.prefix);
        let services: Vec<String> = handlers.keys().cloned().collect();
        let topology = names.topology(&services, &[HISTORY.to_owned()], settings.visibility);
        fabric.declare(topology).await?;
        Ok(Self {
            names,
            publisher: Arc::new(fabric.clone()),
            operations: Arc::new(fabric.clone()),
            registry,
            outbox,
            clock,
            data_dir,
            fabric,
            handlers,
            settings,
        })
    }

    /// The services that have a handler here.
    pub fn services(&self) -> Vec<&str> {
        self.handlers.keys().map(String::as_str).collect()
    }

    /// The dead-letter queues there are.
    pub fn dead_letter_queues(&self) -> Vec<String> {
        let names = self.handlers.keys().map(String::as_str);
        names
            .chain([RESULTS, HISTORY])
            .map(|name| self.names.dead_letters(name))
            .collect()
    }

    /// Writes a copy of the fabric and the registry into the folder `to`, which must be new or empty. Objects are files:
    /// copy them as such.
    ///
    /// # Errors
    /// The folder holds something, or cannot be written.
    pub async fn backup(&self, to: &std::path::Path) -> Result<(), OpenError> {
        let failed =
            |error: std::io::Error| OpenError::Unavailable(format!("{}: {error}", to.display()));
        std::fs::create_dir_all(to).map_err(failed)?;
        if std::fs::read_dir(to).map_err(failed)?.next().is_some() {
            let what = format!("{}: expected a new or empty folder", to.display());
            return Err(OpenError::Settings(what));
        }
        self.fabric.backup(&to.join("fabric.db")).await?;
        // A registry on a server is backed up there.
        if let RegistryPlace::File(_) = self.settings.registry {
            self.registry.backup(&to.join("registry.db")).await?;
        }
        Ok(())
    }

    /// Reads every page of fabric and registry; says what is wrong.
    ///
    /// # Errors
    /// They cannot be read at all.
    pub async fn check(&self) -> Result<Vec<String>, OpenError> {
        let mut wrong = self.fabric.check().await?;
        wrong.extend(self.registry.check().await?);
        Ok(wrong)
    }

    /// Runs `parts` side by side until `drain` is cancelled and what was in hand is finished.
    ///
    /// # Errors
    /// A part cannot start or cannot go on; the others are drained then.
    pub async fn run(&self, parts: &[Part], drain: CancellationToken) -> Result<(), OpenError> {
        let readiness = Readiness::default();
        if let Some(port) = self.settings.health_port {
            let listener = TcpListener::bind(("127.0.0.1", port)).await;
            let listener = listener.map_err(|error| {
                OpenError::Settings(format!("PUDATO_HEALTH_PORT: port {port}: {error}"))
            })?;
            tokio::spawn(serve(listener, readiness.clone()));
        }
        let mut running = tokio::task::JoinSet::new();
        for part in parts {
            match part {
                Part::Handler(service) => {
                    let worker = self.worker(service).await?;
                    let drain = drain.clone();
                    running.spawn(async move { worker.run(drain).await });
                }
                Part::Results => {
                    // Two for the Results: one receives while the other writes.
                    let queues = [
                        (RESULTS, Kind::Results),
                        (RESULTS, Kind::Results),
                        (HISTORY, Kind::Events),
                    ];
                    for (name, kind) in queues {
                        let consumer = self.results_consumer(name, kind).await?;
                        let drain = drain.clone();
                        running.spawn(async move { consumer.run(drain).await });
                    }
                    if let Some(teller) = self.teller() {
                        let drain = drain.clone();
                        running.spawn(async move {
                            teller.run(drain).await;
                            Ok(())
                        });
                    }
                    let watch = self.dead_letter_watch();
                    let drain = drain.clone();
                    running.spawn(async move {
                        watch.run(drain).await;
                        Ok(())
                    });
                }
            }
        }
        readiness.set(true);
        let told = drain.clone();
        let ready = readiness.clone();
        tokio::spawn(async move {
            told.cancelled().await;
            ready.set(false);
        });
        let mut outcome = Ok(());
        while let Some(ended) = running.join_next().await {
            let ended = ended.unwrap_or_else(|error| {
                let context = format!("a part of pudato stopped: {error}");
                Err(Error::new(ErrorKind::Unavailable, context))
            });
            if let Err(error) = ended {
                tracing::error!(%error, "it cannot go on; everything is drained");
                drain.cancel();
                outcome = Err(OpenError::Unavailable(error.to_string()));
            }
        }
        outcome
    }

    async fn worker(&self, service: &str) -> Result<Worker, OpenError> {
        let Some(handler) = self.handlers.get(service) else {
            let known = self.services().join(", ");
            let what = format!("handler: expected one of {known}, found {service:?}");
            return Err(OpenError::Settings(what));
        };
        let queue = self.names.queue(service);
        let consumer: Arc<dyn Consumer> = Arc::new(self.fabric.consumer(&queue).await?);
        let idempotency: Arc<dyn IdempotencyStore> = Arc::new(self.fabric.clone());
        let chance = Chance::new();
        let processor = Processor {
            handler: Arc::clone(handler),
            claims: Arc::clone(&self.outbox.claims),
            idempotency,
            clock: Arc::clone(&self.clock),
            owner: format!("{}-{:016x}", std::process::id(), chance.up_to(u64::MAX)),
            lease: self.settings.visibility,
        };
        Ok(Worker {
            processor: Arc::new(processor),
            consumer,
            outbox: self.outbox.clone(),
            results_topic: self.names.results(),
            events_topic: self.names.events(),
            chance: Arc::new(chance),
            spawn: Arc::new(TokioTasks),
            concurrency: self.settings.concurrency,
            visibility: self.settings.visibility,
            grace: self.settings.drain,
        })
    }

    async fn results_consumer(&self, name: &str, kind: Kind) -> Result<ResultsConsumer, OpenError> {
        let queue = self.names.queue(name);
        Ok(ResultsConsumer {
            consumer: Arc::new(self.fabric.consumer(&queue).await?),
            registry: Arc::clone(&self.registry),
            claims: Arc::clone(&self.outbox.claims),
            clock: Arc::clone(&self.clock),
            chance: Arc::new(Chance::new()),
            kind,
            visibility: self.settings.visibility,
        })
    }

    fn teller(&self) -> Option<Teller> {
        let transport = Transport::new(self.settings.openlineage.clone()?);
        Some(Teller {
            registry: Arc::clone(&self.registry),
            transport: Arc::new(transport),
            clock: Arc::clone(&self.clock),
            chance: Arc::new(Chance::new()),
        })
    }

    fn dead_letter_watch(&self) -> DeadLetterWatch {
        let services = self.handlers.keys();
        DeadLetterWatch {
            operations: Arc::clone(&self.operations),
            queues: services.map(|name| self.names.dead_letters(name)).collect(),
            outbox: self.outbox.clone(),
            results_topic: self.names.results(),
            clock: Arc::clone(&self.clock),
        }
    }
}

/// The query handler, on DuckDB.
#[cfg(feature = "duckdb")]
fn query(
    settings: &Settings,
    data_dir: &std::path::Path,
    objects: Objects,
) -> Result<pudato_query::QueryHandler, OpenError> {
    use pudato_query::duckdb::{DuckDb, Options};
    let query = &settings.query;
    let options = Options {
        scratch: data_dir.join("scratch"),
        memory_bytes: query.memory_bytes,
        spill_bytes: query.spill_bytes,
        threads: query.threads,
    };
    let engine = DuckDb::file(&query.file, options)
        .map_err(|error| OpenError::Unavailable(format!("DUCKDB_PATH: {error}")))?;
    let limits = pudato_query::Limits {
        deadline: query.deadline,
        source_bytes_max: query.source_bytes_max,
        answer_bytes_max: query.answer_bytes_max,
        scripts: query.scripts,
    };
    let files = crate::object_files::ObjectFiles(objects);
    Ok(pudato_query::QueryHandler::new(
        Arc::new(engine),
        Arc::new(files),
        limits,
    ))
}

/// The containers of the storage handler, or the one of claims.
fn containers(
    settings: &Settings,
    data_dir: &std::path::Path,
    for_claims: bool,
) -> Result<Containers, OpenError> {
    let mut builder = Containers::builder().root(data_dir.join("objects"));
    let claims = &settings.claims_container;
    for (name, location) in &settings.containers {
        if !for_claims || name == claims {
            builder = builder.list(name, location);
        }
    }
    builder
        .build()
        .map_err(|error| OpenError::Settings(error.to_string()))
}
