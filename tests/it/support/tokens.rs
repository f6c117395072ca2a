//! What the tests of tokens share: calls, changes around tokens, and values that
//! nobody was given.

use prost_types::{Duration, FieldMask, Timestamp};
use token_authority::domain::base62;
use token_authority::pb;
use tonic::{Request, Status};

use super::Actor;

/// 2026-01-01T00:00:00Z, when each test begins.
pub(crate) const START: i64 = 1_767_225_600;

/// Makes of each call a function that makes it, or is refused.
macro_rules! calls {
    ($($name:ident: $client:ident.$method:ident($request:ident) -> $response:ident,)+) => {$(
        pub(crate) async fn $name(
            actor: &Actor,
            request: pb::$request,
        ) -> Result<pb::$response, Status> {
            let response = actor.$client().$method(actor.call(request)).await?;
            Ok(response.into_inner())
        }
    )+};
}

calls! {
    import: tokens.import_tokens(ImportTokensRequest) -> ImportTokensResponse,
    get: tokens.get_token(GetTokenRequest) -> GetTokenResponse,
    list: tokens.list_tokens(ListTokensRequest) -> ListTokensResponse,
    update: tokens.update_token(UpdateTokenRequest) -> UpdateTokenResponse,
    rotate: tokens.rotate_token(RotateTokenRequest) -> RotateTokenResponse,
    roll: me.rotate_current_token(RotateCurrentTokenRequest) -> RotateCurrentTokenResponse,
    revoke: tokens.revoke_token(RevokeTokenRequest) -> RevokeTokenResponse,
    batch_revoke: tokens.batch_revoke_tokens(BatchRevokeTokensRequest) -> BatchRevokeTokensResponse,
    revoke_all: tokens.revoke_all_tokens(RevokeAllTokensRequest) -> RevokeAllTokensResponse,
    revoke_current: me.revoke_current_token(RevokeCurrentTokenRequest) -> RevokeCurrentTokenResponse,
    expose: me.revoke_exposed_token(RevokeExposedTokenRequest) -> RevokeExposedTokenResponse,
    explain: tokens.explain_token(ExplainTokenRequest) -> ExplainTokenResponse,
    batch: introspection.batch_introspect(BatchIntrospectRequest) -> BatchIntrospectResponse,
    who_am_i: me.who_am_i(WhoAmIRequest) -> WhoAmIResponse,
}

/// Returns names as the messages have them.
pub(crate) fn strings(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.into()).collect()
}

/// Returns a mask of these paths.
#[expect(clippy::unnecessary_wraps, reason = "as the messages have it")]
pub(crate) fn mask(paths: &[&str]) -> Option<FieldMask> {
    Some(FieldMask {
        paths: strings(paths),
    })
}

/// Returns the instant so many seconds after the test's beginning.
pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp {
        seconds: START + seconds,
        nanos: 0,
    }
}

/// Returns an expiry after so many seconds.
#[expect(clippy::unnecessary_wraps, reason = "as the messages have it")]
pub(crate) fn ttl(seconds: i64) -> Option<pb::create_token_request::Expiry> {
    let ttl = Duration { seconds, nanos: 0 };
    Some(pb::create_token_request::Expiry::Ttl(ttl))
}

/// Asks for a token of the caller's own user in its own tenant.
pub(crate) fn wanted(name: &str, scopes: &[&str]) -> pb::CreateTokenRequest {
    pb::CreateTokenRequest {
        tenant_id: "active".into(),
        name: name.into(),
        scopes: strings(scopes),
        ..Default::default()
    }
}

/// Asks for a SERVICE token of a tenant.
pub(crate) fn service(tenant_id: &str, name: &str, scopes: &[&str]) -> pb::CreateTokenRequest {
    pb::CreateTokenRequest {
        tenant_id: tenant_id.into(),
        kind: pb::TokenKind::Service.into(),
        ..wanted(name, scopes)
    }
}

/// Asks about a value.
pub(crate) fn question(tenant_id: &str, value: &str) -> pb::IntrospectRequest {
    pb::IntrospectRequest {
        token: value.into(),
        tenant_id: tenant_id.into(),
        ..Default::default()
    }
}

/// Names a token of the caller's tenant to be updated.
pub(crate) fn change(token_id: &str) -> pb::UpdateTokenRequest {
    pb::UpdateTokenRequest {
        tenant_id: "active".into(),
        token_id: token_id.into(),
        ..Default::default()
    }
}

/// Returns the id of a token that was created.
pub(crate) fn id(created: &pb::CreateTokenResponse) -> String {
    created.token.clone().unwrap().token_id
}

/// Returns a revision's number.
pub(crate) fn number(revision: &str) -> i64 {
    let (incarnation, number) = revision.split_once('.').unwrap();
    assert_eq!(incarnation.len(), 22, "{revision}");
    number.parse().unwrap()
}

/// Returns a value with the checksum that belongs to it: `text` lacks its last
/// six characters.
pub(crate) fn checked(text: &str) -> String {
    let check = crc32fast::hash(text.as_bytes()).to_be_bytes();
    format!("{text}{}", base62::encode(&check, 6))
}

/// Returns a value without its checksum, one character replaced by another,
/// counted from the prefix's end.
pub(crate) fn altered(value: &str, prefix: &str, at: usize) -> String {
    let mut text = value[..value.len() - 6].to_owned();
    let at = prefix.len() + at;
    let other = if text[at..].starts_with('x') {
        "y"
    } else {
        "x"
    };
    text.replace_range(at..=at, other);
    text
}

/// Presents a credential just as it is given.
pub(crate) fn presenting<T>(message: T, credential: &str) -> Request<T> {
    let mut request = Request::new(message);
    let credential = credential.parse().unwrap();
    request.metadata_mut().insert("authorization", credential);
    request
}

