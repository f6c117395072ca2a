//! A fresh, migrated database for each test, of either kind.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::OnceLock;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, Row as _, SqlSafeStr as _,
};
use tempfile::TempDir;
use token_authority::config::Config;
use token_authority::store::{Location, PoolSettings, SecretUrl, Store, migrations};

/// Which database a test runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backend {
    Sqlite,
    Postgres,
}

/// A database of a test's own, gone when this is dropped.
#[derive(Debug)]
pub(crate) enum Database {
    Sqlite(TempDir),
    Postgres { name: String },
}

/// A connection past the store.
#[derive(Debug)]
pub(crate) enum Raw {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

/// Evaluates `$body` with `$conn` bound to either connection.
macro_rules! on_raw {
    ($raw:expr, |$conn:ident| $body:expr) => {
        match $raw {
            Raw::Sqlite($conn) => $body,
            Raw::Postgres($conn) => $body,
        }
    };
}

impl Database {
    /// Makes one.
    pub(crate) async fn new(backend: Backend) -> Self {
        match backend {
            Backend::Sqlite => {
                let database = Self::Sqlite(tempfile::tempdir().unwrap());
                database.open(1).await.close().await;
                database
            }
            Backend::Postgres => {
                let template = template();
                let name = format!("it_{:016x}", RandomState::new().build_hasher().finish());
                let mut admin = admin().await;
                run(
                    &mut admin,
                    format!("CREATE DATABASE {name} TEMPLATE {template}"),
                )
                .await;
                admin.close().await.unwrap();
                Self::Postgres { name }
            }
        }
    }

    /// Returns where it is.
    pub(crate) fn location(&self) -> Location {
        match self {
            Self::Sqlite(_) => Location::Sqlite(self.path()),
            Self::Postgres { name } => location(name),
        }
    }

    /// Has a server use it.
    pub(crate) fn configure(&self, config: &mut Config) {
        match self {
            Self::Sqlite(directory) => config.database.directory = directory.path().to_owned(),
            Self::Postgres { name } => config.database.url = Some(url(name).into()),
        }
    }

    /// Returns the socket of its server, if it has one.
    pub(crate) fn socket(&self) -> Option<PathBuf> {
        let Self::Postgres { name } = self else {
            return None;
        };
        let options = PgConnectOptions::from_str(&url(name)).unwrap();
        let socket = format!(".s.PGSQL.{}", options.get_port());
        Some(options.get_socket()?.join(socket))
    }

    fn path(&self) -> PathBuf {
        match self {
            Self::Sqlite(directory) => directory.path().join("authority.db"),
            Self::Postgres { .. } => panic!("a database on a server has no path"),
        }
    }

    /// Opens it with so many connections.
    pub(crate) async fn open(&self, connections: u32) -> Store {
        Store::open(&self.location(), settings(connections))
            .await
            .unwrap()
    }

    /// Connects past the store, with no patience for locks.
    pub(crate) async fn raw(&self) -> Raw {
        self.connect(Duration::ZERO).await
    }

    async fn connect(&self, patience: Duration) -> Raw {
        match self {
            Self::Sqlite(_) => {
                let options = SqliteConnectOptions::new()
                    .filename(self.path())
                    .busy_timeout(patience);
                Raw::Sqlite(options.connect().await.unwrap())
            }
            Self::Postgres { name } => Raw::Postgres(connect(name).await),
        }
    }

    /// Runs statements past the store, which may be writing just then.
    pub(crate) async fn execute(&self, sql: &str) {
        let mut raw = self.connect(Duration::from_secs(30)).await;
        raw.execute(sql).await.unwrap();
        raw.close().await;
    }

    /// Ends the session that holds it for one process alone, and waits for its end.
    pub(crate) async fn end_holder(&self) {
        let sql = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
                    WHERE datname = current_database()
                      AND application_name = 'token-authority alone'";
        self.execute(sql).await;
    }

    /// Returns the first column, a text, of each row.
    pub(crate) async fn texts(&self, sql: &str) -> Vec<String> {
        let mut raw = self.raw().await;
        let texts = raw.texts(sql).await;
        raw.close().await;
        texts
    }
}

/// Patient, because tests share two cores.
fn settings(connections: u32) -> PoolSettings {
    PoolSettings {
        connections,
        acquire_timeout: Duration::from_secs(60),
        ..PoolSettings::default()
    }
}

impl Raw {
    /// Runs statements.
    pub(crate) async fn execute(&mut self, sql: &str) -> Result<(), sqlx::Error> {
        let sql = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        on_raw!(self, |conn| sql.execute(conn).await.map(drop))
    }

    /// Returns the first column, a text, of each row.
    pub(crate) async fn texts(&mut self, sql: &str) -> Vec<String> {
        let sql = AssertSqlSafe(sql.to_owned());
        on_raw!(self, |conn| sqlx::query_scalar(sql).fetch_all(conn).await).unwrap()
    }

    /// Returns how a statement would be run where the tables are large.
    pub(crate) async fn plan(&mut self, sql: &str) -> Vec<String> {
        match self {
            Self::Sqlite(conn) => {
                let sql = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
                let rows = sqlx::query(sql).fetch_all(conn).await.unwrap();
                rows.iter().map(|row| row.get("detail")).collect()
            }
            Self::Postgres(_) => {
                self.execute("SET enable_seqscan = off").await.unwrap();
                self.texts(&format!("EXPLAIN {sql}")).await
            }
        }
    }

    /// Prepares a statement and no more.
    pub(crate) async fn prepare(&mut self, sql: &'static str) -> Result<(), sqlx::Error> {
        let sql = sql.into_sql_str();
        on_raw!(self, |conn| conn.prepare(sql).await.map(drop))
    }

