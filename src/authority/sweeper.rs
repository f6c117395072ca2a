//! Removes what is past its retention: on a schedule, in batches, and never two
//! replicas at once.

use std::collections::BTreeMap;
use std::time::Duration;

use super::requests::KEPT as REQUESTS_KEPT;
use super::{Authority, Error};
use crate::domain::audit::{Act, Origin, action};
use crate::domain::base62;
use crate::domain::entropy;
use crate::domain::ids::{TenantId, TokenId};
use crate::domain::time::Timestamp;
use crate::store::{Job, Tx};

/// The work's name.
const NAME: &str = "sweep";
/// The rows that one transaction removes, at most: others have their turn between.
const BATCH: u32 = 200;
/// How long the log of changes goes back. Who follows it is seconds behind; who is
/// further behind than this forgets all that it knows and begins anew.
const CHANGES_KEPT: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How long what is dead is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Tokens that are revoked or expired, and values past their end, where their
    /// tenant does not say.
    pub dead_tokens: Duration,
    /// Audit events; `None` for ever.
    pub audit_events: Option<Duration>,
    /// How long after a run the next is due.
    pub period: Duration,
}

/// What a run removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Dead tokens.
    pub tokens: u64,
    /// Values past their end, of tokens that live on.
    pub values: u64,
    /// Calls that need not be recognised any more.
    pub requests: u64,
    /// Rows of the log of changes.
    pub changes: u64,
    /// Audit events.
    pub audit_events: u64,
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl Authority {
    /// Sweeps, if it is due; `None` when it is not, or another replica does it.
    pub async fn sweep(&self, retention: Retention) -> Result<Option<Swept>, Error> {
        let now = self.clock.now();
        let run: [u8; 16] = entropy::bytes(&*self.entropy)?;
        let job = Job {
            name: NAME,
            holder: base62::encode(&run, 22),
        };
        let mut tx = self.store.begin().await?;
        let next_at = now.saturating_add(retention.period);
        let claimed = tx.claim_job(&job, now, next_at).await?;
        tx.close(&[], &[], now).await?;
        if !claimed {
            return Ok(None);
        }
        let mut swept = Swept::default();
        // Who lost the work meanwhile has done what it has done.
        let _ended = self.run(&job, retention, &mut swept).await?;
        tracing::info!(
            tokens = swept.tokens,
            values = swept.values,
            requests = swept.requests,
            changes = swept.changes,
            audit_events = swept.audit_events,
            "swept"
        );
        Ok(Some(swept))
    }

    /// Goes through all kinds of what is to be removed; false when another run took
    /// the work.
    async fn run(&self, job: &Job, retention: Retention, swept: &mut Swept) -> Result<bool, Error> {
        let kept = millis(retention.dead_tokens);
        let mut after = TokenId::from(uuid::Uuid::nil());
        while let Some((mut tx, now)) = self.batch(job).await? {
            let dead = tx.list_dead_tokens(after, now, kept, BATCH).await?;
            let Some((last, _)) = dead.last() else {
                break;
            };
            after = *last;
            swept.tokens += self.remove(tx, dead, now).await?;
        }
        macro_rules! exhaust {
            ($count:ident, |$tx:ident, $now:ident| $delete:expr) => {
                loop {
                    let Some((mut $tx, $now)) = self.batch(job).await? else {
                        return Ok(false);
                    };
                    let removed = $delete.await?;
                    $tx.close(&[], &[], $now).await?;
                    swept.$count += removed;
                    if removed == 0 {
                        break;
                    }
                }
            };
        }
        exhaust!(values, |tx, now| tx.delete_ended_secrets(now, kept, BATCH));
        exhaust!(requests, |tx, now| {
            tx.delete_forgotten_requests(now.saturating_sub(REQUESTS_KEPT), BATCH)
        });
        exhaust!(changes, |tx, now| {
            tx.delete_old_changes(now.saturating_sub(CHANGES_KEPT), BATCH)
        });
        if let Some(kept) = retention.audit_events {
            exhaust!(audit_events, |tx, now| prune(&mut tx, kept, now));
        }
        Ok(true)
    }

    /// Begins a batch under the work's lock; `None` when another run took the work.
    async fn batch(&self, job: &Job) -> Result<Option<(Tx, Timestamp)>, Error> {
        let mut tx = self.store.begin().await?;
        let held = tx.lock_job(job).await?;
        Ok(held.then(|| (tx, self.clock.now())))
    }

    /// Removes tokens and writes down, for each tenant, how many. That they are gone
    /// alters no answer: they were inactive.
    async fn remove(
        &self,
        mut tx: Tx,
        dead: Vec<(TokenId, TenantId)>,
        now: Timestamp,
    ) -> Result<u64, Error> {
        let mut removed = BTreeMap::<TenantId, u64>::new();
        for (token_id, tenant_id) in dead {
            if tx.delete_token(token_id).await? {
                *removed.entry(tenant_id).or_default() += 1;
            }
        }
        // The installation's chain first, as everywhere.
        let (first, rest): (Vec<_>, Vec<_>) = removed
            .iter()
            .partition(|(tenant_id, _)| tenant_id.is_authority());
        for (tenant_id, count) in first.into_iter().chain(rest) {
            let act = Act::new(action::SWEEP, tenant_id.clone());
            let act = act.with("tokens", count.to_string());
            tx.append_act(&act, &Origin::default(), now).await?;
        }
        tx.close(&[], &[], now).await?;
        Ok(removed.values().sum())
    }
}

/// Prunes one chain by one batch, and has an event say so.
async fn prune(tx: &mut Tx, kept: Duration, now: Timestamp) -> Result<u64, Error> {
    let until = now.saturating_sub(kept);
    let Some((tenant_id, checkpoint)) = tx.find_old_audit_event(until, BATCH).await? else {
        return Ok(0);
    };
    let removed = tx.prune_audit_events(&tenant_id, checkpoint, now).await?;
    let act = Act::new(action::PRUNE, tenant_id)
        .with("sequence", checkpoint.sequence.to_string())
        .with("hash", checkpoint.hash.to_hex());
    tx.append_act(&act, &Origin::default(), now).await?;
    Ok(removed)
}
