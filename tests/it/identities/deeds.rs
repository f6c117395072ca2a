//! What an identity does: written down under its name, once for each request id, and never
//! beyond what it was given.

use token_authority::pb;

use super::{ADMIN, INTROSPECT, identify, spiffe_id};
use crate::support::tokens::{get, service, set_policy};
use crate::support::{
    Actor, Backend, TestServer, both_backends, events, message, refused, self_service,
};

both_backends!(
    what_an_identity_does_is_written_down_under_its_name,
    a_request_id_is_its_identitys_alone,
    an_identity_gives_nothing_that_it_was_not_given,
    an_identity_mints_no_tokens_where_tokens_may_not,
);

async fn start(backend: Backend) -> TestServer {
    TestServer::start_with(backend, |config| {
        for name in ["chat", "mail"] {
            identify(config, name, "acme", &[ADMIN]);
        }
        identify(config, "chat-at-beta", "beta", &[ADMIN, INTROSPECT]);
    })
    .await
}

async fn identity(t: &TestServer, name: &str) -> Actor {
    t.spiffe(&spiffe_id(name)).await
}

async fn what_an_identity_does_is_written_down_under_its_name(backend: Backend) {
    let t = start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let chat = identity(&t, "chat").await;
    let created = chat.create(service("acme", "workload", &[])).await;
    let token = created.token.unwrap();
    assert_eq!(token.created_by, "");
    chat.revoke("active", &token.token_id).await;
    acme.admin.issue("laptop", &[]).await;
    let written = events(&t.database, "acme", "CreateToken").await;
    let by = |nth: usize| written[nth].caller.clone().unwrap();
    let last = written.len() - 1;
    assert_eq!(by(last - 1).identity, "chat");
    assert_eq!(
        (
            &*by(last - 1).token_id,
            &*by(last - 1).user_id,
            &*by(last - 1).trust
        ),
        ("", "", "")
    );
    assert_eq!(by(last - 1).tenant_id, "acme");
    assert_eq!(by(last).identity, "");
    assert_ne!(by(last).token_id, "");
    // On the wire, too, and the chain is whole over events of either.
    let request = message!(ListAuditEventsRequest {
        tenant_id: "active",
        action: "RevokeToken",
    });
    let listed = chat.list_audit_events(request).await.unwrap().events;
    assert_eq!(listed[0].caller.as_ref().unwrap().identity, "chat");
    let request = message!(VerifyAuditLogRequest { tenant_id: "acme" });
    let verified = chat.verify_audit_log(request).await.unwrap();
    assert!(verified.verified);
}

fn laptop(tenant_id: &str, request_id: &str) -> pb::CreateTokenRequest {
    pb::CreateTokenRequest {
        request_id: request_id.into(),
        ..service(tenant_id, "laptop", &[])
    }
}

async fn a_request_id_is_its_identitys_alone(backend: Backend) {
    let t = start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    t.tenant("beta", self_service()).await;
    let (chat, mail) = (identity(&t, "chat").await, identity(&t, "mail").await);
    let elsewhere = identity(&t, "chat-at-beta").await;
    for actor in [&acme.admin, &chat, &mail, &elsewhere] {
        actor.create(laptop("active", "same")).await;
    }
    // Also on another connection.
    let again = identity(&t, "chat").await;
    for actor in [&acme.admin, &chat, &again] {
        let told = actor.try_create(laptop("active", "same")).await;
        assert_eq!(refused(told), "AlreadyExists REQUEST_ALREADY_DONE");
    }
    let other = chat.try_create(laptop("acme", "same")).await;
    assert_eq!(
        refused(other),
        "InvalidArgument REQUEST_ID_REUSED\n  request_id: REQUEST_ID_REUSED"
    );
    // Of two at once, one is made.
    let (one, two) = tokio::join!(
        chat.try_create(laptop("active", "at once")),
        again.try_create(laptop("active", "at once")),
    );
    let made = [one, two].into_iter().flatten().count();
    assert_eq!(made, 1);
}

async fn an_identity_gives_nothing_that_it_was_not_given(backend: Backend) {
    let t = start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    t.tenant("beta", self_service()).await;
    let (chat, elsewhere) = (
        identity(&t, "chat").await,
        identity(&t, "chat-at-beta").await,
    );
    // What its tenant's catalog has is its to give, and what it was given itself.
    chat.create(service("active", "a", &["write", ADMIN])).await;
    elsewhere
        .create(service("active", "b", &[INTROSPECT]))
        .await;
    let told = chat.try_create(service("active", "c", &[INTROSPECT])).await;
    assert_eq!(refused(told), "PermissionDenied SCOPE_ESCALATION");
    // It is no administrator that acts for another.
    let on_behalf = pb::CreateTokenRequest {
        user_id: acme.admin_id.clone(),
        kind: pb::TokenKind::Api.into(),
        ..service("active", "d", &[])
    };
    let told = chat.try_create(on_behalf).await;
    assert_eq!(refused(told), "PermissionDenied ON_BEHALF_OF_ADMIN");
    // Nor does it act as anybody.
    let own = pb::CreateTokenRequest {
        kind: pb::TokenKind::Api.into(),
        ..service("active", "e", &[])
    };
    let told = chat.try_create(own).await;
    assert_eq!(
        refused(told),
        "InvalidArgument FIELD_REQUIRED\n  user_id: FIELD_REQUIRED"
    );
    // Another tenant's token is not there, whatever it is asked with.
    let token_id = crate::support::tokens::own_id(&acme.admin).await;
    for (tenant_id, missing) in [("acme", "TENANT_NOT_FOUND"), ("active", "TOKEN_NOT_FOUND")] {
        let request = message!(GetTokenRequest {
            tenant_id: tenant_id,
            token_id: token_id.clone(),
        });
        let told = get(&elsewhere, request).await;
        assert_eq!(refused(told), format!("NotFound {missing}"));
    }
    assert!(!elsewhere.introspect("", acme.admin.value()).await.active);
}

async fn an_identity_mints_no_tokens_where_tokens_may_not(backend: Backend) {
    let t = start(backend).await;
    t.tenant("acme", self_service()).await;
    let policy = pb::TenantPolicy {
        tokens_may_not_mint: true,
        ..self_service()
    };
    set_policy(&t.operator(), "acme", policy).await;
    let chat = identity(&t, "chat").await;
    let told = chat.try_create(service("active", "a", &[])).await;
    assert_eq!(refused(told), "PermissionDenied TOKEN_MAY_NOT_MINT");
}
