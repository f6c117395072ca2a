//! `TokenService/BatchRevokeTokens`.

use std::time::Duration;

use token_authority::pb;

use super::revoke_all_tokens_many::user_of;
use crate::support::tokens::{
    at, batch_revoke, disabled, get, id, list, number, service, set_policy, strings, update, wanted,
};
use crate::support::{Actor, Backend, TestServer, both_backends, refused, self_service};

both_backends!(
    all_that_are_there_are_revoked_in_one_change,
    revoked_again_nothing_changes,
    what_is_not_there_is_told_and_the_rest_revoked,
    what_is_wrong_is_said_all_at_once,
    a_thousand_are_revoked_and_one_more_refused,
    asked_again_it_is_answered_as_before,
    who_may_not_manage_tokens_is_refused,
);

/// Names tokens of the caller's tenant.
fn named(token_ids: &[&str]) -> pb::BatchRevokeTokensRequest {
    pb::BatchRevokeTokensRequest {
        tenant_id: "active".into(),
        token_ids: strings(token_ids),
        ..Default::default()
    }
}

/// Names a token that may be of any kind but WEBHOOK.
fn one(token_id: &str) -> pb::GetTokenRequest {
    pb::GetTokenRequest {
        tenant_id: "acme".into(),
        token_id: token_id.into(),
        ..Default::default()
    }
}

async fn all_that_are_there_are_revoked_in_one_change(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let server = t.resource_server().await;
    let mut created = Vec::new();
    for name in ["a", "b", "c"] {
        created.push(acme.admin.issue(name, &["read"]).await);
    }
    created.push(acme.admin.create(service("acme", "worker", &[])).await);
    let spared = acme.admin.issue("spared", &["read"]).await;
    // Disabled ones are revoked, too.
    let off = disabled(&id(&created[1]), true);
    let before = update(&acme.admin, off).await.unwrap();
    t.advance(Duration::from_secs(5));
    let ids: Vec<String> = created.iter().map(id).collect();
    // In any order, and one of them twice.
    let request = pb::BatchRevokeTokensRequest {
        reason: pb::RevokeReason::Compromised.into(),
        reason_text: "a laptop was stolen".into(),
        ..named(&[&ids[2], &ids[0], &ids[3], &ids[1], &ids[0]])
    };
    let answer = batch_revoke(&acme.admin, request).await.unwrap();
    assert_eq!(
        (answer.revoked_count, answer.missing_token_ids),
        (4, vec![])
    );
    assert_eq!(number(&answer.revision), number(&before.revision) + 1);
    for created in &created {
        assert!(!server.introspect("acme", &created.value).await.active);
        let token = get(&acme.admin, one(&id(created))).await.unwrap();
        let token = token.token.unwrap();
        assert_eq!(token.state(), pb::TokenState::Revoked);
        assert_eq!(token.revoke_reason(), pb::RevokeReason::Compromised);
        assert_eq!(token.revoke_reason_text, "a laptop was stolen");
        assert_eq!(token.revoke_time, Some(at(5)));
    }
    assert!(server.introspect("acme", &spared.value).await.active);
    // Each has an event of its own, and each is among the changes.
    let events = "SELECT CAST(COUNT(*) AS TEXT) FROM audit_events
                   WHERE action = 'BatchRevokeTokens'";
    assert_eq!(t.database.texts(events).await, ["4"]);
    let number = number(&answer.revision);
    let changes =
        format!("SELECT kind FROM changes WHERE changes.number = {number} ORDER BY position");
    assert_eq!(t.database.texts(&changes).await, ["token_changed"; 4]);
}

