//! Everything in which the two databases differ: connecting, beginning, locking.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, Postgres, Sqlite};
use tokio::time::timeout;
use tracing::Instrument as _;

use super::kept::{Begun, Kept};
use super::migrations::{POSTGRES_MIGRATIONS, SQLITE_MIGRATIONS, migrate};
use super::{Connections, Error, span};

/// How long a database may take to answer at the start.
const ANSWER: Duration = Duration::from_secs(30);
/// After how much of that it is said that it is waited for.
const SOON: Duration = Duration::from_secs(2);

/// Which database, and how to reach it.
#[derive(Clone, Debug)]
pub enum Location {
    /// A file that one process owns.
    Sqlite(PathBuf),
    /// A server: a `postgres://` URL, which may hold a password.
    Postgres(SecretUrl),
}

/// A URL that may hold a password. Cannot be printed.
#[derive(Clone)]
pub struct SecretUrl(String);

impl SecretUrl {
    /// Takes a URL.
    pub fn new(url: String) -> Self {
        Self(url)
    }
}

impl std::fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretUrl(redacted)")
    }
}

/// How to use the database.
#[derive(Clone, Copy, Debug)]
pub struct PoolSettings {
    /// Connections to `PostgreSQL`, or readers of `SQLite`.
    pub connections: u32,
    /// How long a call waits for one.
    pub acquire_timeout: Duration,
    /// How long a server may leave a statement unanswered before it is held to be away:
    /// above the limits that it keeps itself.
    pub answer_timeout: Duration,
}

impl Default for PoolSettings {
    fn default() -> Self {
        Self {
            connections: 8,
            acquire_timeout: Duration::from_secs(5),
            answer_timeout: STATEMENT_TIMEOUT + Duration::from_secs(5),
        }
    }
}

/// How long the server lets a statement take.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a connection that is given back may take to answer. One that does not is
/// closed: the driver would wait for ever, and its place among the connections with it.
pub(super) const RETURN_TIMEOUT: Duration = Duration::from_secs(2);

/// The connections.
#[derive(Debug)]
pub(super) enum Db {
    /// One writer, several readers, and the lock that keeps other processes out.
    Sqlite {
        write: Arc<Kept<Sqlite>>,
        read: Arc<Kept<Sqlite>>,
        lock: File,
    },
    /// Any number of either.
    Postgres(Arc<Kept<Postgres>>),
}

/// A transaction. Dropped without a commit, it is rolled back.
#[derive(Debug)]
pub(super) enum Transaction {
    Sqlite(Begun<Sqlite>),
    Postgres(Begun<Postgres>),
}

/// Evaluates `$body` with `$conn` bound to whichever connection `$tx` holds. The
/// body is compiled once per backend, so that every bind and decode is checked
/// against both drivers' native types.
macro_rules! on_backend {
    ($tx:expr, |$conn:ident| $body:expr) => {
        match &mut *$tx {
            $crate::store::backend::Transaction::Sqlite(tx) => match tx.connection() {
                Ok($conn) => $body,
                Err(error) => Err(error),
            },
            $crate::store::backend::Transaction::Postgres(tx) => match tx.connection() {
                Ok($conn) => $body,
                Err(error) => Err(error),
            },
        }
    };
}

/// Binds and fetches one row, on whichever pool serves reads.
macro_rules! fetch_one {
    ($($statement:tt)*) => { $crate::store::backend::fetch_by!(fetch_one, $($statement)*) };
}

/// Binds and fetches all rows, on whichever pool serves reads.
macro_rules! fetch_rows {
    ($($statement:tt)*) => { $crate::store::backend::fetch_by!(fetch_all, $($statement)*) };
}

