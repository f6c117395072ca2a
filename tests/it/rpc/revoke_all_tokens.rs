//! `TokenService/RevokeAllTokens`.

use std::time::Duration;

use token_authority::pb;

use crate::support::tokens::{at, id, number, own_id, revoke_all, service, wanted, who_am_i};
use crate::support::{
    Actor, Backend, TestServer, administrators_only, both_backends, outcome, refused, self_service,
    share, tokens_of,
};

both_backends!(
    a_users_tokens_of_this_tenant_die_and_no_others,
    a_tenants_tokens_die_whoever_they_are_and_the_callers_with_them,
    a_webhooks_go_only_where_it_is_named,
    all_kinds_named_are_one_epoch,
    each_says_why_and_when,
    what_was_revoked_before_stays_as_it_was,
    what_is_wrong_is_said_all_at_once,
    asked_again_it_is_not_made_again,
    the_reserved_tenants_tokens_are_for_operators_to_revoke,
    only_administrators_may,
);

const DEAD: &str = "Unauthenticated CALLER_UNAUTHENTICATED";

/// Names all of a user's tokens in the caller's tenant; of an empty one, all.
fn all(user_id: &str) -> pb::RevokeAllTokensRequest {
    pb::RevokeAllTokensRequest {
        tenant_id: "active".into(),
        user_id: user_id.into(),
        ..Default::default()
    }
}

/// Returns the kinds as the message has them.
fn kinds(kinds: &[pb::TokenKind]) -> Vec<i32> {
    kinds.iter().map(|&kind| kind.into()).collect()
}

/// Returns how many epochs there are.
async fn epochs(t: &TestServer) -> usize {
    t.database.texts("SELECT reason FROM epochs").await.len()
}

async fn a_users_tokens_of_this_tenant_die_and_no_others(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    t.tenant("globex", self_service()).await;
    let server = t.resource_server().await;
    let alice = t.member(&acme, "alice", &["read"]).await;
    let second = t.token_of("acme", &alice.user_id, &["write"]).await;
    let bob = t.member(&acme, "bob", &["read"]).await;
    let abroad = share(&t, &alice.user_id, "globex").await;
    let before = who_am_i(&bob.actor, pb::WhoAmIRequest {}).await.unwrap();

    let answer = revoke_all(&acme.admin, all(&alice.user_id)).await.unwrap();
    assert_eq!(number(&answer.revision), number(&before.revision) + 1);
    for dead in [&alice.actor, &second] {
        assert!(!server.introspect("acme", dead.value()).await.active);
    }
    for (tenant_id, alive) in [("acme", &bob.actor), ("globex", &abroad)] {
        assert!(server.introspect(tenant_id, alive.value()).await.active);
    }
    // What is created afterwards lives, until it is asked for again.
    let anew = t.token_of("acme", &alice.user_id, &["read"]).await;
    assert!(server.introspect("acme", anew.value()).await.active);
    revoke_all(&acme.admin, all(&alice.user_id)).await.unwrap();
    assert!(!server.introspect("acme", anew.value()).await.active);

    // No token's row was touched, and the change is one that its followers know.
    let touched = "SELECT name FROM tokens WHERE revoked_at IS NOT NULL OR version <> 1";
    assert_eq!(t.database.texts(touched).await, [""; 0]);
    let number = number(&answer.revision);
    let changes = format!("SELECT kind FROM changes WHERE changes.number = {number}");
    assert_eq!(t.database.texts(&changes).await, ["member_changed"]);
}

async fn a_tenants_tokens_die_whoever_they_are_and_the_callers_with_them(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let globex = t.tenant("globex", self_service()).await;
    let server = t.resource_server().await;
    let alice = t.member(&acme, "alice", &["read"]).await.actor;
    let worker = acme.admin.create(service("acme", "worker", &[])).await;
    let agent = acme.admin.create(pb::CreateTokenRequest {
        kind: pb::TokenKind::Agent.into(),
        ..wanted("agent", &["read"])
    });
    let agent = agent.await;
    let answer = revoke_all(&acme.admin, all("")).await.unwrap();
    for value in [
        alice.value(),
        &worker.value,
        &agent.value,
        acme.admin.value(),
    ] {
        assert!(!server.introspect("acme", value).await.active);
    }
    assert_eq!(refused(revoke_all(&acme.admin, all("")).await), DEAD);
    who_am_i(&globex.admin, pb::WhoAmIRequest {}).await.unwrap();
    let number = number(&answer.revision);
    let changes = format!("SELECT kind FROM changes WHERE changes.number = {number}");
    assert_eq!(t.database.texts(&changes).await, ["tenant_changed"]);
}

