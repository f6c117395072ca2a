//! What is in memory, and how it stays true: records are added and changes are applied
//! under one lock; who looks a record up takes none.

mod landing;

use std::collections::{HashMap, VecDeque};
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};

pub(super) use self::landing::Batch;
use super::Failure;
use super::counters::{Counters, Eviction};
use super::filter::Filter;
use super::intern::Interner;
use super::kept::Fresh;
use super::key::{Digests, Key};
use super::lease::Lease;
use super::recent::{Recent, Touch};
use super::records::{Capacity, Hand, Records};
use crate::domain::catalog::Catalog;
use crate::domain::change::{Change, ChangeNumber, Version};
use crate::domain::foreign::ValueKey;
use crate::domain::ids::TenantId;
use crate::domain::introspection::Verifier;
use crate::store::{Known, Logged};

/// The values that are read in one statement, at most.
const BATCH: usize = 16;
/// How often what raced with a change is read again before its callers read for themselves.
const ROUNDS: u32 = 16;

/// What the store knows of a value.
pub(super) type Found = (Known, Verifier);

/// What is told to who waits for a read.
pub(super) type Told = Result<Arc<[Fresh]>, Failure>;

/// What is in memory.
#[derive(Debug)]
pub(super) struct Memory<H> {
    pub(super) records: Records,
    pub(super) filter: Filter,
    pub(super) digests: Digests,
    /// Until when no other process changes what it holds.
    pub(super) lease: Lease<H>,
    /// Whether answers may come from it.
    trusted: AtomicBool,
    /// The number of the last change that was applied.
    applied: AtomicI64,
    /// How often a change may have touched a tenant, from 1 on.
    turn: AtomicU64,
    state: Mutex<State>,
    /// Held by who follows the log.
    pub(super) following: tokio::sync::Mutex<()>,
    /// Told when it was dropped.
    pub(super) dropped: Notify,
    /// The rule that a test breaks, to show that it sees what that prevents.
    #[cfg(test)]
    pub(super) broken: Option<Rule>,
}

/// What keeps a read that raced with a change, or came before one, from being answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// It goes to nobody: neither into memory nor to who waits for it.
    Tag,
    /// It does not go to who waits for it, who may have come after the change.
    Join,
    /// A change of a tenant ends what is remembered of whether it stands.
    Turn,
}

/// What only who reads and who follows have.
#[derive(Debug)]
struct State {
    interner: Interner,
    recent: Recent,
    hand: Hand,
    /// What is read or is to be, and who waits for it.
    flights: HashMap<Key, Flight>,
    /// Of that, what is to be read.
    queue: VecDeque<Key>,
    /// How many tasks read.
    readers: usize,
    /// How often all was dropped.
    drops: u64,
}

#[derive(Debug)]
struct Flight {
    wanted: ValueKey,
    waiting: Vec<oneshot::Sender<Told>>,
    rounds: u32,
    /// Whether it is read by itself, as a statement that read several failed.
    alone: bool,
}

/// A tenant's catalog that was read because none of its version was known.
pub(super) type ReadCatalog = (TenantId, Version, Catalog);

impl<H> Memory<H> {
    /// Returns an empty memory of a store whose head was read just now.
    pub(super) fn new(capacity: Capacity, head: ChangeNumber, lease: Lease<H>) -> Self {
        Self {
            records: Records::new(capacity),
            filter: Filter::default(),
            digests: Digests::default(),
            lease,
            trusted: AtomicBool::new(true),
            applied: AtomicI64::new(head.0),
            turn: AtomicU64::new(1),
            state: Mutex::new(State {
                interner: Interner::default(),
                recent: Recent::after(head),
                hand: Hand::default(),
                flights: HashMap::new(),
                queue: VecDeque::new(),
                readers: 0,
                drops: 0,
            }),
            following: tokio::sync::Mutex::new(()),
            dropped: Notify::new(),
            #[cfg(test)]
            broken: None,
        }
    }

