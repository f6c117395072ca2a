//! This process among those that share the store: it says which keys it holds, and
//! all take for current the last key that each of them holds.
//!
//! The rows' times are each process's own, so clocks that differ by more than two
//! periods make a live one look dead. What then goes wrong costs a bcrypt a value, and
//! no token.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use super::keyring::Keyring;
use super::{Authority, Error};
use crate::coherence;
use crate::domain::base62;
use crate::domain::entropy::{self, OsEntropy};
use crate::domain::fingerprint::KeyId;
use crate::domain::time::Timestamp;
use crate::store::{self, Store};

/// A replica that was not seen for so many periods is dead.
const PERIODS: u32 = 3;
/// How long a dead one's row is kept, at least.
const KEPT: Duration = Duration::from_secs(60 * 60);

/// This process, as others see it.
#[derive(Debug)]
pub(super) struct Replica {
    id: String,
    started_at: Timestamp,
    /// How often the keyring is reloaded, by this process and by the others.
    period: Duration,
    /// Held through a reload, so that there is one at a time: whether keys are gone
    /// whose rows have not been counted yet.
    uncounted: Mutex<bool>,
}

impl Replica {
    /// Returns a new one. Its id is of the operating system whatever the world's
    /// chance is: two processes must not have one.
    pub(super) fn new(period: Duration, now: Timestamp) -> Result<Self, Error> {
        let drawn: [u8; 16] = entropy::bytes(&OsEntropy)?;
        Ok(Self {
            id: base62::encode(&drawn, 22),
            started_at: now,
            period,
            uncounted: Mutex::new(false),
        })
    }
}

/// Waits until a process that did not take its leave can't answer from memory any more,
/// should there be one. This process holds the store alone already.
pub(super) async fn outlast(store: &Store) -> Result<(), Error> {
    // Whenever it was seen last: clocks differ, and who takes its leave has no row.
    let ever = Timestamp::MAX.saturating_sub(Duration::MAX);
    let mut tx = store.snapshot().await?;
    let others = tx.list_replicas_seen_since(ever).await?;
    drop(tx);
    if !others.is_empty() {
        tracing::info!(
            seconds = coherence::LASTS.as_secs(),
            "another process did not take its leave: waiting until it answers from memory no more"
        );
        tokio::time::sleep(coherence::LASTS).await;
    }
    Ok(())
}

impl Authority {
    /// Reads the keyring's directory again. A new key verifies at once, and is current
    /// once every replica has said that it holds it. What can't be read leaves the
    /// ring as it is, and is an error.
    pub async fn reload_keyring(&self) -> Result<(), Error> {
        let mut uncounted = self.replica.uncounted.lock().await;
        let before = self.keyring.load_full();
        let reading = Arc::clone(&before);
        let read = tokio::task::spawn_blocking(move || reading.reread()).await;
        let (ring, unread) = match read.map_err(Error::internal)? {
            Ok(ring) => (Arc::new(ring), None),
            // The row is written all the same: others must not take this process for
            // dead, and make current what it can't verify with.
            Err(error) => {
                self.counters.keyring_failures.add(1);
                (Arc::clone(&before), Some(error))
            }
        };
        *uncounted |= before.ids().any(|key| ring.get(key).is_none());
        // Before anybody is told that its keys are held here.
        self.keyring.store(Arc::clone(&ring));
        self.agree(&ring).await?;
        if *uncounted {
            self.warn_of_missing_keys().await?;
            *uncounted = false;
        }
        match unread {
            None => Ok(()),
            Some(error) => Err(Error::Unavailable(Box::new(error))),
        }
    }

    /// Says which keys this process holds, and makes current the last one that all
    /// replicas hold. What they hold is read after the own row is committed: of two
    /// that do this at once, one at least sees the other.
    pub(super) async fn agree(&self, ring: &Keyring) -> Result<(), Error> {
        let now = self.clock.now();
        let Replica {
            id,
            started_at,
            period,
            ..
        } = &self.replica;
        let live = period.saturating_mul(PERIODS);
        let row = store::Replica {
            replica_id: id.clone(),
            keys: ring.ids().cloned().collect(),
            started_at: *started_at,
            seen_at: now,
        };
        let mut tx = self.store.begin().await?;
        tx.record_replica(&row).await?;
        let kept = now.saturating_sub(live.max(KEPT));
        tx.delete_replicas_seen_before(kept).await?;
        tx.close(&[], &[], now).await?;

        let replicas = if self.store.is_shared() {
            let mut tx = self.store.snapshot().await?;
            tx.list_replicas_seen_since(now.saturating_sub(live))
                .await?
        } else {
            // Others have ended, whether or not they had time to say so.
            Vec::new()
        };
        let is_held_by_all =
            |key: &KeyId| replicas.iter().all(|replica| replica.keys.contains(key));
        self.keyring.store(Arc::new(ring.agreed(is_held_by_all)));
        Ok(())
    }

    /// Takes this process off the list, so that nobody waits for it.
    pub(super) async fn leave(&self) -> Result<(), Error> {
        let mut tx = self.store.begin().await?;
        tx.delete_replica(&self.replica.id).await?;
        tx.close(&[], &[], self.clock.now()).await?;
        Ok(())
    }

    /// Says how many values can be verified by bcrypt alone, because the ring lacks
    /// their fingerprints' keys.
    pub async fn warn_of_missing_keys(&self) -> Result<(), Error> {
        let keys = self.store.snapshot().await?.list_fingerprint_keys().await?;
        let ring = self.keyring.load();
        for (key, rows) in keys {
            if ring.get(&key).is_none() {
                tracing::warn!(
                    key = key.0,
                    rows,
                    "the keyring lacks a key: these values are verified by bcrypt"
                );
            }
        }
        Ok(())
    }
}
