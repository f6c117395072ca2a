//! What a use case works in: a transaction, the tenant and the caller as they are
//! in it, and how far the caller reaches.

use std::collections::BTreeSet;

use serde::Serialize;
use tokio::time::timeout_at;

use super::access::{self, Reach, Rpc};
use super::caller::Presented;
use super::together::Together;
use super::{Authority, Call, Caller, Error, Shown, requests};
use crate::domain::audit::{Act, Origin};
use crate::domain::bounds;
use crate::domain::catalog::Catalog;
use crate::domain::change::{Change, Revision, Version};
use crate::domain::ids::{InviteId, TenantId, TokenId, UserId};
use crate::domain::introspection;
use crate::domain::principal::{Tenant, User};
use crate::domain::reason::{Missing, Obstacle};
use crate::domain::time::Timestamp;
use crate::domain::token::{Kind, Token};
use crate::store::{Epoch, NewRequest, Tx};

/// A transaction, and who acts in which tenant.
#[derive(Debug)]
pub(super) struct Scene {
    pub tx: Tx,
    pub tenant: Tenant,
    pub caller: Caller,
    pub reach: Reach,
    pub now: Timestamp,
    /// The call that changes something; none that looks.
    pub call: Option<Call>,
    /// What is created in it together.
    pub together: Together,
}

/// What a scene comes to.
#[derive(Debug, Default)]
pub(super) struct Deed {
    /// Which answers it may alter.
    pub changes: Vec<Change>,
    /// What it revokes in one row.
    pub epochs: Vec<Epoch>,
    /// What is written down of it; nothing where nothing changed.
    pub acts: Vec<Act>,
}

impl Deed {
    /// Returns a deed that is written down like this.
    pub(super) fn of(act: Act) -> Self {
        Self {
            acts: vec![act],
            ..Self::default()
        }
    }

    /// Adds what it may alter.
    #[must_use]
    pub(super) fn altering(mut self, changes: impl IntoIterator<Item = Change>) -> Self {
        self.changes.extend(changes);
        self
    }

    /// Adds what it revokes in one row.
    #[must_use]
    pub(super) fn revoking(mut self, epochs: impl IntoIterator<Item = Epoch>) -> Self {
        self.epochs.extend(epochs);
        self
    }
}

impl Authority {
    /// Opens a snapshot to look at a tenant in.
    pub(super) async fn look(
        &self,
        call: &Call,
        rpc: Rpc,
        tenant_id: &TenantId,
    ) -> Result<Scene, Error> {
        let reach = access::may(rpc, &call.caller, Some(tenant_id))?;
        let mut tx = self.store.snapshot().await?;
        let tenant = tx
            .find_tenant(tenant_id)
            .await?
            .ok_or(Error::NotFound(Missing::Tenant))?;
        access::check_management(reach, &tenant.policy)?;
        Ok(Scene {
            tx,
            tenant,
            caller: call.caller.clone(),
            reach,
            now: self.clock.now(),
            call: None,
            together: Together::default(),
        })
    }

    /// Begins a change in a tenant. What it relies on is locked, always in the
    /// order tenant, users, token: the tenant (and with it its policy, catalog and
    /// memberships), the caller's user and those named, and the caller's token.
    /// The caller is then judged anew, and the value that it presented, so that nobody
    /// acts whose rights ended before the change. Until the locks are held, the deadline ends it.
    pub(super) async fn begin(
        &self,
        call: &Call,
        rpc: Rpc,
        tenant_id: &TenantId,
        users: &[UserId],
    ) -> Result<Scene, Error> {
        access::may(rpc, &call.caller, Some(tenant_id))?;
        self.begin_unchecked(call, rpc, Some(tenant_id), &[tenant_id], users)
            .await
    }

    /// Begins a change of the installation: under the lock of the reserved tenant.
    pub(super) async fn begin_installation(&self, call: &Call, rpc: Rpc) -> Result<Scene, Error> {
        access::may(rpc, &call.caller, None)?;
        self.begin_unchecked(call, rpc, None, &[&TenantId::authority()], &[])
            .await
    }

