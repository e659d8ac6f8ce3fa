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

/// The registry on a PostgreSQL server (tests ran with 15, 16 and 18). Clones share its connections.
#[derive(Clone)]
pub struct PostgresRegistry {
    pools: Arc<Pools>,
    /// Host and database, without what is secret.
    printed: Arc<str>,
    /// Set when the tables were found or made.
    ready: Arc<OnceCell<()>>,
    datasets: Arc<Datasets>,
    has_outbox: bool,
    clock: Arc<dyn Clock>,
}

impl PostgresRegistry {
    /// A registry at `url` (`postgres://USER:PASSWORD@HOST:PORT/DATABASE`, with `sslmode` and `sslrootcert`). A server that is not
    /// this machine must show a certificate for its name, unless the URL says `sslmode=disable`. Nothing is connected yet: a server
    /// that is down keeps nobody from starting, and is `Unavailable` to who asks it.
    ///
    /// # Errors
    /// `Invalid`: the URL.
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

    /// Keeps at most so many connections, 1 or more: a server has room for a certain number, which all programs share.
    #[must_use]
    pub fn with_connections(self, connections: usize) -> Self {
        self.pools.resize(connections.max(1));
        self
    }

    /// As [`Self::new`], and connects: makes the tables in the schema `pudato` where they are not there and the role may make them.
    ///
    /// # Errors
    /// As [`Self::new`]. `Invalid`: tables of a newer pudato, or a role that may not make them. `Unavailable`: the server cannot be
    /// reached.
    pub async fn open(url: &str) -> Result<Self, Error> {
        let registry = Self::new(url)?;
        registry.migrated().await?;
        Ok(registry)
    }

    /// Sees to it, once, that the tables are there.
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

    /// Lets `role` read and write the tables and nothing else, for the programs that run every day.
    ///
    /// # Errors
    /// `Unavailable`: there is no such role, or this one may not grant.
    pub async fn grant(&self, role: &str) -> Result<(), Error> {
        no_nul("role", role)?;
        self.migrated().await?;
        let mut client = self.pools.get().await?;
        roles::grant(&mut client, role, Purpose::Registry).await
    }

    /// Whether the server is reached through a pooler that gives each transaction another session, as its first connection showed.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn is_pooled(&self) -> Result<bool, Error> {
        self.migrated().await?;
        Ok(self.pools.is_pooled())
    }

    /// Makes the role that `url` names, with its password, or gives the one that is there this password; it may do what `purpose` needs, and nothing else.
    ///
    /// # Errors
    /// `Invalid`: the URL has no role or no password, or the role is this one. `Unavailable`: this one may make no roles.
    pub async fn make_role(&self, url: &str, purpose: Purpose) -> Result<(), Error> {
        let (role, password) = Address::parse(url)?.role()?;
        self.migrated().await?;
        let mut client = self.pools.get().await?;
        roles::make(&client, &role, &password).await?;
        roles::grant(&mut client, &role, purpose).await
    }

    /// Takes the time from `clock`, where it remembers which requests were answered; the machine's own without it.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Puts every Result that arrives from now on into the outbox as well, for [`RegistryStore::take_outbox`].
    #[must_use]
    pub fn with_outbox(mut self) -> Self {
        self.has_outbox = true;
        self
    }

    async fn session(&self) -> Result<Session<'_>, Error> {
        // No message is to blame for the tables: whoever brought one keeps it.
        self.migrated()
            .await
            .map_err(|error| error.with_kind(ErrorKind::Unavailable))?;
        Session::of(&self.pools).await
    }

    /// A session that sees one moment of the registry.
    async fn reading(&self) -> Result<Session<'_>, Error> {
        let session = self.session().await?;
        session.begin_reading().await?;
        Ok(session)
    }
}
