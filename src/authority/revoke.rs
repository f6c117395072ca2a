//! Revoking a token: a named one, or the caller's own.

use super::access::Rpc;
use super::scene::{Deed, lost_row};
use super::update::token_id;
use super::{Authority, Call, Error, Shown, named_tenant};
use crate::domain::change::{Change, Revision};
use crate::domain::reason::Violations;
use crate::domain::text;
use crate::domain::token::{Kind, RevokeReason};

/// What is asked for.
#[derive(Clone, Debug)]
pub struct RevokeToken {
    /// The tenant, or `active`.
    pub tenant_id: String,
    /// Which token.
    pub token_id: String,
    /// The kind that it must be of; `None` finds any but WEBHOOK.
    pub kind: Option<Kind>,
    /// Why.
    pub reason: RevokeReason,
    /// More on why.
    pub reason_text: String,
    /// What was wrong already on the wire.
    pub violations: Violations,
}

/// Why the caller's own token is to be revoked.
#[derive(Clone, Debug)]
pub struct RevokeCurrentToken {
    /// Why.
    pub reason: RevokeReason,
    /// More on why.
    pub reason_text: String,
    /// What was wrong already on the wire.
    pub violations: Violations,
}

impl Authority {
    /// Revokes a token for good. A revoked one stays as it is, which is no error.
    pub async fn revoke_token(
        &self,
        call: Call,
        command: RevokeToken,
    ) -> Result<(Shown, Revision), Error> {
        let tenant_id = named_tenant(&call.caller, &command.tenant_id)?;
        let token_id = token_id(&command.token_id)?;
        let mut scene = self.begin(&call, Rpc::RevokeToken, &tenant_id, &[]).await?;
        let mut violations = command.violations;
        let text = violations.check("reason_text", text::prose(&command.reason_text));
        let (Some(text), true) = (text, violations.is_empty()) else {
            return Err(violations.into());
        };
        // Not locked before it is known to be in reach: else two who name each other's
        // tenants' tokens could wait for each other.
        scene.token(token_id, command.kind).await?;
        scene.tx.lock_token(token_id).await?;
        let token = scene.token(token_id, command.kind).await?;
        let (reason, now) = (command.reason, scene.now);
        let marked = token.revocation.is_none()
            && scene
                .tx
                .mark_token_revoked(&token, reason, &text, now)
                .await?;
        let shown = scene.show(token_id).await?;
        // Its user's deletion, in the tenant that vouches for it, may have come between:
        // an epoch waits for no lock of ours.
        if shown.token.revocation.is_none() {
            return Err(lost_row());
        }
        let deed = if marked {
            let act = scene.act_on(&token);
            Deed::of(act.changed(Some(&token), Some(&shown.token)))
                .altering([Change::TokenChanged(tenant_id, token_id)])
        } else {
            Deed::default()
        };
        let revision = self.close_scene(scene, deed, &shown).await?;
        Ok((shown, revision))
    }

    /// Revokes the token that the caller presents: anybody may kill its own credential,
    /// also where administrators manage the tokens.
    pub async fn revoke_current_token(
        &self,
        call: Call,
        command: RevokeCurrentToken,
    ) -> Result<((), Revision), Error> {
        let tenant_id = call.caller.tenant_id.clone();
        let token_id = call.caller.own_token()?;
        // Which locks the token, and finds it alive.
        let mut scene = self
            .begin(&call, Rpc::RevokeCurrentToken, &tenant_id, &[])
            .await?;
        let mut violations = command.violations;
        let text = violations.check("reason_text", text::prose(&command.reason_text));
        let (Some(text), true) = (text, violations.is_empty()) else {
            return Err(violations.into());
        };
        let token = scene.tx.find_token(&tenant_id, token_id).await?;
        let token = token.ok_or(Error::Unauthenticated)?;
        let (reason, now) = (command.reason, scene.now);
        if !scene
            .tx
            .mark_token_revoked(&token, reason, &text, now)
            .await?
        {
            return Err(lost_row());
        }
        let revoked = token.clone().revoked(now, reason, text);
        let act = scene.act_on(&token).changed(Some(&token), Some(&revoked));
        let deed = Deed::of(act).altering([Change::TokenChanged(tenant_id, token_id)]);
        let revision = self.close_scene(scene, deed, &()).await?;
        Ok(((), revision))
    }
}
