//! Removes what is past its retention: on a schedule, in batches, and never two
//! replicas at once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::counters::Sweepable;
use super::requests::KEPT as REQUESTS_KEPT;
use super::{Authority, Error, audit};
use crate::domain::audit::{Act, Checkpoint, Origin, Row, action};
use crate::domain::base62;
use crate::domain::entropy;
use crate::domain::ids::{TenantId, TokenId};
use crate::domain::time::Timestamp;
use crate::store::{Job, ToSweep, Tx};

/// The work's name.
const NAME: &str = "sweep";
/// The rows that one transaction removes, at most: others have their turn between.
const BATCH: u32 = 200;
/// The tokens that are looked at together, in a snapshot that nobody waits for.
const STRETCH: u32 = 5000;
/// How long the log of changes goes back. Who follows it is seconds behind; who is
/// further behind than this forgets all that it knows and begins anew.
const CHANGES_KEPT: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How long what is dead is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Tokens that are revoked or expired, and values and invites past their end, where
    /// their tenant does not say.
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
    /// Invites past their end.
    pub invites: u64,
    /// Calls that need not be recognised any more.
    pub requests: u64,
    /// Rows of the log of changes.
    pub changes: u64,
    /// Audit events.
    pub audit_events: u64,
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
        let run = self.run(&job, retention, &mut swept).await;
        for (what, count) in [
            (Sweepable::Tokens, swept.tokens),
            (Sweepable::Values, swept.values),
            (Sweepable::Invites, swept.invites),
            (Sweepable::Requests, swept.requests),
            (Sweepable::Changes, swept.changes),
            (Sweepable::AuditEvents, swept.audit_events),
        ] {
            if let Some(counter) = self.counters.swept.of(what) {
                counter.add(count);
            }
        }
        tracing::info!(
            tokens = swept.tokens,
            values = swept.values,
            invites = swept.invites,
            requests = swept.requests,
            changes = swept.changes,
            audit_events = swept.audit_events,
            "swept"
        );
        run.map(|()| Some(swept))
    }

    /// Goes through all kinds of what is to be removed. What fails keeps none of the
    /// others from its turn; the first failure is told.
    async fn run(&self, job: &Job, retention: Retention, swept: &mut Swept) -> Result<(), Error> {
        let kept = retention.dead_tokens;
        let mut told = self.sweep_tokens(job, kept, &mut swept.tokens).await;
        macro_rules! exhaust {
            ($count:ident, |$tx:ident, $now:ident| $delete:expr) => {
                let exhausted = async {
                    // Until nothing is left, or another run took the work.
                    while let Some((mut $tx, $now)) = self.batch(job).await? {
                        let removed = $delete.await?;
                        $tx.close(&[], &[], $now).await?;
                        swept.$count += removed;
                        if removed == 0 {
                            break;
                        }
                    }
                    Ok(())
                };
                told = told.and(exhausted.await);
            };
        }
        exhaust!(values, |tx, now| tx.delete_ended_secrets(now, kept, BATCH));
        exhaust!(invites, |tx, now| tx.delete_ended_invites(now, kept, BATCH));
        exhaust!(requests, |tx, now| {
            tx.delete_forgotten_requests(now.saturating_sub(REQUESTS_KEPT), BATCH)
        });
        exhaust!(changes, |tx, now| {
            tx.delete_old_changes(now.saturating_sub(CHANGES_KEPT), BATCH)
        });
        if let Some(kept) = retention.audit_events {
            let pruned = self.prune_chains(job, kept, &mut swept.audit_events).await;
            told = told.and(pruned);
        }
        told
    }

    /// Goes through all tokens. Which are dead is seen in snapshots: dead ones stay so.
    async fn sweep_tokens(&self, job: &Job, kept: Duration, swept: &mut u64) -> Result<(), Error> {
        let mut after = TokenId::from(uuid::Uuid::nil());
        loop {
            let mut look = self.store.snapshot().await?;
            let now = self.clock.now();
            let stretch = look.list_tokens_to_sweep(after, now, kept, STRETCH).await?;
            drop(look);
            let Some(last) = stretch.last() else {
                return Ok(());
            };
            after = last.token_id;
            let dead: Vec<ToSweep> = stretch.into_iter().filter(|token| token.dead).collect();
            for some in dead.chunks(usize::try_from(BATCH).unwrap_or(usize::MAX)) {
                let Some((tx, now)) = self.batch(job).await? else {
                    return Ok(());
                };
                *swept += self.remove(tx, some, now).await?;
            }
        }
    }

    /// Prunes one chain after the other: those with which nothing is wrong. Nobody is to
    /// say by pruning that all was well with another.
    async fn prune_chains(&self, job: &Job, kept: Duration, swept: &mut u64) -> Result<(), Error> {
        let mut done = String::new();
        loop {
            let mut look = self.store.snapshot().await?;
            let until = self.clock.now().saturating_sub(kept);
            let Some(tenant_id) = look.find_chain_to_prune(&done, until).await? else {
                return Ok(());
            };
            done = tenant_id.to_string();
            let verdict = audit::go_through(&mut look, &tenant_id, None)
                .await?
                .verdict;
            drop(look);
            if let Err(verdict) = verdict {
                tracing::warn!(
                    tenant.id = %tenant_id,
                    sequence = verdict.sequence,
                    flaw = ?verdict.flaw,
                    "an audit log has a flaw and is not pruned: verify it"
                );
                continue;
            }
            loop {
                let Some((mut tx, now)) = self.batch(job).await? else {
                    return Ok(());
                };
                let removed = prune(&mut tx, &tenant_id, until, now).await?;
                tx.close(&[], &[], now).await?;
                *swept += removed;
                if removed == 0 {
                    break;
                }
            }
        }
    }

    /// Begins a batch under the work's lock; `None` when another run took the work.
    async fn batch(&self, job: &Job) -> Result<Option<(Tx, Timestamp)>, Error> {
        let mut tx = self.store.begin().await?;
        let held = tx.lock_job(job).await?;
        Ok(held.then(|| (tx, self.clock.now())))
    }

    /// Removes tokens and writes down, for each tenant, how many. That they are gone
    /// alters no answer: they were inactive.
    async fn remove(&self, mut tx: Tx, dead: &[ToSweep], now: Timestamp) -> Result<u64, Error> {
        let tenants: BTreeSet<&TenantId> = dead.iter().map(|token| &token.tenant_id).collect();
        for tenant_id in tenants {
            tx.mark_tenant_swept(tenant_id, now).await?;
        }
        let mut removed = BTreeMap::<&TenantId, u64>::new();
        for token in dead {
            if tx.delete_token(token.token_id).await? {
                *removed.entry(&token.tenant_id).or_default() += 1;
            }
        }
        // The installation's chain first, as everywhere.
        let (first, rest): (Vec<_>, Vec<_>) = removed
            .iter()
            .partition(|(tenant_id, _)| tenant_id.is_authority());
        for (tenant_id, count) in first.into_iter().chain(rest) {
            let act = Act::new(action::SWEEP, (*tenant_id).clone());
            let act = act.with("tokens", count.to_string());
            tx.append_act(&act, &Origin::default(), now).await?;
        }
        tx.close(&[], &[], now).await?;
        Ok(removed.values().sum())
    }
}

/// Prunes a chain, which was gone through, by one batch, and has an event say so.
async fn prune(
    tx: &mut Tx,
    tenant_id: &TenantId,
    until: Timestamp,
    now: Timestamp,
) -> Result<u64, Error> {
    let rows = tx.list_audit_rows(tenant_id, i64::MIN, BATCH).await?;
    // How old an event is, it says itself: its row could be made to say anything.
    let is_old = |row: &&Row| row.is_event_before(until);
    let Some(last) = rows.iter().take_while(is_old).last() else {
        return Ok(0);
    };
    let checkpoint = Checkpoint {
        sequence: last.sequence,
        hash: last.hash,
    };
    let removed = tx.prune_audit_events(tenant_id, checkpoint, now).await?;
    let act = Act::new(action::PRUNE, tenant_id.clone())
        .with("sequence", checkpoint.sequence.to_string())
        .with("hash", checkpoint.hash.to_hex());
    tx.append_act(&act, &Origin::default(), now).await?;
    Ok(removed)
}
