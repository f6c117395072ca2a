//! Creating a token.

use super::access::{Reach, Rpc};
use super::scene::{Deed, Scene, shown};
use super::{Authority, Call, Error, Shown, grant, named_tenant};
use crate::domain::bounds;
use crate::domain::catalog::Holder;
use crate::domain::change::{Change, Revision};
use crate::domain::fingerprint::SecretHash;
use crate::domain::ids::{SecretId, TokenId, UserId};
use crate::domain::policy::Expiry;
use crate::domain::principal::Role;
use crate::domain::reason::{Denial, Field, Missing, Obstacle, Taken, Violations};
use crate::domain::scope::ScopeName;
use crate::domain::text::{self, Labels};
use crate::domain::time::Timestamp;
use crate::domain::token::{Kind, Owner};
use crate::domain::value::TokenValue;
use crate::store::{NewSecret, NewToken};

/// What is asked for.
#[derive(Clone, Debug)]
pub struct CreateToken {
    /// The tenant, or `active`.
    pub tenant_id: String,
    /// Whom it is to act as; empty is the caller's own user.
    pub user_id: String,
    /// What it is for.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// What to grant.
    pub scopes: Vec<String>,
    /// A profile whose scopes to grant as well.
    pub profile: String,
    /// When it is to end; `None` when that was wrong on the wire.
    pub expiry: Option<Expiry>,
    /// The agent that it is made for.
    pub agent_id: String,
    /// Its labels.
    pub labels: Labels,
    /// What was wrong already on the wire.
    pub violations: Violations,
}

/// A token that was created.
#[derive(Debug)]
pub struct Created {
    /// The record.
    pub token: Shown,
    /// Its value, for its owner alone.
    pub value: TokenValue,
    /// The revision that includes it.
    pub revision: Revision,
}

/// Whom a token is to act as.
struct Whom {
    user_id: Option<UserId>,
    role: Option<Role>,
}

impl Authority {
    /// Creates a token. All is judged twice: in a snapshot, so that a refusal costs
    /// no bcrypt, and under locks, so that it is still so when it is written.
    pub async fn create_token(&self, call: Call, command: CreateToken) -> Result<Created, Error> {
        let tenant_id = named_tenant(&call.caller, &command.tenant_id)?;
        let mut look = self.look(&call, Rpc::CreateToken, &tenant_id).await?;
        let token_id = TokenId::mint(look.now, &*self.entropy)?;
        let planned = look.plan(&command, token_id).await?;
        let value = TokenValue::mint(look.tenant.prefix.clone(), &*self.entropy)?;
        drop(look);

        let hashing = self.hasher.hash(&tenant_id, value.secret().expose());
        let secret_hash = tokio::time::timeout_at(call.deadline, hashing)
            .await
            .map_err(|_| Error::DeadlineExceeded)??;

        let users: Vec<UserId> = planned.user_id.into_iter().collect();
        let mut scene = self
            .begin(&call, Rpc::CreateToken, &tenant_id, &users)
            .await?;
        // It may have changed meanwhile; from here on it can't.
        let value = value.under(scene.tenant.prefix.clone());
        let token = scene.plan(&command, token_id).await?;
        let secret = self.new_secret(&value, secret_hash, scene.now)?;
        scene.tx.insert_token(&token, &secret).await?;
        let mut shown = scene.show(token_id).await?;
        // Its number is stamped by the close; until then any older epoch of its user
        // seems to cover it.
        shown.token.revocation = None;
        let mut act = scene.act().token(token_id);
        act.user_id = token.user_id;
        let act = act.changed(None, Some(&shown.token));
        let deed = Deed::of(act).altering([Change::TokenCreated(tenant_id, token_id)]);
        let revision = self.close_giving(scene, deed, token_id).await?;
        Ok(Created {
            token: shown,
            value,
            revision,
        })
    }

    /// Judges a creation and creates nothing: returns the token as it would be.
    pub async fn plan_token(
        &self,
        call: Call,
        command: CreateToken,
    ) -> Result<(Shown, Revision), Error> {
        let tenant_id = named_tenant(&call.caller, &command.tenant_id)?;
        let mut look = self.look(&call, Rpc::CreateToken, &tenant_id).await?;
        let token_id = TokenId::mint(look.now, &*self.entropy)?;
        let planned = look.plan(&command, token_id).await?;
        let owner = match planned.user_id {
            Some(user_id) => Some(look.owner(user_id).await?),
            None => None,
        };
        let revision = self.see(look.tx.get_head().await?);
        let token = planned.into_token(owner);
        Ok((shown(token, &look.catalog().await?, look.now), revision))
    }

