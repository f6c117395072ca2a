//! What is answered: the domain's things as messages.

use std::time::Duration;

use prost_types::{Duration as WireDuration, Timestamp as WireTime};

use super::trust;
use crate::domain::catalog::Catalog;
use crate::domain::change::Version;
use crate::domain::policy::{Management, Policy};
use crate::domain::principal::{Membership, Role, Tenant, User};
use crate::domain::scope::{ScopeName, ScopeSet};
use crate::domain::time::Timestamp;
use crate::domain::token::{Kind, RevokeReason, State, Token};
use crate::pb;

/// Turns an instant into a message.
pub fn timestamp(at: Timestamp) -> WireTime {
    let (seconds, nanos) = at.parts();
    WireTime { seconds, nanos }
}

/// Turns a length of time into a message.
pub fn duration(duration: Duration) -> WireDuration {
    WireDuration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        // Below 10^9.
        nanos: i32::try_from(duration.subsec_nanos()).unwrap_or_default(),
    }
}

/// Turns a record's version into its etag: a decimal number.
pub fn etag(version: Version) -> String {
    version.0.to_string()
}

/// Turns a token's kind into the number on the wire.
pub fn kind(kind: Kind) -> i32 {
    let kind = match kind {
        Kind::Api => pb::TokenKind::Api,
        Kind::Webhook => pb::TokenKind::Webhook,
        Kind::Agent => pb::TokenKind::Agent,
        Kind::Service => pb::TokenKind::Service,
    };
    kind.into()
}

/// Turns a token's state into the number on the wire.
pub fn state(state: State) -> i32 {
    let state = match state {
        State::Active => pb::TokenState::Active,
        State::Disabled => pb::TokenState::Disabled,
        State::Expired => pb::TokenState::Expired,
        State::Revoked => pb::TokenState::Revoked,
    };
    state.into()
}

/// Turns the reason of a revocation into the number on the wire.
pub fn revoke_reason(reason: RevokeReason) -> i32 {
    let reason = match reason {
        RevokeReason::Unspecified => pb::RevokeReason::Unspecified,
        RevokeReason::Compromised => pb::RevokeReason::Compromised,
        RevokeReason::Superseded => pb::RevokeReason::Superseded,
        RevokeReason::NoLongerNeeded => pb::RevokeReason::NoLongerNeeded,
        RevokeReason::Administrative => pb::RevokeReason::Administrative,
        RevokeReason::OwnerGone => pb::RevokeReason::OwnerGone,
    };
    reason.into()
}

/// Turns a role into the number on the wire.
pub fn role(role: Role) -> i32 {
    let role = match role {
        Role::Member => pb::Role::Member,
        Role::Admin => pb::Role::Admin,
    };
    role.into()
}

/// Turns who manages tokens into the number on the wire.
pub fn management(management: Management) -> i32 {
    let management = match management {
        Management::AdminsOnly => pb::TokenManagement::AdminsOnly,
        Management::SelfService => pb::TokenManagement::SelfService,
    };
    management.into()
}

/// Turns a token's record into a message, as of `now`; `effective` is what it may
/// do now.
pub fn token(token: &Token, effective: &ScopeSet, now: Timestamp) -> pb::Token {
    let revocation = token.revocation.as_ref();
    let last_use = token.last_use.as_ref();
    pb::Token {
        token_id: token.token_id.to_string(),
        tenant_id: token.tenant_id.to_string(),
        user_id: token
            .owner
            .as_ref()
            .map(|owner| owner.user_id.to_string())
            .unwrap_or_default(),
        kind: kind(token.kind),
        name: token.name.clone(),
        hint: token.hint.clone(),
        state: state(token.state(now)),
        scopes: token.scopes.to_strings(),
        effective_scopes: effective.to_strings(),
        profile: token.profile.clone(),
        agent_id: token.agent_id.clone(),
        labels: token.labels.clone().into_iter().collect(),
        created_by: token
            .created_by
            .map(|token_id| token_id.to_string())
            .unwrap_or_default(),
        create_time: Some(timestamp(token.created_at)),
        update_time: Some(timestamp(token.updated_at)),
        expire_time: token.expires_at.map(timestamp),
        revoke_time: revocation.map(|revocation| timestamp(revocation.at)),
        revoke_reason: revocation
            .map(|revocation| revoke_reason(revocation.reason))
            .unwrap_or_default(),
        revoke_reason_text: revocation
            .map(|revocation| revocation.text.clone())
            .unwrap_or_default(),
        etag: etag(token.version),
        rotate_time: token.rotated_at.map(timestamp),
        previous_values: token
            .previous
            .iter()
            .filter(|value| !token.is_over(Some(value.ends_at), now))
            .map(|value| pb::TokenValue {
                hint: value.hint.clone(),
                end_time: Some(timestamp(value.ends_at)),
            })
            .collect(),
        last_used_time: last_use.map(|last| timestamp(last.at)),
        last_used_by: last_use
            .and_then(|last| last.by)
            .map(|token_id| token_id.to_string())
            .unwrap_or_default(),
        last_used_address: last_use
            .and_then(|last| last.address)
            .map(|address| address.to_string())
            .unwrap_or_default(),
    }
}

