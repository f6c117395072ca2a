//! What was asked: messages as the domain's things. Each function takes the
//! field's path in the request and notes what is wrong with it; what is wrong is
//! `None`, like what was not given, so violations are to be looked at first.

use std::str::FromStr;
use std::time::Duration;

use prost_types::{Duration as WireDuration, Timestamp as WireTime};

use super::Mask;
use crate::domain::bounds;
use crate::domain::catalog::{Draft, ProfileDraft, ScopeDraft};
use crate::domain::change::Version;
use crate::domain::ids::{TenantId, TokenId, UserId};
use crate::domain::policy::{Management, Policy};
use crate::domain::principal::Role;
use crate::domain::reason::{Field, Violations};
use crate::domain::time::Timestamp;
use crate::domain::token::{Kind, RevokeReason, State};
use crate::pb;

/// An id that stands in a request.
pub trait Id: FromStr {
    /// What a text is that is no such id.
    const INVALID: Field;
}

impl Id for TenantId {
    const INVALID: Field = Field::InvalidTenantId;
}

impl Id for UserId {
    const INVALID: Field = Field::InvalidUserId;
}

impl Id for TokenId {
    const INVALID: Field = Field::InvalidTokenId;
}

/// Reads an id that must be given.
pub fn id<I: Id>(field: &str, text: &str, violations: &mut Violations) -> Option<I> {
    if text.is_empty() {
        violations.add(field, Field::Required);
    }
    optional_id(field, text, violations)
}

/// Reads an id that may be given.
pub fn optional_id<I: Id>(field: &str, text: &str, violations: &mut Violations) -> Option<I> {
    if text.is_empty() {
        return None;
    }
    let parsed = if text.len() > bounds::OPAQUE_BYTES {
        Err(Field::TooLong)
    } else {
        text.parse().map_err(|_| I::INVALID)
    };
    violations.check(field, parsed)
}

/// Reads an etag: `None` when it is empty and any version will do. What no answer
/// ever gave is version 0, which no record has, so that it is told as any other
/// etag that is out of date.
pub fn etag(text: &str) -> Option<Version> {
    if text.is_empty() {
        return None;
    }
    let version: i64 = text.parse().unwrap_or_default();
    // Only the one spelling that answers have: neither `+3` nor `03`.
    let canonical = version > 0 && version.to_string() == text;
    Some(Version(if canonical { version } else { 0 }))
}

/// Reads an instant.
pub fn timestamp(
    field: &str,
    given: Option<&WireTime>,
    violations: &mut Violations,
) -> Option<Timestamp> {
    let given = given?;
    let at = Timestamp::from_parts(given.seconds, given.nanos).ok_or(Field::InvalidTime);
    violations.check(field, at)
}

/// Reads a length of time, truncated to milliseconds, as the store keeps it; none at all
/// is a violation.
pub fn duration(
    field: &str,
    given: Option<&WireDuration>,
    violations: &mut Violations,
) -> Option<Duration> {
    let given = given?;
    if (given.seconds, given.nanos) == (0, 0) {
        violations.add(field, Field::InvalidDuration);
        return None;
    }
    duration_or_none(field, Some(given), violations)
}

/// As [`duration`], where a length of zero says: none at all.
pub fn duration_or_none(
    field: &str,
    given: Option<&WireDuration>,
    violations: &mut Violations,
) -> Option<Duration> {
    let given = given?;
    let parts = (u64::try_from(given.seconds), u32::try_from(given.nanos));
    let duration = match parts {
        (Ok(seconds), Ok(nanos @ 0..1_000_000_000)) => {
            Ok(Duration::new(seconds, nanos - nanos % 1_000_000))
        }
        _ => Err(Field::InvalidDuration),
    };
    violations.check(field, duration)
}

/// Reads an enum's number; unknown ones are a violation.
fn known<E: TryFrom<i32>>(field: &str, number: i32, violations: &mut Violations) -> Option<E> {
    violations.check(field, E::try_from(number).map_err(|_| Field::UnknownEnum))
}

/// Reads a token's kind; `None` when it is unspecified.
pub fn kind(field: &str, number: i32, violations: &mut Violations) -> Option<Kind> {
    match known(field, number, violations)? {
        pb::TokenKind::Unspecified => None,
        pb::TokenKind::Api => Some(Kind::Api),
        pb::TokenKind::Webhook => Some(Kind::Webhook),
        pb::TokenKind::Agent => Some(Kind::Agent),
        pb::TokenKind::Service => Some(Kind::Service),
    }
}

/// Reads a token's state; `None` when it is unspecified.
pub fn state(field: &str, number: i32, violations: &mut Violations) -> Option<State> {
    match known(field, number, violations)? {
        pb::TokenState::Unspecified => None,
        pb::TokenState::Active => Some(State::Active),
        pb::TokenState::Disabled => Some(State::Disabled),
        pb::TokenState::Expired => Some(State::Expired),
        pb::TokenState::Revoked => Some(State::Revoked),
    }
}

/// Reads why a token is to be revoked; `None` when it is unspecified. That its
/// owner is gone is for the authority alone to say.
pub fn revoke_reason(
    field: &str,
    number: i32,
    violations: &mut Violations,
) -> Option<RevokeReason> {
    match known(field, number, violations)? {
        pb::RevokeReason::Unspecified => None,
        pb::RevokeReason::Compromised => Some(RevokeReason::Compromised),
        pb::RevokeReason::Superseded => Some(RevokeReason::Superseded),
        pb::RevokeReason::NoLongerNeeded => Some(RevokeReason::NoLongerNeeded),
        pb::RevokeReason::Administrative => Some(RevokeReason::Administrative),
        pb::RevokeReason::OwnerGone => {
            violations.add(field, Field::OutOfRange);
            None
        }
    }
}

