//! `UserService/SuspendUser`.

use std::time::Duration;

use token_authority::pb;

use crate::support::{
    Backend, TestServer, administrators_only, both_backends, message, refused, self_service, share,
    tokens_of,
};

both_backends!(
    a_suspended_users_tokens_are_inactive_in_every_tenant_at_once,
    only_who_vouches_for_a_user_suspends_it,
    only_its_administrators_suspend_users_of_a_tenant,
);

fn request(tenant_id: &str, user_id: &str) -> pb::SuspendUserRequest {
    message!(SuspendUserRequest {
        tenant_id: tenant_id,
        user_id: user_id
    })
}

async fn a_suspended_users_tokens_are_inactive_in_every_tenant_at_once(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    t.tenant("beta", self_service()).await;
    let server = t.resource_server().await;
    let alice = t
        .member(&acme, "alice", &["write", "authority:tokens.write"])
        .await;
    let bob = t.member(&acme, "bob", &["read"]).await;
    let there = share(&t, &alice.user_id, "beta").await;
    assert!(server.introspect("beta", there.value()).await.active);

    t.advance(Duration::from_secs(5));
    let suspended = acme
        .admin
        .suspend_user(request("active", &alice.user_id))
        .await
        .unwrap();
    let user = suspended.user.clone().unwrap();
    assert_eq!(user.state(), pb::UserState::Suspended);
    assert_eq!(
        user.update_time.unwrap().seconds,
        user.create_time.unwrap().seconds + 5
    );
    for (tenant_id, actor) in [("acme", &alice.actor), ("beta", &there)] {
        let answer = server.introspect(tenant_id, actor.value()).await;
        assert_eq!(
            (answer.active, answer.revision),
            (false, suspended.revision.clone())
        );
        let own = message!(GetTenantRequest {
            tenant_id: "active"
        });
        let unknown = "Unauthenticated CALLER_UNAUTHENTICATED";
        assert_eq!(refused(actor.get_tenant(own).await), unknown);
    }
    assert!(server.introspect("acme", bob.actor.value()).await.active);
    // Its tokens are not revoked, but it gets no more.
    let listed = tokens_of(&acme.admin, "acme", &alice.user_id).await;
    assert_eq!(listed, ["of the test Active Unspecified"]);
    let token = message!(CreateTokenRequest {
        tenant_id: "acme",
        user_id: &alice.user_id,
        name: "x"
    });
    let refusal = refused(acme.admin.try_create(token).await);
    assert_eq!(refusal, "FailedPrecondition USER_SUSPENDED");

    // Again, nothing is done.
    t.advance(Duration::from_secs(5));
    let again = acme
        .admin
        .suspend_user(request("acme", &alice.user_id))
        .await
        .unwrap();
    assert_eq!(again, suspended);
}

async fn only_who_vouches_for_a_user_suspends_it(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let beta = t.tenant("beta", self_service()).await;
    let alice = t.member(&acme, "alice", &["read"]).await;
    let call = async |actor: &crate::support::Actor| {
        refused(actor.suspend_user(request("beta", &alice.user_id)).await)
    };
    assert_eq!(call(&beta.admin).await, "NotFound USER_NOT_FOUND");
    let there = share(&t, &alice.user_id, "beta").await;
    assert_eq!(call(&beta.admin).await, "PermissionDenied USER_NOT_VOUCHED");
    let server = t.resource_server().await;
    assert!(server.introspect("beta", there.value()).await.active);

    // An operator may by either tenant; whoever vouches may though it has left.
    let suspended = t
        .operator()
        .suspend_user(request("beta", &alice.user_id))
        .await;
    assert_eq!(
        suspended.unwrap().user.unwrap().state(),
        pb::UserState::Suspended
    );
    assert!(!server.introspect("acme", alice.actor.value()).await.active);
    let resume = message!(ResumeUserRequest {
        tenant_id: "acme",
        user_id: &alice.user_id
    });
    acme.admin.resume_user(resume).await.unwrap();
    let leave = message!(RemoveMemberRequest {
        tenant_id: "acme",
        user_id: &alice.user_id
    });
    acme.admin.remove_member(leave).await.unwrap();
    assert!(server.introspect("beta", there.value()).await.active);
    acme.admin
        .suspend_user(request("acme", &alice.user_id))
        .await
        .unwrap();
    assert!(!server.introspect("beta", there.value()).await.active);
}

async fn only_its_administrators_suspend_users_of_a_tenant(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    administrators_only(&t, &acme, async |caller| {
        refused(caller.suspend_user(request("acme", &acme.admin_id)).await)
    })
    .await;
    let cases = [
        (
            "",
            "InvalidArgument FIELD_REQUIRED\n  user_id: FIELD_REQUIRED",
        ),
        (
            "x",
            "InvalidArgument INVALID_USER_ID\n  user_id: INVALID_USER_ID",
        ),
        (
            &format!("usr_{}", "0".repeat(22)),
            "NotFound USER_NOT_FOUND",
        ),
    ];
    for (user_id, expected) in cases {
        assert_eq!(
            refused(acme.admin.suspend_user(request("acme", user_id)).await),
            expected
        );
    }
}
