//! Who is calling the authority.

use std::sync::Arc;

use super::counters::Unauthenticated;
use super::{Authority, Error};
use crate::domain::audit::By;
use crate::domain::catalog::Catalog;
use crate::domain::ids::{SecretId, TenantId, TokenId, UserId};
use crate::domain::introspection::{Inactive, Record};
use crate::domain::principal::Role;
use crate::domain::scope::{Permission, ScopeName, ScopeSet};
use crate::domain::token::{Kind, Use};
use crate::domain::value::{TokenValue, presented};

/// A caller: a token and what it may do, as of when it was authenticated.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The token that was presented.
    pub token_id: TokenId,
    /// Which of its values that was.
    pub(super) secret_id: SecretId,
    /// The tenant that it belongs to.
    pub tenant_id: TenantId,
    /// The user that it acts as; none for SERVICE.
    pub user_id: Option<UserId>,
    /// What that user is in the tenant.
    pub role: Option<Role>,
    /// What the token may do.
    scopes: ScopeSet,
}

impl Caller {
    /// Returns the caller whose active token this is, presented by this value.
    pub(super) fn of(record: &Record, secret_id: SecretId) -> Self {
        Self {
            token_id: record.token.token_id,
            secret_id,
            tenant_id: record.token.tenant_id.clone(),
            user_id: record.token.owner.as_ref().map(|owner| owner.user_id),
            role: record.token.role(),
            scopes: record.effective_scopes(),
        }
    }

    /// Returns who stands behind what it began by this active token, whichever value it
    /// presented then.
    pub(super) fn standing(record: &Record) -> Self {
        Self::of(record, SecretId::from(uuid::Uuid::nil()))
    }

    /// Returns who acts, for the audit log.
    pub(super) fn by(&self) -> By {
        By {
            token_id: self.token_id.to_string(),
            tenant_id: self.tenant_id.to_string(),
            user_id: self.user_id.map(|id| id.to_string()).unwrap_or_default(),
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
            }
        }
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

impl Authority {
    /// Returns who presents this credential; [`Error::Unauthenticated`] when there is
    /// none or it is not good now, for whatever reason. WEBHOOK tokens are nobody's credential
    /// here: they are accepted only where they are named.
    pub async fn authenticate(self: &Arc<Self>, credential: Option<&str>) -> Result<Caller, Error> {
        let caller = match credential {
            Some(credential) => self.who_presents(credential).await?,
            None => Err(Unauthenticated::NoCredential),
        };
        caller.map_err(|reason| {
            self.counters.unauthenticated.tick(reason);
            Error::Unauthenticated
        })
    }

    async fn who_presents(
        self: &Arc<Self>,
        credential: &str,
    ) -> Result<Result<Caller, Unauthenticated>, Error> {
        let inactive = |reason| Ok(Err(Unauthenticated::Inactive(reason)));
        let Ok(value) = presented(credential).parse::<TokenValue>() else {
            return inactive(Inactive::Malformed);
        };
        let found = self.store.find_record_by_lookup(value.lookup()).await?;
        self.see(found.head);
        let Some((record, verifier)) = found.record else {
            return inactive(Inactive::Unknown);
        };
        if !self
            .verify(&value, &verifier, &record.token.tenant_id)
            .await?
        {
            return inactive(Inactive::WrongSecret);
        }
        let now = self.clock.now();
        if record.token.is_over(verifier.ends_at, now) {
            self.note_ended_use(&record, &verifier, None, None).await;
            return inactive(Inactive::ValueEnded);
        }
        if let Some(reason) = record.inactive(value.prefix(), now) {
            return inactive(reason);
        }
        if record.token.kind == Kind::Webhook {
            return inactive(Inactive::OtherKind);
        }
        let presented_here = Use {
            at: now,
            by: None,
            address: None,
        };
        self.note_use(record.token.token_id, presented_here);
        Ok(Ok(Caller::of(&record, verifier.secret_id)))
    }
}
