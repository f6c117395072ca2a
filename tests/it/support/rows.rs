//! All that a database holds, once nobody writes any more.

use std::collections::{BTreeMap, BTreeSet};
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

/// A connection past the store that reads all rows, time and again.
pub(crate) struct Reader {
    raw: Raw,
    lock: Option<String>,
    all: String,
}

impl Database {
    /// Connects past the store once whatever was writing has ended, by a commit or a
    /// rollback. Until the connection is closed nobody else writes.
    pub(crate) async fn settled(&self) -> Raw {
        let mut reader = self.reader().await;
        reader.settle().await;
        reader.raw
    }

    /// Returns all rows, once whatever was writing has ended.
    pub(crate) async fn rows(&self) -> Rows {
        let mut reader = self.reader().await;
        let rows = reader.rows().await;
        reader.raw.close().await;
        rows
    }

    /// Connects past the store to read all rows.
    pub(crate) async fn reader(&self) -> Reader {
        let mut raw = self.raw().await;
        let (tables, lock) = match self {
            Self::Sqlite(_) => {
                let patience = format!("PRAGMA busy_timeout = {}", PATIENCE.as_millis());
                raw.execute(&patience).await.unwrap();
                (raw.texts(SQLITE_TABLES).await, None)
            }
            Self::Postgres { .. } => {
                let tables = raw.texts(POSTGRES_TABLES).await;
                // All at once or none: who holds some and waits for others could
                // wait for somebody who waits for these.
                let named = tables.join(", ");
                let lock = format!("LOCK TABLE {named} IN EXCLUSIVE MODE NOWAIT");
                (tables, Some(lock))
            }
        };
        let mut each = Vec::new();
        for table in tables {
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
            each.push(format!("SELECT '{table} ' || {text} FROM {table} AS held"));
        }
        let all = each.join(" UNION ALL ");
        Reader { raw, lock, all }
    }
}

impl Reader {
    /// Begins, once whatever was writing has ended.
    async fn settle(&mut self) {
        let Some(lock) = &self.lock else {
            return self.raw.execute("BEGIN IMMEDIATE").await.unwrap();
        };
        let locking = async {
            loop {
                self.raw.execute("BEGIN").await.unwrap();
                if self.raw.execute(lock).await.is_ok() {
                    break;
                }
                self.raw.execute("ROLLBACK").await.unwrap();
            }
        };
        timeout(PATIENCE, locking).await.expect("writers to end");
    }

    /// Returns all rows, once whatever was writing has ended.
    pub(crate) async fn rows(&mut self) -> Rows {
        self.settle().await;
        let rows = self.raw.texts(&self.all).await;
        self.raw.execute("ROLLBACK").await.unwrap();
        Rows(rows.into_iter().collect())
    }
}

impl Rows {
    /// Returns the rows.
    pub(crate) fn texts(&self) -> &BTreeSet<String> {
        &self.0
    }

    /// Returns what has become of these rows: how many came to each table (`+table`)
    /// and went from it (`-table`). One that changed went and came.
    pub(crate) fn became(&self, after: &Self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        let gone = self.0.difference(&after.0).map(|row| ('-', row));
        let come = after.0.difference(&self.0).map(|row| ('+', row));
        for (sign, row) in gone.chain(come) {
            let (table, _) = row.split_once(' ').unwrap();
            *counts.entry(format!("{sign}{table}")).or_default() += 1;
        }
        counts
    }
}