/// Reads a role; `None` when it is unspecified.
pub fn role(field: &str, number: i32, violations: &mut Violations) -> Option<Role> {
    match known(field, number, violations)? {
        pb::Role::Unspecified => None,
        pb::Role::Member => Some(Role::Member),
        pb::Role::Admin => Some(Role::Admin),
    }
}

/// Reads who manages a tenant's tokens; `None` when it is unspecified.
pub fn management(field: &str, number: i32, violations: &mut Violations) -> Option<Management> {
    match known(field, number, violations)? {
        pb::TokenManagement::Unspecified => None,
        pb::TokenManagement::AdminsOnly => Some(Management::AdminsOnly),
        pb::TokenManagement::SelfService => Some(Management::SelfService),
    }
}

/// The paths of a policy's fields.
pub const POLICY_FIELDS: &[&str] = &[
    "policy.token_management",
    "policy.expiry_required",
    "policy.default_ttl",
    "policy.max_ttl",
    "policy.max_tokens_per_user",
    "policy.unique_names",
    "policy.tokens_may_not_mint",
    "policy.admins_act_for_admins",
    "policy.max_grace",
    "policy.self_rotation",
    "policy.retention",
    OIDC_TRUST,
    ADMITTED_TRUSTS,
];

/// The path of a tenant's trust, which is replaced as a whole.
pub const OIDC_TRUST: &str = "policy.oidc_trust";
/// The path of the trusts that a tenant admits.
pub const ADMITTED_TRUSTS: &str = "policy.admitted_trusts";

/// Reads those of a policy's fields that the mask names; the others have their
/// defaults and are not judged. What the rules as a whole must be is for
/// [`Policy::check`] to say.
pub fn policy(given: &pb::TenantPolicy, mask: &Mask, violations: &mut Violations) -> Policy {
    let mut policy = Policy::default();
    let has = |name: &str| mask.has(name);
    let field = "policy.token_management";
    if has(field) {
        policy.management =
            management(field, given.token_management, violations).unwrap_or_default();
    }
    let field = "policy.default_ttl";
    if has(field) {
        policy.default_ttl = duration(field, given.default_ttl.as_ref(), violations);
    }
    let field = "policy.max_ttl";
    if has(field) {
        policy.max_ttl = duration(field, given.max_ttl.as_ref(), violations);
    }
    let field = "policy.max_tokens_per_user";
    if has(field) {
        let most = u32::try_from(given.max_tokens_per_user).map_err(|_| Field::OutOfRange);
        policy.max_tokens_per_user = violations.check(field, most).filter(|most| *most > 0);
    }
    let field = "policy.max_grace";
    if has(field) {
        policy.max_grace = duration_or_none(field, given.max_grace.as_ref(), violations);
    }
    let field = "policy.retention";
    if has(field) {
        policy.retention = duration(field, given.retention.as_ref(), violations);
    }
    policy.expiry_required = has("policy.expiry_required") && given.expiry_required;
    policy.unique_names = has("policy.unique_names") && given.unique_names;
    policy.tokens_may_not_mint = has("policy.tokens_may_not_mint") && given.tokens_may_not_mint;
    policy.admins_act_for_admins =
        has("policy.admins_act_for_admins") && given.admins_act_for_admins;
    policy.self_rotation = has("policy.self_rotation") && given.self_rotation;
    policy
}

/// Reads a catalog as somebody wrote it down, to be judged by [`Draft::check`]. Of
/// each list no more is read than one item past its bound, which shows that it is
/// too long.
pub fn catalog(given: &pb::Catalog, violations: &mut Violations) -> Draft {
    let mut draft = Draft::default();
    for (at, scope) in given
        .scopes
        .iter()
        .take(bounds::CATALOG_SCOPES + 1)
        .enumerate()
    {
        let field = format!("catalog.scopes[{at}]");
        let role = role(
            &format!("{field}.minimum_role"),
            scope.minimum_role,
            violations,
        );
        draft.scopes.push(ScopeDraft {
            name: scope.name.clone(),
            description: scope.description.clone(),
            implies: first(&scope.implies, bounds::IMPLIED_SCOPES),
            admins_only: role == Some(Role::Admin),
            forbidden_kinds: kinds(
                &format!("{field}.forbidden_kinds"),
                &scope.forbidden_kinds,
                violations,
            ),
        });
    }
    let profiles = given.profiles.iter().take(bounds::CATALOG_PROFILES + 1);
    draft.profiles = profiles
        .map(|profile| ProfileDraft {
            name: profile.name.clone(),
            description: profile.description.clone(),
            scopes: first(&profile.scopes, bounds::TOKEN_SCOPES),
        })
        .collect();
    draft
}

/// Returns the items up to one past the bound.
fn first(items: &[String], bound: usize) -> Vec<String> {
    items.iter().take(bound + 1).cloned().collect()
}

/// Reads kinds that must be said, no more than there are.
pub fn kinds(field: &str, numbers: &[i32], violations: &mut Violations) -> Vec<Kind> {
    if numbers.len() > Kind::ALL.len() {
        violations.add(field, Field::TooMany);
        return Vec::new();
    }
    let mut kinds = Vec::new();
    for (at, number) in numbers.iter().enumerate() {
        let field = format!("{field}[{at}]");
        if *number == i32::from(pb::TokenKind::Unspecified) {
            violations.add(field, Field::Required);
        } else {
            kinds.extend(kind(&field, *number, violations));
        }
    }
    kinds
}

#[cfg(test)]
mod tests;
