//! Changing a token.

use super::access::Rpc;
use super::scene::{Deed, Scene, check_etag, lost_row};
use super::{Authority, Call, Error, Shown, grant, named_tenant};
use crate::domain::catalog::Catalog;
use crate::domain::change::{Change, Revision, Version};
use crate::domain::ids::{TokenId, UserId};
use crate::domain::introspection;
use crate::domain::policy::Expiry;
use crate::domain::reason::{Field, Taken, Violations};
use crate::domain::scope::ScopeSet;
use crate::domain::text::{self, Labels};
use crate::domain::time::Timestamp;
use crate::domain::token::{Kind, Token};

/// What is asked for; `None` leaves a field as it is.
#[derive(Clone, Debug)]
pub struct UpdateToken {
    /// The tenant, or `active`.
    pub tenant_id: String,
    /// Which token.
    pub token_id: String,
    /// The kind that it must be of; `None` finds any but WEBHOOK.
    pub kind: Option<Kind>,
    /// The version that the change builds on.
    pub etag: Option<Version>,
    /// A new name.
    pub name: Option<String>,
    /// New scopes, in place of the present ones.
    pub scopes: Option<Vec<String>>,
    /// A new end.
    pub expiry: Option<Expiry>,
    /// New labels, in place of the present ones.
    pub labels: Option<Labels>,
    /// Whether it is switched off.
    pub disabled: Option<bool>,
    /// What was wrong already on the wire.
    pub violations: Violations,
}

impl Authority {
    /// Changes what is asked for of a token.
    pub async fn update_token(
        &self,
        call: Call,
        command: UpdateToken,
    ) -> Result<(Shown, Revision), Error> {
        let tenant_id = named_tenant(&call.caller, &command.tenant_id)?;
        let token_id = token_id(&command.token_id)?;
        // Whose it is must be known before the locks are taken in their order; it
        // never changes.
        let mut look = self.look(&call, Rpc::UpdateToken, &tenant_id).await?;
        let found = look.token(token_id, command.kind).await?;
        drop(look);
        let owner: Vec<UserId> = found.owner.iter().map(|owner| owner.user_id).collect();

        let mut scene = self
            .begin(&call, Rpc::UpdateToken, &tenant_id, &owner)
            .await?;
        scene.tx.lock_token(token_id).await?;
        let token = scene.token(token_id, command.kind).await?;
        check_etag(command.etag, token.version)?;
        token
            .may_change(scene.now)
            .map_err(Error::FailedPrecondition)?;
        let changed = scene.plan_update(&command, &token).await?;
        if !scene.tx.mark_token_changed(&changed, scene.now).await? {
            return Err(lost_row());
        }
        let shown = scene.show(token_id).await?;
        let act = scene
            .act_on(&token)
            .changed(Some(&token), Some(&shown.token));
        let deed = Deed::of(act).altering([Change::TokenChanged(tenant_id, token_id)]);
        let revision = self.close_scene(scene, deed, &shown).await?;
        Ok((shown, revision))
    }
}

impl Scene {
    /// Judges what is asked for, and returns the token as it is to be.
    async fn plan_update(&mut self, command: &UpdateToken, token: &Token) -> Result<Token, Error> {
        let catalog = self.catalog().await?;
        let mut violations = command.violations.clone();
        let mut changed = token.clone();
        if let Some(name) = &command.name {
            changed.name = violations
                .check("name", text::name(name))
                .unwrap_or_default();
        }
        if let Some(asked) = &command.scopes {
            let holder = Some(introspection::holder(token));
            changed.scopes = grant::scopes("scopes", asked, &catalog, holder, &mut violations);
        }
        if let Some(expiry) = command.expiry {
            let end = self
                .tenant
                .policy
                .expires_at(expiry, token.created_at, self.now);
            changed.expires_at = violations.check("expire_time", end).flatten();
        }
        if let Some(labels) = &command.labels {
            changed.labels = text::labels("labels", labels.clone(), &mut violations);
        }
        if let Some(disabled) = command.disabled {
            let since: Timestamp = token.disabled_at.unwrap_or(self.now);
            changed.disabled_at = disabled.then_some(since);
        }
        if !violations.is_empty() {
            return Err(violations.into());
        }
        self.check_widening(token, &changed, &catalog)?;
        if self.tenant.policy.unique_names && changed.name != token.name {
            let owner = token.owner.as_ref().map(|owner| owner.user_id);
            let Token {
                tenant_id,
                kind,
                token_id,
                ..
            } = token;
            let name = &changed.name;
            if self
                .tx
                .is_token_name_taken(tenant_id, owner, *kind, name, *token_id)
                .await?
            {
                return Err(Error::AlreadyExists(Taken::Name));
            }
        }
        Ok(changed)
    }

    /// Refuses a change by which the token could do more, or for longer, than the
    /// caller could give it.
    fn check_widening(
        &self,
        before: &Token,
        after: &Token,
        catalog: &Catalog,
    ) -> Result<(), Error> {
        let longer = match (before.expires_at, after.expires_at) {
            (Some(before), Some(after)) => after > before,
            (Some(_), None) => true,
            (None, _) => false,
        };
        let enabled = before.disabled_at.is_some() && after.disabled_at.is_none();
        // The whole grant, whatever the role withholds of it now: that may come back.
        let granted = catalog.closure(&after.scopes);
        let widened = if longer || enabled {
            granted
        } else {
            granted.minus(&catalog.closure(&before.scopes))
        };
        if longer || enabled || widened != ScopeSet::default() {
            grant::check_owner(&self.caller, before.owner.as_ref(), &self.tenant.policy)?;
        }
        grant::check_held(&widened, &self.caller, catalog)
    }
}

/// Parses a token's id.
pub(super) fn token_id(text: &str) -> Result<TokenId, Error> {
    parse_token_id(text).map_err(|reason| Error::field("token_id", reason))
}

/// Parses a token's id, to be noted with what else is wrong.
pub(super) fn parse_token_id(text: &str) -> Result<TokenId, Field> {
    if text.is_empty() {
        return Err(Field::Required);
    }
    text.parse().map_err(|_| Field::InvalidTokenId)
}
