//! Memberships.

use super::access::Rpc;
use super::scene::{Deed, Scene, check_etag, lost_row};
use super::users::{parse_user_id, user_id};
use super::{Authority, Call, Error, named_tenant};
use crate::domain::audit::Act;
use crate::domain::change::{Change, Revision, Version};
use crate::domain::ids::{TenantId, UserId};
use crate::domain::principal::{Membership, Role, User};
use crate::domain::reason::{Missing, Taken, Violations};
use crate::domain::scope::Permission;
use crate::domain::token::RevokeReason;
use crate::store::{Epoch, Page, Position};

impl Authority {
    /// Makes a user a member: one whom the tenant vouches for, or, for operators,
    /// any.
    pub async fn add_member(
        &self,
        call: Call,
        tenant_id: &str,
        user_id_text: &str,
        role: Role,
        mut violations: Violations,
    ) -> Result<(Membership, Revision), Error> {
        let tenant_id = named_tenant(&call.caller, tenant_id)?;
        let user_id = violations.check("user_id", parse_user_id(user_id_text));
        let mut scene = self
            .begin(&call, Rpc::AddMember, &tenant_id, user_id.as_slice())
            .await?;
        scene.forbid_reserved()?;
        let (Some(user_id), true) = (user_id, violations.is_empty()) else {
            return Err(violations.into());
        };
        let user = scene.joinable(user_id).await?;
        let now = scene.now;
        let member = scene
            .tx
            .insert_membership(&tenant_id, user.user_id, role, now)
            .await?;
        let member = member.ok_or(Error::AlreadyExists(Taken::Member))?;
        let act = scene.act().user(user_id).changed(None, Some(&member));
        let deed = Deed::of(act).altering([Change::MemberChanged(tenant_id, user_id)]);
        let revision = self.close_scene(scene, deed, &member).await?;
        Ok((member, revision))
    }

    /// Changes a member's role.
    pub async fn update_member(
        &self,
        call: Call,
        tenant_id: &str,
        user_id_text: &str,
        role: Option<Role>,
        etag: Option<Version>,
        mut violations: Violations,
    ) -> Result<(Membership, Revision), Error> {
        let tenant_id = named_tenant(&call.caller, tenant_id)?;
        let user_id = violations.check("user_id", parse_user_id(user_id_text));
        let mut scene = self
            .begin(&call, Rpc::UpdateMember, &tenant_id, user_id.as_slice())
            .await?;
        let (Some(user_id), Some(role), true) = (user_id, role, violations.is_empty()) else {
            return Err(violations.into());
        };
        let missing = Error::NotFound(Missing::Member);
        scene.user(user_id).await?;
        let member = scene
            .tx
            .find_membership(&tenant_id, user_id)
            .await?
            .ok_or(missing)?;
        check_etag(etag, member.version)?;
        let now = scene.now;
        let marked = scene.tx.mark_membership_changed(&member, role, now).await?;
        let marked = marked.ok_or_else(lost_row)?;
        let act = scene.act().user(user_id);
        let act = act.changed(Some(&member), Some(&marked));
        let deed = Deed::of(act).altering([Change::MemberChanged(tenant_id, user_id)]);
        let revision = self.close_scene(scene, deed, &marked).await?;
        Ok((marked, revision))
    }

    /// Ends a membership, and revokes the user's tokens of this tenant.
    pub async fn remove_member(
        &self,
        call: Call,
        tenant_id: &str,
        user_id_text: &str,
    ) -> Result<((), Revision), Error> {
        let tenant_id = named_tenant(&call.caller, tenant_id)?;
        let user_id = user_id(user_id_text)?;
        let mut scene = self
            .begin(&call, Rpc::RemoveMember, &tenant_id, &[user_id])
            .await?;
        let user = scene.user(user_id).await?;
        let member = scene.tx.find_membership(&tenant_id, user_id).await?;
        let member = member.ok_or(Error::NotFound(Missing::Member))?;
        if !scene
            .tx
            .mark_membership_removed(&tenant_id, user_id, scene.now)
            .await?
        {
            return Err(lost_row());
        }
        let epoch = Epoch {
            tenant_id: Some(tenant_id.clone()),
            user_id: Some(user_id),
            kind: None,
            reason: RevokeReason::OwnerGone,
            text: String::new(),
        };
        let act = scene.act().user(user_id).changed(Some(&member), None);
        let act = scene.without_invites(act, &user, Some(&tenant_id)).await?;
        let deed = Deed::of(act)
            .altering([Change::MemberChanged(tenant_id, user_id)])
            .revoking([epoch]);
        let revision = self.close_scene(scene, deed, &()).await?;
        Ok(((), revision))
    }

    /// Lists a tenant's members.
    pub async fn list_members(
        &self,
        call: Call,
        tenant_id: &str,
        after: Option<Position<UserId>>,
        page_size: u32,
        violations: Violations,
    ) -> Result<Page<Membership, UserId>, Error> {
        let tenant_id = named_tenant(&call.caller, tenant_id)?;
        let mut scene = self.look(&call, Rpc::ListMembers, &tenant_id).await?;
        if !violations.is_empty() {
            return Err(violations.into());
        }
        Ok(scene.tx.list_members(&tenant_id, after, page_size).await?)
    }
}

impl Scene {
    /// Returns a user who may be made a member: one whom the tenant vouches for, or who is
    /// one already, or, for operators, any.
    pub(super) async fn joinable(&mut self, user_id: UserId) -> Result<User, Error> {
        if self.caller.has(Permission::Operator) {
            let user = self.tx.find_user(user_id).await?;
            return user.ok_or(Error::NotFound(Missing::User));
        }
        self.user(user_id).await
    }

    /// Revokes what invites of a user there are, to one tenant or to each, and adds to the
    /// act that it did: who is removed does not come back by what was open before.
    pub(super) async fn without_invites(
        &mut self,
        act: Act,
        user: &User,
        tenant_id: Option<&TenantId>,
    ) -> Result<Act, Error> {
        let now = self.now;
        let revoked = self.tx.mark_invites_of_user_revoked(user, tenant_id, now);
        Ok(match revoked.await? {
            0 => act,
            revoked => act.with("invites_revoked", revoked.to_string()),
        })
    }
}
