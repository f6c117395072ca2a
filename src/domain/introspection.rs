//! What a presented value is worth: the judgement over a record, pure.

use super::catalog::{Catalog, Holder};
use super::fingerprint::{Fingerprint, KeyId, SecretHash};
use super::foreign::AnyValue;
use super::ids::{SecretId, TenantId};
use super::scope::ScopeSet;
use super::time::Timestamp;
use super::token::{Kind, State, Token};
use super::value::Prefix;

/// What verifies one value of a token.
#[derive(Clone, Debug)]
pub struct Verifier {
    /// The value's row.
    pub secret_id: SecretId,
    /// The bcrypt hash of the secret.
    pub secret_hash: SecretHash,
    /// The fingerprint, and the key that it was made with.
    pub fingerprint: Option<(KeyId, Fingerprint)>,
    /// From when on the value is over, though the token may have another.
    pub ends_at: Option<Timestamp>,
    /// Whether it is noted already that the value was presented after its end.
    pub reused: bool,
}

/// What of a tenant decides over its tokens.
#[derive(Clone, Debug)]
pub struct Standing {
    /// What its values begin with.
    pub prefix: Prefix,
    /// Whether it is suspended.
    pub suspended: bool,
    /// Whether it is deleted.
    pub deleted: bool,
}

/// All that decides what a token is worth, read in one snapshot.
#[derive(Clone, Debug)]
pub struct Record {
    /// The token, its user and its epochs.
    pub token: Token,
    /// Its tenant's standing.
    pub tenant: Standing,
    /// Its tenant's catalog.
    pub catalog: Catalog,
}

/// Why a value is inactive: for metrics and for the privileged, never in an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Inactive {
    /// Not of the format of a value.
    Malformed,
    /// Nobody was given it.
    Unknown,
    /// A known lookup with a wrong secret.
    WrongSecret,
    /// Not under its tenant's prefix.
    WrongPrefix,
    /// This value is over.
    ValueEnded,
    /// The token was revoked.
    Revoked,
    /// The token has expired.
    Expired,
    /// The token is switched off.
    Disabled,
    /// Its user is deleted.
    OwnerDeleted,
    /// Its user is suspended.
    OwnerSuspended,
    /// Its user is no member of its tenant.
    OwnerLeft,
    /// Its tenant is deleted.
    TenantDeleted,
    /// Its tenant is suspended.
    TenantSuspended,
    /// It belongs to another tenant than was asked about.
    OtherTenant,
    /// It is of another kind than was asked for.
    OtherKind,
}

impl Record {
    /// Returns why the token is inactive, whatever was asked; `None` when it is
    /// active.
    pub fn inactive(&self, value: &AnyValue, now: Timestamp) -> Option<Inactive> {
        if !value.is_under(&self.tenant.prefix) {
            return Some(Inactive::WrongPrefix);
        }
        self.dead(now)
    }

    /// Returns why no value of the token is active; `None` when one may be.
    pub fn dead(&self, now: Timestamp) -> Option<Inactive> {
        if self.tenant.deleted {
            return Some(Inactive::TenantDeleted);
        }
        if let Some(owner) = &self.token.owner
            && owner.deleted
        {
            return Some(Inactive::OwnerDeleted);
        }
        match self.token.state(now) {
            State::Revoked => return Some(Inactive::Revoked),
            State::Expired => return Some(Inactive::Expired),
            State::Disabled => return Some(Inactive::Disabled),
            State::Active => {}
        }
        if let Some(owner) = &self.token.owner {
            if owner.suspended {
                return Some(Inactive::OwnerSuspended);
            }
            if owner.role.is_none() {
                return Some(Inactive::OwnerLeft);
            }
        }
        self.tenant.suspended.then_some(Inactive::TenantSuspended)
    }

    /// Returns who holds the token's grant.
    pub fn holder(&self) -> Holder {
        holder(&self.token)
    }

    /// Returns what the token may do now.
    pub fn effective_scopes(&self) -> ScopeSet {
        self.catalog.effective(&self.token.scopes, self.holder())
    }
}

/// Returns who holds a token's grant.
pub fn holder(token: &Token) -> Holder {
    Holder {
        role: token.role(),
        kind: token.kind,
        authority: token.tenant_id.is_authority(),
    }
}

/// What a resource server requires of a presented value.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// The tenant that it must belong to.
    pub tenant_id: Option<TenantId>,
    /// The kind that it must be of; `None` accepts any but WEBHOOK.
    pub expected_kind: Option<Kind>,
    /// What it must be allowed to do.
    pub required_scopes: ScopeSet,
}

/// What is answered about an active token.
#[derive(Clone, Debug)]
pub struct Active {
    /// The record.
    pub token: Token,
    /// What it may do now.
    pub scopes: ScopeSet,
    /// What was required and it may not do.
    pub missing: ScopeSet,
}

/// What a presented value is worth to who asked.
#[derive(Clone, Debug)]
pub enum Introspection {
    /// It is active, though something that was required may be missing.
    Active(Box<Active>),
    /// It is worth nothing.
    Inactive(Inactive),
}

impl Question {
    /// Judges a record whose value has been verified and is not over.
    pub fn judge(&self, record: Record, value: &AnyValue, now: Timestamp) -> Introspection {
        if let Some(reason) = record.inactive(value, now) {
            return Introspection::Inactive(reason);
        }
        if self
            .tenant_id
            .as_ref()
            .is_some_and(|asked| *asked != record.token.tenant_id)
        {
            return Introspection::Inactive(Inactive::OtherTenant);
        }
        let kind_fits = match self.expected_kind {
            Some(kind) => kind == record.token.kind,
            None => record.token.kind != Kind::Webhook,
        };
        if !kind_fits {
            return Introspection::Inactive(Inactive::OtherKind);
        }
        let scopes = record.effective_scopes();
        let missing = self.required_scopes.minus(&scopes);
        Introspection::Active(Box::new(Active {
            token: record.token,
            scopes,
            missing,
        }))
    }
}
