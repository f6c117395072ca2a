//! Connections that are kept at hand. The driver's pool asks each connection whether it
//! lives, before it is lent and after: three trips to the server around a statement that
//! takes one. Here one that has just answered is lent again as it is. The pool has the rest:
//! it opens them, and takes back, tests and closes those of which it is not known how their
//! last use ended.

use std::fmt;
use std::io;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::error::DatabaseError;
use sqlx::pool::PoolConnection;
use sqlx::{Connection as _, Database, PgConnection, Pool, Postgres, Sqlite, SqliteConnection};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::backend::{RETURN_TIMEOUT, answered};

/// For how long a connection over a network, that has answered, is taken to live.
const FRESH: Duration = Duration::from_secs(1);
/// For how long a connection is used, or left unused, before the pool has it back: that
/// closes those that are old, and those that nobody needs.
const KEPT: Duration = Duration::from_secs(600);

/// A pool's connections.
pub(super) struct Kept<D: Database> {
    pool: Pool<D>,
    /// Those that nobody uses; the last one that was used comes last.
    idle: Mutex<Vec<Idle<D>>>,
    /// As many as the pool may have connections. Who has one finds a connection idle, or the
    /// pool not at its limit: nobody waits there for one that lies here.
    places: Arc<Semaphore>,
}

/// A connection that nobody uses.
struct Idle<D: Database> {
    connection: PoolConnection<D>,
    /// Since when the pool does not have it.
    taken_at: Instant,
    /// When it last answered.
    answered_at: Instant,
}

/// A connection that somebody uses. Dropped, it goes back to the pool, which finds out what
/// became of it.
pub(super) struct Lent<D: Database> {
    connection: PoolConnection<D>,
    taken_at: Instant,
    /// Whether it has answered since it was asked for.
    tested: bool,
    kept: Arc<Kept<D>>,
    // Last: who waits for it must find the connection where it belongs.
    _place: OwnedSemaphorePermit,
}

/// A transaction that has begun on a connection that somebody uses. Dropped, it is rolled
/// back.
pub(super) struct Begun<D: Speaks> {
    /// None once it is over.
    lent: Option<Lent<D>>,
    /// Whether the database said that it has begun.
    is_sure: bool,
}

/// A database that takes statements without parameters.
pub(super) trait Speaks: Database {
    /// Runs one.
    fn run(
        connection: &mut Self::Connection,
        statement: &'static str,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;
}

impl Speaks for Sqlite {
    async fn run(
        connection: &mut SqliteConnection,
        statement: &'static str,
    ) -> Result<(), sqlx::Error> {
        sqlx::raw_sql(statement).execute(connection).await.map(drop)
    }
}

impl Speaks for Postgres {
    async fn run(
        connection: &mut PgConnection,
        statement: &'static str,
    ) -> Result<(), sqlx::Error> {
        sqlx::raw_sql(statement).execute(connection).await.map(drop)
    }
}

/// Returns whether an error says no more than that the connection is gone: what was asked
/// over it may be asked over another. One that was waited for to no end is another matter.
pub(super) fn is_gone(error: &sqlx::Error) -> bool {
    if let sqlx::Error::Io(error) = error {
        return error.kind() != io::ErrorKind::TimedOut;
    }
    // The server ends, or was told to end the session.
    let code = error.as_database_error().and_then(DatabaseError::code);
    code.is_some_and(|code| matches!(code.as_ref(), "57P01" | "57P02" | "57P03"))
}

impl<D: Database> Idle<D> {
    fn is_fresh(&self) -> bool {
        self.answered_at.elapsed() <= FRESH
    }
}

impl<D: Database> Kept<D> {
    /// Keeps the connections of a pool.
    pub(super) fn new(pool: Pool<D>) -> Arc<Self> {
        let most = usize::try_from(pool.options().get_max_connections()).unwrap_or(1);
        Arc::new(Self {
            pool,
            idle: Mutex::default(),
            places: Arc::new(Semaphore::new(most)),
        })
    }

    /// Returns the pool.
    pub(super) fn pool(&self) -> &Pool<D> {
        &self.pool
    }

    /// Returns how many connections lie here, which the pool takes to be in use.
    pub(super) fn count_idle(&self) -> usize {
        self.idle().len()
    }

    /// Lends a connection; in the second try one that has just been tested.
    pub(super) async fn lend(self: &Arc<Self>, again: bool) -> Result<Lent<D>, sqlx::Error> {
        if !again && let Some(lent) = self.lend_at_once() {
            return Ok(lent);
        }
        let patience = self.pool.options().get_acquire_timeout();
        // Boxed: it would make every statement's future as large as it is.
        timeout(patience, Box::pin(self.lend_at_last(again)))
            .await
            .unwrap_or(Err(sqlx::Error::PoolTimedOut))
    }

    /// Lends the connection that was used last, if nobody has to wait for it nor test it.
    fn lend_at_once(self: &Arc<Self>) -> Option<Lent<D>> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let idle = self.idle().pop_if(|idle| idle.is_fresh())?;
        Some(self.lent(idle, false, place))
    }

    fn lent(self: &Arc<Self>, idle: Idle<D>, tested: bool, place: OwnedSemaphorePermit) -> Lent<D> {
        Lent {
            connection: idle.connection,
            taken_at: idle.taken_at,
            tested,
            kept: Arc::clone(self),
            _place: place,
        }
    }

