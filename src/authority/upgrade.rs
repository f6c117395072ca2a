//! New fingerprints for rows that have none, or one under an older key: remembered
//! when a value is used, and written later, many at once.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Authority, Error};
use crate::domain::fingerprint::{Fingerprint, KeyId};
use crate::domain::ids::SecretId;

/// The fingerprints that are remembered, at most.
const MOST: usize = 65_536;
/// The rows of a transaction, at most.
const BATCH: usize = 200;

/// A fingerprint that a verified value has.
#[derive(Clone)]
pub(super) struct Upgrade {
    /// The key, and the fingerprint under it.
    pub fingerprint: (KeyId, Fingerprint),
    /// The key of the one that the row has.
    pub replaced: Option<KeyId>,
    /// What is to become of it.
    pub stage: Stage,
}

/// What is to become of a fingerprint.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// It is to be written.
    ToWrite,
    /// It was written, or must not be. It is remembered until the next flush, for who
    /// has read the row before.
    Settled,
}

/// The fingerprints that are remembered, by row. What is here decides over a presented
/// secret as the row's own would: a row's secret never changes.
#[derive(Default)]
pub(super) struct Upgrades(Mutex<HashMap<SecretId, Upgrade>>);

impl Upgrades {
    fn lock(&self) -> MutexGuard<'_, HashMap<SecretId, Upgrade>> {
        // No code that may panic runs under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the row's fingerprint, if one is remembered.
    pub(super) fn find(&self, secret_id: SecretId) -> Option<(KeyId, Fingerprint)> {
        let upgrades = self.lock();
        upgrades
            .get(&secret_id)
            .map(|upgrade| upgrade.fingerprint.clone())
    }

    /// Returns whether a fingerprint of the row is remembered.
    pub(super) fn has(&self, secret_id: SecretId) -> bool {
        self.lock().contains_key(&secret_id)
    }

    /// Remembers a fingerprint, in place of the row's last one; false when there is no
    /// room.
    pub(super) fn remember(&self, secret_id: SecretId, upgrade: Upgrade) -> bool {
        let mut upgrades = self.lock();
        let room = upgrades.len() < MOST || upgrades.contains_key(&secret_id);
        if room {
            upgrades.insert(secret_id, upgrade);
        }
        room
    }

    /// Forgets what was settled before, and returns what is to be written, by row.
    fn due(&self) -> Vec<(SecretId, Upgrade)> {
        let mut upgrades = self.lock();
        upgrades.retain(|_, upgrade| upgrade.stage == Stage::ToWrite);
        let mut due: Vec<_> = upgrades
            .iter()
            .map(|(secret_id, upgrade)| (*secret_id, upgrade.clone()))
            .collect();
        // In one order, so that two that write don't wait for each other.
        due.sort_by_key(|(secret_id, _)| *secret_id);
        due
    }

    /// Settles what was written, unless another took its place meanwhile.
    fn settle(&self, written: &[(SecretId, Upgrade)]) {
        let mut upgrades = self.lock();
        for (secret_id, written) in written {
            if let Some(upgrade) = upgrades.get_mut(secret_id)
                && upgrade.fingerprint.0 == written.fingerprint.0
            {
                upgrade.stage = Stage::Settled;
            }
        }
    }
}

impl Authority {
    /// Writes the fingerprints that are remembered, each for the one that it was made
    /// in place of. On an error what was not written is remembered still.
    pub(super) async fn flush_upgrades(&self) -> Result<(), Error> {
        for batch in self.upgrades.due().chunks(BATCH) {
            let ring = self.keyring.load_full();
            let mut upgraded = 0;
            let mut tx = self.store.begin().await?;
            for (secret_id, upgrade) in batch {
                let (key, _) = &upgrade.fingerprint;
                // Under a key that is gone again it would be worth nothing.
                if ring.get(key).is_some() {
                    let replaced = upgrade.replaced.as_ref();
                    let written = tx.record_fingerprint(*secret_id, &upgrade.fingerprint, replaced);
                    upgraded += u64::from(written.await?);
                }
            }
            tx.close(&[], &[], self.clock.now()).await?;
            self.upgrades.settle(batch);
            self.counters.fingerprints_upgraded.add(upgraded);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(number: u128) -> SecretId {
        uuid::Uuid::from_u128(number).into()
    }

    fn under(key: &str) -> Upgrade {
        Upgrade {
            fingerprint: (KeyId(key.into()), Fingerprint::from([7; 32])),
            replaced: None,
            stage: Stage::ToWrite,
        }
    }

    #[test]
    fn what_is_written_is_remembered_until_the_next_flush() {
        let upgrades = Upgrades::default();
        for number in [2, 3, 1] {
            assert!(upgrades.remember(row(number), under("a")));
        }
        let due = upgrades.due();
        let rows: Vec<_> = due.iter().map(|(secret_id, _)| *secret_id).collect();
        assert_eq!(rows, [row(1), row(2), row(3)]);
        upgrades.remember(row(3), under("b"));
        upgrades.settle(&due);
        assert!(upgrades.has(row(1)) && upgrades.has(row(2)));

        let due = upgrades.due();
        assert_eq!(due.len(), 1);
        assert_eq!(due[0].1.fingerprint.0, KeyId("b".into()));
        assert!(!upgrades.has(row(1)) && upgrades.find(row(2)).is_none());
    }

    #[test]
    fn there_is_room_for_so_many_and_for_what_is_there() {
        let upgrades = Upgrades::default();
        for number in 0..MOST {
            assert!(upgrades.remember(row(number as u128), under("a")));
        }
        assert!(!upgrades.remember(row(u128::MAX), under("a")));
        assert!(upgrades.remember(row(0), under("b")));
    }
}
