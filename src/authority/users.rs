//! Users.

use super::access::Rpc;
use super::scene::{Deed, Scene, check_etag, lost_row};
use super::{Authority, Call, Error, named_tenant};
use crate::domain::audit::Act;
use crate::domain::bounds;
use crate::domain::change::{Change, Revision, Version};
use crate::domain::ids::UserId;
use crate::domain::principal::{Membership, Role, User};
use crate::domain::reason::{Denial, Field, Missing, Obstacle, Taken, Violations};
use crate::domain::scope::Permission;
use crate::domain::text;
use crate::domain::token::RevokeReason;
use crate::store::{self, Epoch, Listed, Page, Position};

/// What is asked for.
#[derive(Clone, Debug)]
pub struct CreateUser {
    /// The tenant that vouches for it and that it joins, or `active`.
    pub tenant_id: String,
    /// What that tenant calls it.
    pub external_id: String,
    /// What people call it.
    pub display_name: String,
    /// What it is to be in the tenant.
    pub role: Role,
    /// What was wrong already on the wire.
    pub violations: Violations,
}

/// What is asked for; `None` leaves a field as it is.
#[derive(Clone, Debug)]
pub struct UpdateUser {
    /// The tenant that vouches for it, or `active`.
    pub tenant_id: String,
    /// Which user.
    pub user_id: String,
    /// The version that the change builds on.
    pub etag: Option<Version>,
    /// What the tenant calls it.
    pub external_id: Option<String>,
    /// What people call it.
    pub display_name: Option<String>,
    /// What was wrong already on the wire.
    pub violations: Violations,
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct ListUsers {
    /// The tenant, or `active`.
    pub tenant_id: String,
    /// How many at most.
    pub page_size: u32,
    /// Where to go on.
    pub after: Option<Position<UserId>>,
    /// Only whom the voucher calls this; empty is anybody.
    pub external_id: String,
    /// What was wrong already on the wire.
    pub violations: Violations,
}

impl Authority {
    /// Creates a user and its membership of the tenant, which vouches for it.
    pub async fn create_user(
        &self,
        call: Call,
        command: CreateUser,
    ) -> Result<((User, Membership), Revision), Error> {
        let tenant_id = named_tenant(&call.caller, &command.tenant_id)?;
        let mut scene = self.begin(&call, Rpc::CreateUser, &tenant_id, &[]).await?;
        scene.forbid_reserved()?;
        let mut violations = command.violations;
        let external_id = external_id_of(&command.external_id, &mut violations);
        let display_name = display_name_of(&command.display_name, &mut violations);
        if !violations.is_empty() {
            return Err(violations.into());
        }
        let user_id = UserId::mint(scene.now, &*self.entropy)?;
        let user = User {
            user_id,
            external_id,
            display_name,
            vouching_tenant_id: tenant_id.clone(),
            vouching_trust: None,
            active_tenant_id: tenant_id.clone(),
            version: Version(1),
            created_at: scene.now,
            updated_at: scene.now,
            suspended_at: None,
        };
        let user = scene.tx.insert_user(&user).await?;
        let user = user.ok_or(Error::AlreadyExists(Taken::ExternalId))?;
        let now = scene.now;
        let member = scene
            .tx
            .insert_membership(&tenant_id, user_id, command.role, now)
            .await?;
        let member = member.ok_or_else(lost_row)?;
        let act = scene.act().user(user_id).changed(None, Some(&user));
        let act = act.changed(None, Some(&member));
        let deed = Deed::of(act).altering([Change::MemberChanged(tenant_id, user_id)]);
        let made = (user, member);
        let revision = self.close_scene(scene, deed, &made).await?;
        Ok((made, revision))
    }

    /// Returns a user of the tenant.
    pub async fn get_user(
        &self,
        call: Call,
        tenant_id: &str,
        user_id_text: &str,
    ) -> Result<(User, Option<Membership>), Error> {
        let tenant_id = named_tenant(&call.caller, tenant_id)?;
        let mut scene = self.look(&call, Rpc::GetUser, &tenant_id).await?;
        let user = scene.user(user_id(user_id_text)?).await?;
        let member = scene.tx.find_membership(&tenant_id, user.user_id).await?;
        Ok((user, member))
    }

