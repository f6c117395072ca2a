//! What is past its retention, found and removed batch by batch, by one replica at a
//! time.

use super::backend::{execute, fetch_all, fetch_optional};
use super::row::{corrupt, tenant_id};
use super::{Error, Tx};
use crate::domain::audit::{Checkpoint, Hash};
use crate::domain::ids::{TenantId, TokenId};
use crate::domain::time::Timestamp;

/// Takes the work for one run, if it is due.
const CLAIM_JOB: &str = "
    INSERT INTO jobs (name, holder, next_at)
    VALUES ($1, $2, $3)
    ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, next_at = excluded.next_at
     WHERE jobs.next_at <= $4
    RETURNING name";

/// Takes the row's lock, and leaves the row as it is: two that both believe to hold
/// the work do not do it at once.
const LOCK_JOB: &str = "
    UPDATE jobs
       SET next_at = next_at
     WHERE name = $1 AND holder = $2
    RETURNING name";

/// Tokens that have been dead for longer than their tenant keeps them: revoked by
/// themselves, expired, revoked by an epoch, or gone with their tenant.
const LIST_DEAD_TOKENS: &str = "
    SELECT t.token_id, t.tenant_id
      FROM tokens t
      JOIN tenants n ON n.tenant_id = t.tenant_id
     WHERE t.token_id > $1
       AND (t.revoked_at <= $2 - COALESCE(n.retention_ms, $3)
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
                          AND e.created_at <= $2 - COALESCE(n.retention_ms, $3)))
     ORDER BY t.token_id
     LIMIT $4";

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

/// Values past their end, of tokens that may live on.
const DELETE_ENDED_SECRETS: &str = "
    DELETE FROM secrets
     WHERE secret_id IN (SELECT s.secret_id
                           FROM secrets s
                           JOIN tokens t ON t.token_id = s.token_id
                           JOIN tenants n ON n.tenant_id = t.tenant_id
                          WHERE s.ends_at <= $1 - COALESCE(n.retention_ms, $2)
                          ORDER BY s.secret_id
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
     WHERE number <= (SELECT MAX(number)
                        FROM (SELECT number
                                FROM changes
                               WHERE created_at <= $1
                               ORDER BY number
                               LIMIT $2) AS tail)";

/// Of the oldest events of each chain, one batch, the last that is past its retention:
/// the first chain's that has one.
const FIND_OLD_AUDIT_EVENT: &str = "
    SELECT e.tenant_id, e.sequence, e.hash
      FROM audit_heads h
      JOIN audit_events e ON e.tenant_id = h.tenant_id
     WHERE e.sequence = (SELECT MAX(oldest.sequence)
                           FROM (SELECT f.sequence, f.created_at
                                   FROM audit_events f
                                  WHERE f.tenant_id = h.tenant_id
                                  ORDER BY f.sequence
                                  LIMIT $2) AS oldest
                          WHERE oldest.created_at <= $1)
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
    ("list_dead_tokens", LIST_DEAD_TOKENS),
    ("delete_token_use", DELETE_TOKEN_USE),
    ("delete_token_secrets", DELETE_TOKEN_SECRETS),
    ("delete_token", DELETE_TOKEN),
    ("delete_ended_secrets", DELETE_ENDED_SECRETS),
    ("delete_forgotten_requests", DELETE_FORGOTTEN_REQUESTS),
    ("delete_old_changes", DELETE_OLD_CHANGES),
    ("find_old_audit_event", FIND_OLD_AUDIT_EVENT),
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
struct DeadRow {
    token_id: uuid::Uuid,
    tenant_id: String,
}

#[derive(sqlx::FromRow)]
struct OldRow {
    tenant_id: String,
    sequence: i64,
    hash: Vec<u8>,
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

    /// Lists tokens after one, in the order of their ids, that have been dead for
    /// longer than their tenant keeps them, or `kept_ms` where it does not say.
    pub async fn list_dead_tokens(
        &mut self,
        after: TokenId,
        now: Timestamp,
        kept_ms: i64,
        size: u32,
    ) -> Result<Vec<(TokenId, TenantId)>, Error> {
        let rows = fetch_all!(
            self.inner,
            DeadRow,
            LIST_DEAD_TOKENS,
            after.uuid(),
            now.millis(),
            kept_ms,
            i64::from(size),
        )?;
        rows.into_iter()
            .map(|row| {
                let tenant_id = tenant_id("tokens", "tenant_id", &row.tenant_id)?;
                Ok((TokenId::from(row.token_id), tenant_id))
            })
            .collect()
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

    /// Removes values that ended longer ago than their tenant keeps them, or `kept_ms`
    /// where it does not say; returns how many.
    pub async fn delete_ended_secrets(
        &mut self,
        now: Timestamp,
        kept_ms: i64,
        size: u32,
    ) -> Result<u64, Error> {
        Ok(execute!(
            self.inner,
            DELETE_ENDED_SECRETS,
            now.millis(),
            kept_ms,
            i64::from(size)
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

    /// Returns where a chain that has events from before an instant can be pruned: at
    /// most `size` of its events go.
    pub async fn find_old_audit_event(
        &mut self,
        until: Timestamp,
        size: u32,
    ) -> Result<Option<(TenantId, Checkpoint)>, Error> {
        let row = fetch_optional!(
            self.inner,
            OldRow,
            FIND_OLD_AUDIT_EVENT,
            until.millis(),
            i64::from(size)
        )?;
        row.map(|row| {
            let hash = Hash::try_from(row.hash.as_slice());
            let checkpoint = Checkpoint {
                sequence: row.sequence,
                hash: hash.map_err(|_| corrupt("audit_events", "hash"))?,
            };
            let tenant_id = tenant_id("audit_events", "tenant_id", &row.tenant_id)?;
            Ok((tenant_id, checkpoint))
        })
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
