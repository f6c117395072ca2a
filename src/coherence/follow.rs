//! Follows the log of changes: a mutation is told to be done once memory has applied it.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::lease::{BEAT, LASTS, since_boot};
use super::memory::Memory;
use super::source::Source;
use super::{Coherence, Failure, PATIENCE};
use crate::domain::change::{Change, ChangeNumber};
use crate::store::{self, Followed};

/// The numbers that are read at once, at most.
const NUMBERS: u32 = 1000;
/// When to try again what the store did not answer.
const AGAIN: Duration = Duration::from_millis(500);

impl<S: Source> Coherence<S> {
    /// Returns the number of the last change that memory has applied; `None` where it is
    /// not used.
    pub fn applied(&self) -> Option<ChangeNumber> {
        self.memory.as_ref().map(Memory::applied)
    }

    /// Waits until memory holds nothing that is older than a committed change. Where the
    /// log can't be read, everything is dropped, which comes to the same.
    pub async fn catch_up(&self, number: ChangeNumber) {
        let Some(memory) = &self.memory else {
            return;
        };
        if memory.applied() >= number {
            return;
        }
        let _one = memory.following.lock().await;
        while memory.applied() < number {
            let fault = match timeout(PATIENCE, self.follow_once(memory)).await {
                Ok(Ok(head)) if head >= number => continue,
                Ok(Ok(_)) => None,
                Ok(Err(error)) => Some(Failure::from(error)),
                Err(_) => Some(Failure::Abandoned),
            };
            // Also a log that ends before what was committed: it is another's.
            tracing::warn!(
                error = fault.as_ref().map(|fault| fault as &dyn std::error::Error),
                "the log of changes can't be followed: answers come from the store"
            );
            memory.distrust(&self.counters);
            return;
        }
    }

    /// Applies what follows the last change that was applied; returns the log's head.
    async fn follow_once(&self, memory: &Memory<S::Hold>) -> Result<ChangeNumber, store::Error> {
        let applied = memory.applied();
        let mut followed = match self.store.changes(applied, NUMBERS).await {
            Ok(followed) => followed,
            // A change of a kind that is not known here may have altered anything.
            Err(store::Error::Corrupt { .. }) => Followed {
                head: self.store.head().await?,
                changes: Vec::new(),
            },
            Err(error) => return Err(error),
        };
        for logged in &mut followed.changes {
            if let Change::TokensCreated(tenant_id, first) = &logged.change {
                let keys = self.store.created_keys(tenant_id, *first, logged.number);
                logged.keys = keys.await?;
            }
        }
        let most = ChangeNumber(applied.0 + i64::from(NUMBERS));
        let upto = followed.head.number.min(most);
        memory.apply(&followed.changes, upto, &self.counters);
        Ok(followed.head.number)
    }

    /// Drops everything, as a change may have been committed of which nobody knows the
    /// number.
    pub fn doubt(&self) {
        if let Some(memory) = &self.memory {
            memory.distrust(&self.counters);
        }
    }

    /// Keeps memory in use as long as the process runs: loads which values there are, asks
    /// whether the store is held alone, and begins anew after everything was dropped.
    pub async fn keep(self: Arc<Self>) {
        let Some(memory) = &self.memory else {
            return std::future::pending().await;
        };
        let mut told = false;
        loop {
            if memory.lease.is_given_up() {
                return std::future::pending().await;
            }
            let failure = match self.begin(memory).await {
                Ok(()) => {
                    told = false;
                    self.hold_on(memory).await.err()
                }
                Err(failure) => Some(failure),
            };
            let Some(failure) = failure else {
                continue;
            };
            if memory.lease.is_given_up() {
                continue;
            }
            memory.distrust(&self.counters);
            if failure.is_anothers() {
                // It must not go on to write what the other has in memory.
                tracing::error!(
                    error = &failure as &dyn std::error::Error,
                    "another process has taken the database: this one ends"
                );
                return;
            }
            // What stays wrong is told once.
            if !std::mem::replace(&mut told, true) {
                tracing::warn!(
                    error = &failure as &dyn std::error::Error,
                    "memory can't be used: answers come from the database"
                );
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Lasts until memory was dropped, or may have to be. Meanwhile it loads which values
    /// there are, and asks again and again whether the store is held, and for its log.
    async fn hold_on(&self, memory: &Memory<S::Hold>) -> Result<(), Failure> {
        let mut loading = pin!(async {
            if !memory.filter.is_complete() {
                self.load(memory).await?;
            }
            std::future::pending::<Result<(), Failure>>().await
        });
        loop {
            let beat = async {
                if memory.lease.may_end() {
                    tokio::time::sleep(BEAT).await;
                } else {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                () = memory.dropped.notified() => return Ok(()),
                failed = &mut loading => return failed,
                () = beat => {
                    self.beat(memory).await.inspect_err(|_| memory.lease.end())?;
                    let head = timeout(PATIENCE, self.store.head()).await;
                    let head = head.map_err(|_| Failure::Abandoned)??;
                    self.catch_up(head.number).await;
                }
            }
        }
    }

    /// Asks whether the store is still held, or holds it anew.
    async fn beat(&self, memory: &Memory<S::Hold>) -> Result<(), store::Error> {
        let mut place = memory.lease.hold.lock().await;
        if memory.lease.is_given_up() {
            return Ok(());
        }
        let asked = since_boot();
        // Gone, should this not come to its end.
        let mut hold = if let Some(hold) = place.take() {
            hold
        } else {
            // Another may have changed what is in memory, and may not know yet that it does
            // not hold the store any more.
            memory.distrust(&self.counters);
            let hold = self.store.hold().await?;
            tokio::time::sleep(LASTS).await;
            hold
        };
        S::beat(&mut hold).await?;
        *place = Some(hold);
        memory.lease.renew(asked);
        Ok(())
    }

    async fn begin(&self, memory: &Memory<S::Hold>) -> Result<(), Failure> {
        if memory.lease.may_end() && !memory.lease.lasts() {
            self.beat(memory).await?;
        }
        if !memory.is_trusted() {
            let _one = memory.following.lock().await;
            // Not the last that is seen: a commit of unknown outcome may be under way.
            let head = self.store.settled_head().await?;
            memory.trust(head.number, &self.counters);
        }
        Ok(())
    }

    /// Loads which values there are, in one snapshot. What is created later is added as
    /// the log is followed; both begin before this does.
    async fn load(&self, memory: &Memory<S::Hold>) -> Result<(), Failure> {
        let drops = memory.drops();
        let each = self.store.each_key(|key| memory.add_to_filter(key));
        each.await?;
        memory.complete_filter(drops);
        Ok(())
    }
}
