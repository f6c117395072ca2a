//! The records in memory: found without a lock, bounded by bytes. What has not been asked
//! for since the hand last came by makes room (the CLOCK algorithm, Corbató 1968).

use std::collections::VecDeque;
use std::mem::size_of;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use papaya::HashMap;

use super::kept::Kept;
use super::key::Key;

/// What the table and the allocator take for each record beside it, about.
const OVERHEAD: usize = 48;
/// The records that one addition may evict, at most: so long the others wait.
const HAND: usize = 64;

/// The records of one key: of a lookup one, of a hint several.
#[derive(Debug)]
struct Entry {
    kept: Several,
    /// Which addition it is of, by which the hand knows what is gone; and, as [`USED`],
    /// whether it was asked for since the hand last came by.
    added: AtomicU64,
}

/// The bit of an entry that was asked for. So many are never added.
const USED: u64 = 1 << 63;

#[derive(Debug)]
enum Several {
    One(Kept),
    Many(Box<[Kept]>),
}

impl Entry {
    /// Says that it was asked for. Written once for each time that the hand comes by, so
    /// that cores which read the same record don't take its line from each other.
    fn was_used(&self) {
        if self.added.load(Ordering::Relaxed) & USED == 0 {
            self.added.fetch_or(USED, Ordering::Relaxed);
        }
    }

    fn is_of(&self, added: u64) -> bool {
        self.added.load(Ordering::Relaxed) & !USED == added
    }

    /// Returns whether it was asked for since this was last asked.
    fn take_used(&self) -> bool {
        self.added.fetch_and(!USED, Ordering::Relaxed) & USED != 0
    }

    fn bytes(&self) -> usize {
        let kept = match &self.kept {
            Several::One(kept) => kept.bytes(),
            Several::Many(many) => size_of::<Kept>() + many.iter().map(Kept::bytes).sum::<usize>(),
        };
        kept + size_of::<Self>() - size_of::<Kept>() + size_of::<Key>() + OVERHEAD
    }
}

/// How much there may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Capacity {
    pub(super) bytes: usize,
    pub(super) records: usize,
}

/// The records.
#[derive(Debug)]
pub(super) struct Records {
    map: HashMap<Key, Entry>,
    capacity: Capacity,
    bytes: AtomicUsize,
}

/// What only who adds and removes has: in which order the hand comes by.
#[derive(Debug, Default)]
pub(super) struct Hand {
    ring: VecDeque<(Key, u64)>,
    added: u64,
}

impl Records {
    pub(super) fn new(capacity: Capacity) -> Self {
        Self {
            map: HashMap::new(),
            capacity,
            bytes: AtomicUsize::new(0),
        }
    }

    /// Returns how much there may be.
    pub(super) fn capacity(&self) -> Capacity {
        self.capacity
    }

    /// Returns how many keys there are records of.
    pub(super) fn len(&self) -> usize {
        self.map.len()
    }

    /// Returns the bytes that they take, about.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Returns what `look` makes of a key's records, if they are there and nothing of
    /// them has changed. They can't be taken along: what is gone is freed when nobody
    /// looks at it.
    pub(super) fn look<R>(&self, key: Key, look: impl FnOnce(&[&Kept]) -> R) -> Option<R> {
        let map = self.map.pin();
        let entry = map.get(&key)?;
        let found = match &entry.kept {
            Several::One(kept) => kept.is_current().then(|| look(&[kept])),
            Several::Many(many) => {
                let all: Vec<&Kept> = many.iter().collect();
                all.iter().all(|kept| kept.is_current()).then(|| look(&all))
            }
        };
        if found.is_some() {
            entry.was_used();
        }
        found
    }

    /// Adds a key's records, in place of those that are there; returns how many made room.
    pub(super) fn add(&self, hand: &mut Hand, key: Key, mut kept: Vec<Kept>, others: usize) -> u64 {
        let kept = match (kept.pop(), kept.is_empty()) {
            (Some(only), true) => Several::One(only),
            (last, _) => Several::Many(kept.into_iter().chain(last).collect()),
        };
        hand.added += 1;
        let entry = Entry {
            kept,
            added: AtomicU64::new(hand.added),
        };
        let bytes = entry.bytes();
        let map = self.map.pin();
        if let Some(before) = map.insert(key, entry) {
            self.bytes.fetch_sub(before.bytes(), Ordering::Relaxed);
        }
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        hand.ring.push_back((key, hand.added));
        self.make_room(hand, others)
    }

    /// Removes a key's records; returns whether there were any.
    pub(super) fn remove(&self, key: Key) -> bool {
        let map = self.map.pin();
        let removed = map.remove(&key);
        if let Some(entry) = removed {
            self.bytes.fetch_sub(entry.bytes(), Ordering::Relaxed);
        }
        removed.is_some()
    }

    /// Removes all.
    pub(super) fn clear(&self, hand: &mut Hand) {
        self.map.pin().clear();
        self.bytes.store(0, Ordering::Relaxed);
        hand.ring.clear();
    }

    fn is_full(&self, others: usize) -> bool {
        self.bytes() + others > self.capacity.bytes || self.len() > self.capacity.records
    }

    fn make_room(&self, hand: &mut Hand, others: usize) -> u64 {
        let map = self.map.pin();
        let mut evicted = 0;
        let mut left = HAND;
        while left > 0 && (self.is_full(others) || hand.ring.len() > 2 * self.len() + HAND) {
            left -= 1;
            let Some((key, added)) = hand.ring.pop_front() else {
                break;
            };
            let Some(entry) = map.get(&key).filter(|entry| entry.is_of(added)) else {
                // Gone before, or another took its place, which is in the ring itself.
                continue;
            };
            let used = entry.take_used();
            if used && self.is_full(others) && left > 0 || !self.is_full(others) {
                hand.ring.push_back((key, added));
            } else if let Some(entry) = map.remove(&key) {
                self.bytes.fetch_sub(entry.bytes(), Ordering::Relaxed);
                evicted += 1;
            }
        }
        evicted
    }
}
