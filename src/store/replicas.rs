//! The processes that share this store, and which keys of fingerprints each holds.

use super::backend::{execute, fetch_all};
use super::row::time;
use super::{Error, Tx};
use crate::domain::fingerprint::KeyId;
use crate::domain::time::Timestamp;

const RECORD_REPLICA: &str = "
    INSERT INTO replicas (replica_id, keys, started_at, seen_at)
    VALUES ($1, $2, $3, $4)
    ON CONFLICT (replica_id) DO UPDATE
       SET keys = excluded.keys, seen_at = excluded.seen_at";

const LIST_REPLICAS_SEEN_SINCE: &str = "
    SELECT replica_id, keys, started_at, seen_at
      FROM replicas
     WHERE seen_at >= $1
     ORDER BY replica_id";

const DELETE_REPLICA: &str = "
    DELETE FROM replicas
     WHERE replica_id = $1";

const DELETE_REPLICAS_SEEN_BEFORE: &str = "
    DELETE FROM replicas
     WHERE seen_at < $1";

pub(super) const STATEMENTS: &[(&str, &str)] = &[
    ("record_replica", RECORD_REPLICA),
    ("list_replicas_seen_since", LIST_REPLICAS_SEEN_SINCE),
    ("delete_replica", DELETE_REPLICA),
    ("delete_replicas_seen_before", DELETE_REPLICAS_SEEN_BEFORE),
];

/// A process that uses the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    /// Drawn when it started.
    pub replica_id: String,
    /// The keys that it verifies with.
    pub keys: Vec<KeyId>,
    /// When it started, by its own clock.
    pub started_at: Timestamp,
    /// When it last said that it is there, by its own clock.
    pub seen_at: Timestamp,
}

#[derive(sqlx::FromRow)]
struct ReplicaRow {
    replica_id: String,
    keys: String,
    started_at: i64,
    seen_at: i64,
}

impl TryFrom<ReplicaRow> for Replica {
    type Error = Error;

    fn try_from(row: ReplicaRow) -> Result<Self, Error> {
        Ok(Self {
            keys: split(&row.keys),
            started_at: time("replicas", "started_at", row.started_at)?,
            seen_at: time("replicas", "seen_at", row.seen_at)?,
            replica_id: row.replica_id,
        })
    }
}

/// Joins keys by blanks; a key is named after a file, whose name may have some.
fn join(keys: &[KeyId]) -> String {
    let words: Vec<String> = keys
        .iter()
        .map(|key| key.0.replace('%', "%25").replace(' ', "%20"))
        .collect();
    words.join(" ")
}

fn split(text: &str) -> Vec<KeyId> {
    text.split(' ')
        .filter(|word| !word.is_empty())
        .map(|word| KeyId(word.replace("%20", " ").replace("%25", "%")))
        .collect()
}

impl Tx {
    /// Says that a replica is there and which keys it holds.
    pub async fn record_replica(&mut self, replica: &Replica) -> Result<(), Error> {
        execute!(
            self.inner,
            RECORD_REPLICA,
            replica.replica_id.as_str(),
            join(&replica.keys),
            replica.started_at.millis(),
            replica.seen_at.millis(),
        )?;
        Ok(())
    }

    /// Lists the replicas that have been there since.
    pub async fn list_replicas_seen_since(
        &mut self,
        since: Timestamp,
    ) -> Result<Vec<Replica>, Error> {
        let rows = fetch_all!(
            self.inner,
            ReplicaRow,
            LIST_REPLICAS_SEEN_SINCE,
            since.millis()
        )?;
        rows.into_iter().map(Replica::try_from).collect()
    }

    /// Deletes a replica that ends; false when there is none.
    pub async fn delete_replica(&mut self, replica_id: &str) -> Result<bool, Error> {
        Ok(execute!(self.inner, DELETE_REPLICA, replica_id)? == 1)
    }

    /// Deletes the replicas that have not been there since; returns how many.
    pub async fn delete_replicas_seen_before(&mut self, since: Timestamp) -> Result<u64, Error> {
        Ok(execute!(
            self.inner,
            DELETE_REPLICAS_SEEN_BEFORE,
            since.millis()
        )?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_back_whatever_their_files_are_called() {
        for names in [
            vec![],
            vec!["0001.cabf5820"],
            vec![
                "0001.cabf5820",
                "my key.1",
                "a\tb.1",
                "%20.2",
                "100%.3",
                "%2520 %.4",
            ],
        ] {
            let keys: Vec<_> = names.into_iter().map(|name| KeyId(name.into())).collect();
            assert_eq!(split(&join(&keys)), keys);
        }
    }
}