/// Binds and fetches on whichever pool serves reads, by this method of a query.
macro_rules! fetch_by {
    ($fetch:ident, $db:expr, $row:ty, $sql:ident $(, $bind:expr)* $(,)?) => {{
        use tracing::Instrument as _;
        let asked_at = std::time::Instant::now();
        let span = $crate::store::span::of($db.system(), stringify!($sql));
        macro_rules! on {
            ($kept:expr) => {
                async {
                    let mut again = false;
                    loop {
                        let mut conn = $kept.lend(again).await?;
                        let access = $crate::store::counters::Access::Read;
                        $db.counters.waits.observe(access, asked_at.elapsed());
                        let fetched = sqlx::query_as::<_, $row>($sql) $(.bind($bind))* .$fetch(&mut *conn);
                        match $crate::store::backend::answered($db.patience, fetched).await {
                            Ok(fetched) => {
                                conn.give_back();
                                break Ok(fetched);
                            }
                            // It went while nobody used it, and a read may be asked again.
                            Err(error)
                                if conn.is_untested() && $crate::store::kept::is_gone(&error) =>
                            {
                                again = true;
                            }
                            Err(error) => break Err(error),
                        }
                    }
                }
                .instrument(span)
                .await
            };
        }
        let fetched = match &*$db {
            $crate::store::backend::Db::Sqlite { read, .. } => on!(read),
            $crate::store::backend::Db::Postgres(pool) => on!(pool),
        };
        $db.counters.told(fetched)
    }};
}

/// Binds and fetches at most one row, in a transaction.
macro_rules! fetch_optional {
    ($tx:expr, $row:ty, $sql:ident $(, $bind:expr)* $(,)?) => {{
        use tracing::Instrument as _;
        let patience = $tx.patience;
        let span = $crate::store::span::of($tx.system(), stringify!($sql));
        let fetched = $crate::store::backend::on_backend!($tx, |conn| {
            let fetched = sqlx::query_as::<_, $row>($sql) $(.bind($bind))* .fetch_optional(conn);
            $crate::store::backend::answered(patience, fetched.instrument(span)).await
        });
        $tx.counters.told(fetched)
    }};
}

/// Binds and fetches all rows, in a transaction.
macro_rules! fetch_all {
    ($tx:expr, $row:ty, $sql:ident $(, $bind:expr)* $(,)?) => {{
        use tracing::Instrument as _;
        let patience = $tx.patience;
        let span = $crate::store::span::of($tx.system(), stringify!($sql));
        let fetched = $crate::store::backend::on_backend!($tx, |conn| {
            let fetched = sqlx::query_as::<_, $row>($sql) $(.bind($bind))* .fetch_all(conn);
            $crate::store::backend::answered(patience, fetched.instrument(span)).await
        });
        $tx.counters.told(fetched)
    }};
}

/// Binds and executes, in a transaction; gives the number of rows.
macro_rules! execute {
    ($tx:expr, $sql:ident $(, $bind:expr)* $(,)?) => {{
        use tracing::Instrument as _;
        let patience = $tx.patience;
        let span = $crate::store::span::of($tx.system(), stringify!($sql));
        let done = $crate::store::backend::on_backend!($tx, |conn| {
            let done = sqlx::query($sql) $(.bind($bind))* .execute(conn);
            $crate::store::backend::answered(patience, done.instrument(span)).await
                .map(|done| done.rows_affected())
        });
        $tx.counters.told(done)
    }};
}

/// Waits for the answer to a statement as long as that, if there is a bound: a network that
/// drops what it is given tells nobody, and whoever waits holds a connection.
pub(super) async fn answered<T>(
    patience: Option<Duration>,
    statement: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    match patience {
        None => statement.await,
        Some(patience) => timeout(patience, statement)
            .await
            .unwrap_or_else(|_| Err(sqlx::Error::Io(io::ErrorKind::TimedOut.into()))),
    }
}

/// Returns how long a transaction may take to begin: it waits for a connection first.
fn begun_in(kept: &Kept<Postgres>, patience: Option<Duration>) -> Option<Duration> {
    patience.map(|patience| patience + kept.pool().options().get_acquire_timeout())
}

pub(super) use {execute, fetch_all, fetch_by, fetch_one, fetch_optional, fetch_rows, on_backend};

