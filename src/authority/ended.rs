//! Values that are presented after their end.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::counters::SecurityEvent;
use super::{Authority, Caller, Error};
use crate::coherence::Kept;
use crate::domain::audit::{Act, Origin, action};
use crate::domain::foreign::AnyValue;
use crate::domain::ids::SecretId;

/// How long an answer waits for it to be written.
const PATIENCE: Duration = Duration::from_secs(1);

/// A verified value that is over.
struct Ended {
    secret_id: SecretId,
    act: Act,
    origin: Origin,
}

impl Authority {
    /// Writes down that a value, verified, was presented after its end: once for each
    /// value. `by` is who asked about it, if it was not presented here, and `address` the
    /// client's, if that one gave it. Who goes before it is written does not prevent that. A failure fails nobody: it is written at the
    /// value's next use.
    pub(super) async fn note_ended_use(
        self: &Arc<Self>,
        value: &AnyValue,
        kept: &Kept,
        by: Option<&Caller>,
        address: Option<IpAddr>,
    ) {
        if kept.reused {
            return;
        }
        let mut act = Act::new(action::ENDED_VALUE_USED, kept.tenant_id().clone());
        act.token_id = Some(kept.token_id);
        act.user_id = kept.owner.as_ref().map(|owner| owner.user_id);
        if let Some(address) = address {
            act = act.with("client_address", address.to_string());
        }
        let ended = Ended {
            secret_id: kept.secret_id,
            act,
            origin: Origin {
                by: by.map(Caller::by),
                ..Origin::default()
            },
        };
        let (authority, value) = (Arc::clone(self), value.clone());
        let noted = self.once_begun(async move {
            if let Err(error) = authority.append_ended_use(ended).await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the use of a value after its end was not written down"
                );
            }
            // Read anew, it says that this is noted.
            authority.coherence.forget(&value);
            Ok(())
        });
        // Where writers queue, the answer goes ahead of it.
        let _ = tokio::time::timeout(PATIENCE, noted).await;
    }

    async fn append_ended_use(&self, ended: Ended) -> Result<(), Error> {
        let Ended {
            secret_id,
            act,
            origin,
        } = ended;
        let now = self.clock.now();
        let mut tx = self.store.begin().await?;
        // Of several at once, one finds it unnoted.
        let Some(hint) = tx.mark_secret_reused(secret_id, now).await? else {
            return Ok(());
        };
        let act = act.with("hint", hint);
        tx.append_act(&act, &origin, now).await?;
        self.see(tx.close(&[], &[], now).await?);
        let events = &self.counters.security_events;
        events.tick(SecurityEvent::EndedValueUsed);
        tracing::info!(
            token.id = act.token_id.map(tracing::field::display),
            tenant.id = %act.tenant_id,
            "a value was used after its end"
        );
        Ok(())
    }
}
