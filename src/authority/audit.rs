//! Reading and verifying the audit log.

use super::access::{self, Rpc};
use super::{Authority, Call, Error, named_tenant};
use crate::domain::audit::{Anchor, Head, Proof, Row, Sequence, Verdict};
use crate::domain::ids::TenantId;
use crate::domain::reason::{Missing, Violations};
use crate::domain::scope::Permission;
use crate::store::{EventFilter, Page, Position, Tx};

/// The bytes of events on a page, about: clients refuse answers of more than 4 MiB.
const PAGE_BYTES: usize = 2 * 1024 * 1024;
/// The events that are read at once on the way through a chain.
const STRIDE: u32 = 500;

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
        let mut tx = self
            .look_back(&call, Rpc::ListAuditEvents, &tenant_id)
            .await?;
        if !command.violations.is_empty() {
            return Err(command.violations.into());
        }
        let before = command.after.map_or(i64::MAX, |after| after.id.0);
        let size = usize::try_from(command.page_size).unwrap_or(usize::MAX);
        let rows = tx
            .list_audit_events(
                &tenant_id,
                &command.filter,
                before,
                command.page_size.saturating_add(1),
            )
            .await?;
        let total = rows.len();
        let mut bytes = 0;
        let items: Vec<Row> = rows
            .into_iter()
            .take(size)
            .take_while(|row| {
                // At least one, however long it is.
                let fits = bytes == 0 || bytes + row.event.len() <= PAGE_BYTES;
                bytes += row.event.len().max(1);
                fits
            })
            .collect();
        let more = items.len() < total;
        let next = items.last().filter(|_| more).map(|last| Position {
            created_at: last.created_at,
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
        let mut tx = self
            .look_back(&call, Rpc::VerifyAuditLog, &tenant_id)
            .await?;
        if !violations.is_empty() {
            return Err(violations.into());
        }
        let head = tx.get_audit_head(&tenant_id).await?;
        let checkpoint = tx.find_audit_checkpoint(&tenant_id).await?;
        let mut proof = Proof::begin(tenant_id.to_string(), head, checkpoint, anchor);
        let (mut first, mut after) = (None, 0);
        loop {
            let rows = tx.list_audit_rows(&tenant_id, after, STRIDE).await?;
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

    /// Opens a snapshot to look at what a tenant's log says: for operators, of a tenant
    /// that is deleted, too.
    async fn look_back(&self, call: &Call, rpc: Rpc, tenant_id: &TenantId) -> Result<Tx, Error> {
        access::may(rpc, &call.caller, Some(tenant_id))?;
        let mut tx = self.store.snapshot().await?;
        let there = tx.find_tenant(tenant_id).await?.is_some()
            || (call.caller.has(Permission::Operator) && tx.was_tenant(tenant_id).await?);
        if there {
            Ok(tx)
        } else {
            Err(Error::NotFound(Missing::Tenant))
        }
    }
}
