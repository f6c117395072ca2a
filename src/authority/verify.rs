//! Whether a presented secret is a token's: by its fingerprint, and where the ring
//! lacks the key of that, by bcrypt, once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;

use super::suspects::Suspect;
use super::upgrade::{Stage, Upgrade};
use super::{Authority, Error};
use crate::domain::fingerprint::{Fingerprint, KeyId};
use crate::domain::ids::TenantId;
use crate::domain::introspection::Verifier;
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

    fn fingerprint_of(&self, secret: &Secret) -> (KeyId, Fingerprint) {
        let ring = self.keyring.load();
        let key = ring.current();
        (key.id().clone(), key.fingerprint(secret))
    }

    /// Returns whether the secret is the one that the row verifies.
    pub(super) async fn verify(
        &self,
        secret: &Secret,
        verifier: &Verifier,
        tenant_id: &TenantId,
    ) -> Result<bool, Error> {
        if let Some(good) = self.compare(secret, verifier) {
            return Ok(good);
        }
        let fresh = self.fingerprint_of(secret);
        let flight = (verifier.secret_id, *fresh.1.as_bytes());
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
            if let Some(good) = self.compare(secret, verifier) {
                return Ok(good);
            }
            let _place = self.suspects.enter(verifier.secret_id, tenant_id)?;
            let hash = &verifier.secret_hash;
            self.counters.bcrypt_verifications.add(1);
            let good = self.hasher.verify(tenant_id, secret.expose(), hash).await?;
            if good {
                self.upgrade(verifier, fresh);
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

    /// Judges a value by its row's fingerprint, or by the one that is remembered for
    /// it; `None` where the ring lacks their keys. Where it is good, the current key
    /// takes an older one's place.
    pub(super) fn compare(&self, secret: &Secret, verifier: &Verifier) -> Option<bool> {
        let ring = self.keyring.load();
        if let Some((key_id, fingerprint)) = &verifier.fingerprint
            && let Some(key) = ring.get(key_id)
        {
            let good = key.fingerprint(secret) == *fingerprint;
            let older = key_id.name() < ring.current().id().name();
            if good && older && !self.upgrades.has(verifier.secret_id) {
                self.upgrade(verifier, self.fingerprint_of(secret));
            }
            return Some(good);
        }
        let (key_id, fingerprint) = self.upgrades.find(verifier.secret_id)?;
        let key = ring.get(&key_id)?;
        Some(key.fingerprint(secret) == fingerprint)
    }

    /// Remembers a verified row's fingerprint, to be written; never in place of one
    /// under a later key, which another replica made.
    fn upgrade(&self, verifier: &Verifier, fingerprint: (KeyId, Fingerprint)) {
        let replaced = verifier.fingerprint.as_ref().map(|(key, _)| key.clone());
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
        if !self.upgrades.remember(verifier.secret_id, upgrade) {
            self.counters.upgrades_dropped.add(1);
            self.flush_wanted.notify_one();
        }
    }
}