/// Gives a member a role.
pub(crate) async fn set_role(actor: &Actor, tenant_id: &str, user_id: &str, role: pb::Role) {
    let request = pb::UpdateMemberRequest {
        tenant_id: tenant_id.into(),
        user_id: user_id.into(),
        role: role.into(),
        ..Default::default()
    };
    let mut users = actor.users();
    users.update_member(actor.call(request)).await.unwrap();
}

/// Replaces a tenant's catalog.
pub(crate) async fn set_catalog(actor: &Actor, tenant_id: &str, catalog: pb::Catalog) {
    let request = pb::UpdateCatalogRequest {
        tenant_id: tenant_id.into(),
        catalog: Some(catalog),
        ..Default::default()
    };
    let mut scopes = actor.scopes();
    scopes.update_catalog(actor.call(request)).await.unwrap();
}

/// Replaces a tenant's policy.
pub(crate) async fn set_policy(actor: &Actor, tenant_id: &str, policy: pb::TenantPolicy) {
    let request = pb::UpdateTenantRequest {
        tenant_id: tenant_id.into(),
        update_mask: mask(&["policy"]),
        policy: Some(policy),
        ..Default::default()
    };
    let mut tenants = actor.tenants();
    tenants.update_tenant(actor.call(request)).await.unwrap();
}

/// Suspends a user.
pub(crate) async fn suspend_user(actor: &Actor, tenant_id: &str, user_id: &str) -> String {
    let request = pb::SuspendUserRequest {
        tenant_id: tenant_id.into(),
        user_id: user_id.into(),
        ..Default::default()
    };
    let suspended = actor.users().suspend_user(actor.call(request)).await;
    suspended.unwrap().into_inner().revision
}

/// Ends a membership.
pub(crate) async fn remove_member(actor: &Actor, tenant_id: &str, user_id: &str) -> String {
    let request = pb::RemoveMemberRequest {
        tenant_id: tenant_id.into(),
        user_id: user_id.into(),
        ..Default::default()
    };
    let removed = actor.users().remove_member(actor.call(request)).await;
    removed.unwrap().into_inner().revision
}

/// Deletes a user.
pub(crate) async fn delete_user(actor: &Actor, tenant_id: &str, user_id: &str) -> String {
    let request = pb::DeleteUserRequest {
        tenant_id: tenant_id.into(),
        user_id: user_id.into(),
        ..Default::default()
    };
    let deleted = actor.users().delete_user(actor.call(request)).await;
    deleted.unwrap().into_inner().revision
}

/// Suspends a tenant.
pub(crate) async fn suspend_tenant(actor: &Actor, tenant_id: &str) -> String {
    let tenant_id = tenant_id.into();
    let request = pb::SuspendTenantRequest {
        tenant_id,
        ..Default::default()
    };
    let suspended = actor.tenants().suspend_tenant(actor.call(request)).await;
    suspended.unwrap().into_inner().revision
}

/// Deletes a tenant.
pub(crate) async fn delete_tenant(actor: &Actor, tenant_id: &str) -> String {
    let request = pb::DeleteTenantRequest {
        tenant_id: tenant_id.into(),
        ..Default::default()
    };
    let deleted = actor.tenants().delete_tenant(actor.call(request)).await;
    deleted.unwrap().into_inner().revision
}

/// Returns the token after a change that must succeed.
pub(crate) async fn changed(actor: &Actor, request: pb::UpdateTokenRequest) -> pb::Token {
    update(actor, request).await.unwrap().token.unwrap()
}

/// Names scopes to be set.
pub(crate) fn scopes(token_id: &str, scopes: &[&str]) -> pb::UpdateTokenRequest {
    pb::UpdateTokenRequest {
        update_mask: mask(&["scopes"]),
        scopes: strings(scopes),
        ..change(token_id)
    }
}

/// Switches a token on or off.
pub(crate) fn disabled(token_id: &str, disabled: bool) -> pb::UpdateTokenRequest {
    pb::UpdateTokenRequest {
        update_mask: mask(&["disabled"]),
        disabled,
        ..change(token_id)
    }
}

/// Gives a token an end, or none.
pub(crate) fn until(token_id: &str, seconds: Option<i64>) -> pb::UpdateTokenRequest {
    pb::UpdateTokenRequest {
        update_mask: mask(&["expire_time"]),
        expire_time: seconds.map(at),
        ..change(token_id)
    }
}

/// Returns the id of the token that a caller presents.
pub(crate) async fn own_id(actor: &Actor) -> String {
    let me = who_am_i(actor, pb::WhoAmIRequest {}).await.unwrap();
    me.token.unwrap().token_id
}

/// Names a token of the caller's tenant to be rotated, its value to go on for so many
/// seconds.
pub(crate) fn rotation(token_id: &str, grace: i64) -> pb::RotateTokenRequest {
    pb::RotateTokenRequest {
        tenant_id: "active".into(),
        token_id: token_id.into(),
        grace_period: Some(Duration {
            seconds: grace,
            nanos: 0,
        }),
        ..Default::default()
    }
}

/// Rotates a token, which must succeed; returns its record and its new value.
pub(crate) async fn rotated(actor: &Actor, request: pb::RotateTokenRequest) -> (pb::Token, String) {
    let rotated = rotate(actor, request).await.unwrap();
    (rotated.token.unwrap(), rotated.value)
}

/// Asks for a new value of the caller's own token, the present one to go on for so many
/// seconds.
pub(crate) fn rolling(grace: i64) -> pb::RotateCurrentTokenRequest {
    pb::RotateCurrentTokenRequest {
        grace_period: Some(Duration {
            seconds: grace,
            nanos: 0,
        }),
        ..Default::default()
    }
}
