//! `UserService/SetActiveTenant`.

use std::time::Duration;

use token_authority::pb;

use crate::support::{
    Actor, Backend, TestServer, both_backends, message, refused, self_service, share,
};

both_backends!(
    a_member_sets_what_active_stands_for_in_its_sessions,
    only_a_users_own_tenant_is_made_active,
);

fn request(tenant_id: &str) -> pb::SetActiveTenantRequest {
    message!(SetActiveTenantRequest {
        tenant_id: tenant_id
    })
}

async fn whoami(actor: &Actor) -> pb::WhoAmIResponse {
    let said = actor.me().who_am_i(actor.call(pb::WhoAmIRequest {})).await;
    said.unwrap().into_inner()
}

async fn a_member_sets_what_active_stands_for_in_its_sessions(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    t.tenant("beta", self_service()).await;
    let alice = t.member(&acme, "alice", &[]).await;
    let there = share(&t, &alice.user_id, "beta").await;
    let before = whoami(&alice.actor).await.user.unwrap();
    assert_eq!(before.active_tenant_id, "acme");

    // Any active token of the user's will do, one of either tenant.
    t.advance(Duration::from_secs(5));
    for (actor, tenant_id) in [
        (&alice.actor, "beta"),
        (&there, "acme"),
        (&there, "beta"),
        (&there, "active"),
    ] {
        let user = actor
            .set_active_tenant(request(tenant_id))
            .await
            .unwrap()
            .user
            .unwrap();
        let expected = if tenant_id == "active" {
            "beta"
        } else {
            tenant_id
        };
        assert_eq!(user.active_tenant_id, expected);
        for actor in [&alice.actor, &there] {
            assert_eq!(whoami(actor).await.user.as_ref(), Some(&user));
        }
        assert_ne!(user.etag, before.etag);
        assert_eq!(
            user.update_time.unwrap().seconds,
            before.update_time.unwrap().seconds + 5
        );
    }
    // A token's own tenant stays its `active`.
    for (actor, tenant_id) in [(&alice.actor, "acme"), (&there, "beta")] {
        let own = message!(GetTenantRequest {
            tenant_id: "active"
        });
        let own = actor.get_tenant(own).await.unwrap().tenant.unwrap();
        assert_eq!(own.tenant_id, tenant_id);
        let said = whoami(actor).await;
        assert_eq!(said.tenant.unwrap().tenant_id, tenant_id);
        assert_eq!(said.memberships.len(), 2);
    }
}

async fn only_a_users_own_tenant_is_made_active(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    t.tenant("beta", self_service()).await;
    t.tenant("gone", self_service()).await;
    let alice = t.member(&acme, "alice", &[]).await;
    for tenant_id in ["beta", "gone"] {
        share(&t, &alice.user_id, tenant_id).await;
    }
    let leave = message!(RemoveMemberRequest {
        tenant_id: "beta",
        user_id: &alice.user_id
    });
    t.operator().remove_member(leave).await.unwrap();
    let delete = message!(DeleteTenantRequest { tenant_id: "gone" });
    t.operator().delete_tenant(delete).await.unwrap();
    let hidden = "NotFound TENANT_NOT_FOUND";
    let cases = [
        (&alice.actor, "beta", hidden),
        (&alice.actor, "gone", hidden),
        (&alice.actor, "nowhere", hidden),
        (&alice.actor, "authority", hidden),
        (
            &alice.actor,
            "",
            "InvalidArgument FIELD_REQUIRED\n  tenant_id: FIELD_REQUIRED",
        ),
        (
            &alice.actor,
            "B",
            "InvalidArgument INVALID_TENANT_ID\n  tenant_id: INVALID_TENANT_ID",
        ),
        (
            &t.operator(),
            "acme",
            "FailedPrecondition CALLER_HAS_NO_USER",
        ),
        (
            &t.nobody(),
            "acme",
            "Unauthenticated CALLER_UNAUTHENTICATED",
        ),
    ];
    for (actor, tenant_id, expected) in cases {
        let refusal = refused(actor.set_active_tenant(request(tenant_id)).await);
        assert_eq!(refusal, expected, "{tenant_id}");
    }
    assert_eq!(
        whoami(&alice.actor).await.user.unwrap().active_tenant_id,
        "acme"
    );
}