/// Waits for a connection, but not for ever: a server may take it and say nothing.
async fn patiently<T>(
    connecting: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, Error> {
    let mut connecting = pin!(connecting);
    if let Ok(connected) = timeout(SOON, &mut connecting).await {
        return Ok(connected?);
    }
    tracing::info!("waiting for the database");
    let Ok(connected) = timeout(ANSWER.saturating_sub(SOON), connecting).await else {
        return Err(Error::Open(format!(
            "the database did not answer in {} s",
            ANSWER.as_secs()
        )));
    };
    Ok(connected?)
}

impl Db {
    /// Opens the database and applies its migrations.
    pub(super) async fn open(location: &Location, settings: PoolSettings) -> Result<Self, Error> {
        match location {
            Location::Sqlite(path) => Self::open_sqlite(path, settings).await,
            Location::Postgres(url) => Self::open_postgres(url, settings).await,
        }
    }

    async fn open_sqlite(path: &Path, settings: PoolSettings) -> Result<Self, Error> {
        let lock = lock(path)?;
        restrict(path)?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // FULL: an acknowledged revocation survives a power cut.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            // A page of a list: the thread that reads does not wait for who takes the rows.
            .row_buffer_size(1024)
            .busy_timeout(Duration::from_secs(5));
        let write = SqlitePoolOptions::new()
            .max_connections(1)
            .acquire_timeout(settings.acquire_timeout)
            .connect_with(options.clone())
            .await?;
        migrate!(&write, SQLITE_MIGRATIONS)?;
        let read = SqlitePoolOptions::new()
            .max_connections(settings.connections.max(1))
            .acquire_timeout(settings.acquire_timeout)
            .connect_with(options.pragma("query_only", "ON"))
            .await?;
        Ok(Self::Sqlite {
            write: Kept::new(write),
            read: Kept::new(read),
            lock,
        })
    }

    async fn open_postgres(url: &SecretUrl, settings: PoolSettings) -> Result<Self, Error> {
        // The driver takes any scheme, and its message may repeat the URL, password and
        // all.
        let options = ["postgres://", "postgresql://"]
            .iter()
            .any(|scheme| url.0.starts_with(scheme))
            .then(|| PgConnectOptions::from_str(&url.0).ok())
            .flatten()
            .ok_or_else(|| {
                Error::Open(String::from(
                    "the database's URL is not of the form postgres://…",
                ))
            })?;
        let unlimited = options.application_name("token-authority");
        // A paused or cut-off writer must not hold the log's lock for ever. These are the
        // server's, of its own socket too; what bounds our side is `answered`.
        let statement_timeout = format!("{}s", STATEMENT_TIMEOUT.as_secs());
        let options = unlimited.clone().options([
            ("idle_in_transaction_session_timeout", "10s"),
            ("lock_timeout", "5s"),
            ("statement_timeout", statement_timeout.as_str()),
            ("tcp_user_timeout", "10s"),
            // Compiling a plan takes longer than any of these statements should.
            ("jit", "off"),
        ]);
        // Of its own, without those limits: waiting for another replica's migration
        // is no fault.
        let mut migrating = patiently(unlimited.connect()).await?;
        migrate!(&mut migrating, POSTGRES_MIGRATIONS)?;
        migrating.close().await?;
        let pool = PgPoolOptions::new()
            .max_connections(settings.connections.max(2))
            .acquire_timeout(settings.acquire_timeout)
            // The driver's own look at it comes after this, and waits without a bound.
            .after_release(|connection, _| {
                Box::pin(async {
                    answered(Some(RETURN_TIMEOUT), connection.ping()).await?;
                    Ok(true)
                })
            })
            .connect_with(options)
            .await?;
        Ok(Self::Postgres(Kept::new(pool)))
    }

    /// Returns the database's name, as spans have it.
    pub(super) fn system(&self) -> &'static str {
        match self {
            Self::Sqlite { .. } => span::SQLITE,
            Self::Postgres(..) => span::POSTGRES,
        }
    }

    /// Begins a transaction that writes. On `SQLite` it takes the write lock at
    /// once: a plain BEGIN takes it late, and can then fail with a BUSY that no
    /// timeout cures.
    pub(super) async fn begin(
        &self,
        patience: Option<Duration>,
    ) -> Result<Transaction, sqlx::Error> {
        Ok(match self {
            Self::Sqlite { write, .. } => {
                Transaction::Sqlite(Begun::begin(write, "BEGIN IMMEDIATE").await?)
            }
            Self::Postgres(kept) => {
                let begun = Begun::begin(kept, "BEGIN");
                Transaction::Postgres(answered(begun_in(kept, patience), begun).await?)
            }
        })
    }

    /// Begins a transaction that reads, all in one snapshot.
    pub(super) async fn snapshot(
        &self,
        patience: Option<Duration>,
    ) -> Result<Transaction, sqlx::Error> {
        Ok(match self {
            Self::Sqlite { read, .. } => Transaction::Sqlite(Begun::begin(read, "BEGIN").await?),
            Self::Postgres(kept) => {
                let begun = Begun::begin(kept, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
                Transaction::Postgres(answered(begun_in(kept, patience), begun).await?)
            }
        })
    }

    /// Adds to `numbers` how many connections are idle, are in use and may be.
    pub(super) fn count_connections(&self, numbers: &mut Connections) {
        fn add<D: sqlx::Database>(kept: &Kept<D>, numbers: &mut Connections) {
            let pool = kept.pool();
            let open = u64::from(pool.size());
            let idle = u64::try_from(pool.num_idle() + kept.count_idle());
            let idle = idle.unwrap_or(open).min(open);
            numbers.idle += idle;
            numbers.in_use += open - idle;
            numbers.most += u64::from(pool.options().get_max_connections());
        }
        match self {
            Self::Sqlite { write, read, .. } => {
                add(write, numbers);
                add(read, numbers);
            }
            Self::Postgres(kept) => add(kept, numbers),
        }
    }

    /// Closes all connections, once their work is done.
    pub(super) async fn close(&self) {
        match self {
            Self::Sqlite { write, read, lock } => {
                read.close().await;
                write.close().await;
                // Where it can't be unlocked now it is when the file is dropped.
                let _ = lock.unlock();
            }
            Self::Postgres(kept) => kept.close().await,
        }
    }
}

impl Transaction {
    /// Returns the database's name, as spans have it.
    pub(super) fn system(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => span::SQLITE,
            Self::Postgres(..) => span::POSTGRES,
        }
    }

    /// Commits. On an error the outcome is unknown.
    pub(super) async fn commit(self, patience: Option<Duration>) -> Result<(), sqlx::Error> {
        let span = span::of(self.system(), "COMMIT");
        match self {
            Self::Sqlite(tx) => tx.commit().instrument(span).await,
            Self::Postgres(tx) => answered(patience, tx.commit().instrument(span)).await,
        }
    }
}

