//! Tenants.

use std::collections::BTreeSet;

use super::access::Rpc;
use super::scene::{Deed, Scene, check_etag, lost_row};
use super::{Authority, Call, Error, named_tenant};
use crate::domain::change::{Change, Revision, Version};
use crate::domain::ids::TenantId;
use crate::domain::policy::Policy;
use crate::domain::principal::Tenant;
use crate::domain::reason::{Denial, Field, Obstacle, Taken, Violations};
use crate::domain::scope::Permission;
use crate::domain::session::TrustName;
use crate::domain::text;
use crate::domain::trust::{Sessions, TenantTrust};
use crate::domain::value::{ParsePrefixError, Prefix};
use crate::store::{Page, Position};

/// What is asked for.
#[derive(Clone, Debug)]
pub struct CreateTenant {
    /// Its id.
    pub tenant_id: String,
    /// What people call it; empty takes the id.
    pub display_name: String,
    /// What its values begin with.
    pub prefix: String,
    /// Its rules for tokens.
    pub policy: Policy,
    /// Whose sessions it takes.
    pub sessions: Sessions,
    /// What was wrong already on the wire.
    pub violations: Violations,
}

/// What is asked for; `None` leaves a field as it is.
#[derive(Debug)]
pub struct UpdateTenant {
    /// The tenant, or `active`.
    pub tenant_id: String,
    /// The version that the change builds on.
    pub etag: Option<Version>,
    /// What people call it.
    pub display_name: Option<String>,
    /// What its values begin with.
    pub prefix: Option<String>,
    /// Makes the new rules out of the present ones.
    pub policy: Option<PolicyChange>,
    /// Its own trust, in place of the present one, or none.
    pub oidc_trust: Option<Option<TenantTrust>>,
    /// The trusts that it admits, in place of the present ones.
    pub admitted_trusts: Option<BTreeSet<TrustName>>,
    /// What was wrong already on the wire.
    pub violations: Violations,
}

/// Makes new rules out of the present ones.
pub struct PolicyChange(pub Box<dyn FnOnce(&mut Policy) + Send>);

impl std::fmt::Debug for PolicyChange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PolicyChange")
    }
}

impl Authority {
    /// Creates a tenant with an empty catalog.
    pub async fn create_tenant(
        &self,
        call: Call,
        command: CreateTenant,
    ) -> Result<(Tenant, Revision), Error> {
        let mut scene = self.begin_installation(&call, Rpc::CreateTenant).await?;
        let mut violations = command.violations;
        let tenant_id = violations.check("tenant_id", new_tenant_id(&command.tenant_id));
        let display_name = match command.display_name.as_str() {
            // An id that is none is wrong once, not as a name, too.
            "" => tenant_id.as_ref().map(TenantId::to_string),
            text => violations.check("display_name", text::name(text)),
        };
        let prefix = violations.check("token_prefix", prefix(&command.prefix));
        command.policy.check(&mut violations);
        let sessions = command.sessions;
        self.check_sessions(
            &mut scene.tx,
            &Sessions::default(),
            &sessions,
            &mut violations,
        )
        .await?;
        let (Some(tenant_id), Some(display_name), Some(prefix), true) =
            (tenant_id, display_name, prefix, violations.is_empty())
        else {
            return Err(violations.into());
        };
        let tenant = Tenant {
            tenant_id,
            display_name,
            prefix,
            policy: command.policy,
            sessions,
            version: Version(1),
            created_at: scene.now,
            updated_at: scene.now,
            suspended_at: None,
            deleted_at: None,
        };
        if scene
            .tx
            .is_prefix_taken(&tenant.prefix, &tenant.tenant_id)
            .await?
        {
            return Err(Error::AlreadyExists(Taken::Prefix));
        }
        // Prefixes are settled under the installation's lock: what conflicts is the
        // id.
        if !scene.tx.insert_tenant(&tenant).await? {
            return Err(Error::AlreadyExists(Taken::Tenant));
        }
        scene
            .tx
            .insert_catalog(&tenant.tenant_id, scene.now)
            .await?;
        let act = scene.act_on_tenant(&tenant).changed(None, Some(&tenant));
        let deed = Deed::of(act).altering([Change::TenantChanged(tenant.tenant_id.clone())]);
        let revision = self.close_scene(scene, deed, &tenant).await?;
        Ok((tenant, revision))
    }