    async fn lend_at_last(self: &Arc<Self>, again: bool) -> Result<Lent<D>, sqlx::Error> {
        let place = Arc::clone(&self.places).acquire_owned().await;
        let place = place.map_err(|_| sqlx::Error::PoolClosed)?;
        loop {
            let idle = self.idle().pop();
            let Some(mut idle) = idle else {
                return Ok(Lent {
                    connection: self.pool.acquire().await?,
                    taken_at: Instant::now(),
                    tested: true,
                    kept: Arc::clone(self),
                    _place: place,
                });
            };
            let tested = again || !idle.is_fresh();
            if tested {
                let answer = answered(Some(RETURN_TIMEOUT), idle.connection.ping());
                if answer.await.is_err() {
                    // The pool closes it.
                    continue;
                }
            }
            return Ok(self.lent(idle, tested, place));
        }
    }

    fn keep(&self, connection: PoolConnection<D>, taken_at: Instant) {
        let now = Instant::now();
        let idle = Idle {
            connection,
            taken_at,
            answered_at: now,
        };
        let is_over = |since: Instant| now.saturating_duration_since(since) > KEPT;
        let mut given_back = Vec::new();
        {
            let mut kept = self.idle();
            if kept.first().is_some_and(|idle| is_over(idle.answered_at)) {
                given_back.push(kept.remove(0));
            }
            // After a close nobody would look for it here.
            if self.pool.is_closed() || is_over(taken_at) {
                given_back.push(idle);
            } else {
                kept.push(idle);
            }
        }
    }

    /// Closes all connections, once their work is done.
    pub(super) async fn close(&self) {
        self.places.close();
        let closed = self.pool.close();
        let idle = std::mem::take(&mut *self.idle());
        drop(idle);
        closed.await;
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Idle<D>>> {
        // Nothing here panics halfway.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<D: Database> Drop for Kept<D> {
    /// The pool would take them back in a task, and there may be no runtime any more.
    fn drop(&mut self) {
        for idle in self.idle().drain(..) {
            drop(idle.connection.leak());
        }
    }
}

impl<D: Database> fmt::Debug for Kept<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept")
            .field("pool", &self.pool)
            .finish_non_exhaustive()
    }
}

impl<D: Database> Lent<D> {
    /// Returns whether it may have gone since it last answered, without anybody's fault.
    pub(super) fn is_untested(&self) -> bool {
        !self.tested
    }

    /// Gives back a connection that has answered to all that it was asked.
    pub(super) fn give_back(self) {
        let Self {
            connection,
            taken_at,
            kept,
            _place: place,
            ..
        } = self;
        kept.keep(connection, taken_at);
        drop(place);
    }
}

impl<D: Database> Deref for Lent<D> {
    type Target = D::Connection;

    fn deref(&self) -> &D::Connection {
        &self.connection
    }
}

impl<D: Database> DerefMut for Lent<D> {
    fn deref_mut(&mut self) -> &mut D::Connection {
        &mut self.connection
    }
}

impl<D: Database> fmt::Debug for Lent<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lent").finish_non_exhaustive()
    }
}

impl<D: Speaks> Begun<D> {
    /// Begins a transaction with this statement, as soon as there is a connection for it.
    pub(super) async fn begin(
        kept: &Arc<Kept<D>>,
        statement: &'static str,
    ) -> Result<Self, sqlx::Error> {
        let mut again = false;
        loop {
            let lent = kept.lend(again).await?;
            let untested = lent.is_untested();
            let mut begun = Self {
                lent: Some(lent),
                is_sure: false,
            };
            match D::run(begun.connection()?, statement).await {
                Ok(()) => {
                    begun.is_sure = true;
                    return Ok(begun);
                }
                Err(error) => {
                    // There is nothing to roll back.
                    drop(begun.lent.take());
                    if !(untested && is_gone(&error)) {
                        return Err(error);
                    }
                    again = true;
                }
            }
        }
    }

    /// Returns the connection, as long as the transaction is not over.
    pub(super) fn connection(&mut self) -> Result<&mut D::Connection, sqlx::Error> {
        let lent = self.lent.as_deref_mut();
        lent.ok_or(sqlx::Error::PoolClosed)
    }

    /// Commits. On an error the outcome is unknown.
    pub(super) async fn commit(mut self) -> Result<(), sqlx::Error> {
        D::run(self.connection()?, "COMMIT").await?;
        if let Some(lent) = self.lent.take() {
            lent.give_back();
        }
        Ok(())
    }
}

impl<D: Speaks> Drop for Begun<D> {
    fn drop(&mut self) {
        let Some(mut lent) = self.lent.take() else {
            return;
        };
        if !self.is_sure {
            // Whether a transaction begins on it yet, nobody would know.
            lent.connection.close_on_drop();
            return;
        }
        // What was not answered yet is waited for first; where that lasts, the pool sees to
        // the connection.
        let rolled_back = async move {
            let rollback = D::run(&mut lent, "ROLLBACK");
            if answered(Some(RETURN_TIMEOUT), rollback).await.is_ok() {
                lent.give_back();
            } else {
                lent.connection.close_on_drop();
            }
        };
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(rolled_back);
        }
    }
}

impl<D: Speaks> fmt::Debug for Begun<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Begun").finish_non_exhaustive()
    }
}
