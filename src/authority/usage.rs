//! The last use of each token: noted in memory when a value is found active, written
//! by and by, many at once. No call waits for that, and a crash loses a few seconds
//! of it.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Authority, Error};
use crate::coherence::Kept;
use crate::domain::ids::TokenId;
use crate::domain::token::Use;

/// The tokens whose use is remembered, at most.
const MOST: usize = 65_536;
/// The tokens that are remembered when each is noted seldom.
const MANY: usize = 4096;
/// The parts that the memory is divided into, each under a lock of its own.
const SHARDS: usize = 16;
/// The rows of a transaction, at most.
const BATCH: usize = 500;

type Shard = HashMap<TokenId, Use>;

/// The last use of each token since the last flush.
#[derive(Default)]
pub(super) struct Uses {
    shards: [Mutex<Shard>; SHARDS],
    /// How many there are in all shards.
    count: AtomicUsize,
}

/// What became of a use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Noted {
    /// It is remembered, or a later one is.
    Kept,
    /// It is remembered, and half the room is taken.
    HalfFull,
    /// There is no room for another token.
    Dropped,
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    // No code that may panic runs under the lock.
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Uses {
    /// Returns whether so many tokens are in use that each is noted seldom.
    fn are_many(&self) -> bool {
        self.count.load(Ordering::Relaxed) >= MANY
    }

    /// Returns the part that a token is in. An id's last bits are random.
    fn shard(&self, token_id: TokenId) -> MutexGuard<'_, Shard> {
        let [.., last] = *token_id.uuid().as_bytes();
        let [first, rest @ ..] = &self.shards;
        let nth = usize::from(last) % SHARDS;
        lock(
            nth.checked_sub(1)
                .and_then(|nth| rest.get(nth))
                .unwrap_or(first),
        )
    }

    /// Remembers a use, unless a later one of the token is remembered.
    fn note(&self, token_id: TokenId, use_: Use) -> Noted {
        let mut shard = self.shard(token_id);
        if let Some(known) = shard.get_mut(&token_id) {
            if known.at <= use_.at {
                *known = use_;
            }
            return Noted::Kept;
        }
        let count = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        if count > MOST {
            self.count.fetch_sub(1, Ordering::Relaxed);
            return Noted::Dropped;
        }
        shard.insert(token_id, use_);
        if count == MOST / 2 {
            Noted::HalfFull
        } else {
            Noted::Kept
        }
    }

    /// Returns what is remembered, by token.
    fn all(&self) -> Vec<(TokenId, Use)> {
        let mut all = Vec::with_capacity(self.count.load(Ordering::Relaxed));
        for shard in &self.shards {
            all.extend(lock(shard).iter().map(|(id, use_)| (*id, use_.clone())));
        }
        // In one order, so that two that write don't wait for each other.
        all.sort_by_key(|(token_id, _)| *token_id);
        all
    }

    /// Forgets what was written; a later use stays.
    fn forget(&self, written: &[(TokenId, Use)]) {
        for (token_id, written) in written {
            let mut shard = self.shard(*token_id);
            if shard.get(token_id) == Some(written) {
                shard.remove(token_id);
                self.count.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }
}

impl Authority {
    /// Notes that a token was found active. Of those by one caller from one address within
    /// a second, the first is noted: the others would only have cores wait for each other.
    /// Where many tokens are in use, within a minute: what is noted must be written.
    pub(super) fn note_use(&self, kept: &Kept, use_: Use) {
        let grain = if self.uses.are_many() { 60 } else { 1 };
        let mut hasher = DefaultHasher::new();
        let moment = use_.at.parts().0 / grain;
        (moment, use_.by, use_.address).hash(&mut hasher);
        // Half of the digest will do: one use in billions is taken for the one before.
        if !kept.is_new_use((hasher.finish() >> 32) as u32) {
            return;
        }
        match self.uses.note(kept.token_id, use_) {
            Noted::Kept => {}
            Noted::HalfFull => self.flush_wanted.notify_one(),
            Noted::Dropped => self.counters.uses_dropped.add(1),
        }
    }

    /// Resolves when there is soon no room for what is to be flushed.
    pub async fn flush_wanted(&self) {
        self.flush_wanted.notified().await;
    }

    /// Writes the uses of tokens and the fingerprints that are remembered. On an error
    /// what was not written is remembered still.
    pub async fn flush_usage(&self) -> Result<(), Error> {
        let used = self.flush_uses().await;
        self.flush_upgrades().await.and(used)
    }

    async fn flush_uses(&self) -> Result<(), Error> {
        for batch in self.uses.all().chunks(BATCH) {
            let mut tx = self.store.begin().await?;
            let written = tx.record_token_uses(batch).await?;
            tx.close(&[], &[], self.clock.now()).await?;
            self.uses.forget(batch);
            self.counters.uses_written.add(written);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Timestamp;

    fn token(number: u128) -> TokenId {
        uuid::Uuid::from_u128(number).into()
    }

    fn at(millis: i64) -> Use {
        Use {
            at: Timestamp::from_millis(millis).unwrap(),
            by: None,
            address: None,
        }
    }

    #[test]
    fn the_last_use_of_each_token_is_remembered() {
        let uses = Uses::default();
        for (number, millis) in [(1, 5), (20, 1), (1, 7), (1, 6), (300, 2)] {
            assert_eq!(uses.note(token(number), at(millis)), Noted::Kept);
        }
        let expected = vec![(token(1), at(7)), (token(20), at(1)), (token(300), at(2))];
        assert_eq!(uses.all(), expected);
    }

    #[test]
    fn what_is_written_is_forgotten_but_for_a_later_use() {
        let uses = Uses::default();
        uses.note(token(1), at(1));
        uses.note(token(2), at(1));
        let written = uses.all();
        uses.note(token(2), at(2));
        uses.note(token(3), at(2));
        uses.forget(&written);
        assert_eq!(uses.all(), [(token(2), at(2)), (token(3), at(2))]);
        assert_eq!(uses.count.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn there_is_room_for_so_many_tokens_and_for_those_that_are_there() {
        let uses = Uses::default();
        let mut half_full = 0;
        for number in 0..MOST {
            match uses.note(token(number as u128), at(1)) {
                Noted::Kept => {}
                Noted::HalfFull => half_full += 1,
                Noted::Dropped => panic!("{number} has no room"),
            }
        }
        assert_eq!(half_full, 1);
        assert_eq!(uses.note(token(u128::MAX), at(1)), Noted::Dropped);
        assert_eq!(uses.note(token(0), at(2)), Noted::Kept);
        uses.forget(&[(token(1), at(1))]);
        assert_eq!(uses.note(token(u128::MAX), at(1)), Noted::Kept);
    }
}
