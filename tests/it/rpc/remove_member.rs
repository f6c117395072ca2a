//! `UserService/RemoveMember`.

use std::time::Duration;

use token_authority::pb;

use crate::support::{
    Actor, Backend, TestServer, administrators_only, both_backends, message, outcome, refused,
    self_service, share, tokens_of,
};

both_backends!(
    a_removed_members_tokens_are_revoked_in_that_tenant_alone,
    a_tenant_removes_any_member_of_its_own,
    only_its_administrators_remove_members_of_a_tenant,
);

fn request(tenant_id: &str, user_id: &str) -> pb::RemoveMemberRequest {
    message!(RemoveMemberRequest {
        tenant_id: tenant_id,
        user_id: user_id
    })
}

async fn a_removed_members_tokens_are_revoked_in_that_tenant_alone(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    t.tenant("beta", self_service()).await;
    let server = t.resource_server().await;
    let alice = t
        .member(&acme, "alice", &["write", "authority:tokens.write"])
        .await;
    let bob = t.member(&acme, "bob", &["read"]).await;
    let there = share(&t, &alice.user_id, "beta").await;
    let webhook = message!(CreateTokenRequest {
        tenant_id: "active",
        kind: pb::TokenKind::Webhook,
        name: "hook"
    });
    let webhook = alice.actor.create(webhook).await.value;
    let hook = message!(IntrospectRequest {
        token: &webhook,
        tenant_id: "acme",
        expected_kind: pb::TokenKind::Webhook,
    });
    assert!(server.try_introspect(hook.clone()).await.unwrap().active);

    t.advance(Duration::from_secs(5));
    let removed = acme
        .admin
        .remove_member(request("active", &alice.user_id))
        .await
        .unwrap();
    let answer = server.introspect("acme", alice.actor.value()).await;
    assert_eq!((answer.active, answer.revision), (false, removed.revision));
    assert!(!server.try_introspect(hook.clone()).await.unwrap().active);
    let own = message!(GetTenantRequest {
        tenant_id: "active"
    });
    let unknown = "Unauthenticated CALLER_UNAUTHENTICATED";
    assert_eq!(refused(alice.actor.get_tenant(own).await), unknown);
    assert!(server.introspect("beta", there.value()).await.active);
    assert!(server.introspect("acme", bob.actor.value()).await.active);
    let listed = tokens_of(&acme.admin, "acme", &alice.user_id).await;
    assert_eq!(listed, ["of the test Revoked OwnerGone"]);
    let token = message!(CreateTokenRequest {
        tenant_id: "acme",
        user_id: &alice.user_id,
        name: "x"
    });
    assert_eq!(
        refused(acme.admin.try_create(token).await),
        "NotFound USER_NOT_FOUND"
    );

    // Back again, in the same instant: the old ones stay dead, new ones are good.
    let join = message!(AddMemberRequest {
        tenant_id: "acme",
        user_id: &alice.user_id
    });
    acme.admin.add_member(join).await.unwrap();
    let new = t.token_of("acme", &alice.user_id, &["read"]).await;
    assert!(server.introspect("acme", new.value()).await.active);
    assert!(!server.introspect("acme", alice.actor.value()).await.active);
    assert!(!server.try_introspect(hook).await.unwrap().active);
    let mut listed = tokens_of(&acme.admin, "acme", &alice.user_id).await;
    listed.sort();
    assert_eq!(
        listed,
        [
            "of the test Active Unspecified",
            "of the test Revoked OwnerGone"
        ]
    );
}

async fn a_tenant_removes_any_member_of_its_own(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let beta = t.tenant("beta", self_service()).await;
    let server = t.resource_server().await;
    let alice = t.member(&acme, "alice", &["read"]).await;
    let there = share(&t, &alice.user_id, "beta").await;
    let remove = async |actor: &Actor, tenant_id: &str, user_id: &str| {
        outcome(actor.remove_member(request(tenant_id, user_id)).await)
    };
    // Though acme vouches for her.
    assert_eq!(remove(&beta.admin, "beta", &alice.user_id).await, None);
    assert!(!server.introspect("beta", there.value()).await.active);
    assert!(server.introspect("acme", alice.actor.value()).await.active);
    let hidden = Some("NotFound USER_NOT_FOUND".to_owned());
    assert_eq!(remove(&beta.admin, "beta", &alice.user_id).await, hidden);
    assert_eq!(remove(&beta.admin, "beta", &acme.admin_id).await, hidden);

    assert_eq!(remove(&acme.admin, "acme", &alice.user_id).await, None);
    let no_member = Some("NotFound MEMBER_NOT_FOUND".to_owned());
    assert_eq!(remove(&acme.admin, "acme", &alice.user_id).await, no_member);
    let invalid = "InvalidArgument INVALID_USER_ID\n  user_id: INVALID_USER_ID";
    assert_eq!(
        remove(&acme.admin, "acme", "x").await.as_deref(),
        Some(invalid)
    );
    // Oneself, too.
    assert_eq!(remove(&acme.admin, "acme", &acme.admin_id).await, None);
    assert!(!server.introspect("acme", acme.admin.value()).await.active);
}

async fn only_its_administrators_remove_members_of_a_tenant(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    administrators_only(&t, &acme, async |caller| {
        refused(caller.remove_member(request("acme", &acme.admin_id)).await)
    })
    .await;
}