/// Turns a tenant into a message.
pub fn tenant(tenant: &Tenant) -> pb::Tenant {
    let state = if tenant.suspended_at.is_some() {
        pb::TenantState::Suspended
    } else {
        pb::TenantState::Active
    };
    pb::Tenant {
        tenant_id: tenant.tenant_id.to_string(),
        display_name: tenant.display_name.clone(),
        state: state.into(),
        token_prefix: tenant.prefix.as_str().to_owned(),
        policy: Some(pb::TenantPolicy {
            oidc_trust: tenant.sessions.own.as_ref().map(trust::show),
            admitted_trusts: trust::names(&tenant.sessions.admits),
            ..policy(&tenant.policy)
        }),
        create_time: Some(timestamp(tenant.created_at)),
        update_time: Some(timestamp(tenant.updated_at)),
        etag: etag(tenant.version),
    }
}

/// Turns a tenant's rules into a message.
pub fn policy(policy: &Policy) -> pb::TenantPolicy {
    pb::TenantPolicy {
        token_management: management(policy.management),
        expiry_required: policy.expiry_required,
        default_ttl: policy.default_ttl.map(duration),
        max_ttl: policy.max_ttl.map(duration),
        max_tokens_per_user: policy
            .max_tokens_per_user
            .map(|most| i32::try_from(most).unwrap_or(i32::MAX))
            .unwrap_or_default(),
        unique_names: policy.unique_names,
        tokens_may_not_mint: policy.tokens_may_not_mint,
        admins_act_for_admins: policy.admins_act_for_admins,
        max_grace: policy.max_grace.map(duration),
        self_rotation: policy.self_rotation,
        retention: policy.retention.map(duration),
        // They are no rules for tokens, and stand elsewhere in a tenant.
        oidc_trust: None,
        admitted_trusts: Vec::new(),
    }
}

/// Turns a user into a message.
pub fn user(user: &User) -> pb::User {
    let state = if user.suspended_at.is_some() {
        pb::UserState::Suspended
    } else {
        pb::UserState::Active
    };
    pb::User {
        user_id: user.user_id.to_string(),
        external_id: user.external_id.clone(),
        display_name: user.display_name.clone(),
        state: state.into(),
        vouching_tenant_id: user.vouching_tenant_id.to_string(),
        active_tenant_id: user.active_tenant_id.to_string(),
        create_time: Some(timestamp(user.created_at)),
        update_time: Some(timestamp(user.updated_at)),
        etag: etag(user.version),
        vouching_trust: user
            .vouching_trust
            .as_ref()
            .map(|name| name.as_str().to_owned())
            .unwrap_or_default(),
    }
}

/// Turns a membership into a message.
pub fn membership(membership: &Membership) -> pb::Membership {
    pb::Membership {
        tenant_id: membership.tenant_id.to_string(),
        user_id: membership.user_id.to_string(),
        role: role(membership.role),
        create_time: Some(timestamp(membership.created_at)),
        update_time: Some(timestamp(membership.updated_at)),
        etag: etag(membership.version),
    }
}

/// Turns a catalog into a message, all of it sorted by name.
pub fn catalog(catalog: &Catalog, version: Version, updated_at: Timestamp) -> pb::Catalog {
    let scopes = catalog.scopes.iter().map(|(name, scope)| pb::Scope {
        name: name.as_str().to_owned(),
        description: scope.description.clone(),
        implies: names(&scope.implies),
        minimum_role: role(if scope.admins_only {
            Role::Admin
        } else {
            Role::Member
        }),
        forbidden_kinds: scope.forbidden_kinds.iter().copied().map(kind).collect(),
    });
    let profiles = catalog.profiles.iter().map(|(name, profile)| pb::Profile {
        name: name.as_str().to_owned(),
        description: profile.description.clone(),
        scopes: names(&profile.scopes),
    });
    pb::Catalog {
        scopes: scopes.collect(),
        profiles: profiles.collect(),
        update_time: Some(timestamp(updated_at)),
        etag: etag(version),
    }
}

