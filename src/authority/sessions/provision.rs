//! Making members of users that a trust vouches for, when they are seen first.

use super::Vouched;
use crate::authority::{Authority, Error};
use crate::domain::audit::{Act, By, Origin, action};
use crate::domain::change::{Change, Version};
use crate::domain::ids::{TenantId, UserId};
use crate::domain::principal::{Membership, Role, Tenant, User};
use crate::domain::session::{Refusal, Voucher};
use crate::domain::time::Timestamp;
use crate::store::Tx;

impl Vouched {
    /// Returns who vouches, as users' records have it: a tenant, or the reserved one and
    /// the trust.
    fn voucher_of_user(&self) -> (TenantId, Option<&crate::domain::session::TrustName>) {
        match &self.voucher {
            Voucher::Tenant(tenant_id) => (tenant_id.clone(), None),
            Voucher::Installation(name) => (TenantId::authority(), Some(name)),
        }
    }

    /// Returns the user that the session is of. The same subject from two vouchers is two
    /// users.
    pub(super) async fn find_user(&self, tx: &mut Tx) -> Result<Option<User>, Error> {
        let (tenant_id, trust) = self.voucher_of_user();
        let subject = &self.identity.subject;
        Ok(tx
            .find_user_by_external_id(&tenant_id, trust, subject)
            .await?)
    }

    /// Returns whether there was such a user, who is deleted.
    pub(super) async fn was_user(&self, tx: &mut Tx) -> Result<bool, Error> {
        let (tenant_id, trust) = self.voucher_of_user();
        let subject = &self.identity.subject;
        Ok(tx
            .was_user_of_external_id(&tenant_id, trust, subject)
            .await?)
    }

    /// Returns what a tenant makes of a user that it sees first; `None` where nothing.
    pub(super) fn admitted_by(&self, tenant: &Tenant) -> Option<Role> {
        match &self.voucher {
            Voucher::Tenant(own) => {
                let same = *own == tenant.tenant_id && tenant.sessions.own == self.trust;
                self.first_role.filter(|_| same)
            }
            Voucher::Installation(name) => tenant
                .sessions
                .admits
                .contains(name)
                .then_some(Role::Member),
        }
    }
}

impl Authority {
    /// Makes the user of a session a member of a tenant, and the user itself where there is
    /// none. All is judged again under the tenant's lock: of several at once one makes
    /// them, and nobody becomes a member again who was removed.
    pub(super) async fn provision(
        &self,
        vouched: &Vouched,
        tenant_id: &TenantId,
    ) -> Result<(User, Membership), Error> {
        let mut tx = self.store.begin().await?;
        let refused = |refusal| self.refused(refusal);
        let tenant = tx.lock_tenant(tenant_id).await?;
        let tenant = tenant.ok_or_else(|| refused(Refusal::TrustChanged))?;
        let now = self.clock.now();
        if tenant.suspended_at.is_some() {
            return Err(refused(Refusal::TenantSuspended));
        }
        let (user, made) = self.user_of(vouched, &tenant, &mut tx, now).await?;
        if let Some(membership) = tx.find_membership(tenant_id, user.user_id).await? {
            // Another call came first.
            return Ok((user, membership));
        }
        let role = vouched.admitted_by(&tenant);
        let role = role.ok_or_else(|| refused(Refusal::TrustChanged))?;
        if tx.was_member(tenant_id, user.user_id).await? {
            return Err(refused(Refusal::NotMember));
        }
        let membership = tx
            .insert_membership(tenant_id, user.user_id, role, now)
            .await?;
        let membership = membership.ok_or_else(|| Error::internal("a locked row changed"))?;
        let act = Act::new(action::PROVISION_MEMBER, tenant_id.clone()).user(user.user_id);
        let act = act.changed(None, made.then_some(&user));
        let act = act.changed(None, Some(&membership));
        let origin = Origin {
            by: Some(By {
                token_id: String::new(),
                tenant_id: tenant_id.to_string(),
                user_id: user.user_id.to_string(),
                trust: vouched.voucher.to_string(),
                identity: String::new(),
            }),
            ..Origin::default()
        };
        tx.append_act(&act, &origin, now).await?;
        let changes = [Change::MemberChanged(tenant_id.clone(), user.user_id)];
        let closed = tx.close_with(&changes, &[], None, now).await;
        self.settled(closed).await?;
        Ok((user, membership))
    }

    /// Returns the user of a session, locked, and whether it was made just now.
    async fn user_of(
        &self,
        vouched: &Vouched,
        tenant: &Tenant,
        tx: &mut Tx,
        now: Timestamp,
    ) -> Result<(User, bool), Error> {
        if let Some(user) = vouched.find_user(tx).await? {
            return self.locked(user.user_id, tx).await;
        }
        if vouched.was_user(tx).await? {
            return Err(self.refused(Refusal::UserDeleted));
        }
        if vouched.admitted_by(tenant).is_none() {
            return Err(self.refused(Refusal::TrustChanged));
        }
        let (vouching_tenant_id, trust) = vouched.voucher_of_user();
        let user = User {
            user_id: UserId::mint(now, &*self.entropy)?,
            external_id: vouched.identity.subject.clone(),
            display_name: vouched.identity.display_name.clone(),
            vouching_tenant_id,
            vouching_trust: trust.cloned(),
            active_tenant_id: tenant.tenant_id.clone(),
            version: Version(1),
            created_at: now,
            updated_at: now,
            suspended_at: None,
        };
        if let Some(user) = tx.insert_user(&user).await? {
            return Ok((user, true));
        }
        // Another tenant's call made it, which holds another lock.
        let user = vouched.find_user(tx).await?;
        let user = user.ok_or_else(|| self.refused(Refusal::UserDeleted))?;
        self.locked(user.user_id, tx).await
    }

    /// Locks a user that must be neither deleted nor suspended.
    async fn locked(&self, user_id: UserId, tx: &mut Tx) -> Result<(User, bool), Error> {
        let user = tx.lock_user(user_id).await?;
        let user = user.ok_or_else(|| self.refused(Refusal::UserDeleted))?;
        if user.suspended_at.is_some() {
            return Err(self.refused(Refusal::UserSuspended));
        }
        Ok((user, false))
    }
}
