//! An installation of pudato, opened in four steps that each return a value: places, databases, handlers, fabric.
//!
//! This is the only module that names backends. docs/design/installation.md explains the steps.

pub(crate) mod aws;
mod backend;
mod databases;
mod embedded;
mod error;
mod fabric;
mod handlers;
mod objects;
mod places;
#[cfg_attr(not(feature = "duckdb"), path = "no_warehouse.rs")]
mod warehouse;

pub use backend::Backend;
pub use error::OpenError;
pub use fabric::{Fabric, Profile};
pub(crate) use fabric::{PushedConsumer, ReplyQueue};
pub use places::registry_place;

use crate::admin::usage::Ledger;
use crate::client::Subscribers;
use crate::names::{HISTORY, Names, RESULTS};
use crate::settings::{DatabasePlace, Replies, Settings, services};
use places::Places;
use pudato_engine::Outbox;
use pudato_engine::board::Board;
use pudato_handler::Handler;
use pudato_messaging::{ClaimStore, Clock, Consumer, Error, SystemClock, Topology};
use pudato_registry::RegistryStore;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use tokio::sync::Mutex;

/// The backends; the first is the default. A new one is a module of its own and a line here.
pub(crate) static BACKENDS: &[&Backend] = &[&embedded::BACKEND, &aws::BACKEND];

/// An installation of pudato: its fabric, stores and handlers.
pub struct Installation {
    /// The names of its topics and queues.
    pub names: Names,
    /// The fabric.
    pub fabric: Fabric,
    /// Jobs, steps and lineage.
    pub registry: Arc<dyn RegistryStore>,
    /// Makes messages ready to be published.
    pub outbox: Outbox,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The absolute path of the data folder.
    pub data_dir: PathBuf,
    /// The messages that this program is handling.
    pub board: Board,
    /// The subscribers of the topics that were checked so far.
    pub(crate) subscribers: Mutex<BTreeMap<String, Subscribers>>,
    pub(crate) topology: Topology,
    /// The number of messages that the workers of this program received.
    pub(crate) deliveries: Arc<AtomicU64>,
    pub(crate) ledger: Ledger,
    pub(crate) handlers: BTreeMap<String, Arc<dyn Handler>>,
    settings: Settings,
}

impl Installation {
    /// Opens everything that `settings` name, and creates what does not exist.
    ///
    /// # Errors
    /// A setting, the data folder or a store cannot be used.
    pub async fn open(settings: Settings) -> Result<Self, OpenError> {
        Self::open_with(settings, Vec::new()).await
    }

    /// Opens an installation for a caller, which publishes Commands and waits for their Results. If `PUDATO_REPLIES` is `queue`, it needs
    /// no registry and gets none.
    ///
    /// # Errors
    /// As [`Installation::open`].
    pub async fn open_to_call(mut settings: Settings) -> Result<Self, OpenError> {
        if settings.replies == Replies::Registry {
            return Self::open(settings).await;
        }
        settings.answers = None;
        Self::open_without_registry(settings, Vec::new()).await
    }

    /// Opens an installation for a program that only publishes and receives. If the settings name no registry, it needs none and gets an
    /// empty one in memory.
    ///
    /// # Errors
    /// As [`Installation::open`].
    pub async fn open_to_publish(settings: Settings) -> Result<Self, OpenError> {
        let required = (settings.fabric.requires)(&[]);
        let must_be_set = required
            .iter()
            .any(|name| name == services::REGISTRY_DATABASE);
        if settings.registry_is_set || !must_be_set {
            return Self::open_to_call(settings).await;
        }
        Self::open_without_registry(settings, Vec::new()).await
    }

    /// As [`Installation::open_with`], for programs that need no registry: they get an empty one in memory.
    pub(crate) async fn open_without_registry(
        mut settings: Settings,
        own: Vec<Arc<dyn Handler>>,
    ) -> Result<Self, OpenError> {
        settings.registry = DatabasePlace::Memory;
        Self::assemble(settings, own).await
    }

    /// As [`Installation::open`], with additional handlers. Each has a topic `<prefix>-<service>-commands` and a queue
    /// `<prefix>-<service>-queue`, like those of pudato.
    ///
    /// # Errors
    /// As [`Installation::open`].
    pub async fn open_with(
        settings: Settings,
        own: Vec<Arc<dyn Handler>>,
    ) -> Result<Self, OpenError> {
        settings.require(&(settings.fabric.requires)(&[]))?;
        Self::assemble(settings, own).await
    }

