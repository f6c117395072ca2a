//! `TenantService/GetTenant`.

use token_authority::pb;

use crate::support::{Actor, Backend, TestServer, both_backends, message, refused, self_service};

both_backends!(
    any_active_token_reads_its_own_tenant_and_no_other,
    a_tenant_must_be_named,
);

async fn get(actor: &Actor, tenant_id: &str) -> Result<pb::Tenant, String> {
    let read = actor.get_tenant(message!(GetTenantRequest {
        tenant_id: tenant_id
    }));
    match read.await {
        Ok(response) => Ok(response.tenant.unwrap()),
        Err(status) => Err(refused(Err::<(), _>(status))),
    }
}

async fn any_active_token_reads_its_own_tenant_and_no_other(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let beta = t.tenant("beta", self_service()).await;
    let alice = t.member(&acme, "alice", &[]).await;
    let server = t.resource_server().await;
    let hidden = Err("NotFound TENANT_NOT_FOUND".to_owned());

    let whole = get(&t.operator(), "acme").await.unwrap();
    assert_eq!(
        (whole.tenant_id.as_str(), whole.token_prefix.as_str()),
        ("acme", "acme_")
    );
    for name in ["active", "acme"] {
        assert_eq!(get(&alice.actor, name).await.as_ref(), Ok(&whole));
        assert_eq!(get(&acme.admin, name).await.as_ref(), Ok(&whole));
    }
    for caller in [&alice.actor, &acme.admin] {
        for other in ["beta", "authority", "nowhere"] {
            assert_eq!(get(caller, other).await, hidden, "{other}");
        }
    }
    assert_eq!(get(&server, "acme").await, hidden);
    assert_eq!(get(&server, "active").await.unwrap().tenant_id, "authority");
    assert_eq!(
        get(&t.operator(), "active").await.unwrap().tenant_id,
        "authority"
    );
    assert_eq!(get(&t.operator(), "nowhere").await, hidden);
    assert_eq!(get(&beta.admin, "active").await.unwrap().tenant_id, "beta");
    let stranger = Err("Unauthenticated CALLER_UNAUTHENTICATED".to_owned());
    assert_eq!(get(&t.nobody(), "acme").await, stranger);

    acme.admin.revoke("acme", &whoami(&alice.actor).await).await;
    assert_eq!(get(&alice.actor, "active").await, stranger);
}

async fn whoami(actor: &Actor) -> String {
    let said = actor.me().who_am_i(actor.call(pb::WhoAmIRequest {})).await;
    said.unwrap().into_inner().token.unwrap().token_id
}

async fn a_tenant_must_be_named(backend: Backend) {
    let t = TestServer::start(backend).await;
    let invalid = "InvalidArgument INVALID_TENANT_ID\n  tenant_id: INVALID_TENANT_ID";
    let cases = [
        (
            "",
            "InvalidArgument FIELD_REQUIRED\n  tenant_id: FIELD_REQUIRED",
        ),
        ("-", invalid),
        ("Acme", invalid),
        ("Active", invalid),
        ("a\0b", invalid),
    ];
    for (tenant_id, expected) in cases {
        assert_eq!(get(&t.operator(), tenant_id).await.unwrap_err(), expected);
    }
}