async fn a_webhooks_go_only_where_it_is_named(backend: Backend) {
    use pb::TokenKind::{Api, Webhook};
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let server = t.resource_server().await;
    let user_id = t.member(&acme, "alice", &[]).await.user_id;
    let create = async |kind: pb::TokenKind| {
        let request = pb::CreateTokenRequest {
            user_id: user_id.clone(),
            kind: kind.into(),
            ..wanted("one", &["read"])
        };
        acme.admin.create(request).await.value
    };
    let active = async |kind: pb::TokenKind, value: &str| {
        let request = pb::IntrospectRequest {
            token: value.into(),
            tenant_id: "acme".into(),
            expected_kind: kind.into(),
            ..Default::default()
        };
        server.try_introspect(request).await.unwrap().active
    };
    let (hook, api) = (create(Webhook).await, create(Api).await);
    revoke_all(&acme.admin, all(&user_id)).await.unwrap();
    assert!(active(Webhook, &hook).await);
    assert!(!active(Api, &api).await);

    let api = create(Api).await;
    let request = pb::RevokeAllTokensRequest {
        kinds: kinds(&[Webhook]),
        ..all(&user_id)
    };
    revoke_all(&acme.admin, request).await.unwrap();
    assert!(!active(Webhook, &hook).await);
    assert!(active(Api, &api).await);
}

async fn all_kinds_named_are_one_epoch(backend: Backend) {
    use pb::TokenKind::{Agent, Api, Service, Webhook};
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let alice = t.member(&acme, "alice", &["read"]).await;
    let request = pb::RevokeAllTokensRequest {
        kinds: kinds(&[Service, Agent, Webhook, Api]),
        ..all(&alice.user_id)
    };
    revoke_all(&acme.admin, request).await.unwrap();
    assert_eq!(epochs(&t).await, 1);
    assert_eq!(
        refused(who_am_i(&alice.actor, pb::WhoAmIRequest {}).await),
        DEAD
    );
    let request = pb::RevokeAllTokensRequest {
        kinds: kinds(&[Agent, Webhook, Agent]),
        ..all("")
    };
    revoke_all(&acme.admin, request).await.unwrap();
    assert_eq!(epochs(&t).await, 3);
}

async fn each_says_why_and_when(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let alice = t.member(&acme, "alice", &["read"]).await;
    let token_id = own_id(&alice.actor).await;
    t.advance(Duration::from_secs(9));
    let request = pb::RevokeAllTokensRequest {
        reason: pb::RevokeReason::Compromised.into(),
        reason_text: "the laptop was stolen".into(),
        ..all(&alice.user_id)
    };
    revoke_all(&acme.admin, request).await.unwrap();
    let request = pb::GetTokenRequest {
        tenant_id: "acme".into(),
        token_id,
        ..Default::default()
    };
    let mut tokens = acme.admin.tokens();
    let token = tokens.get_token(acme.admin.call(request)).await.unwrap();
    let token = token.into_inner().token.unwrap();
    assert_eq!(token.state(), pb::TokenState::Revoked);
    assert_eq!(token.revoke_reason(), pb::RevokeReason::Compromised);
    assert_eq!(token.revoke_reason_text, "the laptop was stolen");
    assert_eq!(token.revoke_time, Some(at(9)));
    // The record itself is as it was.
    assert_eq!(token.etag, "1");
    let events = "SELECT CAST(COUNT(*) AS TEXT) FROM audit_events
                   WHERE action = 'RevokeAllTokens' AND user_id IS NOT NULL";
    assert_eq!(t.database.texts(events).await, ["1"]);
}

