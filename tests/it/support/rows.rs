//! All that a database holds, once nobody writes any more.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::timeout;

use super::{Database, Raw};

/// How long a test waits for those who write.
const PATIENCE: Duration = Duration::from_secs(60);

/// Each table.
const SQLITE_TABLES: &str = "
    SELECT name FROM pragma_table_list
     WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite%'
       AND name <> '_sqlx_migrations'
     ORDER BY name";
const POSTGRES_TABLES: &str = "
    SELECT CAST(table_name AS TEXT) FROM information_schema.tables
     WHERE table_schema = 'public' AND table_type = 'BASE TABLE'
       AND table_name <> '_sqlx_migrations'
     ORDER BY 1";

/// What processes note for themselves, whatever is called.
const VOLATILE: [&str; 3] = ["jobs", "replicas", "token_uses"];

/// All rows of all tables but the volatile ones, as texts that begin with the
/// table's name.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Rows(BTreeSet<String>);

impl Database {
    /// Connects past the store once whatever was writing has ended, by a commit or a
    /// rollback. Until the connection is closed nobody else writes.
    pub(crate) async fn settled(&self) -> Raw {
        let mut raw = self.raw().await;
        match self {
            Self::Sqlite(_) => {
                let patience = format!("PRAGMA busy_timeout = {}", PATIENCE.as_millis());
                raw.execute(&patience).await.unwrap();
                raw.execute("BEGIN IMMEDIATE").await.unwrap();
            }
            Self::Postgres { .. } => {
                let tables = raw.texts(POSTGRES_TABLES).await.join(", ");
                // All at once or none: who holds some and waits for others could
                // wait for somebody who waits for these.
                let lock = format!("LOCK TABLE {tables} IN EXCLUSIVE MODE NOWAIT");
                let locking = async {
                    loop {
                        raw.execute("BEGIN").await.unwrap();
                        if raw.execute(&lock).await.is_ok() {
                            break;
                        }
                        raw.execute("ROLLBACK").await.unwrap();
                    }
                };
                timeout(PATIENCE, locking).await.expect("writers to end");
            }
        }
        raw
    }

    /// Returns all rows, once whatever was writing has ended.
    pub(crate) async fn rows(&self) -> Rows {
        let mut raw = self.settled().await;
        let tables = match self {
            Self::Sqlite(_) => SQLITE_TABLES,
            Self::Postgres { .. } => POSTGRES_TABLES,
        };
        let mut rows = BTreeSet::new();
        for table in raw.texts(tables).await {
            if VOLATILE.contains(&table.as_str()) {
                continue;
            }
            let text = match self {
                Self::Sqlite(_) => {
                    let columns = format!(
                        "SELECT 'quote(\"' || name || '\")' FROM pragma_table_info('{table}')"
                    );
                    raw.texts(&columns).await.join(" || ',' || ")
                }
                Self::Postgres { .. } => String::from("CAST(held AS TEXT)"),
            };
            let all = format!("SELECT '{table} ' || {text} FROM {table} AS held");
            rows.extend(raw.texts(&all).await);
        }
        raw.close().await;
        Rows(rows)
    }
}