    /// Lists the users of a tenant.
    pub async fn list_users(
        &self,
        call: Call,
        command: ListUsers,
    ) -> Result<Page<User, UserId>, Error> {
        let tenant_id = named_tenant(&call.caller, &command.tenant_id)?;
        let mut scene = self.look(&call, Rpc::ListUsers, &tenant_id).await?;
        let mut violations = command.violations;
        let external_id = text::line(&command.external_id, bounds::EXTERNAL_ID_CHARS);
        let external_id = violations.check("external_id", external_id);
        if !violations.is_empty() {
            return Err(violations.into());
        }
        let listed = Listed {
            external_id: external_id.filter(|text| !text.is_empty()),
        };
        Ok(scene
            .tx
            .list_users(&tenant_id, &listed, command.after, command.page_size)
            .await?)
    }

    /// Changes what is asked for of a user.
    pub async fn update_user(
        &self,
        call: Call,
        command: UpdateUser,
    ) -> Result<(User, Revision), Error> {
        let tenant_id = named_tenant(&call.caller, &command.tenant_id)?;
        let mut violations = command.violations;
        let user_id = violations.check("user_id", parse_user_id(&command.user_id));
        let external_id = command.external_id;
        let external_id = external_id.map(|text| external_id_of(&text, &mut violations));
        let display_name = command.display_name;
        let display_name = display_name.map(|text| display_name_of(&text, &mut violations));
        let mut scene = self
            .begin(&call, Rpc::UpdateUser, &tenant_id, user_id.as_slice())
            .await?;
        let (Some(user_id), true) = (user_id, violations.is_empty()) else {
            return Err(violations.into());
        };
        let before = scene.vouched(user_id).await?;
        check_etag(command.etag, before.version)?;
        let user = User {
            external_id: external_id.unwrap_or_else(|| before.external_id.clone()),
            display_name: display_name.unwrap_or_else(|| before.display_name.clone()),
            ..before.clone()
        };
        if user.external_id != before.external_id {
            let (voucher, trust) = (&user.vouching_tenant_id, user.vouching_trust.as_ref());
            if scene
                .tx
                .find_user_by_external_id(voucher, trust, &user.external_id)
                .await?
                .is_some()
            {
                return Err(Error::AlreadyExists(Taken::ExternalId));
            }
        }
        let marked = scene.tx.mark_user_changed(&user, scene.now).await;
        // An operator who names another tenant than the voucher holds not the
        // voucher's lock, so that a user of this external_id may have come meanwhile.
        let user = match marked {
            Err(store::Error::Conflict(_)) => Err(Error::AlreadyExists(Taken::ExternalId)),
            marked => marked?.ok_or_else(lost_row),
        }?;
        // What people call a user is in no answer to an introspection.
        let answers = user.external_id != before.external_id;
        let act = scene.act().user(user.user_id);
        let deed = Deed::of(act.changed(Some(&before), Some(&user)))
            .altering(answers.then_some(Change::UserChanged(user.user_id)));
        let revision = self.close_scene(scene, deed, &user).await?;
        Ok((user, revision))
    }

    /// Makes all tokens of a user inactive, until it is resumed. A suspended one
    /// stays as it is, which is no error.
    pub async fn suspend_user(
        &self,
        call: Call,
        tenant_id: &str,
        user_id_text: &str,
    ) -> Result<(User, Revision), Error> {
        let mut scene = self
            .begin_user(&call, Rpc::SuspendUser, tenant_id, user_id_text)
            .await?;
        let user = scene.vouched(user_id(user_id_text)?).await?;
        let marked = scene
            .tx
            .mark_user_suspended(user.user_id, scene.now)
            .await?;
        self.close_user(scene, user, marked).await
    }

    /// Undoes a suspension. One that is not suspended stays as it is, which is no
    /// error.
    pub async fn resume_user(
        &self,
        call: Call,
        tenant_id: &str,
        user_id_text: &str,
    ) -> Result<(User, Revision), Error> {
        let mut scene = self
            .begin_user(&call, Rpc::ResumeUser, tenant_id, user_id_text)
            .await?;
        let user = scene.vouched(user_id(user_id_text)?).await?;
        let marked = scene.tx.mark_user_resumed(user.user_id, scene.now).await?;
        self.close_user(scene, user, marked).await
    }

    /// Commits a user's change of state, if there was one.
    async fn close_user(
        &self,
        scene: Scene,
        user: User,
        marked: Option<User>,
    ) -> Result<(User, Revision), Error> {
        let deed = match &marked {
            Some(marked) => {
                let act = scene.act().user(user.user_id);
                Deed::of(act.changed(Some(&user), Some(marked)))
                    .altering([Change::UserChanged(user.user_id)])
            }
            None => Deed::default(),
        };
        let user = marked.unwrap_or(user);
        let revision = self.close_scene(scene, deed, &user).await?;
        Ok((user, revision))
    }