async fn what_was_revoked_before_stays_as_it_was(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let alice = t.member(&acme, "alice", &["read"]).await;
    acme.admin.revoke("acme", &own_id(&alice.actor).await).await;
    let request = |reason: pb::RevokeReason| pb::RevokeAllTokensRequest {
        reason: reason.into(),
        ..all(&alice.user_id)
    };
    t.advance(Duration::from_secs(1));
    let first = request(pb::RevokeReason::Superseded);
    t.token_of("acme", &alice.user_id, &[]).await;
    revoke_all(&acme.admin, first).await.unwrap();
    t.advance(Duration::from_secs(1));
    let second = request(pb::RevokeReason::Compromised);
    t.token_of("acme", &alice.user_id, &[]).await;
    revoke_all(&acme.admin, second).await.unwrap();
    assert_eq!(
        tokens_of(&acme.admin, "acme", &alice.user_id).await,
        [
            "of the test Revoked Compromised",
            "of the test Revoked Superseded",
            "of the test Revoked Unspecified",
        ]
    );
}

async fn what_is_wrong_is_said_all_at_once(backend: Backend) {
    use pb::TokenKind::{Api, Unspecified};
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let globex = t.tenant("globex", self_service()).await;
    let mut wrong = kinds(&[Api, Unspecified]);
    wrong.push(99);
    let request = pb::RevokeAllTokensRequest {
        kinds: wrong,
        reason: pb::RevokeReason::OwnerGone.into(),
        reason_text: "\u{7}".into(),
        ..all("alice")
    };
    assert_eq!(
        refused(revoke_all(&acme.admin, request).await),
        "InvalidArgument OUT_OF_RANGE\n  reason: OUT_OF_RANGE\n  kinds[1]: FIELD_REQUIRED\n  \
         kinds[2]: UNKNOWN_ENUM_VALUE\n  user_id: INVALID_USER_ID\n  reason_text: INVALID_TEXT"
    );
    let request = pb::RevokeAllTokensRequest {
        kinds: kinds(&[Api; 5]),
        ..all("")
    };
    assert_eq!(
        refused(revoke_all(&acme.admin, request).await),
        "InvalidArgument TOO_MANY_ITEMS\n  kinds: TOO_MANY_ITEMS"
    );
    // Whoever is no user of the tenant is not there.
    let nobody = format!("usr_{}", "0".repeat(22));
    for user_id in [&*nobody, &globex.admin_id] {
        assert_eq!(
            refused(revoke_all(&acme.admin, all(user_id)).await),
            "NotFound USER_NOT_FOUND"
        );
    }
    assert_eq!(epochs(&t).await, 0);
}

async fn asked_again_it_is_not_made_again(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let alice = t.member(&acme, "alice", &["read"]).await;
    let request = pb::RevokeAllTokensRequest {
        request_id: "once".into(),
        ..all(&alice.user_id)
    };
    let first = revoke_all(&acme.admin, request.clone()).await.unwrap();
    let anew = t.token_of("acme", &alice.user_id, &["read"]).await;
    assert_eq!(revoke_all(&acme.admin, request).await.unwrap(), first);
    who_am_i(&anew, pb::WhoAmIRequest {}).await.unwrap();
}

async fn the_reserved_tenants_tokens_are_for_operators_to_revoke(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let server = t.resource_server().await;
    let request = pb::RevokeAllTokensRequest {
        tenant_id: "authority".into(),
        ..all("")
    };
    assert_eq!(
        refused(revoke_all(&acme.admin, request.clone()).await),
        "NotFound TENANT_NOT_FOUND"
    );
    assert_eq!(
        refused(revoke_all(&server, request.clone()).await),
        "PermissionDenied PERMISSION_DENIED"
    );
    // Their own with the others.
    revoke_all(&t.operator(), request).await.unwrap();
    for dead in [&server, &t.operator()] {
        assert_eq!(refused(who_am_i(dead, pb::WhoAmIRequest {}).await), DEAD);
    }
    who_am_i(&acme.admin, pb::WhoAmIRequest {}).await.unwrap();
}

async fn only_administrators_may(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let call = async |actor: Actor| {
        let request = pb::RevokeAllTokensRequest {
            tenant_id: "acme".into(),
            ..all(&acme.admin_id)
        };
        outcome(revoke_all(&actor, request).await).unwrap()
    };
    administrators_only(&t, &acme, call).await;
    let created = acme.admin.issue("alive", &[]).await;
    assert!(!id(&created).is_empty());
}