    /// Returns a tenant.
    pub async fn get_tenant(&self, call: Call, tenant_id: &str) -> Result<Tenant, Error> {
        let tenant_id = named_tenant(&call.caller, tenant_id)?;
        Ok(self.look(&call, Rpc::GetTenant, &tenant_id).await?.tenant)
    }

    /// Lists all tenants.
    pub async fn list_tenants(
        &self,
        call: Call,
        after: Option<Position<TenantId>>,
        page_size: u32,
        violations: Violations,
    ) -> Result<Page<Tenant, TenantId>, Error> {
        super::access::may(Rpc::ListTenants, &call.caller, None)?;
        if !violations.is_empty() {
            return Err(violations.into());
        }
        Ok(self
            .store
            .snapshot()
            .await?
            .list_tenants(after, page_size)
            .await?)
    }

    /// Changes what is asked for of a tenant.
    pub async fn update_tenant(
        &self,
        call: Call,
        command: UpdateTenant,
    ) -> Result<(Tenant, Revision), Error> {
        let tenant_id = named_tenant(&call.caller, &command.tenant_id)?;
        let rpc = Rpc::UpdateTenant;
        super::access::may(rpc, &call.caller, Some(&tenant_id))?;
        if command.prefix.is_some() && !call.caller.has(Permission::Operator) {
            return Err(Error::PermissionDenied(Denial::Denied));
        }
        let authority = TenantId::authority();
        // Prefixes of all tenants are settled under the installation's lock.
        let locked: &[&TenantId] = if command.prefix.is_some() {
            &[&authority, &tenant_id]
        } else {
            &[&tenant_id]
        };
        let mut scene = self
            .begin_unchecked(&call, rpc, Some(&tenant_id), locked, &[])
            .await?;
        scene.forbid_reserved()?;
        check_etag(command.etag, scene.tenant.version)?;
        let mut tenant = scene.tenant.clone();
        let mut violations = command.violations;
        if let Some(name) = &command.display_name {
            let name = violations.check("display_name", text::name(name));
            tenant.display_name = name.unwrap_or_default();
        }
        if let Some(text) = &command.prefix
            && let Some(prefix) = violations.check("token_prefix", prefix(text))
        {
            tenant.prefix = prefix;
        }
        if let Some(PolicyChange(change)) = command.policy {
            change(&mut tenant.policy);
            tenant.policy.check(&mut violations);
        }
        if let Some(own) = command.oidc_trust {
            tenant.sessions.own = own;
        }
        if let Some(admits) = command.admitted_trusts {
            tenant.sessions.admits = admits;
        }
        let present = scene.tenant.sessions.clone();
        self.check_sessions(&mut scene.tx, &present, &tenant.sessions, &mut violations)
            .await?;
        if !violations.is_empty() {
            return Err(violations.into());
        }
        if tenant.prefix != scene.tenant.prefix {
            if scene.tx.has_tokens(&tenant_id).await? {
                return Err(Error::FailedPrecondition(Obstacle::PrefixInUse));
            }
            if scene.tx.is_prefix_taken(&tenant.prefix, &tenant_id).await? {
                return Err(Error::AlreadyExists(Taken::Prefix));
            }
        }
        // What people call a tenant is in no answer to an introspection.
        let answers = tenant.policy != scene.tenant.policy
            || tenant.prefix != scene.tenant.prefix
            || tenant.sessions != present;
        let tenant = scene.tx.mark_tenant_changed(&tenant, scene.now).await?;
        let tenant = tenant.ok_or_else(lost_row)?;
        let mut act = scene.act().changed(Some(&scene.tenant), Some(&tenant));
        if tenant.sessions.own != present.own {
            // Who was let in by a provider that is trusted no more may have let in others.
            let tx = &mut scene.tx;
            let revoked = tx.mark_invites_of_sessions_revoked(&tenant_id, scene.now);
            let revoked = revoked.await?;
            if revoked > 0 {
                act = act.with("invites_revoked", revoked.to_string());
            }
        }
        let deed = Deed::of(act).altering(answers.then_some(Change::TenantChanged(tenant_id)));
        let revision = self.close_scene(scene, deed, &tenant).await?;
        Ok((tenant, revision))
    }

