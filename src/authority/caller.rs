//! Who is calling the authority.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use super::counters::Unauthenticated;
use super::recognise::Recalled;
use super::sessions::Vouched;
use super::{Authority, Error};
use crate::coherence::Kept;
use crate::domain::audit::By;
use crate::domain::catalog::Catalog;
use crate::domain::foreign::AnyValue;
use crate::domain::identity::{Identity, IdentityName};
use crate::domain::ids::{SecretId, TenantId, TokenId, UserId};
use crate::domain::introspection::{Inactive, Record};
use crate::domain::principal::{Role, User};
use crate::domain::reason::Obstacle;
use crate::domain::scope::{Permission, ScopeName, ScopeSet};
use crate::domain::session::Voucher;
use crate::domain::time::Timestamp;
use crate::domain::token::{Kind, Use};
use crate::domain::value::presented;

/// A caller and what it may do, as of when it was authenticated.
#[derive(Clone, Debug)]
pub struct Caller {
    /// What it presented.
    pub(super) presented: Presented,
    /// The tenant that it acts in: its token's, or the one that its session is settled in.
    pub tenant_id: TenantId,
    /// The user that it acts as; none for SERVICE.
    pub user_id: Option<UserId>,
    /// What that user is in the tenant.
    pub role: Option<Role>,
    /// What it may do.
    scopes: ScopeSet,
}

/// What a caller presented.
#[derive(Clone, Debug)]
pub(super) enum Presented {
    /// A token.
    Token {
        /// Which one.
        token_id: TokenId,
        /// Which of its values.
        secret_id: SecretId,
    },
    /// A session.
    Session(Box<Vouched>),
    /// A service identity's certificate.
    Identity(Arc<Identity>),
    /// Something, at the time when it began what it still stands behind: the token, unless
    /// it was a session.
    Before(Option<TokenId>),
}

impl Caller {
    /// Returns the caller whose active token this is, presented by this value.
    pub(super) fn of(record: &Record, secret_id: SecretId) -> Self {
        let token_id = record.token.token_id;
        let presented = Presented::Token {
            token_id,
            secret_id,
        };
        Self::by_grant(presented, record)
    }

    /// Returns the caller whose active token's value this is.
    fn of_kept(kept: &Kept) -> Self {
        Self {
            presented: Presented::Token {
                token_id: kept.token_id,
                secret_id: kept.secret_id,
            },
            tenant_id: kept.tenant_id().clone(),
            user_id: kept.owner.as_ref().map(|owner| owner.user_id),
            role: kept.role(),
            scopes: kept.grant.effective.clone(),
        }
    }

    /// Returns who stands behind what it began by this active token, whichever value it
    /// presented then.
    pub(super) fn standing_by_token(record: &Record) -> Self {
        let presented = Presented::Before(Some(record.token.token_id));
        Self::by_grant(presented, record)
    }

    /// Returns who acts by what a token was granted.
    fn by_grant(presented: Presented, record: &Record) -> Self {
        Self {
            presented,
            tenant_id: record.token.tenant_id.clone(),
            user_id: record.token.owner.as_ref().map(|owner| owner.user_id),
            role: record.token.role(),
            scopes: record.effective_scopes(),
        }
    }

    /// Returns who stands behind what it began in a session, that may have ended, as what
    /// its user is now.
    pub(super) fn standing_by_role(user_id: UserId, tenant_id: TenantId, role: Role) -> Self {
        Self::by_role(Presented::Before(None), user_id, tenant_id, Some(role))
    }

    /// Returns the caller whose session this is, in the tenant that it acts in, as what
    /// its user is there.
    pub(super) fn of_session(
        vouched: Vouched,
        user: &User,
        tenant_id: TenantId,
        role: Option<Role>,
    ) -> Self {
        let presented = Presented::Session(Box::new(vouched));
        Self::by_role(presented, user.user_id, tenant_id, role)
    }

    /// Returns the caller that is a service identity. It acts as no user, by what it was
    /// given.
    pub(super) fn of_identity(identity: &Arc<Identity>) -> Self {
        Self {
            presented: Presented::Identity(Arc::clone(identity)),
            tenant_id: identity.tenant_id.clone(),
            user_id: None,
            role: None,
            scopes: identity.scopes.clone(),
        }
    }

    /// Returns who acts as what its user is: an administrator administers, a member
    /// manages its own tokens, and who is neither may do nothing.
    fn by_role(
        presented: Presented,
        user_id: UserId,
        tenant_id: TenantId,
        role: Option<Role>,
    ) -> Self {
        let own = [Permission::TokensRead, Permission::TokensWrite];
        let permissions: &[Permission] = match role {
            None => &[],
            Some(Role::Member) => &own,
            Some(Role::Admin) => &[Permission::TenantAdmin],
        };
        Self {
            presented,
            tenant_id,
            user_id: Some(user_id),
            role,
            scopes: permissions
                .iter()
                .map(|permission| permission.scope())
                .collect(),
        }
    }