    /// Disconnects.
    pub(crate) async fn close(self) {
        on_raw!(self, |conn| conn.close().await).unwrap();
    }
}

impl Database {
    /// Drops it under whoever uses it.
    pub(crate) async fn drop_now(&self) {
        if let Self::Postgres { name } = self {
            let mut admin = admin().await;
            run(&mut admin, drop_database(name)).await;
            admin.close().await.unwrap();
        }
    }
}

impl Database {
    /// Cuts a server's database off from whoever uses it.
    pub(crate) async fn shut(&self) {
        let Self::Postgres { name } = self else {
            panic!("a file can't be shut");
        };
        let mut admin = admin().await;
        let end = format!(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '{name}'"
        );
        run(
            &mut admin,
            format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false"),
        )
        .await;
        run(&mut admin, end).await;
        admin.close().await.unwrap();
    }

    /// Undoes [`Database::shut`].
    pub(crate) async fn reopen(&self) {
        let Self::Postgres { name } = self else {
            panic!("a file can't be shut");
        };
        let mut admin = admin().await;
        run(
            &mut admin,
            format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true"),
        )
        .await;
        admin.close().await.unwrap();
    }

    /// Returns all that it holds: each file's bytes, or a dump.
    pub(crate) fn dump(&self) -> Vec<u8> {
        match self {
            Self::Sqlite(directory) => {
                let mut bytes = Vec::new();
                for entry in std::fs::read_dir(directory.path()).unwrap() {
                    bytes.extend(std::fs::read(entry.unwrap().path()).unwrap());
                }
                bytes
            }
            Self::Postgres { name } => {
                let dump = std::process::Command::new(pg_dump())
                    .args(["--inserts", "--dbname", &url(name)])
                    .output()
                    .unwrap();
                assert!(dump.status.success(), "{dump:?}");
                dump.stdout
            }
        }
    }
}

impl Drop for Database {
    /// A server may outlive the tests. What a killed run leaves goes with the
    /// server that `make test` starts.
    fn drop(&mut self) {
        if let Self::Postgres { name } = self {
            let sql = drop_database(name);
            apart(|| async {
                let mut admin = admin().await;
                run(&mut admin, sql).await;
            });
        }
    }
}

fn drop_database(name: &str) -> String {
    format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")
}

/// Runs a future on a thread and a runtime of its own: a test's runtime can't wait
/// in a `drop`, and none may poll another's connections.
fn apart<T, F>(work: impl FnOnce() -> F + Send + 'static) -> T
where
    T: Send + 'static,
    F: Future<Output = T>,
{
    let run = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(work())
    };
    match std::thread::spawn(run).join() {
        Ok(value) => value,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// Returns the name of the migrated database that others are copied from, made once
/// for each set of migrations.
fn template() -> &'static str {
    static TEMPLATE: OnceLock<String> = OnceLock::new();
    TEMPLATE.get_or_init(|| apart(make_template))
}

async fn make_template() -> String {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for migration in migrations()[1].iter() {
        for byte in migration.checksum.iter() {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    let name = format!("template_{hash:016x}");
    let mut admin = admin().await;
    // Other processes may be at it, too: a test runner may start one for each test.
    run(
        &mut admin,
        "SELECT pg_advisory_lock(7404711632201)".to_owned(),
    )
    .await;
    // The mark is set last: what lacks it is a killed run's half.
    let finished: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = $1 AND datistemplate)",
    )
    .bind(&name)
    .fetch_one(&mut admin)
    .await
    .unwrap();
    if !finished {
        run(&mut admin, format!("DROP DATABASE IF EXISTS {name}")).await;
        run(&mut admin, format!("CREATE DATABASE {name}")).await;
        let store = Store::open(&location(&name), settings(2)).await.unwrap();
        store.close().await;
        run(
            &mut admin,
            format!("ALTER DATABASE {name} IS_TEMPLATE true"),
        )
        .await;
    }
    admin.close().await.unwrap();
    name
}

#[expect(
    clippy::disallowed_methods,
    reason = "scripts/with-postgres.sh passes the server through the environment"
)]
fn server() -> String {
    std::env::var("TEST_POSTGRES_URL").unwrap_or_else(|_| {
        panic!(
            "TEST_POSTGRES_URL is not set: run `make test`, or for some tests \
             `scripts/with-postgres.sh cargo test NAME`, which start a PostgreSQL and set it"
        )
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "scripts/with-postgres.sh passes the programs through the environment"
)]
fn pg_dump() -> PathBuf {
    let programs = std::env::var("TEST_POSTGRES_BINDIR").unwrap_or_else(|_| {
        panic!("TEST_POSTGRES_BINDIR is not set: run `make test` or scripts/with-postgres.sh")
    });
    PathBuf::from(programs).join("pg_dump")
}

/// Returns where a database of the server is.
fn location(name: &str) -> Location {
    Location::Postgres(SecretUrl::new(url(name)))
}

/// The server's URL names a database, too; the parameter takes precedence.
fn url(name: &str) -> String {
    let server = server();
    let separator = if server.contains('?') { '&' } else { '?' };
    format!("{server}{separator}dbname={name}")
}

async fn admin() -> PgConnection {
    let options = PgConnectOptions::from_str(&server()).unwrap();
    options.connect().await.unwrap()
}

async fn connect(name: &str) -> PgConnection {
    let options = PgConnectOptions::from_str(&url(name)).unwrap();
    options.connect().await.unwrap()
}

async fn run(connection: &mut PgConnection, sql: String) {
    connection.execute(AssertSqlSafe(sql)).await.unwrap();
}