    /// Begins a change whose call names `named`. Of the tenants to lock, the reserved
    /// one, which stands for the installation, comes first, and the one that the
    /// change is in last.
    pub(super) async fn begin_unchecked(
        &self,
        call: &Call,
        rpc: Rpc,
        named: Option<&TenantId>,
        tenants: &[&TenantId],
        users: &[UserId],
    ) -> Result<Scene, Error> {
        let locking = async {
            let mut tx = self.store.begin().await?;
            let mut tenant = None;
            for tenant_id in tenants {
                tenant = tx.lock_tenant(tenant_id).await?;
            }
            let tenant = tenant.ok_or(Error::NotFound(Missing::Tenant))?;
            let users: BTreeSet<UserId> =
                users.iter().copied().chain(call.caller.user_id).collect();
            for user_id in users {
                tx.lock_user(user_id).await?;
            }
            if let Some(token_id) = call.caller.token_id() {
                tx.lock_token(token_id).await?;
            }
            Ok::<_, Error>((tx, tenant))
        };
        let (mut tx, tenant) = timeout_at(call.deadline, locking)
            .await
            .map_err(|_| Error::DeadlineExceeded)??;
        let now = self.clock.now();
        let caller = self.judge_caller(&mut tx, &call.caller, now).await?;
        let reach = access::may(rpc, &caller, named)?;
        access::check_management(reach, &tenant.policy)?;
        requests::check_undone(&mut tx, call, &caller, now).await?;
        Ok(Scene {
            tx,
            tenant,
            caller,
            reach,
            now,
            call: Some(call.clone()),
            together: Together::default(),
        })
    }

    /// Judges a caller anew, in a transaction that holds the locks of what it is judged by.
    async fn judge_caller(
        &self,
        tx: &mut Tx,
        caller: &Caller,
        now: Timestamp,
    ) -> Result<Caller, Error> {
        let (token_id, secret_id) = match &caller.presented {
            Presented::Session(vouched) => {
                return self.judge_again(tx, caller, vouched, now).await;
            }
            Presented::Token {
                token_id,
                secret_id,
            } => (*token_id, *secret_id),
            Presented::Identity(_) => return self.identify_again(tx, caller).await,
            // It calls no more.
            Presented::Before(_) => return Err(Error::Unauthenticated),
        };
        let record = tx.find_record_by_token(token_id).await?;
        let record = record.filter(|record| record.dead(now).is_none());
        let record = record.ok_or(Error::Unauthenticated)?;
        let end = tx.find_secret_end(secret_id).await?;
        if end.is_none_or(|end| record.token.is_over(end, now)) {
            return Err(Error::Unauthenticated);
        }
        Ok(Caller::of(&record, secret_id))
    }

    /// Writes down what was done, logs the changes and commits. The outcome is what a
    /// call of the same request id is answered with.
    pub(super) async fn close_scene(
        &self,
        scene: Scene,
        deed: Deed,
        outcome: &impl Serialize,
    ) -> Result<Revision, Error> {
        let asked_again = scene
            .call
            .as_ref()
            .is_some_and(|call| call.request.is_some());
        let outcome = asked_again.then(|| serde_json::to_string(outcome));
        let outcome = outcome.transpose().map_err(Error::internal)?;
        // What is too long to be kept for a day is answered as done, and no more.
        let outcome = outcome.filter(|outcome| outcome.len() <= bounds::OUTCOME_BYTES);
        let request = scene.request(outcome, None);
        self.close_kept(scene, deed, request).await
    }

    /// As [`close_scene`](Self::close_scene), for a call that gives out a value of this
    /// token: a call of the same request id is told so.
    pub(super) async fn close_giving(
        &self,
        scene: Scene,
        deed: Deed,
        token_id: TokenId,
    ) -> Result<Revision, Error> {
        let request = scene.request(None, Some(token_id));
        self.close_kept(scene, deed, request).await
    }

    /// As [`close_giving`](Self::close_giving), for a call that gives out the value of this
    /// invite.
    pub(super) async fn close_inviting(
        &self,
        scene: Scene,
        deed: Deed,
        invite_id: InviteId,
    ) -> Result<Revision, Error> {
        let outcome = serde_json::to_string(&invite_id).map_err(Error::internal)?;
        let request = scene.request(Some(outcome), None);
        self.close_kept(scene, deed, request).await
    }

    async fn close_kept(
        &self,
        mut scene: Scene,
        deed: Deed,
        request: Option<NewRequest>,
    ) -> Result<Revision, Error> {
        let origin = scene.origin();
        for act in &deed.acts {
            scene.tx.append_act(act, &origin, scene.now).await?;
        }
        let Deed {
            changes, epochs, ..
        } = deed;
        let closed = scene
            .tx
            .close_with(&changes, &epochs, request.as_ref(), scene.now);
        self.settled(closed.await).await
    }
}

