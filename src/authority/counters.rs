//! What is counted while the process runs, for tests and for metrics.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::domain::session::Refusal;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds to it.
    pub(super) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// Returns it.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How many sessions were refused, by why.
#[derive(Debug)]
pub struct Refusals(Vec<(Refusal, Counter)>);

impl Default for Refusals {
    fn default() -> Self {
        let all = Refusal::ALL.iter();
        Self(all.map(|refusal| (*refusal, Counter::default())).collect())
    }
}

impl Refusals {
    /// Adds one.
    pub(super) fn add(&self, refusal: Refusal) {
        for (counted, counter) in &self.0 {
            if *counted == refusal {
                counter.add(1);
            }
        }
    }

    /// Returns how many there were for each reason.
    pub fn get(&self) -> impl Iterator<Item = (Refusal, u64)> {
        self.0
            .iter()
            .map(|(refusal, counter)| (*refusal, counter.get()))
    }
}

/// All that is counted.
#[derive(Debug, Default)]
pub struct Counters {
    /// Values that bcrypt verified, or found wrong.
    pub bcrypt_verifications: Counter,
    /// Fingerprints that were written in place of none, or of one under an older key.
    pub fingerprints_upgraded: Counter,
    /// Fingerprints that there was no room to remember; the next use of the value
    /// makes them anew.
    pub upgrades_dropped: Counter,
    /// Last uses of tokens that were written.
    pub uses_written: Counter,
    /// Uses of tokens that there was no room to remember.
    pub uses_dropped: Counter,
    /// Sessions that were refused.
    pub sessions_refused: Refusals,
}