    #[cfg(test)]
    fn keeps(&self, rule: Rule) -> bool {
        self.broken != Some(rule)
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "tests break rules")]
    fn keeps(&self, _: Rule) -> bool {
        true
    }

    fn lock(&self) -> Held<'_, H> {
        Held {
            // Where a panic left it half done, nothing is trusted until all is dropped.
            state: self.state.lock().unwrap_or_else(PoisonError::into_inner),
            memory: self,
        }
    }

    /// Returns whether answers may come from it.
    pub(super) fn is_trusted(&self) -> bool {
        self.trusted.load(Ordering::Acquire) && self.lease.lasts()
    }

    /// Returns the number of the last change that was applied.
    pub(super) fn applied(&self) -> ChangeNumber {
        ChangeNumber(self.applied.load(Ordering::Acquire))
    }

    /// Returns how often a change may have touched a tenant.
    pub(super) fn turn(&self) -> u64 {
        self.turn.load(Ordering::Acquire)
    }

    /// Returns the bytes that all of it takes, about.
    pub(super) fn bytes(&self) -> usize {
        self.records.bytes() + self.lock().interner.bytes() + self.filter.bytes()
    }

    /// Joins who waits for a value to be read, or has it read; returns whether another
    /// task is to read.
    pub(super) fn want(
        &self,
        wanted: &ValueKey,
        tell: oneshot::Sender<Told>,
        most: usize,
        counters: &Counters,
    ) -> bool {
        let key = self.digests.of(wanted);
        let mut state = self.lock();
        if let Some(flight) = state.flights.get_mut(&key) {
            flight.waiting.push(tell);
            counters.joined.add(1);
            return false;
        }
        let flight = Flight {
            wanted: wanted.clone(),
            waiting: vec![tell],
            rounds: 0,
            alone: false,
        };
        state.flights.insert(key, flight);
        state.queue.push_back(key);
        let more = state.readers < most;
        if more {
            state.readers += 1;
        }
        more
    }

    /// Takes what is to be read next; without anything, the task that reads is done.
    pub(super) fn next(&self) -> Option<Batch<'_, H>> {
        let mut state = self.lock();
        let mut wanted = Vec::new();
        while wanted.len() < BATCH {
            let Some(key) = state.queue.pop_front() else {
                break;
            };
            let Some(flight) = state.flights.get(&key) else {
                continue;
            };
            let by_itself = flight.alone || matches!(flight.wanted, ValueKey::Hint(_));
            if by_itself && !wanted.is_empty() {
                state.queue.push_front(key);
                break;
            }
            wanted.push((key, flight.wanted.clone()));
            if by_itself {
                break;
            }
        }
        if wanted.is_empty() {
            state.readers -= 1;
            return None;
        }
        Some(Batch {
            memory: self,
            // What is applied from now on races with the read.
            since: self.applied(),
            drops: state.drops,
            wanted,
        })
    }

    /// Returns which tenants of what was read are not known with that catalog.
    pub(super) fn unknown_catalogs(&self, found: &[Found]) -> Vec<TenantId> {
        let state = self.lock();
        let mut unknown: Vec<TenantId> = Vec::new();
        for (known, _) in found {
            let tenant_id = &known.token.tenant_id;
            if !state.interner.has(tenant_id, known.catalog) && !unknown.contains(tenant_id) {
                unknown.push(tenant_id.clone());
            }
        }
        unknown
    }

    /// Applies what the log says up to a number: afterwards nothing in memory is older.
    /// Drops everything where numbers are missing.
    pub(super) fn apply(&self, changes: &[Logged], upto: ChangeNumber, counters: &Counters) {
        let mut state = self.lock();
        let mut last = self.applied();
        for logged in changes {
            let next = ChangeNumber(last.0 + 1);
            if logged.number != last && logged.number != next || logged.number > upto {
                self.drop_in(&mut state, upto, counters);
                return;
            }
            last = logged.number;
            self.apply_one(&mut state, logged, counters);
        }
        if last != upto {
            self.drop_in(&mut state, upto, counters);
            return;
        }
        counters
            .applied
            .add(u64::try_from(changes.len()).unwrap_or_default());
        self.applied.store(upto.0, Ordering::Release);
    }

    fn apply_one(&self, state: &mut State, logged: &Logged, counters: &Counters) {
        for wanted in &logged.keys {
            let key = self.digests.of(wanted);
            state.recent.add(logged.number, Touch::Key(key));
            self.add_to_filter(wanted);
            if self.records.remove(key) {
                counters.evictions.tick(Eviction::Change);
            }
        }
        state.recent.add(logged.number, Touch::of(&logged.change));
        let of_tenant = matches!(logged.change, Change::TenantChanged(_));
        if of_tenant && self.keeps(Rule::Turn) {
            self.turn.fetch_add(1, Ordering::AcqRel);
        }
        match &logged.change {
            Change::TokenCreated(..) | Change::TokenChanged(..) => {}
            Change::UserChanged(user_id) => state.interner.forget_user(*user_id),
            Change::MemberChanged(tenant_id, user_id) => {
                state.interner.forget_member(tenant_id, *user_id);
            }
            Change::TokensCreated(tenant_id, _)
            | Change::TenantChanged(tenant_id)
            | Change::CatalogChanged(tenant_id) => state.interner.forget_tenant(tenant_id),
        }
    }

    /// Forgets a value's records, so that they are read anew.
    pub(super) fn forget(&self, wanted: &ValueKey) {
        let _state = self.lock();
        self.records.remove(self.digests.of(wanted));
    }

    /// Notes that there is a value.
    pub(super) fn add_to_filter(&self, key: &ValueKey) {
        if let ValueKey::Hint(hint) = key {
            self.filter.add_hint_length(hint.len());
        }
        self.filter.add(self.digests.digest(self.digests.of(key)));
    }

    /// Says that the filter has all keys, unless memory was dropped since `drops`.
    pub(super) fn complete_filter(&self, drops: u64) {
        let state = self.lock();
        if state.drops == drops {
            self.filter.complete();
        }
    }

    /// Returns how often all was dropped.
    pub(super) fn drops(&self) -> u64 {
        self.lock().drops
    }

    /// Drops everything, and answers from memory no more until it is trusted again.
    pub(super) fn distrust(&self, counters: &Counters) {
        self.trusted.store(false, Ordering::Release);
        let applied = self.applied();
        self.drop_in(&mut self.lock(), applied, counters);
    }

    /// Answers from memory again, as of a head that was read just now. Held is what keeps
    /// others from following meanwhile.
    pub(super) fn trust(&self, head: ChangeNumber, counters: &Counters) {
        let mut state = self.lock();
        self.drop_in(&mut state, head, counters);
        self.trusted.store(true, Ordering::Release);
    }

    fn drop_in(&self, state: &mut State, applied: ChangeNumber, counters: &Counters) {
        state.drops += 1;
        state.interner.forget_all();
        state.recent = Recent::after(applied);
        self.records.clear(&mut state.hand);
        self.filter.clear();
        self.turn.fetch_add(1, Ordering::AcqRel);
        self.applied.store(applied.0, Ordering::Release);
        counters.dropped.add(1);
        self.dropped.notify_one();
    }
}

