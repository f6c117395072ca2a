//! `SelfService/RevokeCurrentToken`.

use std::time::Duration;

use token_authority::pb;

use crate::support::tokens::{at, get, number, own_id, revoke_current, service, who_am_i};
use crate::support::{Actor, Backend, TestServer, both_backends, refused, self_service};

both_backends!(
    a_bearer_revokes_its_own_token_and_no_other,
    anybody_may_whoever_manages_the_tokens,
    what_is_wrong_is_refused_and_the_token_lives,
);

const DEAD: &str = "Unauthenticated CALLER_UNAUTHENTICATED";

async fn a_bearer_revokes_its_own_token_and_no_other(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let server = t.resource_server().await;
    let alice = t.member(&acme, "alice", &["read"]).await;
    let other = t.token_of("acme", &alice.user_id, &["read"]).await;
    let token_id = own_id(&alice.actor).await;
    let before = who_am_i(&other, pb::WhoAmIRequest {}).await.unwrap();
    t.advance(Duration::from_secs(7));
    let request = pb::RevokeCurrentTokenRequest {
        reason: pb::RevokeReason::NoLongerNeeded.into(),
        reason_text: "logged out".into(),
        request_id: "once".into(),
    };
    let answer = revoke_current(&alice.actor, request.clone()).await.unwrap();
    assert_eq!(number(&answer.revision), number(&before.revision) + 1);
    assert!(!server.introspect("acme", alice.actor.value()).await.active);
    assert!(server.introspect("acme", other.value()).await.active);
    // Also under its request id there is nobody any more who could ask.
    assert_eq!(refused(revoke_current(&alice.actor, request).await), DEAD);
    let request = pb::GetTokenRequest {
        tenant_id: "acme".into(),
        token_id: token_id.clone(),
        ..Default::default()
    };
    let token = get(&acme.admin, request).await.unwrap().token.unwrap();
    assert_eq!(token.state(), pb::TokenState::Revoked);
    assert_eq!(token.revoke_reason(), pb::RevokeReason::NoLongerNeeded);
    assert_eq!(token.revoke_reason_text, "logged out");
    assert_eq!(token.revoke_time, Some(at(7)));
    let events = "SELECT CAST(COUNT(*) AS TEXT) FROM audit_events
                   WHERE action = 'RevokeCurrentToken' AND caller_id = token_id";
    assert_eq!(t.database.texts(events).await, ["1"]);
}

async fn anybody_may_whoever_manages_the_tokens(backend: Backend) {
    let t = TestServer::start(backend).await;
    // Administrators alone manage tokens here.
    let acme = t.tenant("acme", pb::TenantPolicy::default()).await;
    let alice = t.member(&acme, "alice", &[]).await.actor;
    let worker = t.operator().create(service("acme", "worker", &[])).await;
    let worker = t.actor(&worker.value);
    let server = t.resource_server().await;
    let witness = t.resource_server().await;
    let operator = service("authority", "second", &["authority:operator"]);
    let operator = t.operator().create(operator).await;
    let operator = t.actor(&operator.value);
    let callers: [&Actor; 5] = [&alice, &worker, &acme.admin, &server, &operator];
    for caller in callers {
        let me = who_am_i(caller, pb::WhoAmIRequest {}).await.unwrap();
        let tenant_id = me.tenant.unwrap().tenant_id;
        let request = pb::RevokeCurrentTokenRequest::default();
        revoke_current(caller, request).await.unwrap();
        let answer = witness.introspect(&tenant_id, caller.value()).await;
        assert!(!answer.active, "{tenant_id}");
        let request = pb::RevokeCurrentTokenRequest::default();
        assert_eq!(refused(revoke_current(caller, request).await), DEAD);
    }
}

async fn what_is_wrong_is_refused_and_the_token_lives(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let request = pb::RevokeCurrentTokenRequest {
        reason: pb::RevokeReason::OwnerGone.into(),
        reason_text: acme.admin.value().into(),
        ..Default::default()
    };
    assert_eq!(
        refused(revoke_current(&acme.admin, request).await),
        "InvalidArgument OUT_OF_RANGE\n  reason: OUT_OF_RANGE\n  \
         reason_text: TOKEN_VALUE_IN_TEXT"
    );
    let request = pb::RevokeCurrentTokenRequest::default();
    assert_eq!(refused(revoke_current(&t.nobody(), request).await), DEAD);
    who_am_i(&acme.admin, pb::WhoAmIRequest {}).await.unwrap();
}