impl Scene {
    /// Returns an act of this call, about the scene's tenant.
    pub(super) fn act(&self) -> Act {
        let name = self.call.as_ref().map_or("", |call| call.rpc.name());
        Act::new(name, self.tenant.tenant_id.clone())
    }

    /// Returns an act of this call, about a tenant as such: the installation's log has
    /// it, too.
    pub(super) fn act_on_tenant(&self, tenant: &Tenant) -> Act {
        Act {
            tenant_id: tenant.tenant_id.clone(),
            of_installation: true,
            ..self.act()
        }
    }

    /// Returns an act of this call, about a token and the user that it acts as.
    pub(super) fn act_on(&self, token: &Token) -> Act {
        let mut act = self.act().token(token.token_id);
        act.user_id = token.owner.as_ref().map(|owner| owner.user_id);
        act
    }

    /// Returns who acts, and in which call.
    fn origin(&self) -> Origin {
        let (call_id, trace_id) = match &self.call {
            Some(call) => (call.call_id.clone(), call.trace_id.clone()),
            None => Default::default(),
        };
        Origin {
            by: Some(self.caller.by()),
            trace_id,
            call_id,
        }
    }

    /// Returns the tenant's catalog.
    pub(super) async fn catalog(&mut self) -> Result<Catalog, Error> {
        if let Some(catalog) = self.together.catalog() {
            return Ok(catalog.clone());
        }
        Ok(self.tx.get_catalog(&self.tenant.tenant_id).await?.catalog)
    }

    /// Returns a token that the caller reaches and that is of the named kind; of
    /// none named, any but WEBHOOK.
    pub(super) async fn token(
        &mut self,
        token_id: TokenId,
        kind: Option<Kind>,
    ) -> Result<Token, Error> {
        let token = self.tx.find_token(&self.tenant.tenant_id, token_id).await?;
        token
            .filter(|token| self.reaches(token, kind))
            .ok_or(Error::NotFound(Missing::Token))
    }

    /// Returns whether the caller reaches a token, of the named kind or, where none is
    /// named, of any but WEBHOOK.
    pub(super) fn reaches(&self, token: &Token, kind: Option<Kind>) -> bool {
        let owner = token.owner.as_ref().map(|owner| owner.user_id);
        let own = match self.reach {
            Reach::Tenant => true,
            Reach::Own(user_id) => owner == Some(user_id),
        };
        let kind_fits = kind.map_or(token.kind != Kind::Webhook, |kind| token.kind == kind);
        token.tenant_id == self.tenant.tenant_id && own && kind_fits
    }

    /// Returns a token as it is after this scene's changes.
    pub(super) async fn show(&mut self, token_id: TokenId) -> Result<Shown, Error> {
        let token = self.tx.find_token(&self.tenant.tenant_id, token_id).await?;
        let token = token.ok_or_else(|| Error::internal("a token vanished"))?;
        let catalog = self.catalog().await?;
        Ok(shown(token, &catalog, self.now))
    }

    /// Returns a user that is a member of the tenant or for whom it vouches.
    pub(super) async fn user(&mut self, user_id: UserId) -> Result<User, Error> {
        let tenant_id = &self.tenant.tenant_id;
        let user = self
            .tx
            .find_user(user_id)
            .await?
            .ok_or(Error::NotFound(Missing::User))?;
        if user.vouching_tenant_id != *tenant_id
            && self.tx.find_membership(tenant_id, user_id).await?.is_none()
        {
            return Err(Error::NotFound(Missing::User));
        }
        Ok(user)
    }

    /// Refuses a change of the reserved tenant.
    pub(super) fn forbid_reserved(&self) -> Result<(), Error> {
        if self.tenant.tenant_id.is_authority() {
            return Err(Error::FailedPrecondition(Obstacle::ReservedTenant));
        }
        Ok(())
    }
}

/// Returns a token with what it may do.
pub(super) fn shown(token: Token, catalog: &Catalog, now: Timestamp) -> Shown {
    let effective = catalog.effective(&token.scopes, introspection::holder(&token));
    Shown {
        token,
        effective,
        now,
    }
}

/// Refuses an etag of another version.
pub(super) fn check_etag(etag: Option<Version>, version: Version) -> Result<(), Error> {
    if etag.is_some_and(|etag| etag != version) {
        return Err(Error::EtagMismatch);
    }
    Ok(())
}

/// A guarded statement found nothing although its row is locked.
pub(super) fn lost_row() -> Error {
    Error::internal("a locked row changed")
}
