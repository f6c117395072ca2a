//! Answers from memory that are never stale: what is known of a presented value is kept,
//! and the log of changes is followed before a change is told to be done. Knows no use
//! case and decides nothing about tokens.
//!
//! A record is looked up without a lock. What is not there is read, several values in one
//! statement, by tasks of their own: who waits for them may go at any time. What a change
//! may have touched while it was read goes to nobody, and is read again.

mod counters;
mod filter;
mod follow;
mod intern;
mod kept;
mod key;
mod lease;
mod memory;
#[cfg(test)]
mod model;
mod recent;
mod records;
mod source;
mod standing;

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument as _;

pub use self::counters::{Counters, Eviction, Recall};
pub use self::kept::{Fresh, Grant, Kept, Owner, Tenant};
pub use self::lease::LASTS;
use self::lease::Lease;
use self::memory::{Batch, Memory, Told};
use self::records::Capacity;
pub use self::source::Source;
pub use self::standing::Standing;
use crate::domain::change::{ChangeNumber, Revision};
use crate::domain::foreign::{AnyValue, ForeignValue, ValueKey};
use crate::domain::introspection::Record;
use crate::store::{self, Alone, Store};

/// How long a read of values or of the log may take. Over a network that has gone silent the
/// driver waits far longer, and with it whoever asks for the same after the silence.
const PATIENCE: Duration = Duration::from_secs(5);

/// How much memory may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The bytes, about.
    pub bytes: usize,
    /// The values, if their number is bounded, too.
    pub records: Option<usize>,
}

/// What memory needs to be used at all.
#[derive(Debug)]
pub struct Allowance {
    /// How much it may take; nothing where it is not to be used all the same.
    pub settings: Option<Settings>,
    /// What keeps other processes from changing what it holds.
    pub alone: Alone,
}

/// Why what is known of a value could not be read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Failure {
    /// The store failed.
    #[error("{0}")]
    Store(#[source] Arc<store::Error>),
    /// The task that read ended before it had.
    #[error("a read was abandoned")]
    Abandoned,
    /// Change upon change touched it.
    #[error("a read raced with too many changes")]
    Contended,
}

impl Failure {
    /// Returns whether it may be asked again.
    pub fn is_unavailable(&self) -> bool {
        match self {
            Self::Store(error) => matches!(**error, store::Error::Unavailable(_)),
            Self::Abandoned | Self::Contended => true,
        }
    }

    /// Returns whether another process holds the store alone.
    fn is_anothers(&self) -> bool {
        match self {
            Self::Store(error) => matches!(**error, store::Error::Held(_)),
            Self::Abandoned | Self::Contended => false,
        }
    }
}

impl From<store::Error> for Failure {
    fn from(error: store::Error) -> Self {
        Self::Store(Arc::new(error))
    }
}

/// How much is in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// The values whose records are there.
    pub records: usize,
    /// The bytes of all, about.
    pub bytes: usize,
    /// The bytes that there may be.
    pub most: usize,
    /// The values that are known to exist.
    pub known: usize,
    /// Whether all that exist are known.
    pub complete: bool,
}

/// What is known of presented values: from memory, where that may be used, else from the
/// store.
#[derive(Debug)]
pub struct Coherence<S: Source = Store> {
    store: Arc<S>,
    /// Where the store is waited for: its connections stay with the runtime that made them.
    runtime: Handle,
    memory: Option<Memory<S::Hold>>,
    /// What keeps other processes away where memory is not used.
    kept_away: tokio::sync::Mutex<Option<S::Hold>>,
    counters: Counters,
}

/// What was read, and of when it is.
pub type Read = (ChangeNumber, Arc<[Fresh]>);

impl Coherence {
    /// Starts to follow a store whose head was read just now, and that was held alone
    /// before. Without an allowance, memory is not used.
    pub fn start(store: Arc<Store>, head: ChangeNumber, allowance: Option<Allowance>) -> Self {
        let Some(Allowance { settings, alone }) = allowance else {
            return Self::with(store, None);
        };
        let Some(settings) = settings else {
            return Self {
                kept_away: Some(alone).into(),
                ..Self::with(store, None)
            };
        };
        let memory = {
            let capacity = Capacity {
                bytes: settings.bytes,
                records: settings.records.unwrap_or(usize::MAX),
            };
            let may_end = alone.may_end();
            // Until its first beat it is not known since when it is held.
            let lease = Lease::new(alone, may_end, Duration::ZERO);
            Memory::new(capacity, head, lease)
        };
        Self::with(store, Some(memory))
    }

