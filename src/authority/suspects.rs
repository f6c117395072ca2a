//! Values that bcrypt must judge, as their rows have no fingerprint that could. Wrong ones
//! are judged once and remembered; of those that are not known yet, few at once go to
//! bcrypt for one row, and not many for one tenant, so that its creations find room in the
//! queue. Nobody is locked out: who finds no place is told to ask again.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Error;
use crate::domain::ids::{SecretId, TenantId};

/// The wrong values that are remembered, at most.
const MOST: usize = 16_384;
/// The values that bcrypt judges at once for one row, or that wait for it, at most.
const AT_ONCE: usize = 8;
/// The same for all rows of a tenant: a quarter of its share of the queue as it is by
/// default, which it needs for creations, too.
const AT_ONCE_OF_TENANT: usize = 32;
/// When to ask again past that.
const RETRY: Duration = Duration::from_secs(1);

/// A row, and a presented secret, known by its fingerprint so that it is not kept itself.
pub(super) type Suspect = (SecretId, [u8; 32]);

#[derive(Debug, Default)]
struct Known {
    wrong: HashSet<Suspect>,
    /// The same, the longest known first.
    order: VecDeque<Suspect>,
    judged: HashMap<SecretId, usize>,
    judged_of: HashMap<TenantId, usize>,
}

/// What is known of them.
#[derive(Debug, Default)]
pub(super) struct Suspects(Mutex<Known>);

/// A place of one that bcrypt judges.
#[derive(Debug)]
pub(super) struct Place<'a> {
    suspects: &'a Suspects,
    secret_id: SecretId,
    tenant_id: TenantId,
}

impl Suspects {
    fn lock(&self) -> MutexGuard<'_, Known> {
        // No code that may panic runs under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether the secret is known to be wrong. A row's secret never changes.
    pub(super) fn is_wrong(&self, suspect: &Suspect) -> bool {
        self.lock().wrong.contains(suspect)
    }

    /// Remembers that the secret is wrong, and forgets the longest known where there is no
    /// room.
    pub(super) fn remember(&self, suspect: Suspect) {
        let mut known = self.lock();
        if !known.wrong.insert(suspect) {
            return;
        }
        known.order.push_back(suspect);
        if known.order.len() > MOST
            && let Some(oldest) = known.order.pop_front()
        {
            known.wrong.remove(&oldest);
        }
    }

    /// Takes a place of the row's and of its tenant's; an error when all are taken.
    pub(super) fn enter(
        &self,
        secret_id: SecretId,
        tenant_id: &TenantId,
    ) -> Result<Place<'_>, Error> {
        let mut known = self.lock();
        let of_row = known.judged.get(&secret_id).copied().unwrap_or_default();
        let of_tenant = known.judged_of.get(tenant_id).copied().unwrap_or_default();
        if of_row >= AT_ONCE || of_tenant >= AT_ONCE_OF_TENANT {
            return Err(Error::HashingBusy { retry_after: RETRY });
        }
        known.judged.insert(secret_id, of_row + 1);
        known.judged_of.insert(tenant_id.clone(), of_tenant + 1);
        Ok(Place {
            suspects: self,
            secret_id,
            tenant_id: tenant_id.clone(),
        })
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut known = self.suspects.lock();
        leave(&mut known.judged, &self.secret_id);
        leave(&mut known.judged_of, &self.tenant_id);
    }
}

/// Counts one less; what is none is forgotten.
fn leave<K: Eq + Hash>(judged: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = judged.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            judged.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(number: u128) -> SecretId {
        uuid::Uuid::from_u128(number).into()
    }

    fn tenant(text: &str) -> TenantId {
        text.parse().unwrap()
    }

    #[test]
    fn so_many_wrong_values_are_remembered_the_latest() {
        let suspects = Suspects::default();
        for number in 0..=MOST {
            suspects.remember((row(number as u128), [1; 32]));
            suspects.remember((row(number as u128), [1; 32]));
        }
        assert!(!suspects.is_wrong(&(row(0), [1; 32])));
        assert!(suspects.is_wrong(&(row(1), [1; 32])));
        assert!(!suspects.is_wrong(&(row(1), [2; 32])), "of another value");
        let known = suspects.lock();
        assert_eq!((known.wrong.len(), known.order.len()), (MOST, MOST));
    }

    #[test]
    fn a_row_has_so_many_places_and_gets_them_back() {
        let (suspects, acme) = (Suspects::default(), tenant("acme"));
        let places: Vec<_> = (0..AT_ONCE)
            .map(|_| suspects.enter(row(1), &acme))
            .collect();
        assert!(places.iter().all(Result::is_ok));
        let full = suspects.enter(row(1), &acme).unwrap_err();
        assert!(matches!(full, Error::HashingBusy { .. }), "{full:?}");
        assert!(suspects.enter(row(2), &acme).is_ok(), "another's own");
        drop(places);
        assert!(suspects.enter(row(1), &acme).is_ok());
        assert!(suspects.lock().judged.is_empty());
    }

    #[test]
    fn a_tenant_has_so_many_places_whatever_the_rows() {
        let (suspects, acme) = (Suspects::default(), tenant("acme"));
        let places: Vec<_> = (0..AT_ONCE_OF_TENANT)
            .map(|at| suspects.enter(row(at as u128), &acme))
            .collect();
        assert!(places.iter().all(Result::is_ok));
        let full = suspects.enter(row(1000), &acme).unwrap_err();
        assert!(matches!(full, Error::HashingBusy { .. }), "{full:?}");
        let globex = tenant("globex");
        assert!(suspects.enter(row(1000), &globex).is_ok(), "another's own");
        drop(places);
        assert!(suspects.enter(row(1000), &acme).is_ok());
        let known = suspects.lock();
        assert!(known.judged.is_empty() && known.judged_of.is_empty());
    }
}
