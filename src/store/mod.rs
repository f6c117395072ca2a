//! The only place that names a database. One SQL text serves both; what differs
//! is in `backend`. Knows no use case and no gRPC.

mod audit;
mod backend;
mod census;
mod changes;
mod error;
mod fingerprints;
mod introspection;
mod invites;
mod memberships;
mod page;
mod replicas;
mod requests;
mod rotation;
mod row;
mod scopes;
mod secrets;
mod sweeps;
mod tenants;
mod token_row;
mod tokens;
mod users;
mod uses;

pub use audit::EventFilter;
pub use backend::{Location, PoolSettings, SecretUrl, migrations};
pub use census::Counted;
pub use changes::Epoch;
pub use error::Error;
pub use introspection::Found;
pub use page::{Page, Position};
pub use replicas::Replica;
pub use requests::{NewRequest, RequestKey, StoredRequest};
pub use scopes::StoredCatalog;
pub use secrets::NewSecret;
pub use sweeps::{Job, ToSweep};
pub use tokens::{NewToken, TokenFilter};
pub use users::Listed;

use std::sync::Arc;
use std::time::Duration;

use backend::{Db, Transaction};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Each statement, by name, for the test that prepares them on both databases.
#[doc(hidden)]
pub fn statements() -> Vec<(&'static str, &'static str)> {
    [
        audit::STATEMENTS,
        census::STATEMENTS,
        changes::STATEMENTS,
        fingerprints::STATEMENTS,
        introspection::STATEMENTS,
        invites::STATEMENTS,
        memberships::STATEMENTS,
        requests::STATEMENTS,
        replicas::STATEMENTS,
        rotation::STATEMENTS,
        scopes::STATEMENTS,
        secrets::STATEMENTS,
        sweeps::STATEMENTS,
        tenants::STATEMENTS,
        tokens::STATEMENTS,
        users::STATEMENTS,
        uses::STATEMENTS,
    ]
    .concat()
}

/// The database.
#[derive(Debug)]
pub struct Store {
    db: Db,
    /// The places of writers: fewer than there are connections, so that those who wait
    /// for each other's locks leave some to readers.
    writers: Arc<Semaphore>,
    /// How long a writer waits for a place.
    patience: Duration,
}

/// A transaction that has begun. What was written is nowhere until
/// [`Tx::close`]; a drop undoes it.
#[derive(Debug)]
pub struct Tx {
    inner: Transaction,
    /// A writer's place, until the transaction is over.
    _place: Option<OwnedSemaphorePermit>,
}

impl Store {
    /// Opens the database and applies its migrations.
    pub async fn open(location: &Location, settings: PoolSettings) -> Result<Self, Error> {
        let writers = match location {
            Location::Sqlite(_) => 1,
            Location::Postgres(_) => (settings.connections / 2).max(1),
        };
        Ok(Self {
            db: Db::open(location, settings).await?,
            writers: Arc::new(Semaphore::new(usize::try_from(writers).unwrap_or(1))),
            patience: settings.acquire_timeout,
        })
    }

    /// Begins a transaction that writes, once there is a place for it: first come,
    /// first served, within the time that a call waits for a connection.
    pub async fn begin(&self) -> Result<Tx, Error> {
        let place = Arc::clone(&self.writers).acquire_owned();
        let place = timeout(self.patience, place).await;
        let place = place.map_err(|_| Error::Unavailable(sqlx::Error::PoolTimedOut))?;
        Ok(Tx {
            inner: self.db.begin().await?,
            // It fails for a closed semaphore alone, and this one is never closed.
            _place: place.ok(),
        })
    }

    /// Begins a transaction that reads, all in one snapshot.
    pub async fn snapshot(&self) -> Result<Tx, Error> {
        Ok(Tx {
            inner: self.db.snapshot().await?,
            _place: None,
        })
    }

    /// Returns the database's name, for people.
    pub fn backend(&self) -> &'static str {
        match self.db {
            Db::Sqlite { .. } => "SQLite",
            Db::Postgres(_) => "PostgreSQL",
        }
    }

    /// Returns whether several processes may use the database at once.
    pub fn is_shared(&self) -> bool {
        match self.db {
            Db::Sqlite { .. } => false,
            Db::Postgres(_) => true,
        }
    }

    /// Closes all connections, once their work is done.
    pub async fn close(&self) {
        self.db.close().await;
    }
}
