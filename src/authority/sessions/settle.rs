//! Who a session is, once it is known which tenant the call names.

use std::sync::Arc;

use super::{Session, Vouched};
use crate::authority::{Authority, Caller, Error};
use crate::domain::ids::TenantId;
use crate::domain::principal::{Membership, Tenant, User};
use crate::domain::reason::Missing;
use crate::domain::session::{Refusal, Voucher};
use crate::domain::time::Timestamp;
use crate::store::Tx;

/// Which tenant a call names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// None: the call is about the caller itself, or about no tenant that there is.
    Nothing,
    /// The caller's own.
    Active,
    /// This one.
    Tenant(TenantId),
}

impl Named {
    /// Reads the name of a tenant as a message has it. One that is none is told of where
    /// the message is judged.
    pub fn read(text: Option<&str>) -> Self {
        match text {
            None | Some("") => Self::Nothing,
            Some("active") => Self::Active,
            Some(text) => text.parse().map_or(Self::Nothing, Self::Tenant),
        }
    }
}

/// What is known of who a session may be of.
enum Known {
    /// This member.
    Member(User, Membership),
    /// This user, who is nothing in the tenant and may be a user of others.
    Elsewhere(User),
    /// Nobody yet, but to be made a member.
    Newcomer,
}

impl Authority {
    /// Returns who calls with a session that names such a tenant. Whoever is seen first is
    /// made a member, where that is the tenant's rule.
    pub async fn settle(
        self: &Arc<Self>,
        session: &Session,
        named: Named,
    ) -> Result<Caller, Error> {
        let waited_for = match &named {
            Named::Tenant(tenant_id) => self.wait_for_named(session, tenant_id).await,
            Named::Active | Named::Nothing => None,
        };
        let vouched = waited_for.map_or_else(|| session.chosen(&named), Ok);
        let vouched = vouched.map_err(|why| self.refused(why))?;
        vouched
            .identity
            .check_end(self.clock.now())
            .map_err(|why| self.refused(why))?;
        let mut tx = self.store.snapshot().await?;
        let user = vouched.find_user(&mut tx).await?;
        let acting = match (&vouched.voucher, &named, &user) {
            (Voucher::Tenant(own), _, _) => own.clone(),
            (Voucher::Installation(_), Named::Tenant(tenant_id), _) => tenant_id.clone(),
            (Voucher::Installation(_), _, Some(user)) => user.active_tenant_id.clone(),
            (Voucher::Installation(_), _, None) => return Err(self.unknown(&vouched, tx).await?),
        };
        let tenant = tx.find_tenant(&acting).await?;
        match self.known(&vouched, user, tenant, &mut tx).await? {
            Known::Member(user, membership) => Ok(Caller::of_session(
                vouched,
                &user,
                acting,
                Some(membership.role),
            )),
            // Who calls about itself alone is answered, whatever became of its tenant.
            Known::Elsewhere(user) if named == Named::Nothing => {
                Ok(Caller::of_session(vouched, &user, acting, None))
            }
            Known::Elsewhere(_) => Err(Error::NotFound(Missing::Tenant)),
            Known::Newcomer => {
                drop(tx);
                let owned = Arc::clone(self);
                let newcomer = vouched.clone();
                let tenant_id = acting.clone();
                let provisioning = async move { owned.provision(&newcomer, &tenant_id).await };
                let (user, membership) = self.once_begun(Box::pin(provisioning)).await?;
                Ok(Caller::of_session(
                    vouched,
                    &user,
                    acting,
                    Some(membership.role),
                ))
            }
        }
    }

