//! What was read comes in: for who waits for it, and for memory.

use super::{Found, Memory, ReadCatalog, Rule};
use crate::coherence::Failure;
use crate::coherence::counters::{Counters, Eviction};
use crate::coherence::kept::Fresh;
use crate::coherence::key::Key;
use crate::domain::change::ChangeNumber;
use crate::domain::foreign::ValueKey;

/// What one statement is to read. Dropped, it leaves nobody waiting.
pub(in crate::coherence) struct Batch<'a, H> {
    pub(super) memory: &'a Memory<H>,
    /// What was applied when it began.
    pub(super) since: ChangeNumber,
    pub(super) drops: u64,
    pub(in crate::coherence) wanted: Vec<(Key, ValueKey)>,
}

impl<H> Batch<'_, H> {
    /// Gives what was read to who waits for it, and to memory; what a change may have
    /// touched since, to nobody: it is read again.
    pub(in crate::coherence) fn land(
        mut self,
        mut found: Vec<Found>,
        catalogs: Vec<ReadCatalog>,
        counters: &Counters,
    ) {
        let memory = self.memory;
        let mut state = memory.lock();
        for (tenant_id, version, catalog) in catalogs {
            let of = |(known, _): &&Found| known.token.tenant_id == tenant_id;
            // Another statement may have read it meanwhile.
            if let Some((known, _)) = found.iter().find(of)
                && !state.interner.has(&tenant_id, version)
            {
                let standing = known.tenant.clone();
                let interner = &mut state.interner;
                interner.add_catalog(&tenant_id, standing, version, catalog);
            }
        }
        // What is not told yet stays, for who clears up after a panic.
        while let Some((key, wanted)) = self.wanted.last().cloned() {
            let of_key = |(known, _): &mut Found| known.key == wanted;
            let read: Vec<Found> = found.extract_if(.., of_key).collect();
            let many = read.len();
            let fresh = read.into_iter().map_while(|(known, verifier)| {
                let shared = state.interner.share(&known, &verifier)?;
                Some(Fresh::new(&known.token, verifier, shared))
            });
            let fresh: Vec<Fresh> = fresh.collect();
            let touched =
                state.drops != self.drops || state.recent.may_have_touched(self.since, key, &fresh);
            if fresh.len() < many || (touched && memory.keeps(Rule::Tag)) {
                counters.raced.add(1);
                if fresh.len() < many || memory.keeps(Rule::Join) {
                    state.again(key);
                } else {
                    state.tell(key, &Ok(fresh.into()));
                }
                self.wanted.pop();
                continue;
            }
            // One that only bcrypt judges would be read again for each value all the same.
            let may_be_kept = fresh.iter().all(|fresh| fresh.kept.fingerprint.is_some());
            if many > 0 && may_be_kept && memory.is_trusted() {
                let copies = fresh.iter().map(|fresh| fresh.kept.clone()).collect();
                let others = state.interner.bytes();
                let evicted = memory.records.add(&mut state.hand, key, copies, others);
                (0..evicted).for_each(|_| counters.evictions.tick(Eviction::Room));
            }
            state.tell(key, &Ok(fresh.into()));
            self.wanted.pop();
        }
        state.interner.tidy();
    }

    /// Tells those who wait that the statement failed. Where it read several and the store
    /// is there, each is read again by itself: one row that can't be read fails no other.
    pub(in crate::coherence) fn fail(mut self, failure: &Failure) {
        let mut state = self.memory.lock();
        let wanted = std::mem::take(&mut self.wanted);
        let apart = wanted.len() > 1 && !failure.is_unavailable();
        for (key, _) in wanted {
            if apart {
                state.apart(key);
            } else {
                state.tell(key, &Err(failure.clone()));
            }
        }
    }
}

impl<H> Drop for Batch<'_, H> {
    fn drop(&mut self) {
        if self.wanted.is_empty() {
            return;
        }
        // It panicked, or its runtime is gone: the task that reads is, too.
        let mut state = self.memory.lock();
        state.readers = state.readers.saturating_sub(1);
        for (key, _) in std::mem::take(&mut self.wanted) {
            state.tell(key, &Err(Failure::Abandoned));
        }
    }
}