    /// Makes all tokens of a tenant inactive, until it is resumed. A suspended one
    /// stays as it is, which is no error.
    pub async fn suspend_tenant(
        &self,
        call: Call,
        tenant_id: &str,
    ) -> Result<(Tenant, Revision), Error> {
        let tenant_id = named_tenant(&call.caller, tenant_id)?;
        let mut scene = self
            .begin(&call, Rpc::SuspendTenant, &tenant_id, &[])
            .await?;
        scene.forbid_reserved()?;
        let marked = scene
            .tx
            .mark_tenant_suspended(&tenant_id, scene.now)
            .await?;
        self.close_tenant(scene, marked).await
    }

    /// Undoes a suspension. One that is not suspended stays as it is, which is no
    /// error.
    pub async fn resume_tenant(
        &self,
        call: Call,
        tenant_id: &str,
    ) -> Result<(Tenant, Revision), Error> {
        let tenant_id = named_tenant(&call.caller, tenant_id)?;
        let mut scene = self
            .begin(&call, Rpc::ResumeTenant, &tenant_id, &[])
            .await?;
        scene.forbid_reserved()?;
        let marked = scene.tx.mark_tenant_resumed(&tenant_id, scene.now).await?;
        self.close_tenant(scene, marked).await
    }

    /// Commits a tenant's change of state, if there was one.
    async fn close_tenant(
        &self,
        scene: Scene,
        marked: Option<Tenant>,
    ) -> Result<(Tenant, Revision), Error> {
        let deed = match &marked {
            Some(marked) => {
                let act = scene.act_on_tenant(marked);
                Deed::of(act.changed(Some(&scene.tenant), Some(marked)))
                    .altering([Change::TenantChanged(marked.tenant_id.clone())])
            }
            None => Deed::default(),
        };
        let tenant = marked.unwrap_or_else(|| scene.tenant.clone());
        let revision = self.close_scene(scene, deed, &tenant).await?;
        Ok((tenant, revision))
    }

    /// Deletes a tenant for good.
    pub async fn delete_tenant(
        &self,
        call: Call,
        tenant_id: &str,
        etag: Option<Version>,
    ) -> Result<((), Revision), Error> {
        let tenant_id = named_tenant(&call.caller, tenant_id)?;
        let mut scene = self
            .begin(&call, Rpc::DeleteTenant, &tenant_id, &[])
            .await?;
        scene.forbid_reserved()?;
        let version = scene.tenant.version;
        check_etag(etag, version)?;
        if !scene
            .tx
            .mark_tenant_deleted(&tenant_id, version, scene.now)
            .await?
        {
            return Err(lost_row());
        }
        let act = scene.act_on_tenant(&scene.tenant);
        let deed = Deed::of(act.changed(Some(&scene.tenant), None))
            .altering([Change::TenantChanged(tenant_id)]);
        let revision = self.close_scene(scene, deed, &()).await?;
        Ok(((), revision))
    }
}

/// Parses the id of a new tenant.
fn new_tenant_id(text: &str) -> Result<TenantId, Field> {
    if text.is_empty() {
        return Err(Field::Required);
    }
    let tenant_id: TenantId = text.parse().map_err(|_| Field::InvalidTenantId)?;
    if tenant_id.is_reserved() {
        return Err(Field::ReservedTenantId);
    }
    Ok(tenant_id)
}

/// Parses the prefix of a tenant.
fn prefix(text: &str) -> Result<Prefix, Field> {
    if text.is_empty() {
        return Err(Field::Required);
    }
    Prefix::for_tenant(text).map_err(|error| match error {
        ParsePrefixError::Malformed => Field::InvalidPrefix,
        ParsePrefixError::Reserved => Field::ReservedPrefix,
    })
}
