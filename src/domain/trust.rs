//! Trusts in OIDC providers: what is required of a session's JWT before it is believed,
//! and what a tenant makes of one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::bounds;
use super::jwk::KeySet;
use super::jwt::{Claims, Jwt};
use super::principal::Role;
use super::reason::{Field, Violations};
use super::session::{Refusal, TrustName};
use super::text;
use super::time::Timestamp;

/// How far the clocks of issuers may be from ours.
pub const SKEW: Duration = Duration::from_secs(60);
/// The claim that names the user where a trust doesn't say.
pub const USER_CLAIM: &str = "sub";

/// What is required of a JWT, and where it says who its user is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// What `iss` must be, to the byte.
    pub issuer: String,
    /// What `aud` must be or have.
    pub audience: String,
    /// What other claims must be or have.
    pub required_claims: BTreeMap<String, String>,
    /// The claim that the user is known by.
    pub user_claim: String,
    /// The claim that people call the user by; empty is none.
    pub name_claim: String,
}

/// Who a JWT is of, and until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// What the voucher calls the user.
    pub subject: String,
    /// What people call the user; empty where that is not said.
    pub display_name: String,
    /// When the session ends.
    pub ends_at: Timestamp,
}

impl Identity {
    /// Refuses a session that is over, as far as the skew of clocks lets that be said.
    pub fn check_end(&self, now: Timestamp) -> Result<(), Refusal> {
        if now >= self.ends_at.saturating_add(SKEW) {
            return Err(Refusal::Expired);
        }
        Ok(())
    }
}

impl Rules {
    /// Returns whether a JWT is of this issuer and for this audience, as it says.
    pub fn applies_to(&self, claims: &Claims) -> bool {
        claims.text("iss") == Some(&self.issuer) && claims.says("aud", &self.audience)
    }

    /// Returns who a JWT is of, whose signature and issuer are verified.
    pub fn judge(&self, jwt: &Jwt, now: Timestamp) -> Result<Identity, Refusal> {
        let claims = &jwt.claims;
        let ends_at = claims.time("exp")?.ok_or(Refusal::Expired)?;
        let subject = claims.text(&self.user_claim).ok_or(Refusal::Subject)?;
        let subject = text::required_line(subject, bounds::EXTERNAL_ID_CHARS);
        let name = match self.name_claim.as_str() {
            "" => None,
            claim => claims.text(claim),
        };
        // What people call it is a courtesy: one that can't be kept is none.
        let name = name.and_then(|name| text::line(name, bounds::NAME_CHARS).ok());
        let identity = Identity {
            subject: subject.map_err(|_| Refusal::Subject)?,
            display_name: name.unwrap_or_default(),
            ends_at,
        };
        identity.check_end(now)?;
        for claim in ["nbf", "iat"] {
            let begins = claims.time(claim)?;
            if begins.is_some_and(|begins| begins > now.saturating_add(SKEW)) {
                return Err(Refusal::NotYetValid);
            }
        }
        let lacks = |(claim, text): (&String, &String)| !claims.says(claim, text);
        if self.required_claims.iter().any(lacks) {
            return Err(Refusal::RequiredClaim);
        }
        // An ID token of the same issuer must not do: either the header says what the JWT
        // is, or a required claim does, unless it has what ID tokens alone have (OpenID
        // Connect Core 1.0, section 3.3.2.11; `typ` is Keycloak's).
        let is_id_token = ["at_hash", "c_hash"]
            .iter()
            .any(|claim| claims.get(claim).is_some())
            || claims.says("typ", "ID");
        if !jwt.says_access_token && (self.required_claims.is_empty() || is_id_token) {
            return Err(Refusal::NotAccessToken);
        }
        Ok(identity)
    }

    /// Notes what is wrong with the rules themselves, below this path.
    pub fn check(&self, path: &str, violations: &mut Violations) {
        for (field, text) in [("issuer", &self.issuer), ("audience", &self.audience)] {
            let line = text::required_line(text, bounds::EXTERNAL_ID_CHARS);
            violations.check(&format!("{path}.{field}"), line);
        }
        violations.check(&format!("{path}.user_claim"), claim(&self.user_claim));
        if !self.name_claim.is_empty() {
            violations.check(&format!("{path}.name_claim"), claim(&self.name_claim));
        }
        let path = format!("{path}.required_claims");
        if self.required_claims.len() > bounds::TRUST_ITEMS {
            violations.add(path, Field::TooMany);
            return;
        }
        for (name, value) in &self.required_claims {
            violations.check(&path, claim(name));
            let value = text::required_line(value, bounds::EXTERNAL_ID_CHARS);
            violations.check(&path, value);
        }
    }
}