    /// Gives the store up, for other processes to hold.
    pub async fn release(&self) {
        if let Some(alone) = self.kept_away.lock().await.take() {
            alone.release().await;
        }
        if let Some(memory) = &self.memory {
            memory.lease.give_up();
            if let Some(alone) = memory.lease.hold.lock().await.take() {
                alone.release().await;
            }
        }
    }
}

impl<S: Source> Coherence<S> {
    fn with(store: Arc<S>, memory: Option<Memory<S::Hold>>) -> Self {
        Self {
            store,
            runtime: Handle::current(),
            memory,
            kept_away: None.into(),
            counters: Counters::default(),
        }
    }

    /// Returns what is counted.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Returns how much is in memory; `None` where it is not used.
    pub fn size(&self) -> Option<Size> {
        let memory = self.memory.as_ref()?;
        Some(Size {
            records: memory.records.len(),
            bytes: memory.bytes(),
            most: memory.records.capacity().bytes,
            known: memory.filter.len(),
            complete: memory.filter.is_complete(),
        })
    }

    /// Returns what `look` makes of what memory says of a value, at once: as of which
    /// change, and the records whose value it may be, of which there are none where nobody
    /// was given it. `None` where memory says nothing.
    pub fn recall<R>(
        &self,
        value: &AnyValue,
        look: impl FnOnce(ChangeNumber, &[Kept]) -> R,
    ) -> Option<R> {
        let memory = self.memory.as_ref()?;
        // Before anything is looked up: what is dropped meanwhile was true when this began.
        if !memory.is_trusted() {
            return None;
        }
        let applied = memory.applied();
        let recalls = self.counters.recalls.mine();
        let key = match value {
            AnyValue::Native(value) => key::Digests::lookup(value.lookup()),
            AnyValue::Foreign(value) => {
                let mut hints = memory.hints_of(value)?;
                match (hints.pop(), hints.is_empty()) {
                    (None, _) => {
                        recalls.tick(Recall::Unknown);
                        return Some(look(applied, &[]));
                    }
                    (Some(only), true) => memory.digests.of(&only),
                    // Several tenants' hints begin it: seldom enough.
                    (Some(_), false) => return None,
                }
            }
        };
        let mut look = Some(look);
        let found = memory
            .records
            .look(key, |kept| look.take().map(|look| look(applied, kept)));
        if let Some(made) = found.flatten() {
            recalls.tick(Recall::Kept);
            return Some(made);
        }
        if memory.filter.may_have(memory.digests.digest(key)) {
            return None;
        }
        recalls.tick(Recall::Unknown);
        look.map(|look| look(applied, &[]))
    }

    /// Reads what is known of a value from the store: the records whose value it may be,
    /// and as of which change at least.
    pub async fn read(self: &Arc<Self>, value: &AnyValue) -> Result<Read, Failure> {
        self.counters.recalls.mine().tick(Recall::Read);
        let memory = self.memory.as_ref().filter(|memory| memory.is_trusted());
        let Some(memory) = memory else {
            return self.read_apart(value).await;
        };
        let since = memory.applied();
        let Some(wanted) = memory.keys_of(value) else {
            return self.read_apart(value).await;
        };
        let mut told = Vec::with_capacity(wanted.len());
        for wanted in wanted {
            match self.want(memory, &wanted).await {
                Ok(kept) => told.push(kept),
                Err(Failure::Contended) => return self.read_apart(value).await,
                Err(failure) => return Err(failure),
            }
        }
        let kept = match (told.pop(), told.is_empty()) {
            (None, _) => Arc::default(),
            (Some(only), true) => only,
            // Each hint's are asked for together, as one statement would find them.
            (Some(_), false) => return self.read_apart(value).await,
        };
        Ok((since, kept))
    }

    /// Reads a value by a statement of its own, and keeps nothing.
    async fn read_apart(&self, value: &AnyValue) -> Result<Read, Failure> {
        let (store, value) = (Arc::clone(&self.store), value.clone());
        let read = self.aside(async move {
            match &value {
                AnyValue::Native(value) => store.whole_by_lookup(value.lookup()).await,
                AnyValue::Foreign(value) => store.whole_by_beginning(value.beginning()).await,
            }
        });
        let (head, records) = read.await??;
        let kept = records.into_iter().map(|(record, verifier)| {
            let Record {
                token,
                tenant,
                catalog,
            } = record;
            let shared = intern::alone(&token, &verifier, tenant, catalog);
            Fresh::new(&token, verifier, shared)
        });
        Ok((head.number, kept.collect()))
    }

