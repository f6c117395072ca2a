//! The records in memory: found without a lock, bounded by bytes. What has not been asked
//! for since the hand last came by makes room (the CLOCK algorithm, Corbató 1968).

use std::collections::VecDeque;
use std::mem::size_of;
use std::sync::atomic::{AtomicUsize, Ordering};

use papaya::HashMap;

use super::kept::Kept;
use super::key::Key;

/// What the table and the allocator take for each record beside it, about.
const OVERHEAD: usize = 48;
/// The records that one addition may evict, at most: so long the others wait.
const HAND: usize = 64;

/// The records of one key: of a lookup one, of a hint several.
#[derive(Debug)]
enum Entry {
    One(Kept),
    Many(Box<[Kept]>),
}

impl Entry {
    fn all(&self) -> &[Kept] {
        match self {
            Self::One(kept) => std::slice::from_ref(kept),
            Self::Many(many) => many,
        }
    }

    /// Returns the record that tells whether it was asked for, and which addition it is of.
    fn first(&self) -> Option<&Kept> {
        self.all().first()
    }

    /// Returns which addition it is of, by which the hand knows what is gone.
    fn addition(&self) -> Option<u32> {
        let number = self.first()?.number();
        u32::try_from(number & u64::from(u32::MAX)).ok()
    }

    fn bytes(&self) -> usize {
        let kept = match self {
            Self::One(kept) => kept.bytes(),
            Self::Many(many) => size_of::<Kept>() + many.iter().map(Kept::bytes).sum::<usize>(),
        };
        kept + size_of::<Key>() + OVERHEAD
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
    /// Keys, and the lower half of the number of what was added: four billion lie between two
    /// that share it, and who takes one for the other evicts too early, no more.
    ring: VecDeque<(Key, u32)>,
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
    pub(super) fn look<R>(&self, key: Key, look: impl FnOnce(&[Kept]) -> R) -> Option<R> {
        let map = self.map.pin();
        let entry = map.get(&key)?;
        let all = entry.all();
        let found = all.iter().all(Kept::is_current).then(|| look(all));
        if let Some(first) = entry.first().filter(|_| found.is_some()) {
            first.was_used();
        }
        found
    }

    /// Adds a key's records, in place of those that are there; returns how many made room.
    pub(super) fn add(&self, hand: &mut Hand, key: Key, mut kept: Vec<Kept>, others: usize) -> u64 {
        let entry = match (kept.pop(), kept.is_empty()) {
            (Some(only), true) => Entry::One(only),
            (last, _) => Entry::Many(kept.into_iter().chain(last).collect()),
        };
        let Some(addition) = entry.addition() else {
            return 0;
        };
        let bytes = entry.bytes();
        let map = self.map.pin();
        if let Some(before) = map.insert(key, entry) {
            self.bytes.fetch_sub(before.bytes(), Ordering::Relaxed);
        }
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        hand.ring.push_back((key, addition));
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
            let Some((key, addition)) = hand.ring.pop_front() else {
                break;
            };
            let entry = map.get(&key);
            let Some(entry) = entry.filter(|entry| entry.addition() == Some(addition)) else {
                // Gone before, or another took its place, which is in the ring itself.
                continue;
            };
            let used = entry.first().is_some_and(Kept::take_used);
            if used && self.is_full(others) && left > 0 || !self.is_full(others) {
                hand.ring.push_back((key, addition));
            } else if let Some(entry) = map.remove(&key) {
                self.bytes.fetch_sub(entry.bytes(), Ordering::Relaxed);
                evicted += 1;
            }
        }
        evicted
    }
}
