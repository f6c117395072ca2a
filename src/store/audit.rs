//! The audit log: a chain of hashed events for each tenant.

use super::backend::{execute, fetch_all, fetch_optional};
use super::row::corrupt;
use super::{Error, Tx};
use crate::domain::audit::{Act, Checkpoint, Event, HASH_BYTES, Hash, Head, Origin, Row};
use crate::domain::ids::{TenantId, TokenId, UserId};
use crate::domain::time::Timestamp;

/// Counts one event more, and gives the hash of the last. The row's lock is held to
/// the commit: events have no gap, and stand in commit order.
const COUNT_AUDIT_EVENT: &str = "
    INSERT INTO audit_heads (tenant_id, count, hash)
    VALUES ($1, 1, $2)
    ON CONFLICT (tenant_id) DO UPDATE SET count = audit_heads.count + 1
    RETURNING count, hash";

const MARK_AUDIT_HEAD: &str = "
    UPDATE audit_heads
       SET hash = $3
     WHERE tenant_id = $1 AND count = $2
    RETURNING count";

const INSERT_AUDIT_EVENT: &str = "
    INSERT INTO audit_events (tenant_id, sequence, event, hash, created_at, action, caller_id,
                              user_id, token_id)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";

const FIND_AUDIT_HEAD: &str = "
    SELECT count, hash
      FROM audit_heads
     WHERE tenant_id = $1";

const FIND_AUDIT_CHECKPOINT: &str = "
    SELECT sequence AS count, hash
      FROM audit_checkpoints
     WHERE tenant_id = $1";

/// In the order of the chain, to go through it.
const LIST_AUDIT_ROWS: &str = "
    SELECT sequence, event, hash, created_at, action, caller_id, user_id, token_id
      FROM audit_events
     WHERE tenant_id = $1 AND sequence > $2
     ORDER BY sequence
     LIMIT $3";

/// Newest first, to be read by people.
const LIST_AUDIT_EVENTS: &str = "
    SELECT sequence, event, hash, created_at, action, caller_id, user_id, token_id
      FROM audit_events
     WHERE tenant_id = $1 AND sequence < $2
       AND (CAST($3 AS TEXT) IS NULL OR action = $3)
       AND (CAST($4 AS UUID) IS NULL OR caller_id = $4)
       AND (CAST($5 AS UUID) IS NULL OR user_id = $5)
       AND (CAST($6 AS UUID) IS NULL OR token_id = $6)
       AND (CAST($7 AS BIGINT) IS NULL OR created_at >= $7)
       AND (CAST($8 AS BIGINT) IS NULL OR created_at < $8)
     ORDER BY sequence DESC
     LIMIT $9";

pub(super) const STATEMENTS: &[(&str, &str)] = &[
    ("count_audit_event", COUNT_AUDIT_EVENT),
    ("mark_audit_head", MARK_AUDIT_HEAD),
    ("insert_audit_event", INSERT_AUDIT_EVENT),
    ("find_audit_head", FIND_AUDIT_HEAD),
    ("find_audit_checkpoint", FIND_AUDIT_CHECKPOINT),
    ("list_audit_rows", LIST_AUDIT_ROWS),
    ("list_audit_events", LIST_AUDIT_EVENTS),
];

const TABLE: &str = "audit_events";

#[derive(sqlx::FromRow)]
struct HeadRow {
    count: i64,
    hash: Vec<u8>,
}

impl HeadRow {
    fn hash(&self) -> Result<Hash, Error> {
        Hash::try_from(self.hash.as_slice()).map_err(|_| corrupt("audit_heads", "hash"))
    }

    /// Returns the hash, or one that no chain has, so that what was tampered with is
    /// found and not a failure.
    fn hash_or_none(&self) -> Hash {
        self.hash().unwrap_or(Hash([0xff; HASH_BYTES]))
    }
}

#[derive(sqlx::FromRow)]
struct EventRow {
    sequence: i64,
    event: Vec<u8>,
    hash: Vec<u8>,
    created_at: i64,
    action: String,
    caller_id: Option<uuid::Uuid>,
    user_id: Option<uuid::Uuid>,
    token_id: Option<uuid::Uuid>,
}

impl From<EventRow> for Row {
    fn from(row: EventRow) -> Self {
        let token = |id: Option<uuid::Uuid>| id.map(|id| TokenId::from(id).to_string());
        Self {
            sequence: row.sequence,
            hash: Hash::try_from(row.hash.as_slice()).unwrap_or(Hash([0xff; HASH_BYTES])),
            created_at: row.created_at,
            ids: [
                token(row.caller_id).unwrap_or_default(),
                row.user_id
                    .map(|id| UserId::from(id).to_string())
                    .unwrap_or_default(),
                token(row.token_id).unwrap_or_default(),
            ],
            event: row.event,
            action: row.action,
        }
    }
}

