//! What is past its retention, found and removed batch by batch, by one replica at a
//! time.

use std::time::Duration;

use super::backend::{execute, fetch_all, fetch_optional};
use super::row::{corrupt, millis, tenant_id};
use super::{Error, Tx};
use crate::domain::audit::Checkpoint;
use crate::domain::bounds;
use crate::domain::ids::{TenantId, TokenId};
use crate::domain::time::Timestamp;

/// Takes the work for one run, if it is due. That it is due further off than a period is
/// what a replica left whose clock was ahead.
const CLAIM_JOB: &str = "
    INSERT INTO jobs (name, holder, next_at)
    VALUES ($1, $2, $3)
    ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, next_at = excluded.next_at
     WHERE jobs.next_at <= $4 OR jobs.next_at > $3
    RETURNING name";

/// Takes the row's lock, and leaves the row as it is: two that both believe to hold
/// the work do not do it at once.
const LOCK_JOB: &str = "
    UPDATE jobs
       SET next_at = next_at
     WHERE name = $1 AND holder = $2
    RETURNING name";

/// Tokens of a stretch, and whether each has been dead for longer than its tenant keeps
/// it: revoked by itself, expired, revoked by an epoch, or gone with its tenant.
const LIST_TOKENS_TO_SWEEP: &str = "
    SELECT t.token_id, t.tenant_id,
           CAST(CASE
               WHEN t.revoked_at <= $2 - COALESCE(n.retention_ms, $3)
                 OR t.expires_at <= $2 - COALESCE(n.retention_ms, $3)
                 OR n.deleted_at <= $2 - COALESCE(n.retention_ms, $3)
                 OR EXISTS (SELECT 1
                              FROM epochs e
                             WHERE e.user_id = t.user_id AND e.number > t.created_number
                               AND (e.tenant_id IS NULL OR e.tenant_id = t.tenant_id)
                               AND (e.kind IS NULL OR e.kind = t.kind)
                               AND e.created_at <= $2 - COALESCE(n.retention_ms, $3))
                 OR EXISTS (SELECT 1
                              FROM epochs e
                             WHERE e.user_id IS NULL AND e.tenant_id = t.tenant_id
                               AND e.number > t.created_number
                               AND (e.kind IS NULL OR e.kind = t.kind)
                               AND e.created_at <= $2 - COALESCE(n.retention_ms, $3))
               THEN 1 ELSE 0 END AS BIGINT) AS dead
      FROM (SELECT token_id, tenant_id, user_id, kind, created_number, revoked_at, expires_at
              FROM tokens
             WHERE token_id > $1
             ORDER BY token_id
             LIMIT $4) AS t
      JOIN tenants n ON n.tenant_id = t.tenant_id
     ORDER BY t.token_id";

/// Notes, once, that tokens of a tenant are removed: that it has had some.
const MARK_TENANT_SWEPT: &str = "
    UPDATE tenants
       SET swept_at = $2
     WHERE tenant_id = $1 AND swept_at IS NULL";

const DELETE_TOKEN_USE: &str = "
    DELETE FROM token_uses
     WHERE token_id = $1";

const DELETE_TOKEN_SECRETS: &str = "
    DELETE FROM secrets
     WHERE token_id = $1";

const DELETE_TOKEN: &str = "
    DELETE FROM tokens
     WHERE token_id = $1
    RETURNING token_id";

/// Values past their end, of tokens that may live on. No tenant keeps them for less than
/// `$4`, so that the index leads to few that stay.
const DELETE_ENDED_SECRETS: &str = "
    DELETE FROM secrets
     WHERE secret_id IN (SELECT s.secret_id
                           FROM secrets s
                           JOIN tokens t ON t.token_id = s.token_id
                           JOIN tenants n ON n.tenant_id = t.tenant_id
                          WHERE s.ends_at IS NOT NULL AND s.ends_at <= $4
                            AND s.ends_at <= $1 - COALESCE(n.retention_ms, $2)
                          ORDER BY s.ends_at, s.secret_id
                          LIMIT $3)";

/// Whatever became of them: they are kept for the tenant's retention from their end on.
const DELETE_ENDED_INVITES: &str = "
    DELETE FROM invites
     WHERE invite_id IN (SELECT i.invite_id
                           FROM invites i
                           JOIN tenants n ON n.tenant_id = i.tenant_id
                          WHERE i.expires_at <= $4
                            AND i.expires_at <= $1 - COALESCE(n.retention_ms, $2)
                          ORDER BY i.expires_at, i.invite_id
                          LIMIT $3)";

