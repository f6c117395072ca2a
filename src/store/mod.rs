//! The only place that names a database. One SQL text serves both; what differs
//! is in `backend`. Knows no use case and no gRPC.

mod backend;
mod changes;
mod error;
mod introspection;
mod memberships;
mod page;
mod row;
mod scopes;
mod tenants;
mod token_row;
mod tokens;
mod users;

pub use backend::{Location, PoolSettings, SecretUrl, migrations};
pub use changes::Epoch;
pub use error::Error;
pub use introspection::Found;
pub use page::{Page, Position};
pub use scopes::StoredCatalog;
pub use tokens::{NewSecret, NewToken, TokenFilter};
pub use users::Listed;

use backend::{Db, Transaction};

/// Each statement, by name, for the test that prepares them on both databases.
#[doc(hidden)]
pub fn statements() -> Vec<(&'static str, &'static str)> {
    [
        changes::STATEMENTS,
        introspection::STATEMENTS,
        memberships::STATEMENTS,
        scopes::STATEMENTS,
        tenants::STATEMENTS,
        tokens::STATEMENTS,
        users::STATEMENTS,
    ]
    .concat()
}

/// The database.
#[derive(Debug)]
pub struct Store {
    db: Db,
}

/// A transaction that has begun. What was written is nowhere until
/// [`Tx::close`]; a drop undoes it.
#[derive(Debug)]
pub struct Tx {
    inner: Transaction,
}

impl Store {
    /// Opens the database and applies its migrations.
    pub async fn open(location: &Location, settings: PoolSettings) -> Result<Self, Error> {
        Ok(Self {
            db: Db::open(location, settings).await?,
        })
    }

    /// Begins a transaction that writes.
    pub async fn begin(&self) -> Result<Tx, Error> {
        Ok(Tx {
            inner: self.db.begin().await?,
        })
    }

    /// Begins a transaction that reads, all in one snapshot.
    pub async fn snapshot(&self) -> Result<Tx, Error> {
        Ok(Tx {
            inner: self.db.snapshot().await?,
        })
    }

    /// Returns the database's name, for people.
    pub fn backend(&self) -> &'static str {
        match self.db {
            Db::Sqlite { .. } => "SQLite",
            Db::Postgres(_) => "PostgreSQL",
        }
    }

    /// Closes all connections, once their work is done.
    pub async fn close(&self) {
        self.db.close().await;
    }
}
