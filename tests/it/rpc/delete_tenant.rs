//! `TenantService/DeleteTenant`.

use token_authority::pb;

use crate::support::{
    Backend, TestServer, both_backends, guarded_by_etag, message, operators_only, outcome, refused,
    self_service, share,
};

both_backends!(
    a_deleted_tenant_and_its_tokens_are_gone_at_once,
    a_deletion_builds_on_the_version_that_it_names,
    only_operators_delete_tenants,
);

fn request(tenant_id: &str) -> pb::DeleteTenantRequest {
    message!(DeleteTenantRequest {
        tenant_id: tenant_id
    })
}

async fn a_deleted_tenant_and_its_tokens_are_gone_at_once(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let beta = t.tenant("beta", self_service()).await;
    let operator = t.operator();
    // A user of beta's that is a member of acme, and one without a bond.
    let shared = share(&t, &beta.admin_id, "acme").await;
    let server = t.resource_server().await;

    let deleted = operator.delete_tenant(request("acme")).await.unwrap();
    for value in [acme.admin.value(), shared.value()] {
        let answer = server.introspect("acme", value).await;
        assert!(!answer.active);
        assert_eq!(answer.revision, deleted.revision);
    }
    let own = message!(GetTenantRequest {
        tenant_id: "active"
    });
    for caller in [&acme.admin, &shared] {
        let unknown = "Unauthenticated CALLER_UNAUTHENTICATED";
        assert_eq!(refused(caller.get_tenant(own.clone()).await), unknown);
    }

    // To nobody is it there any more, whatever is asked.
    let gone = "NotFound TENANT_NOT_FOUND";
    let named = message!(GetTenantRequest { tenant_id: "acme" });
    assert_eq!(refused(operator.get_tenant(named).await), gone);
    assert_eq!(refused(operator.delete_tenant(request("acme")).await), gone);
    let suspend = message!(SuspendTenantRequest { tenant_id: "acme" });
    assert_eq!(refused(operator.suspend_tenant(suspend).await), gone);
    let users = message!(ListUsersRequest { tenant_id: "acme" });
    assert_eq!(refused(operator.list_users(users).await), gone);
    let catalog = message!(GetCatalogRequest { tenant_id: "acme" });
    assert_eq!(refused(operator.get_catalog(catalog).await), gone);
    let token = message!(CreateTokenRequest {
        tenant_id: "acme",
        user_id: &acme.admin_id,
        name: "x"
    });
    assert_eq!(refused(operator.try_create(token).await), gone);
    let user = message!(CreateUserRequest {
        tenant_id: "acme",
        external_id: "x"
    });
    assert_eq!(refused(operator.try_create_user(user).await), gone);

    // Its members' tokens of other tenants go on.
    assert!(server.introspect("beta", beta.admin.value()).await.active);
    let me = beta
        .admin
        .me()
        .who_am_i(beta.admin.call(pb::WhoAmIRequest {}))
        .await;
    let memberships = me.unwrap().into_inner().memberships;
    let tenants: Vec<_> = memberships
        .iter()
        .map(|member| member.tenant_id.as_str())
        .collect();
    assert_eq!(tenants, ["beta"]);
}

async fn a_deletion_builds_on_the_version_that_it_names(backend: Backend) {
    let t = TestServer::start(backend).await;
    t.tenant("acme", self_service()).await;
    let operator = t.operator();
    // A suspended tenant may be deleted, too.
    let suspend = message!(SuspendTenantRequest { tenant_id: "acme" });
    let suspended = operator
        .suspend_tenant(suspend)
        .await
        .unwrap()
        .tenant
        .unwrap();
    guarded_by_etag(&suspended.etag, async |etag| {
        let request = message!(DeleteTenantRequest {
            tenant_id: "acme",
            etag: etag
        });
        outcome(operator.delete_tenant(request).await)
    })
    .await;
}

async fn only_operators_delete_tenants(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    operators_only(&t, &acme, async |caller| {
        refused(caller.delete_tenant(request("acme")).await)
    })
    .await;
    for name in ["authority", "active"] {
        let refusal = refused(t.operator().delete_tenant(request(name)).await);
        assert_eq!(refusal, "FailedPrecondition RESERVED_TENANT");
    }
}
