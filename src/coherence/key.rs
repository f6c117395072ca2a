//! What a value is found by in memory.

use std::hash::{BuildHasher, RandomState};

use crate::domain::foreign::ValueKey;
use crate::domain::value::Lookup;

/// The bytes of a key that are of the text.
const WIDTH: usize = 15;

/// What a value is found by, in a fixed width: a native one by its lookup, an imported one
/// by a digest of its hint, which nobody outside can work out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Key([u8; WIDTH + 1]);

/// The secrets that digests are made with.
#[derive(Debug, Default)]
pub(super) struct Digests(RandomState, RandomState);

impl Digests {
    /// Returns the key of a lookup.
    pub(super) fn lookup(lookup: &Lookup) -> Key {
        let mut key = [0; WIDTH + 1];
        for (place, byte) in key.iter_mut().zip(lookup.as_bytes().iter().take(WIDTH)) {
            *place = *byte;
        }
        Key(key)
    }

    /// Returns the key of a hint.
    pub(super) fn hint(&self, hint: &str) -> Key {
        let digest = [self.0.hash_one(hint), self.1.hash_one(hint)];
        let mut key = [0; WIDTH + 1];
        let bytes = digest.iter().flat_map(|half| half.to_be_bytes());
        for (place, byte) in key.iter_mut().zip(bytes.take(WIDTH)) {
            *place = byte;
        }
        // No lookup is so long.
        key[WIDTH] = 1;
        Key(key)
    }

    /// Returns the key of either.
    pub(super) fn of(&self, key: &ValueKey) -> Key {
        match key {
            ValueKey::Lookup(lookup) => Self::lookup(lookup),
            ValueKey::Hint(hint) => self.hint(hint),
        }
    }

    /// Returns a digest of a key, for the filter.
    pub(super) fn digest(&self, key: Key) -> u64 {
        self.0.hash_one(key)
    }
}
