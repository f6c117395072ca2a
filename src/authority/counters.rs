//! What is counted while the process runs, for tests and for metrics.

use std::sync::atomic::{AtomicU64, Ordering};

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
    /// Invites that were claimed.
    pub invites_claimed: Counter,
    /// Values that were presented to claim an invite and that claimed none.
    pub claims_refused: Counter,
}
