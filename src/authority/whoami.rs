//! Who the caller is.

use super::access::Rpc;
use super::scene::shown;
use super::{Authority, Call, Error, Shown};
use crate::domain::bounds;
use crate::domain::change::Revision;
use crate::domain::principal::{Membership, Tenant, User};

/// Who the caller is.
#[derive(Clone, Debug)]
pub struct Whoami {
    /// The token that it presented.
    pub token: Shown,
    /// That token's tenant.
    pub tenant: Tenant,
    /// The user that the token acts as; none for SERVICE.
    pub user: Option<User>,
    /// Where that user is what.
    pub memberships: Vec<Membership>,
    /// A lower bound of what was applied.
    pub revision: Revision,
}

impl Authority {
    /// Says who the caller is.
    pub async fn who_am_i(&self, call: Call) -> Result<Whoami, Error> {
        let tenant_id = call.caller.tenant_id.clone();
        let mut scene = self.look(&call, Rpc::WhoAmI, &tenant_id).await?;
        let revision = self.see(scene.tx.get_head().await?);
        let token = scene
            .tx
            .find_token(&tenant_id, call.caller.token_id)
            .await?;
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
            token,
            tenant: scene.tenant,
            user,
            memberships,
            revision,
        })
    }
}
