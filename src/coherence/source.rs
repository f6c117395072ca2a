//! What memory needs of a store.

use crate::domain::catalog::Catalog;
use crate::domain::change::{ChangeNumber, Revision, Version};
use crate::domain::foreign::ValueKey;
use crate::domain::ids::{TenantId, TokenId};
use crate::domain::introspection::{Record, Verifier};
use crate::domain::value::Lookup;
use crate::store::{Alone, Error, Followed, Known, Store};

/// The keys that are read at once, at most.
const KEYS: u32 = 20_000;

/// What records are read from, and what log is followed. Each is one look, at one moment.
pub trait Source: Send + Sync + 'static {
    /// What keeps other processes from changing it.
    type Hold: std::fmt::Debug + Send + Sync + 'static;

    /// Keeps other processes from changing it.
    fn hold(&self) -> impl Future<Output = Result<Self::Hold, Error>> + Send;

    /// Asks whether it is still held; an error means that it never is again.
    fn beat(hold: &mut Self::Hold) -> impl Future<Output = Result<(), Error>> + Send;

    /// Reads the log's head.
    fn head(&self) -> impl Future<Output = Result<Revision, Error>> + Send;

    /// Reads the log's head once nothing that was begun can change it any more.
    fn settled_head(&self) -> impl Future<Output = Result<Revision, Error>> + Send;

    /// Returns how many statements may read values at once: what comes meanwhile is read
    /// together.
    fn readers(&self) -> usize;

    /// Reads what is known of some lookups, without catalogs.
    fn by_lookups(
        &self,
        lookups: &[Lookup],
    ) -> impl Future<Output = Result<Vec<(Known, Verifier)>, Error>> + Send;

    /// Reads what is known of imported values of a hint, without catalogs.
    fn by_hint(
        &self,
        hint: &str,
    ) -> impl Future<Output = Result<Vec<(Known, Verifier)>, Error>> + Send;

    /// Reads a tenant's catalog.
    fn catalog(
        &self,
        tenant_id: &TenantId,
    ) -> impl Future<Output = Result<Option<(Version, Catalog)>, Error>> + Send;

    /// Reads all that is known of a lookup.
    fn whole_by_lookup(
        &self,
        lookup: &Lookup,
    ) -> impl Future<Output = Result<(Revision, Vec<(Record, Verifier)>), Error>> + Send;

    /// Reads all that is known of imported values whose hints begin a text.
    fn whole_by_beginning(
        &self,
        beginning: &str,
    ) -> impl Future<Output = Result<(Revision, Vec<(Record, Verifier)>), Error>> + Send;

    /// Reads the changes of at most so many numbers after one, and the head.
    fn changes(
        &self,
        after: ChangeNumber,
        most: u32,
    ) -> impl Future<Output = Result<Followed, Error>> + Send;

    /// Reads the keys of what was created together under a number, from this token on.
    fn created_keys(
        &self,
        tenant_id: &TenantId,
        first: TokenId,
        number: ChangeNumber,
    ) -> impl Future<Output = Result<Vec<ValueKey>, Error>> + Send;

    /// Tells all keys that there are.
    fn each_key(
        &self,
        tell: impl FnMut(&ValueKey) + Send,
    ) -> impl Future<Output = Result<(), Error>> + Send;
}

impl Source for Store {
    type Hold = Alone;

    async fn hold(&self) -> Result<Alone, Error> {
        self.hold_alone().await
    }

    async fn beat(hold: &mut Alone) -> Result<(), Error> {
        hold.beat().await
    }

    async fn head(&self) -> Result<Revision, Error> {
        self.get_head().await
    }

    async fn settled_head(&self) -> Result<Revision, Error> {
        self.begin().await?.lock_head().await
    }

    fn readers(&self) -> usize {
        self.reads_at_once()
    }

    async fn by_lookups(&self, lookups: &[Lookup]) -> Result<Vec<(Known, Verifier)>, Error> {
        Ok(self.find_many(lookups).await?.records)
    }

    async fn by_hint(&self, hint: &str) -> Result<Vec<(Known, Verifier)>, Error> {
        Ok(self.find_many_by_beginning(hint).await?.records)
    }

    async fn catalog(&self, tenant_id: &TenantId) -> Result<Option<(Version, Catalog)>, Error> {
        let stored = self.find_catalog(tenant_id).await?;
        Ok(stored.map(|stored| (stored.version, stored.catalog)))
    }

    async fn whole_by_lookup(
        &self,
        lookup: &Lookup,
    ) -> Result<(Revision, Vec<(Record, Verifier)>), Error> {
        let found = self.find_record_by_lookup(lookup).await?;
        Ok((found.head, found.record.into_iter().collect()))
    }

    async fn whole_by_beginning(
        &self,
        beginning: &str,
    ) -> Result<(Revision, Vec<(Record, Verifier)>), Error> {
        let found = self.find_records_by_beginning(beginning).await?;
        Ok((found.head, found.records))
    }

    async fn changes(&self, after: ChangeNumber, most: u32) -> Result<Followed, Error> {
        self.follow(after, most).await
    }

    async fn created_keys(
        &self,
        tenant_id: &TenantId,
        first: TokenId,
        number: ChangeNumber,
    ) -> Result<Vec<ValueKey>, Error> {
        self.list_created_keys(tenant_id, first, number).await
    }

    async fn each_key(&self, mut tell: impl FnMut(&ValueKey) + Send) -> Result<(), Error> {
        let mut tx = self.snapshot().await?;
        let mut after = None;
        loop {
            let keys = tx.list_keys(after, KEYS).await?;
            let Some((last, _)) = keys.last() else {
                return Ok(());
            };
            after = Some(*last);
            for (_, key) in &keys {
                tell(key);
            }
            // Others have their turn.
            tokio::task::yield_now().await;
        }
    }
}
