//! `TenantService/ResumeTenant`.

use std::time::Duration;

use token_authority::pb;

use crate::support::{
    Backend, TestServer, both_backends, message, operators_only, refused, self_service,
};

both_backends!(
    a_resumed_tenants_tokens_are_what_they_were,
    only_operators_resume_tenants,
);

fn request(tenant_id: &str) -> pb::ResumeTenantRequest {
    message!(ResumeTenantRequest {
        tenant_id: tenant_id
    })
}

async fn a_resumed_tenants_tokens_are_what_they_were(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let alice = t
        .member(&acme, "alice", &["write", "authority:tokens.write"])
        .await;
    let bob = t.member(&acme, "bob", &["read"]).await;
    let server = t.resource_server().await;
    let operator = t.operator();
    let brief = message!(CreateTokenRequest {
        tenant_id: "active",
        name: "brief",
        expiry: pb::create_token_request::Expiry::Ttl(prost_types::Duration {
            seconds: 60,
            nanos: 0
        }),
    });
    let brief = alice.actor.create(brief).await;
    let revoked = alice.actor.issue("revoked", &["read"]).await;
    let before = server.introspect("acme", alice.actor.value()).await;

    let suspend = message!(SuspendTenantRequest { tenant_id: "acme" });
    operator.suspend_tenant(suspend).await.unwrap();
    operator
        .revoke("acme", &revoked.token.unwrap().token_id)
        .await;
    let remove = message!(RemoveMemberRequest {
        tenant_id: "acme",
        user_id: bob.user_id
    });
    operator.remove_member(remove).await.unwrap();
    t.advance(Duration::from_secs(60));
    let resumed = operator.resume_tenant(request("acme")).await.unwrap();
    assert_eq!(
        resumed.tenant.as_ref().unwrap().state(),
        pb::TenantState::Active
    );

    let after = server.introspect("acme", alice.actor.value()).await;
    assert_eq!(after.revision, resumed.revision);
    let expected = pb::IntrospectResponse {
        revision: after.revision.clone(),
        evaluate_time: after.evaluate_time,
        ..before
    };
    assert_eq!(after, expected);
    alice.actor.issue("new", &["read"]).await;
    for dead in [&brief.value, &revoked.value, bob.actor.value()] {
        assert!(!server.introspect("acme", dead).await.active);
    }

    // Again, nothing is done.
    t.advance(Duration::from_secs(5));
    let again = operator.resume_tenant(request("acme")).await.unwrap();
    assert_eq!(again.tenant, resumed.tenant);
}

async fn only_operators_resume_tenants(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    operators_only(&t, &acme, async |caller| {
        refused(caller.resume_tenant(request("acme")).await)
    })
    .await;
    let delete = message!(DeleteTenantRequest { tenant_id: "acme" });
    t.operator().delete_tenant(delete).await.unwrap();
    let cases = [
        ("authority", "FailedPrecondition RESERVED_TENANT"),
        ("acme", "NotFound TENANT_NOT_FOUND"),
    ];
    for (tenant_id, expected) in cases {
        let refusal = refused(t.operator().resume_tenant(request(tenant_id)).await);
        assert_eq!(refusal, expected, "{tenant_id}");
    }
}
