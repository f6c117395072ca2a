//! `IntrospectionService/Introspect`.

use std::time::Duration;

use token_authority::pb;

use crate::support::{Backend, TestServer, both_backends, refused, self_service};

both_backends!(
    a_new_token_is_active_and_a_revoked_one_is_inactive_at_once,
    the_whole_answer_of_an_active_token,
    an_expired_token_is_inactive_at_the_instant_of_its_end,
    a_caller_without_the_permission_is_refused,
);

async fn a_new_token_is_active_and_a_revoked_one_is_inactive_at_once(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let alice = t
        .member(&acme, "alice", &["write", "authority:tokens.write"])
        .await;
    let server = t.resource_server().await;

    let created = alice.actor.issue("laptop", &["read"]).await;
    assert!(server.introspect("acme", &created.value).await.allowed);

    alice
        .actor
        .revoke("acme", &created.token.unwrap().token_id)
        .await;
    let answer = server.introspect("acme", &created.value).await;
    assert_eq!((answer.active, answer.allowed), (false, false));
}

async fn the_whole_answer_of_an_active_token(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let alice = t
        .member(&acme, "alice", &["write", "authority:tokens.write"])
        .await;
    let server = t.resource_server().await;
    let created = alice.actor.issue("laptop", &["write"]).await;

    let request = pb::IntrospectRequest {
        token: created.value,
        tenant_id: "acme".into(),
        required_scopes: vec!["read".into(), "admin".into()],
        ..Default::default()
    };
    let answer = server.try_introspect(request).await.unwrap();
    // The incarnation, too, is drawn from the seed.
    insta::allow_duplicates! {
        insta::assert_debug_snapshot!(answer, @r#"
        IntrospectResponse {
            allowed: false,
            active: true,
            token_id: "tok_0322SbK0Nwf3cFVl0WuObn",
            tenant_id: "acme",
            user_id: "usr_0322SbK0OBIHK3MlLOkEHf",
            user_external_id: "alice",
            user_role: Member,
            kind: Api,
            name: "laptop",
            agent_id: "",
            scopes: [
                "read",
                "write",
            ],
            missing_scopes: [
                "admin",
            ],
            labels: {},
            create_time: Some(
                Timestamp {
                    seconds: 1767225600,
                    nanos: 0,
                },
            ),
            expire_time: None,
            revision: "7MuGYCBLSp65szV8sDRrUE.9",
            evaluate_time: Some(
                Timestamp {
                    seconds: 1767225600,
                    nanos: 0,
                },
            ),
        }
        "#);
    }
}

async fn an_expired_token_is_inactive_at_the_instant_of_its_end(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let server = t.resource_server().await;
    let created = acme
        .admin
        .create(pb::CreateTokenRequest {
            tenant_id: "active".into(),
            name: "brief".into(),
            expiry: Some(pb::create_token_request::Expiry::Ttl(
                prost_types::Duration {
                    seconds: 60,
                    nanos: 0,
                },
            )),
            ..Default::default()
        })
        .await;
    t.advance(Duration::from_millis(59_999));
    assert!(server.introspect("acme", &created.value).await.active);
    t.advance(Duration::from_millis(1));
    assert!(!server.introspect("acme", &created.value).await.active);
}

async fn a_caller_without_the_permission_is_refused(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let request = pb::IntrospectRequest::default;
    assert_eq!(
        refused(acme.admin.try_introspect(request()).await),
        "PermissionDenied PERMISSION_DENIED"
    );
    assert_eq!(
        refused(t.nobody().try_introspect(request()).await),
        "Unauthenticated CALLER_UNAUTHENTICATED"
    );
}