const DELETE_FORGOTTEN_REQUESTS: &str = "
    DELETE FROM requests
     WHERE (caller_id, rpc, request_id) IN (SELECT caller_id, rpc, request_id
                                              FROM requests
                                             WHERE created_at <= $1
                                             ORDER BY created_at
                                             LIMIT $2)";

/// By numbers, so that none is left in part; from the tail alone.
const DELETE_OLD_CHANGES: &str = "
    DELETE FROM changes
     WHERE number <= (SELECT MAX(tail.number)
                        FROM (SELECT number, created_at
                                FROM changes
                               ORDER BY number, position
                               LIMIT $2) AS tail
                       WHERE tail.created_at <= $1)";

/// The next chain whose first event is past its retention, as far as its row says.
const FIND_CHAIN_TO_PRUNE: &str = "
    SELECT h.tenant_id
      FROM audit_heads h
     WHERE h.tenant_id > $1
       AND $2 >= (SELECT e.created_at
                    FROM audit_events e
                   WHERE e.tenant_id = h.tenant_id
                   ORDER BY e.sequence
                   LIMIT 1)
     ORDER BY h.tenant_id
     LIMIT 1";

const DELETE_AUDIT_EVENTS: &str = "
    DELETE FROM audit_events
     WHERE tenant_id = $1 AND sequence <= $2";

const PUT_AUDIT_CHECKPOINT: &str = "
    INSERT INTO audit_checkpoints (tenant_id, sequence, hash, created_at)
    VALUES ($1, $2, $3, $4)
    ON CONFLICT (tenant_id) DO UPDATE SET sequence = excluded.sequence, hash = excluded.hash,
                                          created_at = excluded.created_at
     WHERE audit_checkpoints.sequence < excluded.sequence
    RETURNING sequence";

pub(super) const STATEMENTS: &[(&str, &str)] = &[
    ("claim_job", CLAIM_JOB),
    ("lock_job", LOCK_JOB),
    ("list_tokens_to_sweep", LIST_TOKENS_TO_SWEEP),
    ("mark_tenant_swept", MARK_TENANT_SWEPT),
    ("delete_token_use", DELETE_TOKEN_USE),
    ("delete_token_secrets", DELETE_TOKEN_SECRETS),
    ("delete_token", DELETE_TOKEN),
    ("delete_ended_secrets", DELETE_ENDED_SECRETS),
    ("delete_ended_invites", DELETE_ENDED_INVITES),
    ("delete_forgotten_requests", DELETE_FORGOTTEN_REQUESTS),
    ("delete_old_changes", DELETE_OLD_CHANGES),
    ("find_chain_to_prune", FIND_CHAIN_TO_PRUNE),
    ("delete_audit_events", DELETE_AUDIT_EVENTS),
    ("put_audit_checkpoint", PUT_AUDIT_CHECKPOINT),
];

/// Work that one replica at a time does, and which run of it this is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Its name.
    pub name: &'static str,
    /// The run, by a name that no other has.
    pub holder: String,
}

#[derive(sqlx::FromRow)]
struct SweptRow {
    token_id: uuid::Uuid,
    tenant_id: String,
    dead: i64,
}

/// A token that the sweeper looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToSweep {
    /// Which.
    pub token_id: TokenId,
    /// Of which tenant.
    pub tenant_id: TenantId,
    /// Whether it has been dead for long enough.
    pub dead: bool,
}

impl Tx {
    /// Takes the work until `next_at`, if it is due; false when it is not.
    pub async fn claim_job(
        &mut self,
        job: &Job,
        now: Timestamp,
        next_at: Timestamp,
    ) -> Result<bool, Error> {
        let claimed = execute!(
            self.inner,
            CLAIM_JOB,
            job.name,
            job.holder.as_str(),
            next_at.millis(),
            now.millis(),
        )?;
        Ok(claimed == 1)
    }

    /// Locks the work until the transaction's end; false when another run took it.
    pub async fn lock_job(&mut self, job: &Job) -> Result<bool, Error> {
        Ok(execute!(self.inner, LOCK_JOB, job.name, job.holder.as_str())? == 1)
    }

    /// Lists so many tokens after one, in the order of their ids, and says of each
    /// whether it has been dead for longer than its tenant keeps it, or `kept` where
    /// that one does not say.
    pub async fn list_tokens_to_sweep(
        &mut self,
        after: TokenId,
        now: Timestamp,
        kept: Duration,
        size: u32,
    ) -> Result<Vec<ToSweep>, Error> {
        let rows = fetch_all!(
            self.inner,
            SweptRow,
            LIST_TOKENS_TO_SWEEP,
            after.uuid(),
            now.millis(),
            millis(Some(kept)),
            i64::from(size),
        )?;
        rows.into_iter()
            .map(|row| {
                Ok(ToSweep {
                    token_id: row.token_id.into(),
                    tenant_id: tenant_id("tokens", "tenant_id", &row.tenant_id)?,
                    dead: row.dead == 1,
                })
            })
            .collect()
    }

