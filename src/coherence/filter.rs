//! All keys that there are values of, as digests: what is in none of them is unknown, and
//! the store is not asked. A digest that two keys share costs a statement, no more.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// The parts, each under a lock of its own.
const PARTS: usize = 64;

/// A digest is its own hash.
#[derive(Default)]
struct Itself(u64);

impl Hasher for Itself {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, digest: u64) {
        self.0 = digest;
    }
}

type Part = HashSet<u64, BuildHasherDefault<Itself>>;

/// The digests of all keys, once they are loaded.
#[derive(Debug)]
pub(super) struct Filter {
    parts: [RwLock<Part>; PARTS],
    /// Whether all are there; until then nothing is known to be unknown.
    complete: AtomicBool,
    /// The lengths that hints have, a bit each.
    hint_lengths: AtomicU64,
}

impl Default for Filter {
    fn default() -> Self {
        Self {
            parts: std::array::from_fn(|_| RwLock::default()),
            complete: AtomicBool::new(false),
            hint_lengths: AtomicU64::new(0),
        }
    }
}

impl Filter {
    fn part(&self, digest: u64) -> Option<&RwLock<Part>> {
        // By bits of the middle: a table takes its own from both ends.
        let nth = usize::try_from(digest >> 32 & (PARTS as u64 - 1));
        self.parts.get(nth.unwrap_or_default())
    }

    fn read(&self, digest: u64) -> Option<RwLockReadGuard<'_, Part>> {
        let part = self.part(digest)?;
        // No code that may panic runs under the lock.
        Some(part.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds a key's digest.
    pub(super) fn add(&self, digest: u64) {
        if let Some(part) = self.part(digest) {
            write(part).insert(digest);
        }
    }

    /// Notes that there are hints of this length.
    pub(super) fn add_hint_length(&self, length: usize) {
        let bit = u32::try_from(length)
            .ok()
            .and_then(|nth| 1u64.checked_shl(nth));
        let known = self.hint_lengths.load(Ordering::Acquire);
        let all = known | bit.unwrap_or_default();
        if all != known {
            self.hint_lengths.fetch_or(all, Ordering::AcqRel);
        }
    }

    /// Returns the lengths that hints have.
    pub(super) fn hint_lengths(&self) -> impl Iterator<Item = usize> + use<> {
        let known = self.hint_lengths.load(Ordering::Acquire);
        (0..64usize).filter(move |nth| known >> nth & 1 == 1)
    }

    /// Returns whether there may be a value of the key.
    pub(super) fn may_have(&self, digest: u64) -> bool {
        // Whether all are there is asked while none can go: else what is dropped meanwhile
        // would seem to be unknown.
        let part = self.read(digest);
        part.is_none_or(|part| part.contains(&digest) || !self.is_complete())
    }

    /// Says that all keys are there.
    pub(super) fn complete(&self) {
        self.complete.store(true, Ordering::Release);
    }

    /// Returns whether all keys are there.
    pub(super) fn is_complete(&self) -> bool {
        self.complete.load(Ordering::Acquire)
    }

    /// Forgets everything.
    pub(super) fn clear(&self) {
        self.complete.store(false, Ordering::Release);
        for part in &self.parts {
            *write(part) = Part::default();
        }
    }

    /// Returns how many digests there are.
    pub(super) fn len(&self) -> usize {
        let of = |part: &RwLock<Part>| part.read().map_or(0, |part| part.len());
        self.parts.iter().map(of).sum()
    }

    /// Returns the bytes that they take, about.
    pub(super) fn bytes(&self) -> usize {
        let of = |part: &RwLock<Part>| part.read().map_or(0, |part| part.capacity());
        // A digest and a byte beside it, in a table that is seven eighths full at most.
        self.parts.iter().map(of).sum::<usize>() * 9 * 8 / 7
    }
}

fn write(part: &RwLock<Part>) -> RwLockWriteGuard<'_, Part> {
    part.write().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_unknown_before_all_is_loaded() {
        let filter = Filter::default();
        filter.add(7);
        assert!(filter.may_have(7) && filter.may_have(8));
        filter.complete();
        assert!(filter.may_have(7) && !filter.may_have(8));
        filter.clear();
        assert!(filter.may_have(8));
        assert_eq!(filter.len(), 0);
    }

    /// Dropped and loaded again beside those who ask, it never says of a value that there is
    /// none of it.
    #[test]
    fn what_is_there_is_never_unknown_while_all_is_dropped() {
        let filter = Filter::default();
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let asking = scope.spawn(|| {
                let mut unknown = 0;
                while !stop.load(Ordering::Relaxed) {
                    unknown += u32::from(!filter.may_have(7));
                }
                unknown
            });
            for _ in 0..20_000 {
                filter.clear();
                filter.add(7);
                filter.complete();
            }
            stop.store(true, Ordering::Relaxed);
            assert_eq!(asking.join().unwrap(), 0);
        });
    }

    #[test]
    fn the_lengths_of_hints_are_told() {
        let filter = Filter::default();
        for length in [32, 6, 32, 12] {
            filter.add_hint_length(length);
        }
        assert_eq!(filter.hint_lengths().collect::<Vec<_>>(), [6, 12, 32]);
    }
}