    /// Returns the token that was presented, if one was.
    pub fn token_id(&self) -> Option<TokenId> {
        match &self.presented {
            Presented::Token { token_id, .. } => Some(*token_id),
            Presented::Before(token_id) => *token_id,
            Presented::Session(_) | Presented::Identity(_) => None,
        }
    }

    /// Returns the service identity whose certificate was presented, if one was.
    pub fn identity(&self) -> Option<&Arc<Identity>> {
        match &self.presented {
            Presented::Identity(identity) => Some(identity),
            Presented::Token { .. } | Presented::Session(_) | Presented::Before(_) => None,
        }
    }

    /// Returns the name of that identity.
    pub fn identity_name(&self) -> Option<&IdentityName> {
        self.identity().map(|identity| &identity.name)
    }

    /// Returns the token that was presented, to be changed itself.
    pub(super) fn own_token(&self) -> Result<TokenId, Error> {
        let none = Error::FailedPrecondition(Obstacle::NoToken);
        self.token_id().ok_or(none)
    }

    /// Returns whether a token of this tenant was presented, or what stands in place of one:
    /// a service identity is bound as tokens are.
    pub(super) fn is_token_of(&self, tenant_id: &TenantId) -> bool {
        let by_grant = self.token_id().is_some() || self.identity().is_some();
        by_grant && self.tenant_id == *tenant_id
    }

    /// Returns which value of its token was presented, if one was.
    pub(super) fn secret_id(&self) -> Option<SecretId> {
        match &self.presented {
            Presented::Token { secret_id, .. } => Some(*secret_id),
            Presented::Session(_) | Presented::Identity(_) | Presented::Before(_) => None,
        }
    }

    /// Returns whose trust vouches for the session that was presented, and when it ends;
    /// `None` for a token and for an identity.
    pub fn session(&self) -> Option<(String, Timestamp)> {
        match &self.presented {
            Presented::Token { .. } | Presented::Identity(_) | Presented::Before(_) => None,
            Presented::Session(vouched) => {
                Some((vouched.voucher.to_string(), vouched.identity.ends_at))
            }
        }
    }

    /// Returns whether the caller's session is by a tenant's own trust, and so acts in that
    /// tenant alone.
    pub(super) fn acts_in_one_tenant(&self) -> bool {
        match &self.presented {
            Presented::Session(vouched) => matches!(vouched.voucher, Voucher::Tenant(_)),
            Presented::Token { .. } | Presented::Identity(_) | Presented::Before(_) => false,
        }
    }

    /// Returns by what the caller is known when it asks again: its token, its identity, or
    /// its user, for whom one trust alone vouches.
    pub(super) fn key(&self) -> uuid::Uuid {
        if let Some(identity) = self.identity() {
            return identity.key();
        }
        let user_id = || self.user_id.map(UserId::uuid);
        let key = self.token_id().map(TokenId::uuid).or_else(user_id);
        key.unwrap_or_default()
    }

    /// Returns who acts, for the audit log.
    pub(super) fn by(&self) -> By {
        By {
            token_id: self.token_id().map(|id| id.to_string()).unwrap_or_default(),
            tenant_id: self.tenant_id.to_string(),
            user_id: self.user_id.map(|id| id.to_string()).unwrap_or_default(),
            trust: self.session().map(|(trust, _)| trust).unwrap_or_default(),
            identity: self
                .identity_name()
                .map(ToString::to_string)
                .unwrap_or_default(),
        }
    }

    /// Returns whether the caller has a permission. An operator has each, and who
    /// administers a tenant may manage its tokens; to introspect is never implied
    /// by that.
    pub fn has(&self, permission: Permission) -> bool {
        let implied = match permission {
            Permission::TokensRead | Permission::TokensWrite => {
                self.scopes.has(Permission::TenantAdmin)
            }
            Permission::Introspect | Permission::TenantAdmin | Permission::Operator => false,
        };
        self.scopes.has(permission) || implied || self.scopes.has(Permission::Operator)
    }

    /// Returns whether the caller holds a scope, and so may give it on. Who
    /// administers a tenant holds the whole of its catalog; an operator holds
    /// everything everywhere.
    pub(super) fn holds(&self, scope: &ScopeName, catalog: &Catalog) -> bool {
        match scope.permission() {
            Some(permission) => self.has(permission),
            None => {
                self.scopes.contains(scope)
                    || self.has(Permission::Operator)
                    || (self.has(Permission::TenantAdmin) && catalog.scopes.contains_key(scope))
                    || self.holds_by_role(scope, catalog)
            }
        }
    }

    /// Returns whether the caller's session holds a scope of the catalog by its user's
    /// role. A token holds what it was granted, never more for its owner's role.
    fn holds_by_role(&self, scope: &ScopeName, catalog: &Catalog) -> bool {
        // An identity has no role.
        let role = self.role.filter(|_| self.token_id().is_none());
        role.is_some_and(|role| catalog.admits(scope, role))
    }