    /// Returns the row of a value that is to be given out.
    pub(super) fn new_secret(
        &self,
        value: &TokenValue,
        secret_hash: SecretHash,
        now: Timestamp,
    ) -> Result<NewSecret, Error> {
        Ok(NewSecret {
            secret_id: SecretId::mint(now, &*self.entropy)?,
            lookup: value.lookup().clone(),
            hint: value.hint(),
            secret_hash,
            fingerprint: self.fingerprint(value),
        })
    }
}

impl Scene {
    /// Returns a member as the owner of a token.
    async fn owner(&mut self, user_id: UserId) -> Result<Owner, Error> {
        let tenant_id = &self.tenant.tenant_id;
        let member = self.tx.find_membership(tenant_id, user_id).await?;
        let user = self.tx.find_user(user_id).await?;
        let user = user.ok_or(Error::NotFound(Missing::User))?;
        Ok(Owner {
            user_id,
            external_id: user.external_id,
            role: member.map(|member| member.role),
            suspended: user.suspended_at.is_some(),
            deleted: false,
        })
    }

    /// Judges what is asked for, and returns the token to be.
    async fn plan(&mut self, command: &CreateToken, token_id: TokenId) -> Result<NewToken, Error> {
        self.check_may_mint()?;
        let mut violations = command.violations.clone();
        let whom = self.whom(command, &mut violations).await?;
        self.plan_for(command, whom, violations, token_id).await
    }

    /// As [`plan`](Self::plan), for a user who is no member yet: the first token that an
    /// invite gives it.
    pub(super) async fn plan_first(
        &mut self,
        command: &CreateToken,
        (user_id, role): (UserId, Role),
        token_id: TokenId,
    ) -> Result<NewToken, Error> {
        self.check_may_mint()?;
        let mut violations = command.violations.clone();
        let role = Some(role);
        let whom = if command.kind == Kind::Service {
            violations.add("kind", Field::OutOfRange);
            None
        } else {
            grant::check_on_behalf(&self.caller, user_id, role, &self.tenant.policy)?;
            Some(Whom {
                user_id: Some(user_id),
                role,
            })
        };
        self.plan_for(command, whom, violations, token_id).await
    }

    /// Refuses who may create no tokens because it is one.
    fn check_may_mint(&self) -> Result<(), Error> {
        let policy = self.tenant.policy;
        if policy.tokens_may_not_mint && self.caller.is_token_of(&self.tenant.tenant_id) {
            return Err(Error::PermissionDenied(Denial::MayNotMint));
        }
        Ok(())
    }

    /// Judges a token that is to act as somebody; of nobody, what is wrong is said.
    async fn plan_for(
        &mut self,
        command: &CreateToken,
        whom: Option<Whom>,
        mut violations: Violations,
        token_id: TokenId,
    ) -> Result<NewToken, Error> {
        let policy = self.tenant.policy;
        let name = violations.check("name", text::name(&command.name));
        let agent_id = text::line(&command.agent_id, bounds::EXTERNAL_ID_CHARS);
        let agent_id = violations.check("agent_id", agent_id).unwrap_or_default();
        if command.kind != Kind::Agent && !agent_id.is_empty() {
            violations.add("agent_id", Field::AgentForOtherKind);
        }
        let labels = text::labels("labels", command.labels.clone(), &mut violations);
        let expires_at = command.expiry.and_then(|expiry| {
            let field = if matches!(expiry, Expiry::After(_)) {
                "ttl"
            } else {
                "expire_time"
            };
            let end = policy.expires_at(expiry, self.now, self.now);
            violations.check(field, end).flatten()
        });

        let catalog = self.catalog().await?;
        let holder = whom.as_ref().map(|whom| Holder {
            role: whom.role,
            kind: command.kind,
            authority: self.tenant.tenant_id.is_authority(),
        });
        let mut scopes =
            grant::scopes("scopes", &command.scopes, &catalog, holder, &mut violations);
        let profile = match command.profile.as_str() {
            "" => None,
            name => violations.check("profile", profile(name, &catalog)),
        };
        for scope in profile.into_iter().flat_map(|profile| &profile.scopes) {
            grant::check_holder("profile", scope, &catalog, holder, &mut violations);
            scopes.insert(scope.clone());
        }
        if scopes.len() > bounds::TOKEN_SCOPES {
            violations.add("scopes", Field::TooMany);
        }
        let (Some(whom), Some(name), true) = (whom, name, violations.is_empty()) else {
            return Err(violations.into());
        };

        grant::check_held(&scopes, &self.caller, &catalog)?;
        if self.tenant.suspended_at.is_some() {
            return Err(Error::FailedPrecondition(Obstacle::TenantSuspended));
        }
        let token = NewToken {
            token_id,
            tenant_id: self.tenant.tenant_id.clone(),
            user_id: whom.user_id,
            kind: command.kind,
            name,
            scopes,
            profile: command.profile.clone(),
            agent_id,
            labels,
            created_by: self.caller.token_id(),
            created_at: self.now,
            expires_at,
        };
        self.check_room(&token).await?;
        Ok(token)
    }

