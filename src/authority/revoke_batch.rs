//! Revoking several tokens in one change.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::access::Rpc;
use super::scene::{Deed, lost_row};
use super::update::parse_token_id;
use super::{Authority, Call, Error, named_tenant};
use crate::domain::bounds;
use crate::domain::change::{Change, Revision};
use crate::domain::ids::TokenId;
use crate::domain::reason::{Field, Missing, Violations};
use crate::domain::text;
use crate::domain::token::{Kind, RevokeReason};

/// The changes that are logged one by one: everybody waits for the lock of the log. More
/// are logged as one, of the whole tenant.
const MOST_CHANGES: usize = 50;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct BatchRevokeTokens {
    /// The tenant, or `active`.
    pub tenant_id: String,
    /// Which tokens.
    pub token_ids: Vec<String>,
    /// The kind that they must be of; `None` finds any but WEBHOOK.
    pub kind: Option<Kind>,
    /// Why.
    pub reason: RevokeReason,
    /// More on why.
    pub reason_text: String,
    /// What was wrong already on the wire.
    pub violations: Violations,
}

/// What became of the tokens.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct BatchRevoked {
    /// How many were revoked that were not before.
    pub revoked: usize,
    /// Those that are not there for the caller, sorted.
    pub missing: Vec<TokenId>,
}

impl Authority {
    /// Revokes tokens for good, all or none. Revoked ones stay as they are, and those
    /// that are not there are told; neither is an error.
    pub async fn batch_revoke_tokens(
        &self,
        call: Call,
        command: BatchRevokeTokens,
    ) -> Result<(BatchRevoked, Revision), Error> {
        let tenant_id = named_tenant(&call.caller, &command.tenant_id)?;
        let mut scene = self
            .begin(&call, Rpc::BatchRevokeTokens, &tenant_id, &[])
            .await?;
        let mut violations = command.violations;
        let token_ids = token_ids(&command.token_ids, &mut violations);
        let text = violations.check("reason_text", text::prose(&command.reason_text));
        let (Some(text), true) = (text, violations.is_empty()) else {
            return Err(violations.into());
        };
        let (reason, now) = (command.reason, scene.now);
        let mut batch = BatchRevoked::default();
        let mut deed = Deed::default();
        // In the order of their ids: so do all who lock several.
        for token_id in token_ids {
            let token = match scene.token(token_id, command.kind).await {
                Ok(token) => token,
                Err(Error::NotFound(Missing::Token)) => {
                    batch.missing.push(token_id);
                    continue;
                }
                Err(error) => return Err(error),
            };
            if token.revocation.is_some() {
                continue;
            }
            if !scene
                .tx
                .mark_token_revoked(&token, reason, &text, now)
                .await?
            {
                // Its user may have been deleted by another tenant meanwhile, or the token
                // swept away: neither waits for this tenant's lock.
                match scene.token(token_id, command.kind).await {
                    Ok(found) if found.revocation.is_some() => {}
                    Ok(_) => return Err(lost_row()),
                    Err(Error::NotFound(Missing::Token)) => batch.missing.push(token_id),
                    Err(error) => return Err(error),
                }
                continue;
            }
            let revoked = token.clone().revoked(now, reason, text.clone());
            let act = scene.act_on(&token).changed(Some(&token), Some(&revoked));
            deed.acts.push(act);
            deed.changes
                .push(Change::TokenChanged(tenant_id.clone(), token_id));
            batch.revoked += 1;
        }
        if deed.changes.len() > MOST_CHANGES {
            deed.changes = vec![Change::TenantChanged(tenant_id)];
        }
        let revision = self.close_scene(scene, deed, &batch).await?;
        Ok((batch, revision))
    }
}

/// Parses tokens' ids, each once.
fn token_ids(texts: &[String], violations: &mut Violations) -> BTreeSet<TokenId> {
    if texts.is_empty() {
        violations.add("token_ids", Field::Required);
    }
    if texts.len() > bounds::BATCH {
        violations.add("token_ids", Field::TooMany);
        return BTreeSet::new();
    }
    let parsed = texts.iter().enumerate().filter_map(|(at, text)| {
        violations.check(&format!("token_ids[{at}]"), parse_token_id(text))
    });
    parsed.collect()
}
