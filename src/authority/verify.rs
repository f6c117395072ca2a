//! Whether a presented secret is a token's: by its fingerprint, and where the ring
//! lacks the key of that, by bcrypt, once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;

use super::{Authority, Error};
use crate::domain::fingerprint::{Fingerprint, KeyId};
use crate::domain::ids::{SecretId, TenantId};
use crate::domain::introspection::Verifier;
use crate::domain::value::TokenValue;

/// One verification by bcrypt: of a row, against a presented secret, known here by
/// its fingerprint so that the secret itself is not kept.
type Flight = (SecretId, [u8; 32]);

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
        // Two: the map's and this caller's.
        if cell.initialized() || Arc::strong_count(cell) <= 2 {
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
    /// Returns the keys of fingerprints that the ring lacks, and how many rows each
    /// has.
    pub async fn fingerprints_without_key(&self) -> Result<Vec<(KeyId, i64)>, Error> {
        let mut keys = self.store.snapshot().await?.list_fingerprint_keys().await?;
        keys.retain(|(key, _)| self.keyring.get(key).is_none());
        Ok(keys)
    }

    /// Returns whether the value's secret is the one that the row verifies.
    pub(super) async fn verify(
        &self,
        value: &TokenValue,
        verifier: &Verifier,
        tenant_id: &TenantId,
    ) -> Result<bool, Error> {
        if let Some((key, fingerprint)) = &verifier.fingerprint
            && let Some(key) = self.keyring.get(key)
        {
            return Ok(key.fingerprint(value.secret()) == *fingerprint);
        }
        let fresh = self.keyring.current().fingerprint(value.secret());
        let flight = (verifier.secret_id, *fresh.as_bytes());
        let cell = self.in_flight.join(flight);
        let seat = Seat {
            in_flight: &self.in_flight,
            flight,
            cell,
        };
        let outcome = seat.cell.get_or_try_init(|| async {
            let secret = value.secret().expose();
            let good = self
                .hasher
                .verify(tenant_id, secret, &verifier.secret_hash)
                .await?;
            if good {
                self.upgrade(verifier, fresh).await;
            }
            Ok::<bool, Error>(good)
        });
        outcome.await.copied()
    }

    /// Gives a row that bcrypt verified a fingerprint under the current key, never
    /// in place of one under a later key. A failure costs the next caller a
    /// bcrypt and nothing else, so it fails nobody.
    async fn upgrade(&self, verifier: &Verifier, fresh: Fingerprint) {
        let current = self.keyring.current().id();
        let replaced = verifier.fingerprint.as_ref().map(|(key, _)| key);
        if replaced.is_some_and(|replaced| replaced.name() > current.name()) {
            return;
        }
        let written = async {
            let mut tx = self.store.begin().await?;
            let fingerprint = (current.clone(), fresh);
            tx.record_fingerprint(verifier.secret_id, &fingerprint, replaced)
                .await?;
            tx.close(&[], &[], self.clock.now()).await
        };
        if let Err(error) = written.await {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "fingerprint not upgraded"
            );
        }
    }
}