/// Returns names as texts, in their order.
fn names<'n>(names: impl IntoIterator<Item = &'n ScopeName>) -> Vec<String> {
    names
        .into_iter()
        .map(|name| name.as_str().to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::domain::catalog::{Profile, Scope};
    use crate::domain::change::ChangeNumber;
    use crate::domain::token::{Owner, PreviousValue, Revocation, Use};
    use crate::domain::trust::Sessions;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis).unwrap()
    }

    fn wire(seconds: i64, nanos: i32) -> WireTime {
        WireTime { seconds, nanos }
    }

    fn record() -> Token {
        Token {
            token_id: uuid::Uuid::from_u128(1).into(),
            tenant_id: "acme".parse().unwrap(),
            owner: Some(Owner {
                user_id: uuid::Uuid::from_u128(2).into(),
                external_id: "alice".to_owned(),
                role: Some(Role::Member),
                suspended: false,
                deleted: false,
            }),
            kind: Kind::Agent,
            name: "night run".to_owned(),
            hint: "ody_01234567".to_owned(),
            scopes: ScopeSet::from_text("b a").unwrap(),
            profile: "reader".to_owned(),
            agent_id: "agent-7".to_owned(),
            labels: BTreeMap::from([("team".to_owned(), "search".to_owned())]),
            created_by: Some(uuid::Uuid::from_u128(3).into()),
            version: Version(4),
            created_number: ChangeNumber(9),
            created_at: at(1_500),
            updated_at: at(2_000),
            expires_at: Some(at(9_000)),
            disabled_at: None,
            revocation: None,
            rotated_at: Some(at(2_000)),
            previous: [("ody_later", 5_001), ("ody_over", 5_000)]
                .map(|(hint, ends_at)| PreviousValue {
                    hint: hint.to_owned(),
                    ends_at: at(ends_at),
                })
                .into(),
            last_use: Some(Use {
                at: at(4_000),
                by: Some(uuid::Uuid::from_u128(4).into()),
                address: Some("2001:db8::1".parse().unwrap()),
            }),
        }
    }

    #[test]
    fn a_token_is_told_whole() {
        let token = token(&record(), &ScopeSet::from_text("a").unwrap(), at(5_000));
        let zeros = "0".repeat(21);
        let expected = pb::Token {
            token_id: format!("tok_{zeros}1"),
            tenant_id: "acme".to_owned(),
            user_id: format!("usr_{zeros}2"),
            kind: pb::TokenKind::Agent.into(),
            name: "night run".to_owned(),
            hint: "ody_01234567".to_owned(),
            state: pb::TokenState::Active.into(),
            scopes: vec!["a".to_owned(), "b".to_owned()],
            effective_scopes: vec!["a".to_owned()],
            profile: "reader".to_owned(),
            agent_id: "agent-7".to_owned(),
            labels: [("team".to_owned(), "search".to_owned())].into(),
            created_by: format!("tok_{zeros}3"),
            create_time: Some(wire(1, 500_000_000)),
            update_time: Some(wire(2, 0)),
            expire_time: Some(wire(9, 0)),
            revoke_time: None,
            revoke_reason: pb::RevokeReason::Unspecified.into(),
            revoke_reason_text: String::new(),
            etag: "4".to_owned(),
            rotate_time: Some(wire(2, 0)),
            // What is over by now is not among them.
            previous_values: vec![pb::TokenValue {
                hint: "ody_later".to_owned(),
                end_time: Some(wire(5, 1_000_000)),
            }],
            last_used_time: Some(wire(4, 0)),
            last_used_by: format!("tok_{zeros}4"),
            last_used_address: "2001:db8::1".to_owned(),
        };
        assert_eq!(token, expected);
    }

    #[test]
    fn a_tokens_state_is_as_of_now_and_a_service_has_no_user() {
        let told = |record: &Token| token(record, &ScopeSet::default(), at(9_000));
        assert_eq!(told(&record()).state(), pb::TokenState::Expired);
        let revoked = told(&Token {
            owner: None,
            kind: Kind::Service,
            created_by: None,
            last_use: None,
            revocation: Some(Revocation {
                at: at(3_000),
                reason: RevokeReason::Compromised,
                text: "in a gist".to_owned(),
            }),
            ..record()
        });
        assert_eq!(revoked.state(), pb::TokenState::Revoked);
        assert_eq!(revoked.revoke_reason(), pb::RevokeReason::Compromised);
        assert_eq!(revoked.revoke_reason_text, "in a gist");
        assert_eq!(revoked.revoke_time, Some(wire(3, 0)));
        assert_eq!((revoked.user_id, revoked.created_by), Default::default());
    }

    #[test]
    fn a_tenant_is_told_with_its_rules() {
        let rules = Policy {
            management: Management::SelfService,
            max_ttl: Some(Duration::from_millis(1_500)),
            max_tokens_per_user: Some(5),
            unique_names: true,
            ..Policy::default()
        };
        let told = tenant(&Tenant {
            tenant_id: "acme".parse().unwrap(),
            display_name: "Acme".to_owned(),
            prefix: "ac_".parse().unwrap(),
            policy: rules,
            sessions: Sessions::default(),
            version: Version(2),
            created_at: at(0),
            updated_at: at(0),
            suspended_at: Some(at(0)),
            deleted_at: None,
        });
        assert_eq!(told.state(), pb::TenantState::Suspended);
        assert_eq!(
            (told.token_prefix.as_str(), told.etag.as_str()),
            ("ac_", "2")
        );
        let policy = told.policy.unwrap();
        assert_eq!(policy.token_management(), pb::TokenManagement::SelfService);
        assert_eq!(policy.max_tokens_per_user, 5);
        assert_eq!(policy.default_ttl, None);
        let (seconds, nanos) = (1, 500_000_000);
        assert_eq!(policy.max_ttl, Some(WireDuration { seconds, nanos }));
        assert!(policy.unique_names && !policy.expiry_required);
    }

    #[test]
    fn a_catalog_is_told_sorted() {
        let name = |text: &str| text.parse::<ScopeName>().unwrap();
        let scope = |implies: &[&str], admins_only| Scope {
            description: String::new(),
            implies: implies.iter().copied().map(name).collect(),
            admins_only,
            forbidden_kinds: BTreeSet::from([Kind::Agent, Kind::Api]),
        };
        let profile = Profile {
            description: "reads".to_owned(),
            scopes: [name("b"), name("a")].into(),
        };
        let document = Catalog {
            scopes: [
                (name("b"), scope(&["c", "a"], true)),
                (name("a"), scope(&[], false)),
            ]
            .into(),
            profiles: [(name("reader"), profile)].into(),
        };
        let told = catalog(&document, Version(7), at(1_000));
        assert_eq!(told.etag, "7");
        assert_eq!(told.scopes[0].name, "a");
        assert_eq!(told.scopes[0].minimum_role(), pb::Role::Member);
        assert_eq!(told.scopes[1].implies, ["a", "c"]);
        assert_eq!(told.scopes[1].minimum_role(), pb::Role::Admin);
        let kinds: Vec<_> = told.scopes[1].forbidden_kinds().collect();
        assert_eq!(kinds, [pb::TokenKind::Api, pb::TokenKind::Agent]);
        assert_eq!(told.profiles[0].scopes, ["a", "b"]);
    }

    #[test]
    fn a_user_and_its_membership_are_told() {
        let told = user(&User {
            user_id: uuid::Uuid::from_u128(2).into(),
            external_id: "alice".to_owned(),
            display_name: "Alice".to_owned(),
            vouching_tenant_id: "acme".parse().unwrap(),
            vouching_trust: None,
            active_tenant_id: "other".parse().unwrap(),
            version: Version(1),
            created_at: at(0),
            updated_at: at(1_000),
            suspended_at: None,
        });
        assert_eq!(told.state(), pb::UserState::Active);
        assert_eq!(told.vouching_tenant_id, "acme");
        assert_eq!(told.active_tenant_id, "other");
        assert_eq!(told.update_time, Some(wire(1, 0)));
        let told = membership(&Membership {
            tenant_id: "acme".parse().unwrap(),
            user_id: uuid::Uuid::from_u128(2).into(),
            role: Role::Admin,
            version: Version(3),
            created_at: at(0),
            updated_at: at(0),
        });
        assert_eq!(told.role(), pb::Role::Admin);
        assert_eq!(told.etag, "3");
    }
}