    /// Returns who the session is of in the tenant that it acts in.
    async fn known(
        &self,
        vouched: &Vouched,
        user: Option<User>,
        tenant: Option<Tenant>,
        tx: &mut Tx,
    ) -> Result<Known, Error> {
        if user
            .as_ref()
            .is_some_and(|user| user.suspended_at.is_some())
        {
            return Err(self.refused(Refusal::UserSuspended));
        }
        let own = matches!(vouched.voucher, Voucher::Tenant(_));
        let Some(tenant) = tenant else {
            return match (own, user) {
                // It vouched a moment ago.
                (true, _) => Err(self.refused(Refusal::TrustChanged)),
                (false, Some(user)) => Ok(Known::Elsewhere(user)),
                (false, None) => Err(self.refused(Refusal::UnknownUser)),
            };
        };
        let membership = match &user {
            Some(user) => tx.find_membership(&tenant.tenant_id, user.user_id).await?,
            None => None,
        };
        match (user, membership) {
            (Some(_), Some(_)) if tenant.suspended_at.is_some() => {
                Err(self.refused(Refusal::TenantSuspended))
            }
            (Some(user), Some(membership)) => Ok(Known::Member(user, membership)),
            (user, None) | (user @ None, Some(_)) => {
                let left = match &user {
                    Some(user) => tx.was_member(&tenant.tenant_id, user.user_id).await?,
                    None => vouched.was_user(tx).await?,
                };
                if !left && tenant.suspended_at.is_none() && vouched.admitted_by(&tenant).is_some()
                {
                    return Ok(Known::Newcomer);
                }
                match user {
                    Some(user) if !own => Ok(Known::Elsewhere(user)),
                    Some(_) => Err(self.refused(Refusal::NotMember)),
                    None if left => Err(self.refused(Refusal::UserDeleted)),
                    None => Err(self.refused(Refusal::UnknownUser)),
                }
            }
        }
    }

    /// Returns the refusal of a session whose user is nobody.
    async fn unknown(&self, vouched: &Vouched, mut tx: Tx) -> Result<Error, Error> {
        let deleted = vouched.was_user(&mut tx).await?;
        Ok(self.refused(if deleted {
            Refusal::UserDeleted
        } else {
            Refusal::UnknownUser
        }))
    }

    /// Judges a session again, in a transaction that has locked its user and its tenant:
    /// nobody acts whose rights ended before the change.
    pub(in crate::authority) async fn judge_again(
        &self,
        tx: &mut Tx,
        caller: &Caller,
        vouched: &Vouched,
        now: Timestamp,
    ) -> Result<Caller, Error> {
        vouched
            .identity
            .check_end(now)
            .map_err(|why| self.refused(why))?;
        let user = vouched.find_user(tx).await?;
        let user = user.filter(|user| Some(user.user_id) == caller.user_id);
        let user = user.ok_or_else(|| self.refused(Refusal::UserDeleted))?;
        if user.suspended_at.is_some() {
            return Err(self.refused(Refusal::UserSuspended));
        }
        let own = matches!(vouched.voucher, Voucher::Tenant(_));
        let tenant = tx.find_tenant(&caller.tenant_id).await?;
        let tenant = tenant.ok_or(Error::NotFound(Missing::Tenant))?;
        if own && tenant.sessions.own != vouched.trust {
            return Err(self.refused(Refusal::TrustChanged));
        }
        if tenant.suspended_at.is_some() {
            return Err(self.refused(Refusal::TenantSuspended));
        }
        let membership = tx.find_membership(&caller.tenant_id, user.user_id).await?;
        let membership = match membership {
            Some(membership) => membership,
            None if own => return Err(self.refused(Refusal::NotMember)),
            None => return Err(Error::NotFound(Missing::Tenant)),
        };
        Ok(Caller::of_session(
            vouched.clone(),
            &user,
            caller.tenant_id.clone(),
            Some(membership.role),
        ))
    }
}

impl Session {
    /// Returns which of the trusts is meant: the named tenant's own, else the installation's,
    /// which no tenant can put in doubt; where no tenant is named and the installation
    /// vouches for nobody, the one that there is.
    fn chosen(&self, named: &Named) -> Result<Vouched, Refusal> {
        let vouched = || self.vouched.iter();
        let by_installation =
            |vouched: &&Vouched| matches!(vouched.voucher, Voucher::Installation(_));
        let installation: Vec<&Vouched> = vouched().filter(by_installation).collect();
        let chosen = match named {
            Named::Tenant(tenant_id) => {
                let own = Voucher::Tenant(tenant_id.clone());
                let own = vouched().find(|vouched| vouched.voucher == own);
                own.map_or(installation, |own| vec![own])
            }
            Named::Active | Named::Nothing if !installation.is_empty() => installation,
            Named::Active | Named::Nothing => vouched().collect(),
        };
        match chosen.as_slice() {
            [] => Err(Refusal::OtherTenant),
            [one] => Ok((*one).clone()),
            _ => Err(Refusal::Ambiguous),
        }
    }
}
