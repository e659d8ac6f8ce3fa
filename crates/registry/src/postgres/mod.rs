//! The registry on a PostgreSQL server, for any number of machines.

mod columns;
mod connect;
mod edges;
mod events;
mod idempotency;
mod jobs;
mod lineage;
mod outbox;
mod pools;
mod prune;
mod records;
mod relocate;
mod resolve;
mod roles;
mod schema;
mod session;
mod steps;
mod store;
#[cfg(test)]
mod tests;
mod write;

use crate::batch::no_nul;
use crate::error::{Error, ErrorKind};
use connect::Address;
use pools::Pools;
use pudato_messaging::{Clock, SystemClock};
pub use roles::Purpose;
use session::Session;
use std::sync::Arc;
use tokio::sync::OnceCell;
use write::Datasets;

/// The registry on a PostgreSQL server (tested with 15, 16 and 18). Clones share its connections.
#[derive(Clone)]
pub struct PostgresRegistry {
    pools: Arc<Pools>,
    /// The host and the database, without secrets.
    printed: Arc<str>,
    /// Set once the tables exist.
    ready: Arc<OnceCell<()>>,
    datasets: Arc<Datasets>,
    has_outbox: bool,
    clock: Arc<dyn Clock>,
}

impl PostgresRegistry {
    /// Creates a registry at `url` (`postgres://USER:PASSWORD@HOST:PORT/DATABASE`, with `sslmode` and `sslrootcert`). A remote server must
    /// present a certificate for its name, unless the URL says `sslmode=disable`. This does not connect yet: a program can start while the
    /// server is down, and each call then returns `Unavailable`.
    ///
    /// # Errors
    /// `Invalid`: the URL is wrong.
    pub fn new(url: &str) -> Result<Self, Error> {
        let address = Address::parse(url)?;
        Ok(Self {
            pools: Arc::new(address.pools()?),
            printed: address.printed().into(),
            ready: Arc::default(),
            datasets: Arc::default(),
            has_outbox: false,
            clock: Arc::new(SystemClock),
        })
    }

    /// Limits the number of connections, to 1 or more. All programs share the connections that the server allows.
    #[must_use]
    pub fn with_connections(self, connections: usize) -> Self {
        self.pools.resize(connections.max(1));
        self
    }

    /// Creates a registry as [`Self::new`], and connects. If the schema `pudato` has no tables yet and the role may create them, it does
    /// so.
    ///
    /// # Errors
    /// As [`Self::new`]. `Invalid`: the tables belong to a newer pudato, or the role may not create them. `Unavailable`: the server cannot
    /// be reached.
    pub async fn open(url: &str) -> Result<Self, Error> {
        let registry = Self::new(url)?;
        registry.migrated().await?;
        Ok(registry)
    }

    /// Makes sure, once, that the tables exist.
    async fn migrated(&self) -> Result<(), Error> {
        let migrate = async || {
            let mut client = self.pools.first().await?;
            schema::migrate(&mut client).await
        };
        let migrated = self.ready.get_or_try_init(migrate).await;
        migrated
            .copied()
            .map_err(|error: Error| error.within(&self.printed))
    }

    /// Allows `role` to read and write the tables, and nothing else. The programs that run every day use such a role.
    ///
    /// # Errors
    /// `Unavailable`: the role does not exist, or the current role may not grant.
    pub async fn grant(&self, role: &str) -> Result<(), Error> {
        no_nul("role", role)?;
        self.migrated().await?;
        let mut client = self.pools.get().await?;
        roles::grant(&mut client, role, Purpose::Registry).await
    }

    /// Whether the first connection showed that the server is behind a pooler that changes sessions between transactions.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn is_pooled(&self) -> Result<bool, Error> {
        self.migrated().await?;
        Ok(self.pools.is_pooled())
    }

    /// Creates the role in `url` with its password, or changes the password of an existing role, and grants what `purpose` needs and
    /// nothing else.
    ///
    /// # Errors
    /// `Invalid`: the URL has no role or no password, or the role is the current one. `Unavailable`: the current role may not create roles.
    pub async fn make_role(&self, url: &str, purpose: Purpose) -> Result<(), Error> {
        let (role, password) = Address::parse(url)?.role()?;
        self.migrated().await?;
        let mut client = self.pools.get().await?;
        roles::make(&client, &role, &password).await?;
        roles::grant(&mut client, &role, purpose).await
    }

    /// Takes the time of stored answers from `clock`. The default is the clock of the machine.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Also puts every future Result into the outbox, for [`RegistryStore::take_outbox`](crate::RegistryStore::take_outbox).
    #[must_use]
    pub fn with_outbox(mut self) -> Self {
        self.has_outbox = true;
        self
    }

    async fn session(&self) -> Result<Session<'_>, Error> {
        // A message is not to blame for missing tables, so it must be kept and retried.
        self.migrated()
            .await
            .map_err(|error| error.with_kind(ErrorKind::Unavailable))?;
        Session::of(&self.pools).await
    }

    /// A session with a consistent snapshot of the registry.
    async fn reading(&self) -> Result<Session<'_>, Error> {
        let session = self.session().await?;
        session.begin_reading().await?;
        Ok(session)
    }
}
