//! Values that another system made.

use token_authority::pb;

use super::Tenant;
use super::tokens::{import, strings};

/// Returns a tenant's prefix, as the tests' tenants have it.
fn prefix(tenant_id: &str) -> String {
    format!("{}_", tenant_id.replace('-', ""))
}

/// Returns a value that another system made, under the prefix of a tenant of the tests;
/// each number is another.
pub(crate) fn foreign(tenant_id: &str, number: usize) -> String {
    format!(
        "{}old.{number:08}-{}",
        prefix(tenant_id),
        "s3cret/".repeat(5)
    )
}

/// Returns the bcrypt hash of a value, of the lowest cost.
pub(crate) fn hash(value: &str) -> String {
    let salt = *b"0123456789abcdef";
    let parts = bcrypt::hash_with_salt(value, 4, salt).unwrap();
    parts.format_for_version(bcrypt::Version::TwoB)
}

/// Returns the first 32 characters of a value that another system made, and its hash.
pub(crate) fn hint_and_hash(tenant_id: &str) -> (String, String) {
    let value = foreign(tenant_id, 0);
    (value[..32].to_owned(), hash(&value))
}

/// How many characters of a value [`imported`] shows.
pub(crate) const HINT: usize = 24;

/// Asks for a value to be imported as a user's token; a user of no name has none.
pub(crate) fn imported(value: &str, user_id: &str, name: &str) -> pb::ImportedToken {
    let kind = if user_id.is_empty() {
        pb::TokenKind::Service
    } else {
        pb::TokenKind::Api
    };
    pb::ImportedToken {
        secret_hash: hash(value),
        hint: value[..HINT].into(),
        user_id: user_id.into(),
        kind: kind.into(),
        name: name.into(),
        ..Default::default()
    }
}

/// Asks for tokens to be imported into the caller's tenant.
pub(crate) fn batch(tokens: Vec<pb::ImportedToken>) -> pb::ImportTokensRequest {
    pb::ImportTokensRequest {
        tenant_id: "active".into(),
        hint_length: i32::try_from(HINT).unwrap(),
        tokens,
        ..Default::default()
    }
}

/// Imports a value as a token of a tenant's administrator, with these scopes.
pub(crate) async fn imported_by(tenant: &Tenant, value: &str, scopes: &[&str]) -> pb::Token {
    let token = pb::ImportedToken {
        scopes: strings(scopes),
        ..imported(value, &tenant.admin_id, "imported")
    };
    let answer = import(&tenant.admin, batch(vec![token])).await.unwrap();
    answer.tokens.into_iter().next().unwrap()
}
