//! `TenantService/SuspendTenant`.

use std::time::Duration;

use token_authority::pb;

use crate::support::{
    Backend, TestServer, both_backends, message, operators_only, refused, self_service,
};

both_backends!(
    a_suspended_tenants_tokens_are_inactive_at_once,
    suspending_again_changes_nothing,
    only_operators_suspend_tenants,
);

fn request(tenant_id: &str) -> pb::SuspendTenantRequest {
    message!(SuspendTenantRequest {
        tenant_id: tenant_id
    })
}

async fn a_suspended_tenants_tokens_are_inactive_at_once(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let beta = t.tenant("beta", self_service()).await;
    let server = t.resource_server().await;
    let operator = t.operator();
    let service = message!(CreateTokenRequest {
        tenant_id: "acme",
        kind: pb::TokenKind::Service,
        name: "s"
    });
    let service = operator.create(service).await.value;
    for value in [acme.admin.value(), &service] {
        assert!(server.introspect("acme", value).await.active);
    }

    t.advance(Duration::from_secs(5));
    let suspended = operator.suspend_tenant(request("acme")).await.unwrap();
    let tenant = suspended.tenant.unwrap();
    assert_eq!(tenant.state(), pb::TenantState::Suspended);
    for value in [acme.admin.value(), &service] {
        let answer = server.introspect("acme", value).await;
        let nothing = pb::IntrospectResponse {
            revision: suspended.revision.clone(),
            evaluate_time: answer.evaluate_time,
            ..Default::default()
        };
        assert_eq!(answer, nothing);
    }
    let own = message!(GetTenantRequest {
        tenant_id: "active"
    });
    let unknown = "Unauthenticated CALLER_UNAUTHENTICATED";
    assert_eq!(refused(acme.admin.get_tenant(own.clone()).await), unknown);

    // Other tenants go on, and the operator still manages this one, but for tokens.
    assert!(server.introspect("beta", beta.admin.value()).await.active);
    assert!(beta.admin.get_tenant(own).await.is_ok());
    let read = operator
        .get_tenant(message!(GetTenantRequest { tenant_id: "acme" }))
        .await;
    assert_eq!(read.unwrap().tenant, Some(tenant));
    operator.create_user("acme", "bob", pb::Role::Member).await;
    let token = message!(CreateTokenRequest {
        tenant_id: "acme",
        user_id: acme.admin_id,
        name: "x"
    });
    let refusal = refused(operator.try_create(token).await);
    assert_eq!(refusal, "FailedPrecondition TENANT_SUSPENDED");
}

async fn suspending_again_changes_nothing(backend: Backend) {
    let t = TestServer::start(backend).await;
    t.tenant("acme", self_service()).await;
    let first = t.operator().suspend_tenant(request("acme")).await.unwrap();
    t.advance(Duration::from_secs(5));
    let second = t.operator().suspend_tenant(request("acme")).await.unwrap();
    assert_eq!(second, first);
}

async fn only_operators_suspend_tenants(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    operators_only(&t, &acme, async |caller| {
        refused(caller.suspend_tenant(request("acme")).await)
    })
    .await;
    let cases = [
        ("authority", "FailedPrecondition RESERVED_TENANT"),
        ("active", "FailedPrecondition RESERVED_TENANT"),
        ("nowhere", "NotFound TENANT_NOT_FOUND"),
        (
            "",
            "InvalidArgument FIELD_REQUIRED\n  tenant_id: FIELD_REQUIRED",
        ),
    ];
    for (tenant_id, expected) in cases {
        let refusal = refused(t.operator().suspend_tenant(request(tenant_id)).await);
        assert_eq!(refusal, expected, "{tenant_id}");
    }
}