/// Checks the name of a claim, or the JSON pointer to one.
fn claim(name: &str) -> Result<String, Field> {
    if name == "/" {
        return Err(Field::InvalidClaim);
    }
    text::required_line(name, bounds::EXTERNAL_ID_CHARS)
}

/// Where the keys of a tenant's issuer come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TenantKeys {
    /// From an https URL, at a public address.
    Url(String),
    /// From this text.
    Inline(String),
}

/// Who becomes an administrator at first sight.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdminClaim {
    /// The claim that decides.
    pub claim: String,
    /// What it must be, or have one of.
    pub values: Vec<String>,
}

/// A tenant's own trust.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantTrust {
    /// What is required of a JWT.
    pub rules: Rules,
    /// Where the issuer's keys come from.
    pub keys: TenantKeys,
    /// Who becomes an administrator at first sight; nobody where it is absent.
    pub admins: Option<AdminClaim>,
    /// Whether who is unknown becomes a member at first sight, and as what.
    pub provision: Option<Role>,
}

impl TenantTrust {
    /// Returns what a user becomes that is seen first now; `None` where nobody does.
    pub fn first_role(&self, claims: &Claims) -> Option<Role> {
        let role = self.provision?;
        let admin = self.admins.as_ref().is_some_and(|admins| {
            let mut values = admins.values.iter();
            values.any(|value| claims.says(&admins.claim, value))
        });
        Some(if admin { Role::Admin } else { role })
    }

    /// Notes what is wrong with the trust, below this path.
    pub fn check(&self, path: &str, violations: &mut Violations) {
        self.rules.check(path, violations);
        match &self.keys {
            TenantKeys::Url(url) => {
                violations.check(&format!("{path}.jwks_url"), https_url(url));
            }
            TenantKeys::Inline(text) => {
                violations.check(&format!("{path}.jwks"), inline_keys(text));
            }
        }
        let Some(admins) = &self.admins else {
            return;
        };
        violations.check(&format!("{path}.admin_claim"), claim(&admins.claim));
        let path = format!("{path}.admin_values");
        if admins.values.is_empty() {
            violations.add(path.as_str(), Field::Required);
        } else if admins.values.len() > bounds::TRUST_ITEMS {
            violations.add(path, Field::TooMany);
            return;
        }
        for value in &admins.values {
            let value = text::required_line(value, bounds::EXTERNAL_ID_CHARS);
            violations.check(&path, value);
        }
    }
}

/// Whose sessions a tenant takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sessions {
    /// Those that its own trust verifies.
    pub own: Option<TenantTrust>,
    /// The installation-wide trusts whose users become its members at first sight.
    pub admits: BTreeSet<TrustName>,
}

impl Sessions {
    /// Returns whether nothing is said.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Checks a URL that a tenant may give: https, nothing beside host, port, path and query.
pub fn https_url(text: &str) -> Result<(), Field> {
    let uri = url(text)?;
    (uri.scheme_str() == Some("https"))
        .then_some(())
        .ok_or(Field::InvalidUrl)
}

/// Checks a URL that the operator may give: plain http, too.
pub fn operators_url(text: &str) -> Result<(), Field> {
    let uri = url(text)?;
    matches!(uri.scheme_str(), Some("http" | "https"))
        .then_some(())
        .ok_or(Field::InvalidUrl)
}

fn url(text: &str) -> Result<http::Uri, Field> {
    text::required_line(text, bounds::TEXT_CHARS)?;
    let uri: http::Uri = text.parse().map_err(|_| Field::InvalidUrl)?;
    let plain = uri.host().is_some_and(|host| !host.is_empty())
        && uri
            .authority()
            .is_some_and(|all| !all.as_str().contains('@'))
        && !text.contains('#');
    plain.then_some(uri).ok_or(Field::InvalidUrl)
}

/// Checks keys that stand in a policy, which everybody in the tenant may read.
fn inline_keys(text: &str) -> Result<(), Field> {
    if text.len() > bounds::INLINE_JWKS_BYTES {
        return Err(Field::TooLong);
    }
    match KeySet::parse(text.as_bytes()) {
        Ok(keys) if !keys.exposes_private() => Ok(()),
        Ok(_) | Err(_) => Err(Field::InvalidKeys),
    }
}

#[cfg(test)]
mod tests;
