//! What a presented value is worth: the judgement over a record, pure.

use super::catalog::{Catalog, Holder};
use super::fingerprint::{Fingerprint, KeyId, SecretHash};
use super::foreign::AnyValue;
use super::ids::SecretId;
use super::scope::ScopeSet;
use super::time::Timestamp;
use super::token::{State, Token};
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
#[derive(Clone, Debug, PartialEq, Eq)]
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

/// Of what a token acts as, what decides whether it is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnerFacts {
    /// Whether the user is deleted.
    pub deleted: bool,
    /// Whether it is suspended.
    pub suspended: bool,
    /// Whether it is a member of the token's tenant.
    pub member: bool,
}

/// What decides whether a token is good, whatever was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts<'a> {
    /// Its tenant's standing.
    pub tenant: &'a Standing,
    /// The user that it acts as, if it acts as one.
    pub owner: Option<OwnerFacts>,
    /// Whether it is revoked.
    pub revoked: bool,
    /// Whether it is switched off.
    pub disabled: bool,
    /// From when on it is expired.
    pub expires_at: Option<Timestamp>,
}

impl Facts<'_> {
    /// Returns why no value of the token is active; `None` when one may be.
    pub fn dead(&self, now: Timestamp) -> Option<Inactive> {
        if self.tenant.deleted {
            return Some(Inactive::TenantDeleted);
        }
        if self.owner.is_some_and(|owner| owner.deleted) {
            return Some(Inactive::OwnerDeleted);
        }
        match State::of(self.revoked, self.expires_at, self.disabled, now) {
            State::Revoked => return Some(Inactive::Revoked),
            State::Expired => return Some(Inactive::Expired),
            State::Disabled => return Some(Inactive::Disabled),
            State::Active => {}
        }
        match self.owner {
            Some(owner) if owner.suspended => Some(Inactive::OwnerSuspended),
            Some(owner) if !owner.member => Some(Inactive::OwnerLeft),
            _ => self.tenant.suspended.then_some(Inactive::TenantSuspended),
        }
    }
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
        self.facts().dead(now)
    }

    /// Returns what decides whether the token is good.
    pub fn facts(&self) -> Facts<'_> {
        let owner = self.token.owner.as_ref().map(|owner| OwnerFacts {
            deleted: owner.deleted,
            suspended: owner.suspended,
            member: owner.role.is_some(),
        });
        Facts {
            tenant: &self.tenant,
            owner,
            revoked: self.token.revocation.is_some(),
            disabled: self.token.disabled_at.is_some(),
            expires_at: self.token.expires_at,
        }
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