/// The lock.
struct Held<'a, H> {
    state: MutexGuard<'a, State>,
    memory: &'a Memory<H>,
}

impl<H> Deref for Held<'_, H> {
    type Target = State;

    fn deref(&self) -> &State {
        &self.state
    }
}

impl<H> DerefMut for Held<'_, H> {
    fn deref_mut(&mut self) -> &mut State {
        &mut self.state
    }
}

impl<H> Drop for Held<'_, H> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.memory.trusted.store(false, Ordering::Release);
            self.memory.dropped.notify_one();
        }
    }
}

impl State {
    /// Tells those who wait for a key, and forgets them.
    fn tell(&mut self, key: Key, told: &Told) {
        for waiting in self
            .flights
            .remove(&key)
            .into_iter()
            .flat_map(|f| f.waiting)
        {
            // Who is gone needs nothing.
            let _ = waiting.send(told.clone());
        }
    }

    /// Has a key read again, unless that was done often enough.
    fn again(&mut self, key: Key) {
        let Some(flight) = self.flights.get_mut(&key) else {
            return;
        };
        flight.rounds += 1;
        flight.waiting.retain(|waiting| !waiting.is_closed());
        if flight.waiting.is_empty() {
            self.flights.remove(&key);
        } else if flight.rounds > ROUNDS {
            self.tell(key, &Err(Failure::Contended));
        } else {
            self.queue.push_back(key);
        }
    }

    /// Has a key read again by itself.
    fn apart(&mut self, key: Key) {
        if let Some(flight) = self.flights.get_mut(&key) {
            flight.alone = true;
            self.queue.push_back(key);
        }
    }
}
