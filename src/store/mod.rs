//! The only place that names a database. One SQL text serves both; what differs
//! is in `backend`. Knows no use case and no gRPC.

mod alone;
mod audit;
mod backend;
mod bench;
mod census;
mod changes;
mod counters;
mod error;
mod fingerprints;
mod follow;
mod imports;
mod introspection;
mod invites;
mod kept;
mod known;
mod memberships;
mod migrations;
mod page;
mod replicas;
mod requests;
mod rotation;
mod row;
mod scopes;
mod secrets;
mod span;
mod sweeps;
mod tenants;
mod token_row;
mod tokens;
mod users;
mod uses;

pub use alone::Alone;
use alone::Lost;
pub use audit::EventFilter;
pub use backend::{Location, PoolSettings, SecretUrl};
pub use bench::TEN;
pub use census::Counted;
pub use changes::Epoch;
pub use counters::{Access, Connections, Counters, Fault};
pub use error::Error;
pub use follow::{Followed, Logged};
pub use imports::ImportedSecret;
pub use introspection::{Candidates, Found};
pub use known::{FoundMany, Known};
pub use migrations::migrations;
pub use page::{Page, Position};
pub use replicas::Replica;
pub use requests::{NewRequest, RequestKey, StoredRequest};
pub use scopes::StoredCatalog;
pub use secrets::NewSecret;
pub use sweeps::{Job, ToSweep};
pub use tokens::{NewToken, TokenFilter};
pub use users::Listed;

use std::sync::Arc;
use std::time::{Duration, Instant};

use backend::{Db, Transaction};
use counters::{Lasting, Watched};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tracing::Instrument as _;

/// Each statement, by name, for the test that prepares them on both databases.
#[doc(hidden)]
pub fn statements() -> Vec<(&'static str, &'static str)> {
    [
        audit::STATEMENTS,
        bench::STATEMENTS,
        census::STATEMENTS,
        changes::STATEMENTS,
        fingerprints::STATEMENTS,
        follow::STATEMENTS,
        imports::STATEMENTS,
        introspection::STATEMENTS,
        invites::STATEMENTS,
        known::STATEMENTS,
        memberships::STATEMENTS,
        migrations::STATEMENTS,
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
    db: Watched<Db>,
    /// The places of writers: fewer than there are connections, so that those who wait
    /// for each other's locks leave some to readers.
    writers: Arc<Semaphore>,
    /// How many these are.
    places: usize,
    /// How long a writer waits for a place.
    patience: Duration,
    /// What became of the session that held it alone.
    lost: Lost,
}

/// A transaction that has begun. What was written is nowhere until
/// [`Tx::close`]; a drop undoes it.
#[derive(Debug)]
pub struct Tx {
    inner: Watched<Transaction>,
    /// The audit events that were written in it.
    events: u64,
    _lasting: Lasting,
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
        let places = usize::try_from(writers).unwrap_or(1);
        let patience = match location {
            Location::Sqlite(_) => None,
            Location::Postgres(_) => Some(settings.answer_timeout),
        };
        let counters = Arc::default();
        Ok(Self {
            db: Watched::new(Db::open(location, settings).await?, &counters, patience),
            writers: Arc::new(Semaphore::new(places)),
            places,
            patience: settings.acquire_timeout,
            lost: Lost::default(),
        })
    }

    /// Begins a transaction that writes, once there is a place for it: first come,
    /// first served, within the time that a call waits for a connection.
    pub async fn begin(&self) -> Result<Tx, Error> {
        let span = span::of(self.db.system(), "BEGIN");
        let begin = async {
            let asked_at = Instant::now();
            let place = Arc::clone(&self.writers).acquire_owned();
            let place = timeout(self.patience, place).await;
            let place = place.map_err(|_| sqlx::Error::PoolTimedOut);
            let place = self.db.counters.told(place)?;
            let (inner, lasting) = self.db.begin(Access::Write, asked_at).await?;
            Ok(Tx {
                inner,
                events: 0,
                _lasting: lasting,
                // It fails for a closed semaphore alone, and this one is never closed.
                _place: place.ok(),
            })
        };
        begin.instrument(span).await
    }

    /// Begins a transaction that reads, all in one snapshot.
    pub async fn snapshot(&self) -> Result<Tx, Error> {
        let span = span::of(self.db.system(), "SNAPSHOT");
        let begun = self.db.begin(Access::Read, Instant::now());
        let (inner, lasting) = begun.instrument(span).await?;
        Ok(Tx {
            inner,
            events: 0,
            _lasting: lasting,
            _place: None,
        })
    }

    /// Returns the database's name, for people.
    pub fn backend(&self) -> &'static str {
        match *self.db {
            Db::Sqlite { .. } => "SQLite",
            Db::Postgres(..) => "PostgreSQL",
        }
    }

    /// Returns whether several processes may use the database at once.
    pub fn is_shared(&self) -> bool {
        match *self.db {
            Db::Sqlite { .. } => false,
            Db::Postgres(..) => true,
        }
    }

    /// Returns what has been counted since it was opened.
    pub fn counters(&self) -> &Counters {
        &self.db.counters
    }

    /// Returns how many connections there are now.
    pub fn connections(&self) -> Connections {
        let whole = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let free = self.writers.available_permits();
        let mut connections = Connections {
            writers: whole(self.places.saturating_sub(free)),
            writers_most: whole(self.places),
            ..Connections::default()
        };
        self.db.count_connections(&mut connections);
        connections
    }

    /// Closes all connections, once their work is done.
    pub async fn close(&self) {
        self.db.close().await;
    }
}
