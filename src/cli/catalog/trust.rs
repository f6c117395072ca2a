//! The trust in an OIDC provider that a tenant's document says: `oidc_trust`, a table.

use std::collections::BTreeMap;

use toml::de::DeValue;

use super::document::{ROLES, word};
use super::parse::{Reader, Value};
use super::render::{list, quoted};
use crate::domain::trust::USER_CLAIM;
use crate::pb;

/// A field of a trust.
#[derive(Clone, Copy)]
enum Part {
    /// A text.
    Text(fn(&mut pb::OidcTrust) -> &mut String),
    /// Texts.
    Texts(fn(&mut pb::OidcTrust) -> &mut Vec<String>),
    /// Texts by their names.
    Claims(fn(&mut pb::OidcTrust) -> &mut BTreeMap<String, String>),
    /// Yes or no.
    Truth(fn(&mut pb::OidcTrust) -> &mut bool),
    /// A role.
    Role,
}

/// The fields of a trust, in the order in which they are written.
const PARTS: [(&str, Part); 11] = [
    ("issuer", Part::Text(|t| &mut t.issuer)),
    ("audience", Part::Text(|t| &mut t.audience)),
    ("required_claims", Part::Claims(|t| &mut t.required_claims)),
    ("jwks_url", Part::Text(|t| &mut t.jwks_url)),
    ("jwks", Part::Text(|t| &mut t.jwks)),
    ("user_claim", Part::Text(|t| &mut t.user_claim)),
    ("name_claim", Part::Text(|t| &mut t.name_claim)),
    ("admin_claim", Part::Text(|t| &mut t.admin_claim)),
    ("admin_values", Part::Texts(|t| &mut t.admin_values)),
    (
        "provision_members",
        Part::Truth(|t| &mut t.provision_members),
    ),
    ("provision_role", Part::Role),
];

/// Returns a trust as a document says it, on one line: what is as it is when nothing is
/// said is left out.
pub(super) fn said(trust: &pb::OidcTrust) -> String {
    // The fields are read through the same paths that set them.
    let mut trust = trust.clone();
    if trust.user_claim == USER_CLAIM {
        trust.user_claim.clear();
    }
    let parts = PARTS.into_iter().filter_map(|(name, part)| {
        let said = match part {
            Part::Text(field) => some(field(&mut trust), |text| quoted(text)),
            Part::Texts(field) => some(field(&mut trust), |texts| list(texts)),
            Part::Claims(field) => some(field(&mut trust), claims),
            Part::Truth(field) => some(field(&mut trust), bool::to_string),
            Part::Role => match trust.provision_role() {
                pb::Role::Unspecified | pb::Role::Member => None,
                role @ pb::Role::Admin => Some(quoted(word(&ROLES, &role))),
            },
        };
        said.map(|said| format!("{name} = {said}"))
    });
    format!("{{ {} }}", parts.collect::<Vec<_>>().join(", "))
}

/// Returns what is said of a field, unless it is as it is when nothing is said.
fn some<T: Default + PartialEq>(field: &T, said: impl Fn(&T) -> String) -> Option<String> {
    (*field != T::default()).then(|| said(field))
}

fn claims(claims: &BTreeMap<String, String>) -> String {
    let claims = claims
        .iter()
        .map(|(name, value)| format!("{} = {}", quoted(name), quoted(value)));
    format!("{{ {} }}", claims.collect::<Vec<_>>().join(", "))
}

/// Reads a trust, below this path of a request.
pub(super) fn read(reader: &mut Reader, path: &str, value: &Value<'_>) -> Option<pb::OidcTrust> {
    let DeValue::Table(table) = value.get_ref() else {
        reader.mistyped(value, "a table, or \"unset\"");
        return None;
    };
    let mut trust = pb::OidcTrust::default();
    for (key, value) in table {
        let Some((name, part)) = PARTS.into_iter().find(|(name, _)| *name == key.get_ref()) else {
            reader.unknown(key, "a trust", &PARTS.map(|(name, _)| name));
            continue;
        };
        let path = format!("{path}.{name}");
        reader.note(path.as_str(), value);
        match part {
            Part::Text(field) => *field(&mut trust) = reader.line(value).unwrap_or_default(),
            Part::Texts(field) => {
                *field(&mut trust) = reader.list(&path, value, Reader::line);
            }
            Part::Claims(field) => *field(&mut trust) = read_claims(reader, value),
            Part::Truth(field) => *field(&mut trust) = reader.truth(value).unwrap_or_default(),
            Part::Role => {
                trust.set_provision_role(reader.word(value, &ROLES).unwrap_or_default());
            }
        }
    }
    Some(trust)
}

fn read_claims(reader: &mut Reader, value: &Value<'_>) -> BTreeMap<String, String> {
    let DeValue::Table(table) = value.get_ref() else {
        reader.mistyped(value, "a table of strings");
        return BTreeMap::new();
    };
    let mut claims = BTreeMap::new();
    for (key, value) in table {
        if let Some(text) = reader.line(value) {
            claims.insert(key.get_ref().to_string(), text);
        }
    }
    claims
}