    /// Deletes a user for good and revokes all its tokens, in one row.
    pub async fn delete_user(
        &self,
        call: Call,
        tenant_id: &str,
        user_id_text: &str,
        etag: Option<Version>,
    ) -> Result<((), Revision), Error> {
        let mut scene = self
            .begin_user(&call, Rpc::DeleteUser, tenant_id, user_id_text)
            .await?;
        let user = scene.vouched(user_id(user_id_text)?).await?;
        check_etag(etag, user.version)?;
        let user_id = user.user_id;
        let deleted = scene
            .tx
            .mark_user_deleted(user_id, user.version, scene.now)
            .await?;
        deleted.ok_or_else(lost_row)?;
        let epoch = Epoch {
            tenant_id: None,
            user_id: Some(user_id),
            kind: None,
            reason: RevokeReason::OwnerGone,
            text: String::new(),
        };
        let act = scene.act().user(user_id).changed(Some(&user), None);
        let act = scene.without_invites(act, &user, None).await?;
        let deed = Deed::of(act)
            .altering([Change::UserChanged(user_id)])
            .revoking([epoch]);
        let revision = self.close_scene(scene, deed, &()).await?;
        Ok(((), revision))
    }

    /// Sets which tenant `active` stands for in the caller's own sessions.
    pub async fn set_active_tenant(
        &self,
        call: Call,
        tenant_id: &str,
    ) -> Result<(User, Revision), Error> {
        let tenant_id = named_tenant(&call.caller, tenant_id)?;
        let rpc = Rpc::SetActiveTenant;
        let user_id = call
            .caller
            .user_id
            .ok_or(Error::FailedPrecondition(Obstacle::NoUser))?;
        // The caller's user may be a member of other tenants than its token's; one in
        // which it is nothing is not there, and not locked either.
        let mut look = self.store.snapshot().await?;
        if look.find_membership(&tenant_id, user_id).await?.is_none() {
            return Err(Error::NotFound(Missing::Tenant));
        }
        drop(look);
        let mut scene = self
            .begin_unchecked(&call, rpc, None, &[&tenant_id], &[])
            .await?;
        if scene
            .tx
            .find_membership(&tenant_id, user_id)
            .await?
            .is_none()
        {
            return Err(Error::NotFound(Missing::Tenant));
        }
        let before = scene
            .tx
            .find_user(user_id)
            .await?
            .ok_or(Error::Unauthenticated)?;
        let user = User {
            active_tenant_id: tenant_id,
            ..before
        };
        let user = scene
            .tx
            .mark_user_changed(&user, scene.now)
            .await?
            .ok_or_else(lost_row)?;
        // In the log of the tenant that the caller is bound to, which is not told of others.
        let act = Act {
            tenant_id: scene.caller.tenant_id.clone(),
            ..scene.act().user(user_id)
        };
        let revision = self.close_scene(scene, Deed::of(act), &user).await?;
        Ok((user, revision))
    }

    /// Begins a change of a user.
    async fn begin_user(
        &self,
        call: &Call,
        rpc: Rpc,
        tenant_id: &str,
        user_id_text: &str,
    ) -> Result<Scene, Error> {
        let tenant_id = named_tenant(&call.caller, tenant_id)?;
        let user_id = user_id(user_id_text)?;
        self.begin(call, rpc, &tenant_id, &[user_id]).await
    }
}

impl Scene {
    /// Returns a user whom this tenant may change, because it vouches for it. An
    /// operator may change any user of the tenant.
    async fn vouched(&mut self, user_id: UserId) -> Result<User, Error> {
        let user = self.user(user_id).await?;
        if user.vouching_tenant_id != self.tenant.tenant_id
            && !self.caller.has(Permission::Operator)
        {
            return Err(Error::PermissionDenied(Denial::NotVouched));
        }
        Ok(user)
    }
}

/// Parses a user's id.
pub(super) fn user_id(text: &str) -> Result<UserId, Error> {
    parse_user_id(text).map_err(|reason| Error::field("user_id", reason))
}

/// Parses a user's id, to be noted with what else is wrong.
pub(super) fn parse_user_id(text: &str) -> Result<UserId, Field> {
    if text.is_empty() {
        return Err(Field::Required);
    }
    text.parse().map_err(|_| Field::InvalidUserId)
}

fn external_id_of(text: &str, violations: &mut Violations) -> String {
    let line = text::required_line(text, bounds::EXTERNAL_ID_CHARS);
    violations.check("external_id", line).unwrap_or_default()
}

fn display_name_of(text: &str, violations: &mut Violations) -> String {
    let line = text::line(text, bounds::NAME_CHARS);
    violations.check("display_name", line).unwrap_or_default()
}
