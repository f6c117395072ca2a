//! Values that bcrypt must judge, as their rows have no fingerprint that could. Wrong ones
//! are judged once and remembered; of those that are not known yet, few at once go to
//! bcrypt for one row. Nobody is locked out: who finds no place is told to ask again.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Error;
use crate::domain::ids::SecretId;

/// The wrong values that are remembered, at most.
const MOST: usize = 16_384;
/// The values that bcrypt judges at once for one row, or that wait for it, at most.
const AT_ONCE: usize = 8;
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
}

/// What is known of them.
#[derive(Debug, Default)]
pub(super) struct Suspects(Mutex<Known>);

/// A place of one that bcrypt judges.
#[derive(Debug)]
pub(super) struct Place<'a> {
    suspects: &'a Suspects,
    secret_id: SecretId,
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

    /// Takes a place of the row's; an error when all are taken.
    pub(super) fn enter(&self, secret_id: SecretId) -> Result<Place<'_>, Error> {
        let mut known = self.lock();
        let judged = known.judged.entry(secret_id).or_default();
        if *judged >= AT_ONCE {
            return Err(Error::HashingBusy { retry_after: RETRY });
        }
        *judged += 1;
        Ok(Place {
            suspects: self,
            secret_id,
        })
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut known = self.suspects.lock();
        if let Some(judged) = known.judged.get_mut(&self.secret_id) {
            *judged -= 1;
            if *judged == 0 {
                known.judged.remove(&self.secret_id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(number: u128) -> SecretId {
        uuid::Uuid::from_u128(number).into()
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
        let suspects = Suspects::default();
        let places: Vec<_> = (0..AT_ONCE).map(|_| suspects.enter(row(1))).collect();
        assert!(places.iter().all(Result::is_ok));
        let full = suspects.enter(row(1)).unwrap_err();
        assert!(matches!(full, Error::HashingBusy { .. }), "{full:?}");
        assert!(suspects.enter(row(2)).is_ok(), "another row has its own");
        drop(places);
        assert!(suspects.enter(row(1)).is_ok());
        assert!(suspects.lock().judged.is_empty());
    }
}
