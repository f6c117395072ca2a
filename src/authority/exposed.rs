//! Revoking a token by its value: who holds a value that is good now may have it
//! revoked, whoever it is. Nobody learns whether it was.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout_at;

use super::access::Rpc;
use super::counters::SecurityEvent;
use super::recognise::{AtOnce, Proof, candidates_in};
use super::scene::lost_row;
use super::{Authority, Error, OpenCall};
use crate::domain::audit::{Act, Origin};
use crate::domain::change::Change;
use crate::domain::foreign::AnyValue;
use crate::domain::ids::{SecretId, TenantId, TokenId, UserId};
use crate::domain::introspection::{Record, Verifier};
use crate::domain::time::Timestamp;
use crate::domain::token::RevokeReason;
use crate::domain::value::presented;
use crate::store::Tx;

/// The calls that are served at once, at most: anybody may make them, and each asks the
/// store.
const AT_ONCE: usize = 16;
/// When to ask again past that.
const RETRY: Duration = Duration::from_secs(1);
/// What is written down beside the reason.
const TEXT: &str = "exposed";

/// The places of these calls.
#[derive(Debug)]
pub(super) struct Exposures(Semaphore);

impl Default for Exposures {
    fn default() -> Self {
        Self(Semaphore::new(AT_ONCE))
    }
}

/// Whose a good value is.
struct Proven {
    secret: SecretId,
    token: TokenId,
    tenant: TenantId,
    user: Option<UserId>,
}

impl Authority {
    /// Revokes the token of a value that is good now. What is good for nothing changes
    /// nothing, and is answered alike.
    pub async fn revoke_exposed_token(
        self: &Arc<Self>,
        call: OpenCall,
        value: &str,
    ) -> Result<(), Error> {
        // What has no form of a value neither reaches the store nor takes a place. What has
        // one takes a place for as long as a statement takes: who makes up values, with a
        // right check or as imported ones might be, can keep others waiting, and no more.
        let Ok(value) = presented(value).parse::<AnyValue>() else {
            return Ok(());
        };
        // Before anything is known of the value, so that this tells nothing of it.
        let Ok(_place) = self.exposures.0.try_acquire() else {
            return Err(Error::RateLimited { retry_after: RETRY });
        };
        let proof = timeout_at(call.deadline, self.proof(&value)).await;
        let Some(proven) = proof.map_err(|_| Error::DeadlineExceeded)?? else {
            return Ok(());
        };
        let locked = timeout_at(call.deadline, self.lock_proven(&proven)).await;
        let mut tx = locked.map_err(|_| Error::DeadlineExceeded)??;
        let now = self.clock.now();
        let found = candidates_in(&mut tx, &value).await?.into_iter();
        let mut found = found.filter(|(_, found)| found.secret_id == proven.secret);
        let found = found.next();
        let Some((record, _)) = found.filter(|found| is_good(found, &value, now)) else {
            // Who ended it may not have waited to the end yet.
            self.settled(tx.close(&[], &[], now).await).await?;
            return Ok(());
        };
        let (token, reason) = (record.token, RevokeReason::Compromised);
        if !tx.mark_token_revoked(&token, reason, TEXT, now).await? {
            return Err(lost_row());
        }
        let revoked = token.clone().revoked(now, reason, TEXT.to_owned());
        let mut act = Act::new(Rpc::RevokeExposedToken.name(), token.tenant_id.clone());
        act.user_id = token.owner.as_ref().map(|owner| owner.user_id);
        let act = act
            .token(token.token_id)
            .changed(Some(&token), Some(&revoked));
        let origin = Origin {
            by: None,
            trace_id: call.trace_id,
            call_id: call.call_id,
        };
        tx.append_act(&act, &origin, now).await?;
        let change = Change::TokenChanged(token.tenant_id, token.token_id);
        self.settled(tx.close(&[change], &[], now).await).await?;
        let events = &self.counters.security_events;
        events.tick(SecurityEvent::ExposedValueRevoked);
        Ok(())
    }

    /// Returns whose a value is that is good now.
    async fn proof(self: &Arc<Self>, value: &AnyValue) -> Result<Option<Proven>, Error> {
        let recalled = self.coherence.recall(value, |_, kept| {
            let recognised = self.recognise_at_once(value, kept.iter().map(Proof::from));
            matches!(recognised, AtOnce::Nobodys(_))
        });
        if recalled == Some(true) {
            return Ok(None);
        }
        let (_, kept) = self.read(value).await?;
        let kept = match self.recognise_read(None, value, &kept).await {
            Ok(Ok(kept)) => kept,
            Ok(Err(_)) => return Ok(None),
            // Only a known lookup or hint comes so far: it is told as the bound of all.
            Err(Error::HashingBusy { retry_after }) => {
                return Err(Error::RateLimited { retry_after });
            }
            Err(error) => return Err(error),
        };
        let now = self.clock.now();
        if kept.is_over(now) {
            self.note_ended_use(value, kept, None, None).await;
            return Ok(None);
        }
        let proven = Proven {
            secret: kept.secret_id,
            token: kept.token_id,
            tenant: kept.tenant_id().clone(),
            user: kept.owner.as_ref().map(|owner| owner.user_id),
        };
        Ok(kept.inactive(value, now).is_none().then_some(proven))
    }

    /// Begins a change of a token, with all that decides over it locked, in the order
    /// in which everybody locks.
    async fn lock_proven(&self, proven: &Proven) -> Result<Tx, Error> {
        let mut tx = self.store.begin().await?;
        tx.lock_tenant(&proven.tenant).await?;
        if let Some(user_id) = proven.user {
            tx.lock_user(user_id).await?;
        }
        tx.lock_token(proven.token).await?;
        Ok(tx)
    }
}

/// Returns whether a verified value is good now. One that is over proves nothing: who
/// held it once may have lost it since.
fn is_good((record, verifier): &(Record, Verifier), value: &AnyValue, now: Timestamp) -> bool {
    !record.token.is_over(verifier.ends_at, now) && record.inactive(value, now).is_none()
}