async fn revoked_again_nothing_changes(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let (a, b) = (
        id(&acme.admin.issue("a", &[]).await),
        id(&acme.admin.issue("b", &[]).await),
    );
    let alone = acme.admin.revoke("acme", &a).await;
    let both = batch_revoke(&acme.admin, named(&[&a, &b])).await.unwrap();
    assert_eq!(both.revoked_count, 1);
    let again = batch_revoke(&acme.admin, named(&[&a, &b])).await.unwrap();
    assert_eq!(again.revoked_count, 0);
    assert_eq!(again.missing_token_ids, [""; 0]);
    assert_eq!(again.revision, both.revision);
    let first = get(&acme.admin, one(&a)).await.unwrap();
    assert_eq!(first.token, alone.token);
}

async fn what_is_not_there_is_told_and_the_rest_revoked(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let globex = t.tenant("globex", self_service()).await;
    let scopes = ["read", "authority:tokens.write"];
    let alice = t.member(&acme, "alice", &scopes).await;
    let bob = t.member(&acme, "bob", &scopes).await;
    let hers = id(&alice.actor.issue("hers", &["read"]).await);
    let his = id(&bob.actor.issue("his", &["read"]).await);
    let abroad = id(&globex.admin.issue("abroad", &["read"]).await);
    let worker = id(&acme.admin.create(service("acme", "worker", &[])).await);
    let hook = acme.admin.create(pb::CreateTokenRequest {
        kind: pb::TokenKind::Webhook.into(),
        ..wanted("hook", &[])
    });
    let hook = id(&hook.await);
    let nobodys = format!("tok_{}", "0".repeat(22));
    let all = [&*hers, &his, &abroad, &worker, &hook, &nobodys];

    // A member reaches its own alone.
    let answer = batch_revoke(&alice.actor, named(&all)).await.unwrap();
    assert_eq!(answer.revoked_count, 1);
    let mut missing = [&*his, &abroad, &worker, &hook, &nobodys];
    missing.sort_unstable();
    assert_eq!(answer.missing_token_ids, missing);

    // An administrator its tenant's; a webhook's only where it is named.
    let answer = batch_revoke(&acme.admin, named(&all)).await.unwrap();
    assert_eq!(answer.revoked_count, 2);
    let mut missing = [&*abroad, &hook, &nobodys];
    missing.sort_unstable();
    assert_eq!(answer.missing_token_ids, missing);
    let request = pb::BatchRevokeTokensRequest {
        kind: pb::TokenKind::Webhook.into(),
        ..named(&[&hook, &his])
    };
    let answer = batch_revoke(&acme.admin, request).await.unwrap();
    assert_eq!(answer.revoked_count, 1);
    assert_eq!(answer.missing_token_ids, [his]);

    // Nothing was done to another tenant's.
    let there = pb::GetTokenRequest {
        tenant_id: "globex".into(),
        ..one(&abroad)
    };
    let token = get(&globex.admin, there).await.unwrap().token.unwrap();
    assert_eq!(token.state(), pb::TokenState::Active);
}

async fn what_is_wrong_is_said_all_at_once(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let token_id = id(&acme.admin.issue("spared", &[]).await);
    let request = pb::BatchRevokeTokensRequest {
        kind: 99,
        reason: pb::RevokeReason::OwnerGone.into(),
        reason_text: "x".repeat(501),
        ..named(&["tok_", &token_id, "", "usr_0322SbK0NuWtvJSCXALaIX"])
    };
    assert_eq!(
        refused(batch_revoke(&acme.admin, request).await),
        "InvalidArgument OUT_OF_RANGE\n  reason: OUT_OF_RANGE\n  kind: UNKNOWN_ENUM_VALUE\n  \
         token_ids[0]: INVALID_TOKEN_ID\n  token_ids[2]: FIELD_REQUIRED\n  \
         token_ids[3]: INVALID_TOKEN_ID\n  reason_text: FIELD_TOO_LONG"
    );
    for (tenant_id, told) in [
        ("", "FIELD_REQUIRED\n  tenant_id: FIELD_REQUIRED"),
        ("acme", "FIELD_REQUIRED\n  token_ids: FIELD_REQUIRED"),
    ] {
        let request = pb::BatchRevokeTokensRequest {
            tenant_id: tenant_id.into(),
            ..named(&[])
        };
        let refusal = refused(batch_revoke(&acme.admin, request).await);
        assert_eq!(refusal, format!("InvalidArgument {told}"));
    }
    let token = get(&acme.admin, one(&token_id)).await.unwrap().token;
    assert_eq!(token.unwrap().state(), pb::TokenState::Active);
}