    async fn assemble(settings: Settings, own: Vec<Arc<dyn Handler>>) -> Result<Self, OpenError> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let places = Places::find(&settings).await?;
        let databases = databases::open(&places.registry, &settings)?;
        let registry = Arc::clone(&databases.registry);
        let containers = objects::open(&settings, &places)?;
        let claims: Arc<dyn ClaimStore> = Arc::new(objects::claims(&settings, &places)?);
        let told = Arc::clone(&clock);
        let now = move || crate::time::timestamp(told.now_ms());
        let built_in =
            handlers::built_in(&settings, &places, containers, Arc::clone(&registry), now)?;
        let handlers = built_in.into_iter().chain(own);
        let handlers = handlers.map(|handler| (handler.service().to_owned(), handler));
        let handlers: BTreeMap<_, _> = handlers.collect();
        let names = Names::new(&settings.prefix);
        let services: Vec<String> = handlers.keys().cloned().collect();
        let topology = names.topology(&services, &[HISTORY.to_owned()], settings.visibility);
        let fabric = (settings.fabric.open)(fabric::Parts {
            settings: &settings,
            names: &names,
            topology: &topology,
            places: &places,
            databases: &databases,
            claims: Arc::clone(&claims),
            clock: Arc::clone(&clock),
        });
        let fabric = fabric.await?;
        let began = crate::time::timestamp(clock.now_ms());
        Ok(Self {
            names,
            registry,
            outbox: Outbox {
                publisher: Arc::clone(&fabric.publisher),
                claims,
                clock: Arc::clone(&clock),
            },
            board: Board::new(Arc::clone(&clock)),
            clock,
            subscribers: Mutex::default(),
            ledger: Ledger::new(&places.data_dir, began),
            data_dir: places.data_dir,
            deliveries: Arc::default(),
            fabric,
            topology,
            handlers,
            settings,
        })
    }

    /// The settings with which the installation was opened.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The services that have a handler here.
    pub fn services(&self) -> Vec<&str> {
        self.handlers.keys().map(String::as_str).collect()
    }

    /// The services here that have a queue. On AWS, the transform service has one only if a worker reads it.
    pub fn services_with_queue(&self) -> Vec<&str> {
        let services = self.services().into_iter();
        services
            .filter(|service| services::always_has_queue(service) || self.has_queue(service))
            .collect()
    }

    /// The dead-letter queues of this installation; on AWS, only those of the queues that the settings name.
    pub fn dead_letter_queues(&self) -> Vec<String> {
        let readers = self.readers();
        readers.map(|name| self.names.dead_letters(name)).collect()
    }

    /// The queues of this installation that programs read; on AWS, only those that the settings name.
    pub fn queues(&self) -> Vec<String> {
        self.readers().map(|name| self.names.queue(name)).collect()
    }

    fn readers(&self) -> impl Iterator<Item = &str> {
        let names = self.handlers.keys().map(String::as_str);
        names
            .chain([RESULTS, HISTORY])
            .filter(|name| self.has_queue(name))
    }

    /// Whether the queue of `name` exists, as far as this program knows. A service of another program has a queue wherever it has a handler.
    pub(crate) fn has_queue(&self, name: &str) -> bool {
        let known = self.fabric.known_queues.as_ref();
        known.is_none_or(|known| known.contains(name) || !services::has_queue_setting(name))
    }

    /// Opens a queue for reading.
    ///
    /// # Errors
    /// `NotFound`: there is no such queue. `Unavailable`: the fabric cannot be reached.
    pub async fn consumer(&self, queue: &str) -> Result<Arc<dyn Consumer>, Error> {
        self.fabric.consumers.consumer(queue).await
    }

    /// The topics, queues and subscriptions of this installation.
    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// The handler of `service`.
    ///
    /// # Errors
    /// There is none here.
    pub fn handler(&self, service: &str) -> Result<&Arc<dyn Handler>, OpenError> {
        self.handlers.get(service).ok_or_else(|| {
            let known = self.services().join(", ");
            let what = format!("handler: expected one of {known}, found {service:?}");
            OpenError::Settings(what)
        })
    }
}