/// Locks the file beside the database, so that one process owns it: answers from
/// memory would not see another's changes.
fn lock(path: &Path) -> Result<File, Error> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".lock");
    let beside = PathBuf::from(beside);
    let open = |what: &str, error: &std::io::Error| {
        Error::Open(format!("{what} {}: {error}", beside.display()))
    };
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&beside)
        .map_err(|error| open("can't open", &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::Open(format!(
            "another process has {} open. It is kept by one process at a time: ask that process \
             over gRPC (grpcurl, or a client), stop it first, or use PostgreSQL for several",
            path.display()
        ))),
        Err(TryLockError::Error(error)) => Err(open("can't lock", &error)),
    }
}

/// Keeps the database to its owner: it holds hashes. This comes before `SQLite`
/// opens the file, whose mode it gives to the log beside it.
#[cfg(unix)]
fn restrict(path: &Path) -> Result<(), Error> {
    use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path)
        .and_then(|file| file.set_permissions(std::fs::Permissions::from_mode(0o600)))
        .map_err(|error| Error::Open(format!("can't restrict {}: {error}", path.display())))
}

#[cfg(not(unix))]
fn restrict(_path: &Path) -> Result<(), Error> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::{Instant, sleep};

    #[tokio::test(start_paused = true)]
    async fn a_silent_database_is_not_waited_for_without_end() {
        let began = Instant::now();
        let error = patiently::<()>(std::future::pending()).await.unwrap_err();
        assert!(error.to_string().contains("30 s"), "{error}");
        assert_eq!(began.elapsed(), ANSWER);
        let late = async {
            sleep(SOON * 2).await;
            Ok(7)
        };
        assert_eq!(patiently(late).await.unwrap(), 7);
    }
}
