//! `IntrospectionService/Introspect`: who asks, and how a value is presented.

use std::time::Duration;

use token_authority::pb;

use crate::support::tokens::{change, id, presenting, question, service, ttl, update, wanted};
use crate::support::{Backend, TestServer, both_backends, refusal, refused, self_service};

both_backends!(
    bearer_and_blanks_are_dropped_from_what_is_presented,
    who_is_bound_to_a_tenant_sees_no_others_tokens,
    who_is_not_bound_to_a_tenant_names_one,
    a_caller_whose_own_token_is_no_longer_good_is_nobody,
    a_caller_without_the_permission_is_refused,
);

async fn bearer_and_blanks_are_dropped_from_what_is_presented(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let server = t.resource_server().await;
    let value = acme.admin.value();
    for (before, after) in [
        ("", ""),
        ("Bearer ", ""),
        ("bearer ", ""),
        ("BEARER\t  ", " "),
        ("  bEaReR  ", "\t "),
        (" ", " "),
    ] {
        let presented = format!("{before}{value}{after}");
        let answer = server.introspect("acme", &presented).await;
        assert!(answer.active, "a field: {before:?}, {after:?}");
        let presented = format!("{before}{}{after}", server.value());
        let request = presenting(question("acme", value), &presented);
        let answer = server.introspection().introspect(request).await;
        assert!(answer.is_ok(), "metadata: {before:?}, {after:?}");
    }
    let lines = format!("\r\n{value}\n");
    assert!(server.introspect("acme", &lines).await.active);
    // What surrounds a value doesn't count against its bound.
    let padded = format!("Bearer {}{value}", " ".repeat(300));
    assert!(server.introspect("acme", &padded).await.active);

    let mut twice = server.call(question("acme", value));
    let again = format!("Bearer {}", server.value()).parse().unwrap();
    twice.metadata_mut().append("authorization", again);
    let long = format!("{}{}", server.value(), "0".repeat(256));
    let basic = format!("Basic {}", server.value());
    let wrong = [basic.as_str(), "Bearer", "Bearer ", "", &long];
    let wrong = wrong.map(|credential| presenting(question("acme", value), credential));
    for request in wrong.into_iter().chain([twice]) {
        assert_eq!(
            refused(server.introspection().introspect(request).await),
            "Unauthenticated CALLER_UNAUTHENTICATED"
        );
    }
}

async fn who_is_bound_to_a_tenant_sees_no_others_tokens(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let globex = t.tenant("globex", self_service()).await;
    let bound = service("acme", "resource server", &["authority:introspect"]);
    let bound = t.actor(&t.operator().create(bound).await.value);
    for (tenant_id, value, active) in [
        ("", acme.admin.value(), true),
        ("active", acme.admin.value(), true),
        ("acme", acme.admin.value(), true),
        ("globex", acme.admin.value(), false),
        ("authority", acme.admin.value(), false),
        ("", globex.admin.value(), false),
        ("active", globex.admin.value(), false),
        ("acme", globex.admin.value(), false),
        ("globex", globex.admin.value(), false),
        ("authority", t.operator().value(), false),
        ("", t.operator().value(), false),
    ] {
        let answer = bound.introspect(tenant_id, value).await;
        assert_eq!(answer.active, active, "{tenant_id}");
    }
}

async fn who_is_not_bound_to_a_tenant_names_one(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let server = t.resource_server().await;
    let value = acme.admin.value();
    // Its own tenant is the reserved one.
    assert!(!server.introspect("active", value).await.active);
    assert!(
        server
            .introspect("active", t.operator().value())
            .await
            .active
    );
    assert!(
        server
            .introspect("authority", t.operator().value())
            .await
            .active
    );
    // An operator may introspect without being given that by name.
    assert!(t.operator().introspect("acme", value).await.active);
    for (tenant_id, refusal) in [
        ("", "FIELD_REQUIRED"),
        ("-", "INVALID_TENANT_ID"),
        ("Acme", "INVALID_TENANT_ID"),
        ("acme ", "INVALID_TENANT_ID"),
    ] {
        assert_eq!(
            refused(server.try_introspect(question(tenant_id, value)).await),
            format!("InvalidArgument {refusal}\n  tenant_id: {refusal}")
        );
    }
}

async fn a_caller_whose_own_token_is_no_longer_good_is_nobody(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let operator = t.operator();
    let value = acme.admin.value();
    let caller = async |name: &str| {
        let request = pb::CreateTokenRequest {
            expiry: ttl(60),
            ..service("authority", name, &["authority:introspect"])
        };
        let created = operator.create(request).await;
        let actor = t.actor(&created.value);
        assert!(actor.introspect("acme", value).await.active);
        (actor, id(&created))
    };
    let nobody = "Unauthenticated CALLER_UNAUTHENTICATED";

    let (revoked, token_id) = caller("revoked").await;
    operator.revoke("authority", &token_id).await;
    assert_eq!(
        refused(revoked.try_introspect(question("acme", value)).await),
        nobody
    );

    let (disabled, token_id) = caller("disabled").await;
    let off = pb::UpdateTokenRequest {
        disabled: true,
        ..change(&token_id)
    };
    update(&operator, off).await.unwrap();
    assert_eq!(
        refused(disabled.try_introspect(question("acme", value)).await),
        nobody
    );

    let (expired, _) = caller("expired").await;
    t.advance(Duration::from_secs(60));
    assert_eq!(
        refused(expired.try_introspect(question("acme", value)).await),
        nobody
    );

    // A webhook's token is nobody's credential here, not even to say who it is.
    let hook = pb::CreateTokenRequest {
        kind: pb::TokenKind::Webhook.into(),
        ..wanted("hook", &["read"])
    };
    let hook = t.actor(&acme.admin.create(hook).await.value);
    let status = hook
        .try_introspect(question("acme", value))
        .await
        .unwrap_err();
    assert_eq!(refusal(&status), nobody);
    assert_eq!(status.message(), "the caller is not authenticated");
    for garbage in ["hunter2", &"x".repeat(8_000)] {
        let garbage = t.actor(garbage);
        let asked = garbage.try_introspect(question("acme", value));
        assert_eq!(refused(asked.await), nobody);
    }
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
