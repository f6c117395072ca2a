//! What the store counts, and what it counts with.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Error;
use super::backend::{Db, Transaction};
use crate::tally::{Closed, Counter, Each, Times, closed};

closed! {
    /// What a transaction, or a statement by itself, is for.
    pub enum Access {
        /// To read.
        Read = "read",
        /// To write.
        Write = "write",
    }
}

closed! {
    /// How a statement, or the way to it, failed.
    pub enum Fault {
        /// A row that must be unique exists.
        Conflict = "conflict",
        /// The database can't be reached, is overloaded, or gave up waiting.
        Unavailable = "unavailable",
        /// The database refused a statement, or a row has not the expected form.
        Refused = "refused",
    }
}

impl Fault {
    fn of(error: &Error) -> Self {
        match error {
            Error::Conflict(_) => Self::Conflict,
            Error::Unavailable(_) | Error::Uncertain(_) => Self::Unavailable,
            Error::Corrupt { .. }
            | Error::Driver(_)
            | Error::Migrate(_)
            | Error::Held(_)
            | Error::Open(_) => Self::Refused,
        }
    }
}

/// All that the store counts.
#[derive(Debug, Default)]
pub struct Counters {
    /// How long it took until a transaction had begun, or a statement had a connection.
    pub waits: Each<Access, { Access::COUNT }, Times>,
    /// How long transactions lasted once they had begun.
    pub transactions: Each<Access, { Access::COUNT }, Times>,
    /// Waits for a connection, or for a writer's place, that were given up.
    pub timeouts: Counter,
    /// Failures.
    pub faults: Each<Fault, { Fault::COUNT }>,
    /// Audit events that were committed.
    pub audit_events: Counter,
}

impl Counters {
    /// Counts a failure, if it is one; returns the result as the store tells it.
    pub(super) fn told<T>(&self, result: Result<T, sqlx::Error>) -> Result<T, Error> {
        result.map_err(|error| {
            if matches!(error, sqlx::Error::PoolTimedOut) {
                self.timeouts.add(1);
            }
            let error = Error::from(error);
            self.faults.tick(Fault::of(&error));
            error
        })
    }
}

/// The connections of now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Connections {
    /// Those that nobody uses.
    pub idle: u64,
    /// Those that somebody uses.
    pub in_use: u64,
    /// How many there may be.
    pub most: u64,
    /// The writers' places that are taken.
    pub writers: u64,
    /// How many of these there are.
    pub writers_most: u64,
}

/// The database, or a transaction of it, with the counters beside it: what fails here
/// is counted.
#[derive(Debug)]
pub(super) struct Watched<T> {
    inner: T,
    pub(super) counters: Arc<Counters>,
    /// How long a statement may stay unanswered; none where there is no network between.
    pub(super) patience: Option<Duration>,
}

impl<T> Watched<T> {
    /// Sets the counters beside it, and how long a statement may stay unanswered.
    pub(super) fn new(inner: T, counters: &Arc<Counters>, patience: Option<Duration>) -> Self {
        Self {
            inner,
            counters: Arc::clone(counters),
            patience,
        }
    }
}

impl<T> Deref for Watched<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T> DerefMut for Watched<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}

impl Watched<Db> {
    /// Begins a transaction; it was asked for at this time.
    pub(super) async fn begin(
        &self,
        access: Access,
        asked_at: Instant,
    ) -> Result<(Watched<Transaction>, Lasting), Error> {
        let transaction = match access {
            Access::Read => self.inner.snapshot(self.patience).await,
            Access::Write => self.inner.begin(self.patience).await,
        };
        let transaction = self.counters.told(transaction)?;
        let began_at = Instant::now();
        self.counters.waits.observe(access, began_at - asked_at);
        let lasting = Lasting {
            counters: Arc::clone(&self.counters),
            access,
            began_at,
        };
        Ok((
            Watched::new(transaction, &self.counters, self.patience),
            lasting,
        ))
    }
}

impl Watched<Transaction> {
    /// Commits. On an error the outcome is unknown.
    pub(super) async fn commit(self) -> Result<(), Error> {
        self.counters.told(self.inner.commit(self.patience).await)
    }
}

/// How long a transaction lasts: counted when this is dropped.
#[derive(Debug)]
pub(super) struct Lasting {
    counters: Arc<Counters>,
    access: Access,
    began_at: Instant,
}

impl Drop for Lasting {
    fn drop(&mut self) {
        let lasted = self.began_at.elapsed();
        self.counters.transactions.observe(self.access, lasted);
    }
}
