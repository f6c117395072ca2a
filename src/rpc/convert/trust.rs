//! Trusts in OIDC providers, as messages and back.

use std::collections::BTreeSet;

use super::{inward, outward};
use crate::domain::bounds;
use crate::domain::principal::Role;
use crate::domain::reason::{Field, Violations};
use crate::domain::session::TrustName;
use crate::domain::trust::{AdminClaim, Rules, TenantKeys, TenantTrust, USER_CLAIM};
use crate::pb;

/// Reads a tenant's trust. What it must be is for
/// [`TenantTrust::check`] to say.
pub fn read(field: &str, given: &pb::OidcTrust, violations: &mut Violations) -> TenantTrust {
    let keys = match (given.jwks_url.as_str(), given.jwks.as_str()) {
        // That there is neither is for its check to say.
        (url, "") => TenantKeys::Url(url.to_owned()),
        ("", text) => TenantKeys::Inline(text.to_owned()),
        (_, text) => {
            violations.add(format!("{field}.jwks_url"), Field::OneOf);
            TenantKeys::Inline(text.to_owned())
        }
    };
    let admins = AdminClaim {
        claim: given.admin_claim.clone(),
        values: given.admin_values.clone(),
    };
    let none = admins.claim.is_empty() && admins.values.is_empty();
    let role_field = format!("{field}.provision_role");
    let role = inward::role(&role_field, given.provision_role, violations);
    let user_claim = match given.user_claim.as_str() {
        "" => USER_CLAIM,
        claim => claim,
    };
    TenantTrust {
        rules: Rules {
            issuer: given.issuer.clone(),
            audience: given.audience.clone(),
            required_claims: given.required_claims.clone(),
            user_claim: user_claim.to_owned(),
            name_claim: given.name_claim.clone(),
        },
        keys,
        admins: (!none).then_some(admins),
        provision: given
            .provision_members
            .then_some(role.unwrap_or(Role::Member)),
    }
}

/// Reads the names of installation-wide trusts.
pub fn admitted(field: &str, given: &[String], violations: &mut Violations) -> BTreeSet<TrustName> {
    if given.len() > bounds::TRUST_ITEMS {
        violations.add(field, Field::TooMany);
        return BTreeSet::new();
    }
    let read = given.iter().enumerate().filter_map(|(at, name)| {
        let name = name.parse().map_err(|_| Field::UnknownTrust);
        violations.check(&format!("{field}[{at}]"), name)
    });
    read.collect()
}

/// Turns a tenant's trust into a message.
pub fn show(trust: &TenantTrust) -> pb::OidcTrust {
    let (url, text) = match &trust.keys {
        TenantKeys::Url(url) => (url.clone(), String::new()),
        TenantKeys::Inline(text) => (String::new(), text.clone()),
    };
    let (admin_claim, admin_values) = match &trust.admins {
        Some(admins) => (admins.claim.clone(), admins.values.clone()),
        None => Default::default(),
    };
    let rules = &trust.rules;
    pb::OidcTrust {
        issuer: rules.issuer.clone(),
        audience: rules.audience.clone(),
        required_claims: rules.required_claims.clone(),
        jwks_url: url,
        jwks: text,
        user_claim: rules.user_claim.clone(),
        name_claim: rules.name_claim.clone(),
        admin_claim,
        admin_values,
        provision_members: trust.provision.is_some(),
        provision_role: trust.provision.map(outward::role).unwrap_or_default(),
    }
}

/// Returns the names of installation-wide trusts as texts.
pub fn names(admitted: &BTreeSet<TrustName>) -> Vec<String> {
    let names = admitted.iter();
    names.map(|name| name.as_str().to_owned()).collect()
}
