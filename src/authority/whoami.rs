//! Who the caller is.

use std::sync::Arc;

use super::access::Rpc;
use super::scene::shown;
use super::{Authority, Call, Caller, Error, Shown};
use crate::domain::bounds;
use crate::domain::change::Revision;
use crate::domain::identity::Identity;
use crate::domain::principal::{Membership, Role, Tenant, User};
use crate::domain::time::Timestamp;

/// Who the caller is.
#[derive(Clone, Debug)]
pub struct Whoami {
    /// The token that it presented; none for a session and for an identity.
    pub token: Option<Shown>,
    /// That token's tenant, or the one that the session or the identity acts in, if any.
    pub tenant: Option<Tenant>,
    /// The user that it acts as; none for SERVICE and for an identity.
    pub user: Option<User>,
    /// The session that it presented.
    pub session: Option<ShownSession>,
    /// The service identity whose certificate it presented.
    pub identity: Option<Arc<Identity>>,
    /// When this was so.
    pub now: Timestamp,
    /// Where that user is what.
    pub memberships: Vec<Membership>,
    /// A lower bound of what was applied.
    pub revision: Revision,
}

/// A session, as its caller is told of it.
#[derive(Clone, Debug)]
pub struct ShownSession {
    /// Whose trust vouches for it.
    pub trust: String,
    /// When it ends.
    pub ends_at: Timestamp,
    /// What its user is in the tenant that it acts in.
    pub role: Option<Role>,
}

impl Authority {
    /// Says who the caller is.
    pub async fn who_am_i(&self, call: Call) -> Result<Whoami, Error> {
        let tenant_id = call.caller.tenant_id.clone();
        if let Some(identity) = call.caller.identity() {
            return self.which_identity(&call, identity).await;
        }
        let Some(token_id) = call.caller.token_id() else {
            return self.whose_session(&call.caller).await;
        };
        let mut scene = self.look(&call, Rpc::WhoAmI, &tenant_id).await?;
        let revision = self.see(scene.tx.get_head().await?);
        let token = scene.tx.find_token(&tenant_id, token_id).await?;
        let token = token.ok_or(Error::Unauthenticated)?;
        let token = shown(token, &scene.catalog().await?, scene.now);
        let (user, memberships) = match call.caller.user_id {
            Some(user_id) => (
                Some(
                    scene
                        .tx
                        .find_user(user_id)
                        .await?
                        .ok_or(Error::Unauthenticated)?,
                ),
                scene
                    .tx
                    .list_memberships_by_user(user_id, bounds::PAGE_MAX)
                    .await?,
            ),
            None => (None, Vec::new()),
        };
        Ok(Whoami {
            token: Some(token),
            tenant: Some(scene.tenant),
            user,
            session: None,
            identity: None,
            now: scene.now,
            memberships,
            revision,
        })
    }

    /// Says which service identity it is.
    async fn which_identity(&self, call: &Call, identity: &Arc<Identity>) -> Result<Whoami, Error> {
        let mut scene = self.look(call, Rpc::WhoAmI, &identity.tenant_id).await?;
        Ok(Whoami {
            token: None,
            revision: self.see(scene.tx.get_head().await?),
            tenant: Some(scene.tenant),
            user: None,
            session: None,
            identity: Some(Arc::clone(identity)),
            now: scene.now,
            memberships: Vec::new(),
        })
    }

    /// Says whose session it is; of a tenant that its user is nothing in, nothing is said.
    async fn whose_session(&self, caller: &Caller) -> Result<Whoami, Error> {
        let (user_id, session) = caller
            .user_id
            .zip(caller.session())
            .ok_or(Error::Unauthenticated)?;
        let (trust, ends_at) = session;
        let mut tx = self.store.snapshot().await?;
        let revision = self.see(tx.get_head().await?);
        let tenant = match caller.role {
            Some(_) => tx.find_tenant(&caller.tenant_id).await?,
            None => None,
        };
        let mut user = tx.find_user(user_id).await?.ok_or(Error::Unauthenticated)?;
        let memberships = tx.list_memberships_by_user(user_id, bounds::PAGE_MAX);
        let mut memberships = memberships.await?;
        if caller.acts_in_one_tenant() {
            // Whose provider a tenant chose says nothing to it of other tenants.
            memberships.retain(|membership| membership.tenant_id == caller.tenant_id);
            user.active_tenant_id = caller.tenant_id.clone();
        }
        Ok(Whoami {
            token: None,
            tenant,
            user: Some(user),
            session: Some(ShownSession {
                trust,
                ends_at,
                role: caller.role,
            }),
            identity: None,
            now: self.clock.now(),
            memberships,
            revision,
        })
    }
}