    /// Returns whom the token is to act as; `None` when what is named is wrong.
    async fn whom(
        &mut self,
        command: &CreateToken,
        violations: &mut Violations,
    ) -> Result<Option<Whom>, Error> {
        let service = command.kind == Kind::Service;
        if self.tenant.tenant_id.is_authority() && !service {
            violations.add("kind", Field::OnlyService);
            return Ok(None);
        }
        if service {
            if self.reach != Reach::Tenant {
                return Err(Error::PermissionDenied(Denial::Denied));
            }
            if !command.user_id.is_empty() {
                violations.add("user_id", Field::UserForService);
                return Ok(None);
            }
            return Ok(Some(Whom {
                user_id: None,
                role: None,
            }));
        }
        let own = self
            .caller
            .user_id
            .filter(|_| self.caller.tenant_id == self.tenant.tenant_id);
        let asked = match (command.user_id.as_str(), own) {
            ("", Some(own)) => Ok(own),
            ("", None) => Err(Field::Required),
            (text, _) => text.parse().map_err(|_| Field::InvalidUserId),
        };
        let Some(user_id) = violations.check("user_id", asked) else {
            return Ok(None);
        };
        if let Reach::Own(own) = self.reach
            && own != user_id
        {
            return Err(Error::PermissionDenied(Denial::Denied));
        }
        let missing = Error::NotFound(Missing::User);
        let member = self
            .tx
            .find_membership(&self.tenant.tenant_id, user_id)
            .await?;
        let (Some(user), Some(member)) = (self.tx.find_user(user_id).await?, member) else {
            return Err(missing);
        };
        if user.suspended_at.is_some() {
            return Err(Error::FailedPrecondition(Obstacle::UserSuspended));
        }
        let role = Some(member.role);
        grant::check_on_behalf(&self.caller, user_id, role, &self.tenant.policy)?;
        Ok(Some(Whom {
            user_id: Some(user_id),
            role,
        }))
    }

    /// Refuses a taken name and a token too many.
    async fn check_room(&mut self, token: &NewToken) -> Result<(), Error> {
        let policy = &self.tenant.policy;
        let NewToken {
            tenant_id,
            user_id,
            kind,
            name,
            token_id,
            ..
        } = token;
        if policy.unique_names
            && self
                .tx
                .is_token_name_taken(tenant_id, *user_id, *kind, name, *token_id)
                .await?
        {
            return Err(Error::AlreadyExists(Taken::Name));
        }
        if let (Some(most), Some(user_id)) = (policy.max_tokens_per_user, *user_id) {
            let now: Timestamp = self.now;
            let live = self
                .tx
                .count_live_tokens_by_user(tenant_id, user_id, now)
                .await?;
            if live >= i64::from(most) {
                return Err(Error::TokenLimit { most });
            }
        }
        Ok(())
    }
}

/// Returns a profile of the catalog.
fn profile<'a>(
    name: &str,
    catalog: &'a crate::domain::catalog::Catalog,
) -> Result<&'a crate::domain::catalog::Profile, Field> {
    let name: ScopeName = name.parse().map_err(|_| Field::InvalidScope)?;
    catalog.profiles.get(&name).ok_or(Field::UnknownProfile)
}