    /// Notes that tokens of a tenant are removed. Its lock comes before theirs.
    pub async fn mark_tenant_swept(
        &mut self,
        tenant_id: &TenantId,
        now: Timestamp,
    ) -> Result<(), Error> {
        execute!(
            self.inner,
            MARK_TENANT_SWEPT,
            tenant_id.as_str(),
            now.millis()
        )?;
        Ok(())
    }

    /// Removes a token with all that verifies its values; false when it is gone
    /// already.
    pub async fn delete_token(&mut self, token_id: TokenId) -> Result<bool, Error> {
        // Its own lock first, as everywhere.
        if !self.lock_token(token_id).await? {
            return Ok(false);
        }
        execute!(self.inner, DELETE_TOKEN_USE, token_id.uuid())?;
        execute!(self.inner, DELETE_TOKEN_SECRETS, token_id.uuid())?;
        Ok(execute!(self.inner, DELETE_TOKEN, token_id.uuid())? == 1)
    }

    /// Removes values that ended longer ago than their tenant keeps them, or `kept`
    /// where it does not say; returns how many.
    pub async fn delete_ended_secrets(
        &mut self,
        now: Timestamp,
        kept: Duration,
        size: u32,
    ) -> Result<u64, Error> {
        Ok(execute!(
            self.inner,
            DELETE_ENDED_SECRETS,
            now.millis(),
            millis(Some(kept)),
            i64::from(size),
            now.saturating_sub(*bounds::RETENTION.start()).millis(),
        )?)
    }

    /// Removes invites that ended longer ago than their tenant keeps them, or `kept` where
    /// it does not say; returns how many.
    pub async fn delete_ended_invites(
        &mut self,
        now: Timestamp,
        kept: Duration,
        size: u32,
    ) -> Result<u64, Error> {
        Ok(execute!(
            self.inner,
            DELETE_ENDED_INVITES,
            now.millis(),
            millis(Some(kept)),
            i64::from(size),
            now.saturating_sub(*bounds::RETENTION.start()).millis(),
        )?)
    }

    /// Removes calls that need not be recognised any more; returns how many.
    pub async fn delete_forgotten_requests(
        &mut self,
        forgotten: Timestamp,
        size: u32,
    ) -> Result<u64, Error> {
        Ok(execute!(
            self.inner,
            DELETE_FORGOTTEN_REQUESTS,
            forgotten.millis(),
            i64::from(size)
        )?)
    }

    /// Removes what the log of changes has from before an instant; returns how many
    /// rows.
    pub async fn delete_old_changes(&mut self, until: Timestamp, size: u32) -> Result<u64, Error> {
        Ok(execute!(
            self.inner,
            DELETE_OLD_CHANGES,
            until.millis(),
            i64::from(size)
        )?)
    }

    /// Returns the next tenant after one whose audit log has events from before an
    /// instant; an empty text begins.
    pub async fn find_chain_to_prune(
        &mut self,
        after: &str,
        until: Timestamp,
    ) -> Result<Option<TenantId>, Error> {
        let row = fetch_optional!(
            self.inner,
            (String,),
            FIND_CHAIN_TO_PRUNE,
            after,
            until.millis()
        )?;
        row.map(|(text,)| tenant_id("audit_heads", "tenant_id", &text))
            .transpose()
    }

    /// Removes a chain's events up to a checkpoint, which it leaves; returns how many.
    /// An event that says so must follow in the same transaction.
    pub async fn prune_audit_events(
        &mut self,
        tenant_id: &TenantId,
        checkpoint: Checkpoint,
        now: Timestamp,
    ) -> Result<u64, Error> {
        let put = execute!(
            self.inner,
            PUT_AUDIT_CHECKPOINT,
            tenant_id.as_str(),
            checkpoint.sequence,
            checkpoint.hash.0.as_slice(),
            now.millis(),
        )?;
        if put != 1 {
            return Err(corrupt("audit_checkpoints", "sequence"));
        }
        Ok(execute!(
            self.inner,
            DELETE_AUDIT_EVENTS,
            tenant_id.as_str(),
            checkpoint.sequence
        )?)
    }
}
