//! Whether a presented secret is a token's: by its fingerprint, and where the ring
//! lacks the key of that, by bcrypt, once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;

use super::recognise::{Compared, Proof};
use super::suspects::Suspect;
use super::upgrade::{Stage, Upgrade};
use super::{Authority, Error};
use crate::domain::fingerprint::{Fingerprint, KeyId};
use crate::domain::ids::TenantId;
use crate::domain::invite;
use crate::domain::value::{Secret, TokenValue};

/// One verification by bcrypt.
type Flight = Suspect;

/// The verifications by bcrypt that are under way: who comes for the same joins.
#[derive(Debug, Default)]
pub(super) struct InFlight(Mutex<HashMap<Flight, Arc<OnceCell<bool>>>>);

impl InFlight {
    fn join(&self, flight: Flight) -> Arc<OnceCell<bool>> {
        let mut flights = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(flights.entry(flight).or_default())
    }

    /// Forgets a flight that has ended or that nobody waits for any more.
    fn leave(&self, flight: Flight, cell: &Arc<OnceCell<bool>>) {
        let mut flights = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Not another that has begun meanwhile.
        let present = flights
            .get(&flight)
            .is_some_and(|present| Arc::ptr_eq(present, cell));
        // Two: the map's and this caller's.
        if present && (cell.initialized() || Arc::strong_count(cell) <= 2) {
            flights.remove(&flight);
        }
    }
}

/// Leaves the flight, also when the caller is gone before it has landed.
struct Seat<'a> {
    in_flight: &'a InFlight,
    flight: Flight,
    cell: Arc<OnceCell<bool>>,
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.in_flight.leave(self.flight, &self.cell);
    }
}

impl Authority {
    /// Returns the value's fingerprint under the current key, and that key.
    pub(super) fn fingerprint(&self, value: &TokenValue) -> (KeyId, Fingerprint) {
        self.fingerprint_of(value.secret())
    }

    pub(super) fn fingerprint_of(&self, secret: &Secret) -> (KeyId, Fingerprint) {
        let ring = self.keyring.load();
        let key = ring.current();
        (key.id().clone(), key.fingerprint(secret))
    }

    /// Returns whether the secret is the one that the row verifies.
    pub(super) async fn verify(&self, secret: &Secret, proof: Proof<'_>) -> Result<bool, Error> {
        if let Some(good) = self.decided(secret, proof) {
            return Ok(good);
        }
        // What is in memory goes no further than its fingerprint.
        let none = || Error::internal("a value without its hash");
        let hash = proof.secret_hash.ok_or_else(none)?;
        let (secret_id, tenant_id) = (proof.secret_id, proof.tenant_id);
        let fresh = self.fingerprint_of(secret);
        let flight = (secret_id, *fresh.1.as_bytes());
        if self.suspects.is_wrong(&flight) {
            self.counters.wrong_values_recalled.add(1);
            return Ok(false);
        }
        let cell = self.in_flight.join(flight);
        let seat = Seat {
            in_flight: &self.in_flight,
            flight,
            cell,
        };
        let outcome = seat.cell.get_or_try_init(|| async {
            // A flight may have landed since; it left what it learned.
            if let Some(good) = self.decided(secret, proof) {
                return Ok(good);
            }
            let _place = self.suspects.enter(secret_id, tenant_id)?;
            self.counters.bcrypt_verifications.add(1);
            let good = self.hasher.verify(tenant_id, secret.expose(), hash).await?;
            if good {
                self.upgrade(proof, fresh);
            } else {
                self.suspects.remember(flight);
            }
            Ok::<bool, Error>(good)
        });
        outcome.await.copied()
    }

    /// As [`verify`](Self::verify), for what is good once: nothing of it is remembered.
    pub(super) async fn verify_once(
        &self,
        value: &TokenValue,
        verifier: &invite::Verifier,
        tenant_id: &TenantId,
    ) -> Result<bool, Error> {
        let (key_id, fingerprint) = &verifier.fingerprint;
        let secret = value.secret();
        if let Some(key) = self.keyring.load().get(key_id) {
            return Ok(key.fingerprint(secret) == *fingerprint);
        }
        let hash = &verifier.secret_hash;
        self.counters.bcrypt_verifications.add(1);
        self.hasher.verify(tenant_id, secret.expose(), hash).await
    }

    /// Returns whether a secret is the one that the row verifies, where fingerprints can
    /// say so.
    fn decided(&self, secret: &Secret, proof: Proof<'_>) -> Option<bool> {
        match self.compare(secret, proof) {
            Compared::Good | Compared::GoodByOlder => Some(true),
            Compared::Wrong => Some(false),
            Compared::Open => None,
        }
    }

    /// Judges a secret by its row's fingerprint, or by the one that is remembered for it,
    /// unless the ring lacks their keys.
    pub(super) fn compare(&self, secret: &Secret, proof: Proof<'_>) -> Compared {
        let ring = self.keyring.load();
        let told = |good: bool| {
            if good {
                Compared::Good
            } else {
                Compared::Wrong
            }
        };
        if let Some((key_id, fingerprint)) = proof.fingerprint
            && let Some(key) = ring.get(key_id)
        {
            let good = key.fingerprint(secret) == *fingerprint;
            let current = ring.current().id();
            // Nearly always it is that one, and its name is not looked for.
            let is_older = || key_id != current && key_id.name() < current.name();
            return if good && is_older() {
                Compared::GoodByOlder
            } else {
                told(good)
            };
        }
        let remembered = self.upgrades.find(proof.secret_id);
        let remembered = remembered.as_ref();
        let key = remembered.and_then(|(key_id, _)| ring.get(key_id));
        match remembered.zip(key) {
            Some(((_, fingerprint), key)) => told(key.fingerprint(secret) == *fingerprint),
            None => Compared::Open,
        }
    }

    /// Remembers a verified row's fingerprint, to be written; never in place of one
    /// under a later key, which another replica made. Returns whether there was room.
    pub(super) fn upgrade(&self, proof: Proof<'_>, fingerprint: (KeyId, Fingerprint)) -> bool {
        let replaced = proof.fingerprint.map(|(key, _)| key.clone());
        let later = |key: &KeyId| key.name() > fingerprint.0.name();
        let stage = if replaced.as_ref().is_some_and(later) {
            Stage::Settled
        } else {
            Stage::ToWrite
        };
        let upgrade = Upgrade {
            fingerprint,
            replaced,
            stage,
        };
        let room = self.upgrades.remember(proof.secret_id, upgrade);
        if !room {
            self.counters.upgrades_dropped.add(1);
            self.flush_wanted.notify_one();
        }
        room
    }
}
