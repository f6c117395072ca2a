//! `UserService/DeleteUser`.

use std::time::Duration;

use token_authority::pb;

use crate::support::{
    Backend, TestServer, administrators_only, both_backends, guarded_by_etag, message, outcome,
    refused, self_service, share, tokens_of,
};

both_backends!(
    a_deleted_users_tokens_are_revoked_in_every_tenant_at_once,
    a_deleted_user_is_in_no_list_and_is_given_nothing,
    a_deletion_builds_on_the_version_that_it_names,
    only_who_vouches_for_a_user_deletes_it,
    only_its_administrators_delete_users_of_a_tenant,
);

fn request(tenant_id: &str, user_id: &str) -> pb::DeleteUserRequest {
    message!(DeleteUserRequest {
        tenant_id: tenant_id,
        user_id: user_id
    })
}

async fn a_deleted_users_tokens_are_revoked_in_every_tenant_at_once(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let beta = t.tenant("beta", self_service()).await;
    let server = t.resource_server().await;
    let operator = t.operator();
    let admin = operator
        .create_user("acme", "second", pb::Role::Admin)
        .await;
    let second = t
        .token_of("acme", &admin, &["authority:tenant.admin"])
        .await;
    let there = share(&t, &admin, "beta").await;
    // A service has no owner: who made it may go.
    let service = message!(CreateTokenRequest {
        tenant_id: "active",
        kind: pb::TokenKind::Service,
        name: "s"
    });
    let service = second.create(service).await.value;
    let early = second.issue("early", &[]).await;
    second.revoke("acme", &early.token.unwrap().token_id).await;

    // It may delete itself, its own voucher's administrator.
    t.advance(Duration::from_secs(5));
    let deleted = second.delete_user(request("active", &admin)).await.unwrap();
    for (tenant_id, actor) in [("acme", &second), ("beta", &there)] {
        let answer = server.introspect(tenant_id, actor.value()).await;
        assert_eq!(
            (answer.active, answer.revision),
            (false, deleted.revision.clone())
        );
        let own = message!(GetTenantRequest {
            tenant_id: "active"
        });
        let unknown = "Unauthenticated CALLER_UNAUTHENTICATED";
        assert_eq!(refused(actor.get_tenant(own).await), unknown);
    }
    assert!(server.introspect("acme", &service).await.active);
    assert!(server.introspect("acme", acme.admin.value()).await.active);

    let mut listed = tokens_of(&acme.admin, "acme", &admin).await;
    listed.sort();
    // What was revoked before keeps its reason.
    assert_eq!(
        listed,
        ["early Revoked Unspecified", "of the test Revoked OwnerGone"]
    );
    assert_eq!(
        tokens_of(&beta.admin, "beta", &admin).await,
        ["of the test Revoked OwnerGone"]
    );
    let request = message!(ListTokensRequest {
        tenant_id: "beta",
        user_id: &admin
    });
    let live = beta
        .admin
        .tokens()
        .list_tokens(beta.admin.call(request))
        .await;
    assert_eq!(live.unwrap().into_inner().tokens, []);
}

async fn a_deleted_user_is_in_no_list_and_is_given_nothing(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    t.tenant("beta", self_service()).await;
    let operator = t.operator();
    let alice = t.member(&acme, "alice", &["read"]).await.user_id;
    share(&t, &alice, "beta").await;
    acme.admin
        .delete_user(request("acme", &alice))
        .await
        .unwrap();
    let gone = "NotFound USER_NOT_FOUND";
    for tenant_id in ["acme", "beta"] {
        let users = message!(ListUsersRequest {
            tenant_id: tenant_id
        });
        let users = operator.list_users(users).await.unwrap().users;
        assert!(users.iter().all(|user| user.user_id != alice));
        let members = message!(ListMembersRequest {
            tenant_id: tenant_id
        });
        let members = operator.list_members(members).await.unwrap().memberships;
        assert!(members.iter().all(|member| member.user_id != alice));
        let token = message!(CreateTokenRequest {
            tenant_id: tenant_id,
            user_id: &alice,
            name: "x"
        });
        assert_eq!(refused(operator.try_create(token).await), gone);
        let join = message!(AddMemberRequest {
            tenant_id: tenant_id,
            user_id: &alice
        });
        assert_eq!(refused(operator.add_member(join).await), gone);
        let leave = message!(RemoveMemberRequest {
            tenant_id: tenant_id,
            user_id: &alice
        });
        assert_eq!(refused(operator.remove_member(leave).await), gone);
        let again = request(tenant_id, &alice);
        assert_eq!(refused(operator.delete_user(again).await), gone);
    }
}

async fn a_deletion_builds_on_the_version_that_it_names(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let alice = t.member(&acme, "alice", &[]).await.user_id;
    let suspend = message!(SuspendUserRequest {
        tenant_id: "acme",
        user_id: &alice
    });
    let suspended = acme
        .admin
        .suspend_user(suspend)
        .await
        .unwrap()
        .user
        .unwrap();
    guarded_by_etag(&suspended.etag, async |etag| {
        let request = message!(DeleteUserRequest {
            tenant_id: "acme",
            user_id: &alice,
            etag: etag
        });
        outcome(acme.admin.delete_user(request).await)
    })
    .await;
}

async fn only_who_vouches_for_a_user_deletes_it(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let beta = t.tenant("beta", self_service()).await;
    let server = t.resource_server().await;
    let alice = t.member(&acme, "alice", &["read"]).await;
    let bob = t.member(&acme, "bob", &["read"]).await;
    let by_beta =
        async |user_id: &str| refused(beta.admin.delete_user(request("beta", user_id)).await);
    assert_eq!(by_beta(&alice.user_id).await, "NotFound USER_NOT_FOUND");
    let there = share(&t, &alice.user_id, "beta").await;
    assert_eq!(
        by_beta(&alice.user_id).await,
        "PermissionDenied USER_NOT_VOUCHED"
    );
    // Not even in the name of the tenant that does.
    let foreign = refused(
        beta.admin
            .delete_user(request("acme", &alice.user_id))
            .await,
    );
    assert_eq!(foreign, "NotFound TENANT_NOT_FOUND");
    for (tenant_id, actor) in [("acme", &alice.actor), ("beta", &there)] {
        assert!(server.introspect(tenant_id, actor.value()).await.active);
    }

    // Whoever vouches may, though the user has left.
    let leave = message!(RemoveMemberRequest {
        tenant_id: "acme",
        user_id: &alice.user_id
    });
    acme.admin.remove_member(leave).await.unwrap();
    acme.admin
        .delete_user(request("acme", &alice.user_id))
        .await
        .unwrap();
    assert!(!server.introspect("beta", there.value()).await.active);
    // An operator may by any tenant of the user's.
    share(&t, &bob.user_id, "beta").await;
    t.operator()
        .delete_user(request("beta", &bob.user_id))
        .await
        .unwrap();
    assert!(!server.introspect("acme", bob.actor.value()).await.active);
}

async fn only_its_administrators_delete_users_of_a_tenant(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    administrators_only(&t, &acme, async |caller| {
        refused(caller.delete_user(request("acme", &acme.admin_id)).await)
    })
    .await;
    let invalid = "InvalidArgument INVALID_USER_ID\n  user_id: INVALID_USER_ID";
    assert_eq!(
        refused(acme.admin.delete_user(request("acme", "x")).await),
        invalid
    );
}
