//! Reading and verifying the audit log.

use tokio::sync::{Semaphore, SemaphorePermit};

use super::access::{self, Rpc};
use super::{Authority, Call, Error, named_tenant};
use crate::domain::audit::{Anchor, Head, Proof, Row, Sequence, Verdict};
use crate::domain::ids::TenantId;
use crate::domain::reason::{Missing, Violations};
use crate::domain::scope::Permission;
use crate::domain::time::Timestamp;
use crate::store::{EventFilter, Page, Position, Tx};

/// The bytes of events on a page, about: clients refuse answers of more than 4 MiB.
const PAGE_BYTES: usize = 2 * 1024 * 1024;
/// The events that are read at once.
const STRIDE: u32 = 50;
/// The calls that read a log at once, at most; the others wait. Each holds a connection
/// for as long as it goes on, which introspections want, too.
const AT_ONCE: usize = 3;

/// The places of these calls.
#[derive(Debug)]
pub(super) struct Readers(Semaphore);

impl Default for Readers {
    fn default() -> Self {
        Self(Semaphore::new(AT_ONCE))
    }
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct ListAuditEvents {
    /// The tenant, or `active`.
    pub tenant_id: String,
    /// How many at most.
    pub page_size: u32,
    /// Where to go on.
    pub after: Option<Position<Sequence>>,
    /// Which events.
    pub filter: EventFilter,
    /// What was wrong already on the wire.
    pub violations: Violations,
}

/// What going through a chain came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The first thing that is wrong, if any.
    pub verdict: Result<(), Verdict>,
    /// The chain's head.
    pub head: Head,
    /// The first event that is still there.
    pub first: Option<i64>,
}

impl Authority {
    /// Lists a tenant's audit events, newest first.
    pub async fn list_audit_events(
        &self,
        call: Call,
        command: ListAuditEvents,
    ) -> Result<Page<Row, Sequence>, Error> {
        let tenant_id = named_tenant(&call.caller, &command.tenant_id)?;
        let (mut tx, _place) = self
            .look_back(&call, Rpc::ListAuditEvents, &tenant_id)
            .await?;
        if !command.violations.is_empty() {
            return Err(command.violations.into());
        }
        let mut before = command.after.map_or(i64::MAX, |after| after.id.0);
        let size = usize::try_from(command.page_size).unwrap_or(usize::MAX);
        let (mut items, mut bytes) = (Vec::<Row>::new(), 0);
        // A few at a time: events may be long, and no more is held than a page of them.
        let more = 'page: loop {
            let rows = tx
                .list_audit_events(&tenant_id, &command.filter, before, STRIDE)
                .await?;
            let last = rows.len() < usize::try_from(STRIDE).unwrap_or(usize::MAX);
            for row in rows {
                // At least one, however long it is.
                let full = !items.is_empty() && bytes + row.event.len() > PAGE_BYTES;
                if items.len() == size || full {
                    break 'page true;
                }
                (before, bytes) = (row.sequence, bytes + row.event.len());
                items.push(row);
            }
            if last {
                break false;
            }
        };
        let next = items.last().filter(|_| more).map(|last| Position {
            created_at: Timestamp::from_millis(last.created_at).unwrap_or(Timestamp::MAX),
            id: Sequence(last.sequence),
        });
        Ok(Page { items, next })
    }

    /// Goes through a tenant's whole chain, in one snapshot.
    pub async fn verify_audit_log(
        &self,
        call: Call,
        tenant_id: &str,
        anchor: Option<Anchor>,
        violations: Violations,
    ) -> Result<Verified, Error> {
        let tenant_id = named_tenant(&call.caller, tenant_id)?;
        let (mut tx, _place) = self
            .look_back(&call, Rpc::VerifyAuditLog, &tenant_id)
            .await?;
        if !violations.is_empty() {
            return Err(violations.into());
        }
        go_through(&mut tx, &tenant_id, anchor).await
    }

    /// Opens a snapshot to look at what a tenant's log says: for operators, of a tenant
    /// that is deleted, too.
    async fn look_back(
        &self,
        call: &Call,
        rpc: Rpc,
        tenant_id: &TenantId,
    ) -> Result<(Tx, SemaphorePermit<'_>), Error> {
        access::may(rpc, &call.caller, Some(tenant_id))?;
        // It fails for a closed semaphore alone, and this one is never closed.
        let place = self.readers.0.acquire().await.map_err(Error::internal)?;
        let mut tx = self.store.snapshot().await?;
        let there = tx.find_tenant(tenant_id).await?.is_some()
            || (call.caller.has(Permission::Operator) && tx.was_tenant(tenant_id).await?);
        if there {
            Ok((tx, place))
        } else {
            Err(Error::NotFound(Missing::Tenant))
        }
    }
}

/// Goes through a whole chain.
pub(super) async fn go_through(
    tx: &mut Tx,
    tenant_id: &TenantId,
    anchor: Option<Anchor>,
) -> Result<Verified, Error> {
    let head = tx.get_audit_head(tenant_id).await?;
    let checkpoint = tx.find_audit_checkpoint(tenant_id).await?;
    let mut proof = Proof::begin(tenant_id.to_string(), head, checkpoint, anchor);
    let (mut first, mut after) = (None, i64::MIN);
    loop {
        let rows = tx.list_audit_rows(tenant_id, after, STRIDE).await?;
        let Some(last) = rows.last() else {
            break;
        };
        after = last.sequence;
        first = first.or(rows.first().map(|row| row.sequence));
        for row in &rows {
            if let Err(verdict) = proof.next(row) {
                return Ok(Verified {
                    verdict: Err(verdict),
                    head,
                    first,
                });
            }
        }
        // Hashing takes a while: others have their turn.
        tokio::task::yield_now().await;
    }
    Ok(Verified {
        verdict: proof.end(),
        head,
        first,
    })
}
