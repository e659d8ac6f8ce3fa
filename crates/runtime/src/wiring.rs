//! Puts the parts together. The one place that names backends.

use crate::backend::Backend;
use crate::board::{Board, Program, keep_posted};
use crate::chance::Chance;
use crate::claim_store::ClaimObjects;
use crate::dead_letters::DeadLetterWatch;
use crate::health::{Readiness, serve};
use crate::hearing::Hearing;
use crate::names::{HISTORY, Names, RESULTS};
use crate::openlineage::{Teller, Transport};
use crate::outbox::Outbox;
use crate::process::Processor;
use crate::reporting::Reporter;
use crate::results::{Kind, ResultsConsumer};
use crate::settings::{DatabasePlace, Fabric, Replies, Settings};
use crate::spawn::TokioTasks;
use crate::stores;
use crate::worker::Worker;
use pudato_handler::{Handler, Progress};
#[cfg(feature = "aws")]
use pudato_messaging::aws::ReplyQueue;
use pudato_messaging::local::LocalFabric;
use pudato_messaging::{
    ClaimStore, Clock, Error, ErrorKind, Operations, Publisher, SystemClock, Topology,
};
use pudato_registry::{RegistryHandler, RegistryStore};
use pudato_storage::{Containers, ContainersBuilder, Objects, StorageHandler};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
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
    /// What this program has in hand.
    pub board: Board,
    /// Who hears which topic, as far as it was asked.
    pub(crate) hearing: tokio::sync::Mutex<BTreeMap<String, Hearing>>,
    backend: Backend,
    topology: Topology,
    deliveries: Arc<AtomicU64>,
    #[cfg(feature = "aws")]
    ledger: crate::calls::Ledger,
    #[cfg(feature = "aws")]
    s3: Option<pudato_storage::S3Access>,
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

    /// Opens what a caller needs, who publishes Commands and hears of their Results: where `PUDATO_REPLIES` says that this is a queue,
    /// it needs no registry, and has none.
    ///
    /// # Errors
    /// As [`Pudato::open`].
    pub async fn open_to_call(mut settings: Settings) -> Result<Self, OpenError> {
        if settings.replies == Replies::Registry {
            return Self::open(settings).await;
        }
        settings.answers = None;
        Self::open_without_registry(settings, Vec::new()).await
    }

    /// As [`Pudato::open_with`], for who needs no registry: it has an empty one in memory.
    pub(crate) async fn open_without_registry(
        mut settings: Settings,
        own: Vec<Arc<dyn Handler>>,
    ) -> Result<Self, OpenError> {
        settings.registry = DatabasePlace::Memory;
        Self::assemble(settings, own).await
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
        settings
            .require(&["REGISTRY_DATABASE_URL".to_owned()])
            .map_err(|error| OpenError::Settings(error.to_string()))?;
        Self::assemble(settings, own).await
    }

    async fn assemble(settings: Settings, own: Vec<Arc<dyn Handler>>) -> Result<Self, OpenError> {
        #[cfg(not(feature = "aws"))]
        if settings.fabric == Fabric::Aws {
            let what = "PUDATO_FABRIC: this build has the embedded fabric only; unset the AWS settings or build with the feature aws";
            return Err(OpenError::Settings(what.into()));
        }
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let data_dir = data_dir(&settings)?;
        #[cfg(feature = "aws")]
        let config = crate::aws::config(&settings).await;
        #[cfg(feature = "aws")]
        let place = crate::aws::resolved(&settings.registry, config.as_ref()).await?;
        #[cfg(not(feature = "aws"))]
        let place = registry_place(&settings).await?;
        let database = stores::open(&place, &settings)?;
        let registry = Arc::clone(&database.registry);
        #[cfg(feature = "aws")]
        let s3 = config.as_ref().map(crate::aws::s3).transpose()?;
        let builder = || -> ContainersBuilder {
            let builder = Containers::builder();
            #[cfg(feature = "aws")]
            if let Some(s3) = &s3 {
                return builder.s3(s3.clone());
            }
            builder
        };
        let objects = Objects::new(containers(&settings, &data_dir, builder())?);
        let claims: Arc<dyn ClaimStore> = Arc::new(claims(&settings, &data_dir, builder())?);
        let told = Arc::clone(&clock);
        let now = move || crate::time::timestamp(told.now_ms());
        #[cfg(feature = "duckdb")]
        let engine = Arc::new(engine(&settings, &data_dir)?);
        let built_in: Vec<Arc<dyn Handler>> = vec![
            #[cfg(feature = "duckdb")]
            Arc::new(query(&settings, Arc::clone(&engine), objects.clone())),
            #[cfg(all(feature = "dbt", feature = "duckdb"))]
            Arc::new(transform(&settings, &data_dir, engine)),
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
        let backend = match settings.fabric {
            #[cfg(feature = "aws")]
            Fabric::Aws => {
                let config = config.as_ref().ok_or_else(|| {
                    OpenError::Settings("PUDATO_FABRIC: AWS has no configuration".into())
                })?;
                let (claims, clock) = (Arc::clone(&claims), Arc::clone(&clock));
                crate::aws::fabric(
                    &settings, &names, &topology, config, &database, claims, clock,
                )
                .await?
            }
            _ => {
                let fabric = LocalFabric::open(&settings.data_dir, Arc::clone(&clock))?;
                fabric.declare(topology.clone()).await?;
                Backend::Local(fabric)
            }
        };
        #[cfg(feature = "aws")]
        let began = crate::time::timestamp(clock.now_ms());
        let publisher = backend.publisher();
        let outbox = Outbox {
            publisher: Arc::clone(&publisher),
            claims,
            clock: Arc::clone(&clock),
        };
        Ok(Self {
            names,
            publisher,
            operations: backend.operations(),
            registry,
            outbox,
            board: Board::new(Arc::clone(&clock)),
            clock,
            hearing: tokio::sync::Mutex::default(),
            data_dir: data_dir.clone(),
            #[cfg(feature = "aws")]
            ledger: crate::calls::Ledger::new(&data_dir, began),
            #[cfg(feature = "aws")]
            s3,
            deliveries: Arc::default(),
            backend,
            topology,
            handlers,
            settings,
        })
    }

    /// The services that have a handler here.
    pub fn services(&self) -> Vec<&str> {
        self.handlers.keys().map(String::as_str).collect()
    }

    /// Those of them that have a queue. On AWS the transform service has one only where a worker reads it.
    pub fn services_with_queue(&self) -> Vec<&str> {
        let services = self.services().into_iter();
        services
            .filter(|service| *service != TRANSFORM || self.has_queue(service))
            .collect()
    }

    /// The dead-letter queues there are: on AWS those of the queues that the settings name.
    pub fn dead_letter_queues(&self) -> Vec<String> {
        let names = self.handlers.keys().map(String::as_str);
        names
            .chain([RESULTS, HISTORY])
            .filter(|name| self.has_queue(name))
            .map(|name| self.names.dead_letters(name))
            .collect()
    }

    /// The queues of this installation that are read, as [`Pudato::dead_letter_queues`].
    pub fn queues(&self) -> Vec<String> {
        let names = self.handlers.keys().map(String::as_str);
        names
            .chain([RESULTS, HISTORY])
            .filter(|name| self.has_queue(name))
            .map(|name| self.names.queue(name))
            .collect()
    }

    /// Whether the queue of `name` is known: the embedded fabric has all of them.
    pub(crate) fn has_queue(&self, name: &str) -> bool {
        if self.settings.fabric == Fabric::Embedded {
            return true;
        }
        let variable = format!("PUDATO_{}_QUEUE_URL", name.to_ascii_uppercase());
        let is_setting = self
            .settings
            .all
            .iter()
            .any(|setting| setting.variable.name == variable);
        !is_setting || !self.settings.value(&variable).is_empty()
    }

    /// The topics, queues and subscriptions of this installation.
    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// Writes a copy of the fabric and the registry into the folder `to`, which must be new or empty. Objects are files:
    /// copy them as such.
    ///
    /// # Errors
    /// The folder holds something, or cannot be written.
    pub async fn backup(&self, to: &std::path::Path) -> Result<(), OpenError> {
        let failed =
            |error: std::io::Error| OpenError::Unavailable(format!("{}: {error}", to.display()));
        // What is in it is the owner's alone, as in the data folder.
        let mut builder = std::fs::DirBuilder::new();
        let made = builder.recursive(true).mode(0o700).create(to);
        made.map_err(failed)?;
        if std::fs::read_dir(to).map_err(failed)?.next().is_some() {
            let what = format!("{}: expected a new or empty folder", to.display());
            return Err(OpenError::Settings(what));
        }
        self.backend.backup(&to.join("fabric.db")).await?;
        // A registry on a server is backed up there.
        if let DatabasePlace::File(_) = self.settings.registry {
            self.registry.backup(&to.join("registry.db")).await?;
        }
        Ok(())
    }

    /// Reads every page of fabric and registry; says what is wrong.
    ///
    /// # Errors
    /// They cannot be read at all.
    pub async fn check(&self) -> Result<Vec<String>, OpenError> {
        let mut wrong = self.backend.check().await?;
        wrong.extend(self.registry.check().await?);
        Ok(wrong)
    }

    /// What is missing here for dbt to run, or would make the warehouse unreadable.
    #[cfg(feature = "dbt")]
    pub async fn check_transform(&self) -> Vec<String> {
        let own = crate::transform_settings::of_program(&self.settings, &self.data_dir);
        #[cfg(feature = "duckdb")]
        let version = pudato_query::duckdb::version();
        #[cfg(not(feature = "duckdb"))]
        let version: Option<String> = None;
        own.examine(version.as_deref()).await
    }

    /// Runs `parts` side by side until `drain` is cancelled and what was in hand is finished.
    ///
    /// # Errors
    /// A part cannot start or cannot go on; the others are drained then.
    pub async fn run(&self, parts: &[Part], drain: CancellationToken) -> Result<(), OpenError> {
        self.settings
            .require(&self.needed(parts))
            .map_err(|error| OpenError::Settings(error.to_string()))?;
        let readiness = Readiness::default();
        if let Some(port) = self.settings.health_port {
            let listener = TcpListener::bind(("127.0.0.1", port)).await;
            let listener = listener.map_err(|error| {
                OpenError::Settings(format!("PUDATO_HEALTH_PORT: port {port}: {error}"))
            })?;
            tokio::spawn(serve(listener, readiness.clone()));
        }
        // Ended with this future, however that ends.
        let told = CancellationToken::new();
        let telling = told.clone().drop_guard();
        let (board, data_dir) = (self.board.clone(), self.data_dir.clone());
        let posted = tokio::spawn(keep_posted(board, data_dir, self.program(parts), told));
        let mut running = tokio::task::JoinSet::new();
        for part in parts {
            match part {
                Part::Handler(service) => {
                    let worker = self.worker(service).await?;
                    let drain = drain.clone();
                    running.spawn(async move { worker.run(drain).await });
                }
                Part::Results => {
                    for (name, kind) in [(RESULTS, Kind::Results), (HISTORY, Kind::Events)] {
                        if !self.has_queue(name) {
                            tracing::info!(
                                "Events are not kept: PUDATO_HISTORY_QUEUE_URL is not set"
                            );
                            continue;
                        }
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
                    if let Some(kept) = self.backend.kept() {
                        let (clock, drain) = (Arc::clone(&self.clock), drain.clone());
                        running.spawn(async move {
                            crate::kept_answers::forget_old(&*kept, &*clock, &drain).await;
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
        let mut due = tokio::time::interval(RECORD_EVERY);
        let told = drain.clone();
        let ready = readiness.clone();
        tokio::spawn(async move {
            told.cancelled().await;
            ready.set(false);
        });
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
                break;
            };
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
        self.record_calls();
        drop(telling);
        let _ = posted.await;
        outcome
    }

    /// What others are told of this program.
    fn program(&self, parts: &[Part]) -> Program {
        let runs = parts.iter().map(|part| match part {
            Part::Handler(service) => service.clone(),
            Part::Results => RESULTS.to_owned(),
        });
        Program {
            pid: std::process::id(),
            since_ms: self.clock.now_ms(),
            runs: runs.collect(),
            ..Program::default()
        }
    }

    /// Writes down what this program called that does not serve and ends now, for `pudato cost`; the embedded fabric has nothing to
    /// write.
    pub fn record_last_calls(&self) {
        #[cfg(feature = "aws")]
        if let Backend::Aws(aws) = &self.backend {
            self.ledger.append(&self.calls(aws));
        }
    }

    /// The same, of a program that serves: what it called so far.
    fn record_calls(&self) {
        #[cfg(feature = "aws")]
        if let Backend::Aws(aws) = &self.backend {
            let commands = self.deliveries.load(Ordering::Relaxed);
            self.ledger.write(commands, &self.calls(aws));
        }
    }

    #[cfg(feature = "aws")]
    fn calls(&self, aws: &crate::backend::Aws) -> BTreeMap<String, u64> {
        let mut calls = aws.fabric.calls();
        calls.extend(self.s3.iter().flat_map(|s3| s3.calls()));
        calls
    }

    /// Makes a queue that hears the Results under `correlation_id` from now on.
    #[cfg(feature = "aws")]
    pub(crate) async fn listen(&self, correlation_id: &str) -> Result<ReplyQueue, Error> {
        let (prefix, topic) = (&self.settings.prefix, self.names.results());
        match &self.backend {
            Backend::Aws(aws) => aws.fabric.listen(prefix, &topic, correlation_id).await,
            Backend::Local(_) => {
                let what = "PUDATO_REPLIES: the embedded fabric has no queues for replies";
                Err(Error::new(ErrorKind::Invalid, what))
            }
        }
    }

    /// Removes queues for replies that were left behind; what cannot be removed is left to the next.
    #[cfg(feature = "aws")]
    pub(crate) async fn sweep_replies(&self) {
        let Backend::Aws(aws) = &self.backend else {
            return;
        };
        let topic = self.names.results();
        match aws
            .fabric
            .sweep_replies(&self.settings.prefix, &topic)
            .await
        {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "queues for replies swept away"),
            Err(error) => tracing::debug!(%error, "queues for replies are not swept"),
        }
    }

    /// The settings it was opened with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    async fn worker(&self, service: &str) -> Result<Worker, OpenError> {
        let processor = self.processor(service)?;
        let queue = self.names.queue(service);
        Ok(Worker {
            processor: Arc::new(processor),
            consumer: self.backend.consumer(&queue).await?,
            outbox: self.outbox.clone(),
            results_topic: self.names.results(),
            events_topic: self.names.events(),
            chance: Arc::new(Chance::new()),
            spawn: Arc::new(TokioTasks),
            concurrency: self.settings.concurrency,
            visibility: self.settings.visibility,
            grace: self.settings.drain,
            board: self.board.clone(),
        })
    }

    /// The handler of `service`.
    fn handler(&self, service: &str) -> Result<&Arc<dyn Handler>, OpenError> {
        self.handlers.get(service).ok_or_else(|| {
            let known = self.services().join(", ");
            let what = format!("handler: expected one of {known}, found {service:?}");
            OpenError::Settings(what)
        })
    }

    /// What decides about the messages of `service`.
    pub(crate) fn processor(&self, service: &str) -> Result<Processor, OpenError> {
        let owner = Chance::new().up_to(u64::MAX);
        Ok(Processor {
            handler: Arc::clone(self.handler(service)?),
            trust: self.backend.trust(&self.topology.topics),
            claims: Arc::clone(&self.outbox.claims),
            progress: self.reporter(service),
            idempotency: self.backend.idempotency(),
            clock: Arc::clone(&self.clock),
            owner: format!("{}-{owner:016x}", std::process::id()),
            lease: self.settings.visibility,
            settles_at_once: self.backend.settles_at_once(),
            deliveries: Arc::clone(&self.deliveries),
        })
    }

    /// Publishes how far the actions of `service` are.
    fn reporter(&self, service: &str) -> Arc<dyn Progress> {
        let (topic, clock) = (self.names.results(), Arc::clone(&self.clock));
        let (reporter, work) = Reporter::new(service, self.outbox.clone(), topic, clock);
        tokio::spawn(work);
        Arc::new(reporter)
    }

    /// Fails where `service` has no handler in this build.
    #[cfg(feature = "aws")]
    pub(crate) fn require_handler(&self, service: &str) -> Result<(), OpenError> {
        self.handler(service).map(|_| ())
    }

    /// The messages of `queue` that an event source of Lambda brings.
    #[cfg(feature = "aws")]
    pub(crate) async fn event_source(
        &self,
        queue: &str,
    ) -> Result<pudato_messaging::aws::SqsConsumer, OpenError> {
        let Backend::Aws(aws) = &self.backend else {
            let what = "PUDATO_FABRIC: expected aws";
            return Err(OpenError::Settings(what.into()));
        };
        Ok(aws.consumer(queue).await?.of_event_source())
    }

    /// Answers that somebody has to forget when they are old.
    #[cfg(feature = "aws")]
    pub(crate) fn kept_answers(&self) -> Option<Arc<dyn pudato_registry::AnswerStore>> {
        self.backend.kept()
    }

    async fn results_consumer(&self, name: &str, kind: Kind) -> Result<ResultsConsumer, OpenError> {
        let queue = self.names.queue(name);
        Ok(self.results_consumer_of(self.backend.consumer(&queue).await?, kind))
    }

    /// Writes what `consumer` receives to the registry.
    pub(crate) fn results_consumer_of(
        &self,
        consumer: Arc<dyn pudato_messaging::Consumer>,
        kind: Kind,
    ) -> ResultsConsumer {
        ResultsConsumer {
            consumer,
            trust: self.backend.trust(&self.topology.topics),
            registry: Arc::clone(&self.registry),
            claims: Arc::clone(&self.outbox.claims),
            clock: Arc::clone(&self.clock),
            chance: Arc::new(Chance::new()),
            kind,
            visibility: self.settings.visibility,
            left_alone: None,
            board: self.board.clone(),
        }
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

    pub(crate) fn dead_letter_watch(&self) -> DeadLetterWatch {
        DeadLetterWatch {
            operations: Arc::clone(&self.operations),
            queues: self.watched(),
            outbox: self.outbox.clone(),
            results_topic: self.names.results(),
            every: match self.settings.fabric {
                Fabric::Embedded => WATCH_EVERY,
                Fabric::Aws => WATCH_EVERY_AWS,
            },
            clock: Arc::clone(&self.clock),
        }
    }

    /// The dead-letter queues of commands: of the services that have a handler here, and on AWS of all whose queue the settings name, since
    /// their handlers may be other programs.
    fn watched(&self) -> Vec<String> {
        let here = self.handlers.keys().filter(|name| self.has_queue(name));
        let mut services: BTreeSet<&str> = here.map(String::as_str).collect();
        #[cfg(feature = "aws")]
        services.extend(crate::aws::services_with_queue(&self.settings));
        let services = services.into_iter();
        services.map(|name| self.names.dead_letters(name)).collect()
    }

    /// The settings that `parts` need on AWS.
    #[cfg(feature = "aws")]
    fn needed(&self, parts: &[Part]) -> Vec<String> {
        let mut topics = vec![self.names.results()];
        let mut queues = Vec::new();
        for part in parts {
            match part {
                Part::Handler(service) => {
                    topics.push(self.names.events());
                    queues.push(self.names.queue(service));
                }
                Part::Results => queues.push(self.names.queue(RESULTS)),
            }
        }
        topics.dedup();
        crate::aws::needed(&self.names, &topics, &queues)
    }

    #[cfg(not(feature = "aws"))]
    fn needed(&self, _parts: &[Part]) -> Vec<String> {
        Vec::new()
    }
}

/// Where the registry is; a secret that holds its URL is read.
///
/// # Errors
/// The secret cannot be read, or holds no URL.
pub async fn registry_place(settings: &Settings) -> Result<DatabasePlace, OpenError> {
    #[cfg(feature = "aws")]
    {
        let config = crate::aws::config(settings).await;
        crate::aws::resolved(&settings.registry, config.as_ref()).await
    }
    #[cfg(not(feature = "aws"))]
    match &settings.registry {
        DatabasePlace::Secret(name) => {
            let what =
                format!("{name}: this build cannot read secrets of AWS; it needs the feature aws");
            Err(OpenError::Settings(what))
        }
        place => Ok(place.clone()),
    }
}

/// The service that may have no queue.
const TRANSFORM: &str = "transform";
/// How often it is written down what was called.
const RECORD_EVERY: Duration = Duration::from_secs(10);
/// How often the dead-letter queues are looked at.
const WATCH_EVERY: Duration = Duration::from_secs(5);
/// The same on AWS, where every look costs a call for each of them.
const WATCH_EVERY_AWS: Duration = Duration::from_secs(60);

/// The data folder, absolute; made where it is not there.
fn data_dir(settings: &Settings) -> Result<PathBuf, OpenError> {
    let failed = |error: std::io::Error| {
        let folder = settings.data_dir.display();
        OpenError::Unavailable(format!("data folder {folder}: {error}"))
    };
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder.create(&settings.data_dir).map_err(failed)?;
    settings.data_dir.canonicalize().map_err(failed)
}

/// DuckDB, on the warehouse.
#[cfg(feature = "duckdb")]
fn engine(
    settings: &Settings,
    data_dir: &std::path::Path,
) -> Result<pudato_query::duckdb::DuckDb, OpenError> {
    use pudato_query::EngineError;
    use pudato_query::duckdb::process::Program;
    use pudato_query::duckdb::{DuckDb, Isolation, Options};
    let query = &settings.query;
    let isolation = match (query.has_own_process, Program::own()) {
        (false, _) => Isolation::InProcess,
        (true, Some(program)) => Isolation::Process(program),
        (true, None) => {
            tracing::warn!(
                "DuckDB runs inside of this program, which does not call pudato_runtime::query_process(); \
                 say PUDATO_QUERY_ISOLATION=none where that is wanted"
            );
            Isolation::InProcess
        }
    };
    let options = Options {
        scratch: data_dir.join("scratch"),
        memory_bytes: query.memory_bytes,
        spill_bytes: query.spill_bytes,
        threads: query.threads,
        isolation,
    };
    match &query.file {
        Some(file) => DuckDb::file(file, options).map_err(|error| {
            let what = format!("DUCKDB_PATH: {error}");
            match error {
                EngineError::Invalid(_) => OpenError::Settings(what),
                _ => OpenError::Unavailable(what),
            }
        }),
        None => Ok(DuckDb::in_memory(options)),
    }
}

/// The query handler, on DuckDB.
#[cfg(feature = "duckdb")]
fn query(
    settings: &Settings,
    engine: Arc<pudato_query::duckdb::DuckDb>,
    objects: Objects,
) -> pudato_query::QueryHandler {
    let query = &settings.query;
    let limits = pudato_query::Limits {
        deadline: query.deadline,
        source_bytes_max: query.source_bytes_max,
        answer_bytes_max: query.answer_bytes_max,
        scripts: query.scripts,
    };
    let files = crate::object_files::ObjectFiles(objects);
    pudato_query::QueryHandler::new(engine, Arc::new(files), limits)
}

/// The transform handler, on dbt, which takes turns with the queries.
#[cfg(all(feature = "dbt", feature = "duckdb"))]
fn transform(
    settings: &Settings,
    data_dir: &std::path::Path,
    engine: Arc<pudato_query::duckdb::DuckDb>,
) -> pudato_transform::TransformHandler {
    let own = crate::transform_settings::of_program(settings, data_dir);
    let warehouse = Arc::new(crate::shared_warehouse::SharedWarehouse(engine));
    pudato_transform::TransformHandler::new(own, warehouse)
}

/// The containers of the storage handler. The embedded fabric has folders for all where none is listed; AWS has only those that are.
fn containers(
    settings: &Settings,
    data_dir: &std::path::Path,
    mut builder: ContainersBuilder,
) -> Result<Containers, OpenError> {
    if settings.fabric == Fabric::Embedded {
        builder = builder.root(data_dir.join("objects"));
    }
    for (name, location) in &settings.containers {
        builder = builder.list(name, location);
    }
    builder
        .build()
        .map_err(|error| OpenError::Settings(error.to_string()))
}

/// The container of claims. On AWS it is a bucket of that name, unless it is listed.
fn claims(
    settings: &Settings,
    data_dir: &std::path::Path,
    builder: ContainersBuilder,
) -> Result<ClaimObjects, OpenError> {
    let name = &settings.claims_container;
    let location = match (settings.containers.get(name), settings.fabric) {
        (Some(location), _) => Some(location.clone()),
        (None, Fabric::Aws) => Some(format!("s3://{name}")),
        (None, Fabric::Embedded) => None,
    };
    // Pointers name the bucket itself, so that AWS's own clients find what they point at.
    let bucket = location
        .as_deref()
        .and_then(|location| location.strip_prefix("s3://"));
    let bucket = bucket.map(|bucket| bucket.trim_end_matches('/').to_owned());
    if bucket.as_ref().is_some_and(|bucket| bucket.contains('/')) {
        let what = format!("containers.{name}: claims need a whole bucket, without a prefix");
        return Err(OpenError::Settings(what));
    }
    let builder = match location {
        Some(location) => builder.list(name, location),
        None => builder.root(data_dir.join("objects")),
    };
    let containers = builder
        .build()
        .map_err(|error| OpenError::Settings(error.to_string()))?;
    Ok(ClaimObjects {
        objects: Objects::new(containers),
        name: name.clone(),
        container: bucket.unwrap_or_else(|| name.clone()),
        bytes_max: settings.claim_bytes_max,
    })
}
