//! Giving a token a new value.

use std::time::Duration;

use super::access::Rpc;
use super::scene::{Deed, Scene, check_etag, lost_row};
use super::update::token_id;
use super::{Authority, Call, Error, Shown, grant, named_tenant};
use crate::domain::change::{Change, Revision, Version};
use crate::domain::ids::{SecretId, TenantId, TokenId, UserId};
use crate::domain::reason::{Denial, Obstacle, Violations};
use crate::domain::token::{Kind, Token};
use crate::domain::value::TokenValue;
use crate::domain::{audit, bounds};

/// What is asked for.
#[derive(Clone, Debug)]
pub struct RotateToken {
    /// The tenant, or `active`.
    pub tenant_id: String,
    /// Which token.
    pub token_id: String,
    /// The kind that it must be of; `None` finds any but WEBHOOK.
    pub kind: Option<Kind>,
    /// The version that the rotation builds on.
    pub etag: Option<Version>,
    /// How long the present value goes on; `None` is not at all.
    pub grace: Option<Duration>,
    /// What was wrong already on the wire.
    pub violations: Violations,
}

/// A token that was rotated.
#[derive(Debug)]
pub struct Rotated {
    /// The record.
    pub token: Shown,
    /// Its new value, for its owner alone.
    pub value: TokenValue,
    /// The revision that includes the rotation.
    pub revision: Revision,
}

/// Which token is to get a new value.
struct Rotation {
    tenant_id: TenantId,
    token_id: TokenId,
    kind: Option<Kind>,
    etag: Option<Version>,
    grace: Duration,
    /// Whether it is the caller's own, for no other reason than that.
    by_itself: bool,
    violations: Violations,
}

impl Authority {
    /// Gives a token a new value.
    pub async fn rotate_token(&self, call: Call, command: RotateToken) -> Result<Rotated, Error> {
        let rotation = Rotation {
            tenant_id: named_tenant(&call.caller, &command.tenant_id)?,
            token_id: token_id(&command.token_id)?,
            kind: command.kind,
            etag: command.etag,
            grace: command.grace.unwrap_or_default(),
            by_itself: false,
            violations: command.violations,
        };
        self.rotate(call, Rpc::RotateToken, rotation).await
    }

    /// Gives the caller's own token a new value.
    pub async fn rotate_current_token(
        &self,
        call: Call,
        grace: Option<Duration>,
        violations: Violations,
    ) -> Result<Rotated, Error> {
        let rotation = Rotation {
            tenant_id: call.caller.tenant_id.clone(),
            token_id: call.caller.own_token()?,
            kind: None,
            etag: None,
            grace: grace.unwrap_or_default(),
            by_itself: true,
            violations,
        };
        self.rotate(call, Rpc::RotateCurrentToken, rotation).await
    }

    /// Rotates. All is judged twice, as a creation is: in a snapshot, and under locks.
    async fn rotate(&self, call: Call, rpc: Rpc, rotation: Rotation) -> Result<Rotated, Error> {
        let (tenant_id, token_id) = (rotation.tenant_id.clone(), rotation.token_id);
        let mut look = self.look(&call, rpc, &tenant_id).await?;
        let (seen, replaced) = look.plan_rotation(&rotation).await?;
        let value = TokenValue::mint(look.tenant.prefix.clone(), &*self.entropy)?;
        drop(look);

        let hashing = self.hasher.hash(&tenant_id, value.secret().expose());
        let secret_hash = tokio::time::timeout_at(call.deadline, hashing)
            .await
            .map_err(|_| Error::DeadlineExceeded)??;

        let owner: Vec<UserId> = seen.owner.iter().map(|owner| owner.user_id).collect();
        let mut scene = self.begin(&call, rpc, &tenant_id, &owner).await?;
        scene.tx.lock_token(token_id).await?;
        let (token, current) = scene.plan_rotation(&rotation).await?;
        // Another rotation came first. Whoever got its value must not find it ended.
        if current != replaced {
            return Err(Error::EtagMismatch);
        }
        let now = scene.now;
        let secret = self.new_secret(&value, secret_hash, now)?;
        let end = now.saturating_add(rotation.grace);
        let rotated = scene.tx.mark_secret_ended(current, end).await?
            && scene
                .tx
                .mark_token_rotated(&token, &secret.hint, now)
                .await?;
        if !rotated {
            return Err(lost_row());
        }
        scene.tx.insert_secret(token_id, &secret, now).await?;
        let shown = scene.show(token_id).await?;
        let act = scene
            .act_on(&token)
            .changed(Some(&token), Some(&shown.token))
            .with("grace_period", audit::seconds(rotation.grace));
        let deed = Deed::of(act).altering([Change::TokenChanged(tenant_id, token_id)]);
        let revision = self.close_giving(scene, deed, token_id).await?;
        Ok(Rotated {
            token: shown,
            value,
            revision,
        })
    }
}

impl Scene {
    /// Judges a rotation; returns the token and the row of its present value.
    async fn plan_rotation(&mut self, rotation: &Rotation) -> Result<(Token, SecretId), Error> {
        let policy = self.tenant.policy;
        if rotation.by_itself {
            // The reserved tenant's policy can't be changed, and its services must be
            // able to roll their tokens.
            if !policy.self_rotation && !self.tenant.tenant_id.is_authority() {
                return Err(Error::PermissionDenied(Denial::SelfRotationOff));
            }
        } else if policy.tokens_may_not_mint && self.caller.is_token_of(&self.tenant.tenant_id) {
            return Err(Error::PermissionDenied(Denial::MayNotMint));
        }
        let mut violations = rotation.violations.clone();
        violations.check("grace_period", policy.check_grace(rotation.grace));
        if !violations.is_empty() {
            return Err(violations.into());
        }
        let token = self.token(rotation.token_id, rotation.kind).await?;
        let current = self.tx.find_current_secret(token.token_id).await?;
        let current = current.ok_or_else(|| Error::internal("a token without a value"))?;
        if rotation.by_itself && Some(current) != self.caller.secret_id() {
            return Err(Error::FailedPrecondition(Obstacle::ValueNotCurrent));
        }
        check_etag(rotation.etag, token.version)?;
        token
            .may_change(self.now)
            .map_err(Error::FailedPrecondition)?;
        if token.owner.as_ref().is_some_and(|owner| owner.suspended) {
            return Err(Error::FailedPrecondition(Obstacle::UserSuspended));
        }
        if !rotation.by_itself {
            grant::check_owner(&self.caller, token.owner.as_ref(), &policy)?;
            // The whole grant, whatever the role withholds of it now: who has the value
            // has it once that comes back.
            let catalog = self.catalog().await?;
            grant::check_held(&token.scopes, &self.caller, &catalog)?;
        }
        if self.tenant.suspended_at.is_some() {
            return Err(Error::FailedPrecondition(Obstacle::TenantSuspended));
        }
        let lingers = rotation.grace > Duration::ZERO;
        if lingers && self.values_in_grace(&token).await? >= bounds::VALUES_IN_GRACE {
            return Err(Error::FailedPrecondition(Obstacle::TooManyValues));
        }
        Ok((token, current))
    }

    async fn values_in_grace(&mut self, token: &Token) -> Result<i64, Error> {
        let in_grace = self
            .tx
            .count_secrets_in_grace(token.token_id, self.now.max(token.updated_at));
        Ok(in_grace.await?)
    }
}