async fn a_thousand_are_revoked_and_one_more_refused(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let token_id = id(&acme.admin.issue("laptop", &[]).await);
    let mut ids: Vec<String> = (0..1000).map(|n| format!("tok_{n:022}")).collect();
    ids.push(token_id.clone());
    let request = |ids: &[String]| pb::BatchRevokeTokensRequest {
        token_ids: ids.to_vec(),
        ..named(&[])
    };
    assert_eq!(
        refused(batch_revoke(&acme.admin, request(&ids)).await),
        "InvalidArgument TOO_MANY_ITEMS\n  token_ids: TOO_MANY_ITEMS"
    );
    let answer = batch_revoke(&acme.admin, request(&ids[1..])).await.unwrap();
    assert_eq!(answer.revoked_count, 1);
    assert_eq!(answer.missing_token_ids, ids[1..1000]);

    let user_id = user_of(&t, &acme, "many", 1000).await.user_id;
    let listed = pb::ListTokensRequest {
        tenant_id: "acme".into(),
        page_size: 1000,
        user_id,
        ..Default::default()
    };
    let listed = list(&acme.admin, listed).await.unwrap().tokens;
    let ids: Vec<String> = listed.into_iter().map(|token| token.token_id).collect();
    let answer = batch_revoke(&acme.admin, request(&ids)).await.unwrap();
    assert_eq!(answer.revoked_count, 1000);
    assert_eq!(answer.missing_token_ids, [""; 0]);
}

async fn asked_again_it_is_answered_as_before(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let token_id = id(&acme.admin.issue("laptop", &[]).await);
    let nobodys = format!("tok_{}", "0".repeat(22));
    let request = pb::BatchRevokeTokensRequest {
        request_id: "once".into(),
        ..named(&[&token_id, &nobodys])
    };
    let first = batch_revoke(&acme.admin, request.clone()).await.unwrap();
    assert_eq!(first.revoked_count, 1);
    let again = batch_revoke(&acme.admin, request.clone()).await.unwrap();
    assert_eq!(again, first);
    let other = pb::BatchRevokeTokensRequest {
        reason_text: "another".into(),
        ..request
    };
    assert_eq!(
        refused(batch_revoke(&acme.admin, other).await),
        "InvalidArgument REQUEST_ID_REUSED\n  request_id: REQUEST_ID_REUSED"
    );
}

async fn who_may_not_manage_tokens_is_refused(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let globex = t.tenant("globex", self_service()).await;
    let alice = t.member(&acme, "alice", &["authority:tokens.write"]).await;
    let reader = t.member(&acme, "bob", &["authority:tokens.read"]).await;
    let hers = id(&alice.actor.issue("hers", &[]).await);
    let denied = "PermissionDenied PERMISSION_DENIED";
    let call = async |actor: &Actor| {
        let request = pb::BatchRevokeTokensRequest {
            tenant_id: "acme".into(),
            ..named(&[&hers])
        };
        refused(batch_revoke(actor, request).await)
    };
    assert_eq!(call(&reader.actor).await, denied);
    assert_eq!(call(&globex.admin).await, "NotFound TENANT_NOT_FOUND");
    let nobody = t.nobody();
    assert_eq!(
        call(&nobody).await,
        "Unauthenticated CALLER_UNAUTHENTICATED"
    );
    // Where administrators manage tokens, members don't.
    set_policy(&t.operator(), "acme", pb::TenantPolicy::default()).await;
    assert_eq!(call(&alice.actor).await, denied);
}