/// Which events. Filters are joined by AND.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    /// Only what was done like this.
    pub action: Option<String>,
    /// Only by this caller's token.
    pub caller_id: Option<TokenId>,
    /// Only about this user.
    pub user_id: Option<UserId>,
    /// Only about this token.
    pub token_id: Option<TokenId>,
    /// Only from this instant on.
    pub from: Option<Timestamp>,
    /// Only before this instant.
    pub until: Option<Timestamp>,
}

impl Tx {
    /// Writes an act down in its tenant's chain, and in the installation's where it is
    /// about a tenant as such. The chains' locks are taken here: after those of what
    /// the act is about, and before the number of the change.
    pub async fn append_act(
        &mut self,
        act: &Act,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<(), Error> {
        let authority = TenantId::authority();
        // The installation's first, always, so that no two wait for each other.
        if act.of_installation && !act.tenant_id.is_authority() {
            self.append_event(&authority, act, origin, now).await?;
        }
        self.append_event(&act.tenant_id, act, origin, now).await
    }

    async fn append_event(
        &mut self,
        chain: &TenantId,
        act: &Act,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<(), Error> {
        let mut event = Event::of(act, origin, now);
        let head = fetch_optional!(
            self.inner,
            HeadRow,
            COUNT_AUDIT_EVENT,
            chain.as_str(),
            Hash::ZERO.0.as_slice(),
        )?;
        let head = head.ok_or_else(|| corrupt("audit_heads", "count"))?;
        chain.as_str().clone_into(&mut event.tenant_id);
        event.sequence = head.count;
        let bytes = event.to_bytes();
        let hash = head.hash()?.then(&bytes);
        // A session's caller has no token; the event itself names its user.
        let by = origin.by.as_ref().filter(|by| !by.token_id.is_empty());
        let caller_id = by.map(|by| by.token_id.parse::<TokenId>());
        let caller_id = caller_id
            .transpose()
            .map_err(|_| corrupt(TABLE, "caller_id"))?;
        execute!(
            self.inner,
            INSERT_AUDIT_EVENT,
            chain.as_str(),
            head.count,
            bytes,
            hash.0.as_slice(),
            now.millis(),
            act.action,
            caller_id.map(TokenId::uuid),
            act.user_id.map(UserId::uuid),
            act.token_id.map(TokenId::uuid),
        )?;
        let marked = execute!(
            self.inner,
            MARK_AUDIT_HEAD,
            chain.as_str(),
            head.count,
            hash.0.as_slice(),
        )?;
        if marked == 1 {
            self.events += 1;
            Ok(())
        } else {
            Err(corrupt("audit_heads", "count"))
        }
    }

    /// Returns how long a tenant's chain is, and its last hash.
    pub async fn get_audit_head(&mut self, tenant_id: &TenantId) -> Result<Head, Error> {
        let row = fetch_optional!(self.inner, HeadRow, FIND_AUDIT_HEAD, tenant_id.as_str())?;
        Ok(row.map_or(Head::EMPTY, |row| Head {
            count: row.count,
            hash: row.hash_or_none(),
        }))
    }

    /// Returns where a tenant's chain begins, if it was ever pruned.
    pub async fn find_audit_checkpoint(
        &mut self,
        tenant_id: &TenantId,
    ) -> Result<Option<Checkpoint>, Error> {
        let row = fetch_optional!(
            self.inner,
            HeadRow,
            FIND_AUDIT_CHECKPOINT,
            tenant_id.as_str()
        )?;
        Ok(row.map(|row| Checkpoint {
            sequence: row.count,
            hash: row.hash_or_none(),
        }))
    }

    /// Lists the rows of a chain after a place, in its order.
    pub async fn list_audit_rows(
        &mut self,
        tenant_id: &TenantId,
        after: i64,
        size: u32,
    ) -> Result<Vec<Row>, Error> {
        let rows = fetch_all!(
            self.inner,
            EventRow,
            LIST_AUDIT_ROWS,
            tenant_id.as_str(),
            after,
            i64::from(size),
        )?;
        Ok(rows.into_iter().map(Row::from).collect())
    }

    /// Lists the rows of a chain before a place, newest first.
    pub async fn list_audit_events(
        &mut self,
        tenant_id: &TenantId,
        filter: &EventFilter,
        before: i64,
        size: u32,
    ) -> Result<Vec<Row>, Error> {
        let rows = fetch_all!(
            self.inner,
            EventRow,
            LIST_AUDIT_EVENTS,
            tenant_id.as_str(),
            before,
            filter.action.as_deref(),
            filter.caller_id.map(TokenId::uuid),
            filter.user_id.map(UserId::uuid),
            filter.token_id.map(TokenId::uuid),
            filter.from.map(Timestamp::millis),
            filter.until.map(Timestamp::millis),
            i64::from(size),
        )?;
        Ok(rows.into_iter().map(Row::from).collect())
    }
}