    /// Returns the tenant that a call names; `active` stands for the caller's own.
    pub fn tenant_named<'a>(&'a self, text: &'a str) -> &'a str {
        match text {
            "active" => self.tenant_id.as_str(),
            _ => text,
        }
    }

    /// Returns the one tenant that the caller is bound to; none for the tokens of
    /// the reserved tenant.
    pub fn bound_to(&self) -> Option<&TenantId> {
        (!self.tenant_id.is_authority()).then_some(&self.tenant_id)
    }
}

/// The callers that a thread remembers, at most: past that it forgets all.
const REMEMBERED: usize = 1024;

thread_local! {
    /// The callers of this thread, by their values' rows, and what of each was read by its
    /// number. What another thread would count, as who holds an `Arc`, is nobody's business
    /// here: cores that serve the same caller would wait for each other.
    static CALLERS: RefCell<HashMap<SecretId, (u64, Arc<Caller>)>> = RefCell::default();
}

/// Returns the caller whose active token's value this is, as this thread knows it.
fn caller_of(kept: &Kept) -> Arc<Caller> {
    CALLERS.with_borrow_mut(|callers| {
        if let Some((number, caller)) = callers.get(&kept.secret_id)
            && *number == kept.number()
        {
            return Arc::clone(caller);
        }
        if callers.len() >= REMEMBERED {
            callers.clear();
        }
        let caller = Arc::new(Caller::of_kept(kept));
        callers.insert(kept.secret_id, (kept.number(), Arc::clone(&caller)));
        caller
    })
}

impl Authority {
    /// Returns who presents this credential; [`Error::Unauthenticated`] when there is
    /// none or it is not good now, for whatever reason. WEBHOOK tokens are nobody's credential
    /// here: they are accepted only where they are named.
    pub async fn authenticate(
        self: &Arc<Self>,
        credential: Option<&str>,
    ) -> Result<Arc<Caller>, Error> {
        let told = match credential.map(|text| presented(text).parse::<AnyValue>()) {
            None => Err(Unauthenticated::NoCredential),
            Some(Err(_)) => Err(Unauthenticated::Inactive(Inactive::Malformed)),
            Some(Ok(value)) => match self.recall_caller(&value) {
                Some(told) => told,
                None => self.read_caller(&value).await?,
            },
        };
        self.tell_caller(told)
    }

    /// As [`authenticate`](Self::authenticate), if memory knows who it is. Else nothing was
    /// counted.
    pub fn authenticate_at_once(&self, credential: &str) -> Option<Arc<Caller>> {
        let value = presented(credential).parse::<AnyValue>().ok()?;
        self.recall_caller(&value)?.ok()
    }

    fn tell_caller(
        &self,
        told: Result<Arc<Caller>, Unauthenticated>,
    ) -> Result<Arc<Caller>, Error> {
        told.map_err(|reason| {
            self.counters.unauthenticated.tick(reason);
            Error::Unauthenticated
        })
    }

    /// Returns who presents a value, if memory can tell.
    fn recall_caller(&self, value: &AnyValue) -> Option<Result<Arc<Caller>, Unauthenticated>> {
        let recalled = self.coherence.recall(value, |_, kept| {
            let now = self.clock.now();
            match self.recalled(value, kept, now) {
                Recalled::Good(kept) => Some(self.judge_kept_caller(value, kept, now)),
                Recalled::Worthless(reason) => Some(Err(Unauthenticated::Inactive(reason))),
                Recalled::Open => None,
            }
        });
        recalled.flatten()
    }

    async fn read_caller(
        self: &Arc<Self>,
        value: &AnyValue,
    ) -> Result<Result<Arc<Caller>, Unauthenticated>, Error> {
        let inactive = |reason| Ok(Err(Unauthenticated::Inactive(reason)));
        let (_, kept) = self.read(value).await?;
        let kept = match self.recognise_read(None, value, &kept).await? {
            Ok(kept) => kept,
            Err(reason) => return inactive(reason),
        };
        let now = self.clock.now();
        if kept.is_over(now) {
            self.note_ended_use(value, kept, None, None).await;
            return inactive(Inactive::ValueEnded);
        }
        Ok(self.judge_kept_caller(value, kept, now))
    }

    /// Judges who presents a value that was recognised and is not over.
    fn judge_kept_caller(
        &self,
        value: &AnyValue,
        kept: &Kept,
        now: Timestamp,
    ) -> Result<Arc<Caller>, Unauthenticated> {
        if let Some(reason) = kept.inactive(value, now) {
            return Err(Unauthenticated::Inactive(reason));
        }
        if kept.kind == Kind::Webhook {
            return Err(Unauthenticated::Inactive(Inactive::OtherKind));
        }
        let presented_here = Use {
            at: now,
            by: None,
            address: None,
        };
        self.note_use(kept, presented_here);
        Ok(caller_of(kept))
    }
}