    /// Has a value read, with those that others want meanwhile.
    async fn want(self: &Arc<Self>, memory: &Memory<S::Hold>, wanted: &ValueKey) -> Told {
        let (tell, told) = oneshot::channel();
        if memory.want(wanted, tell, self.store.readers(), &self.counters) {
            let reading = Arc::clone(self);
            // In the trace of who asked first; who joins finds nothing of it in its own.
            let reading = async move { reading.read_wanted().await };
            self.runtime.spawn(reading.in_current_span());
        }
        told.await.unwrap_or(Err(Failure::Abandoned))
    }

    /// Reads what is wanted until nothing is.
    async fn read_wanted(&self) {
        let Some(memory) = &self.memory else {
            return;
        };
        while let Some(batch) = memory.next() {
            self.counters.reads.add(1);
            match timeout(PATIENCE, self.read_batch(memory, &batch)).await {
                Ok(Ok((found, catalogs))) => batch.land(found, catalogs, &self.counters),
                Ok(Err(error)) => batch.fail(&error.into()),
                Err(_) => batch.fail(&Failure::Abandoned),
            }
        }
    }

    async fn read_batch(
        &self,
        memory: &Memory<S::Hold>,
        batch: &Batch<'_, S::Hold>,
    ) -> Result<(Vec<memory::Found>, Vec<memory::ReadCatalog>), store::Error> {
        let lookups = batch.wanted.iter().filter_map(|(_, wanted)| match wanted {
            ValueKey::Lookup(lookup) => Some(lookup.clone()),
            ValueKey::Hint(_) => None,
        });
        let lookups: Vec<_> = lookups.collect();
        let found = match batch.wanted.first() {
            Some((_, ValueKey::Hint(hint))) => self.store.by_hint(hint).await?,
            _ => self.store.by_lookups(&lookups).await?,
        };
        let mut catalogs = Vec::new();
        for tenant_id in memory.unknown_catalogs(&found) {
            if let Some((version, catalog)) = self.store.catalog(&tenant_id).await? {
                catalogs.push((tenant_id, version, catalog));
            }
        }
        Ok((found, catalogs))
    }

    /// Asks the store for its head.
    pub async fn head(&self) -> Result<Revision, Failure> {
        let store = Arc::clone(&self.store);
        let head = self.aside(async move { store.head().await });
        Ok(head.await??)
    }

    /// Waits for the store where its connections are.
    async fn aside<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Failure> {
        if Handle::try_current().is_ok_and(|here| here.id() == self.runtime.id()) {
            return Ok(work.await);
        }
        // Who goes has nobody wait for it.
        let done = self.runtime.spawn(work.in_current_span());
        let done = AbortOnDropHandle::new(done).await;
        done.map_err(|_| Failure::Abandoned)
    }

    /// Forgets a value, so that it is read anew.
    pub fn forget(&self, value: &AnyValue) {
        let Some(memory) = &self.memory else {
            return;
        };
        for key in memory.keys_of(value).unwrap_or_default() {
            memory.forget(&key);
        }
    }
}

impl<H> Memory<H> {
    /// Returns what a value may be found by; `None` before all hints are known.
    fn keys_of(&self, value: &AnyValue) -> Option<Vec<ValueKey>> {
        match value {
            AnyValue::Native(value) => Some(vec![ValueKey::Lookup(value.lookup().clone())]),
            AnyValue::Foreign(value) => self.hints_of(value),
        }
    }

    /// Returns the hints that a foreign value may be found by; `None` before all are known.
    fn hints_of(&self, value: &ForeignValue) -> Option<Vec<ValueKey>> {
        if !self.filter.is_complete() {
            return None;
        }
        let beginning = value.beginning();
        let hints = self.filter.hint_lengths().filter_map(|length| {
            let hint = beginning.get(..length)?;
            let digest = self.digests.digest(self.digests.hint(hint));
            let known = self.filter.may_have(digest);
            known.then(|| ValueKey::Hint(hint.to_owned()))
        });
        Some(hints.collect())
    }
}
