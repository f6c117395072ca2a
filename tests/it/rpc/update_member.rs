//! `UserService/UpdateMember`.

use std::time::Duration;

use token_authority::pb;

use crate::support::{
    Actor, Backend, TestServer, administrators_only, both_backends, guarded_by_etag, message,
    outcome, refused, self_service, share,
};

both_backends!(
    a_role_narrows_and_widens_what_tokens_may_do_at_once,
    a_role_is_each_tenants_own,
    what_is_wrong_is_said_all_at_once,
    a_change_builds_on_the_version_that_it_names,
    only_its_administrators_change_members_of_a_tenant,
);

fn request(tenant_id: &str, user_id: &str, role: pb::Role) -> pb::UpdateMemberRequest {
    message!(UpdateMemberRequest {
        tenant_id: tenant_id,
        user_id: user_id,
        role: role
    })
}

async fn a_role_narrows_and_widens_what_tokens_may_do_at_once(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let server = t.resource_server().await;
    let user_id = t
        .operator()
        .create_user("acme", "second", pb::Role::Admin)
        .await;
    let granted = ["admin", "authority:tenant.admin", "authority:tokens.read"];
    let second = t.token_of("acme", &user_id, &granted).await;
    let all = [
        "admin",
        "authority:tenant.admin",
        "authority:tokens.read",
        "read",
        "write",
    ];
    let fewer = ["authority:tokens.read", "read", "write"];
    let answer = async || server.introspect("acme", second.value()).await;
    assert_eq!(answer().await.scopes, all);

    t.advance(Duration::from_secs(5));
    let demoted = acme
        .admin
        .update_member(request("active", &user_id, pb::Role::Member))
        .await;
    let demoted = demoted.unwrap();
    let membership = demoted.membership.unwrap();
    assert_eq!(membership.role(), pb::Role::Member);
    assert_eq!(
        membership.update_time.unwrap().seconds,
        membership.create_time.unwrap().seconds + 5
    );
    let now = answer().await;
    assert_eq!(
        (now.user_role(), now.revision.as_str()),
        (pb::Role::Member, demoted.revision.as_str())
    );
    assert_eq!(now.scopes, fewer);
    let me = second
        .me()
        .who_am_i(second.call(pb::WhoAmIRequest {}))
        .await
        .unwrap();
    let token = me.into_inner().token.unwrap();
    assert_eq!(
        (token.scopes.as_slice(), token.effective_scopes.as_slice()),
        (
            &granted.map(str::to_owned)[..],
            &fewer.map(str::to_owned)[..]
        )
    );
    // It administers no more, at once; what it may read is its own.
    let promote = request("acme", &user_id, pb::Role::Admin);
    assert_eq!(
        refused(second.update_member(promote.clone()).await),
        "PermissionDenied PERMISSION_DENIED"
    );
    let tokens = message!(ListTokensRequest { tenant_id: "acme" });
    let tokens = second
        .tokens()
        .list_tokens(second.call(tokens))
        .await
        .unwrap()
        .into_inner()
        .tokens;
    assert!(tokens.iter().all(|token| token.user_id == user_id) && tokens.len() == 1);

    acme.admin.update_member(promote).await.unwrap();
    assert_eq!(answer().await.scopes, all);
    let rename = message!(UpdateTenantRequest {
        tenant_id: "acme",
        display_name: "A"
    });
    second.update_tenant(rename).await.unwrap();
    // An administrator may also step down.
    second
        .update_member(request("acme", &user_id, pb::Role::Member))
        .await
        .unwrap();
    assert_eq!(answer().await.scopes, fewer);
}

async fn a_role_is_each_tenants_own(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let beta = t.tenant("beta", self_service()).await;
    let operator = t.operator();
    let server = t.resource_server().await;
    let alice = t.member(&acme, "alice", &["read"]).await;
    let change = async |actor: &Actor, tenant_id: &str| {
        outcome(
            actor
                .update_member(request(tenant_id, &alice.user_id, pb::Role::Admin))
                .await,
        )
    };
    let hidden = Some("NotFound USER_NOT_FOUND".to_owned());
    for actor in [&beta.admin, &operator] {
        assert_eq!(change(actor, "beta").await, hidden);
    }
    // beta vouches for her not, but says what she is in beta.
    let there = share(&t, &alice.user_id, "beta").await;
    assert_eq!(change(&beta.admin, "beta").await, None);
    let role = async |tenant_id: &str, actor: &Actor| {
        server
            .introspect(tenant_id, actor.value())
            .await
            .user_role()
    };
    assert_eq!(role("beta", &there).await, pb::Role::Admin);
    assert_eq!(role("acme", &alice.actor).await, pb::Role::Member);

    // Whom the tenant vouches for is known though no member, another is not.
    for tenant_id in ["acme", "beta"] {
        let leave = message!(RemoveMemberRequest {
            tenant_id: tenant_id,
            user_id: &alice.user_id
        });
        operator.remove_member(leave).await.unwrap();
    }
    assert_eq!(
        change(&acme.admin, "acme").await,
        Some("NotFound MEMBER_NOT_FOUND".to_owned())
    );
    assert_eq!(change(&beta.admin, "beta").await, hidden);
}

async fn what_is_wrong_is_said_all_at_once(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let cases = [
        (
            acme.admin_id.as_str(),
            0,
            "FIELD_REQUIRED\n  role: FIELD_REQUIRED",
        ),
        (
            &acme.admin_id,
            3,
            "UNKNOWN_ENUM_VALUE\n  role: UNKNOWN_ENUM_VALUE",
        ),
        (
            "x",
            3,
            "UNKNOWN_ENUM_VALUE\n  role: UNKNOWN_ENUM_VALUE\n  user_id: INVALID_USER_ID",
        ),
        (
            "",
            0,
            "FIELD_REQUIRED\n  role: FIELD_REQUIRED\n  user_id: FIELD_REQUIRED",
        ),
    ];
    for (user_id, role, expected) in cases {
        let request = pb::UpdateMemberRequest {
            role,
            ..request("acme", user_id, pb::Role::Admin)
        };
        let refusal = refused(acme.admin.update_member(request).await);
        assert_eq!(refusal, format!("InvalidArgument {expected}"));
    }
}

async fn a_change_builds_on_the_version_that_it_names(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let alice = t.member(&acme, "alice", &[]).await.user_id;
    let read = message!(GetUserRequest {
        tenant_id: "acme",
        user_id: &alice
    });
    let before = acme
        .admin
        .get_user(read.clone())
        .await
        .unwrap()
        .membership
        .unwrap();
    guarded_by_etag(&before.etag, async |etag| {
        let request = pb::UpdateMemberRequest {
            etag: etag.into(),
            ..request("acme", &alice, pb::Role::Admin)
        };
        outcome(acme.admin.update_member(request).await)
    })
    .await;
    let after = acme.admin.get_user(read).await.unwrap().membership.unwrap();
    assert_ne!(after.etag, before.etag);
}

async fn only_its_administrators_change_members_of_a_tenant(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    administrators_only(&t, &acme, async |caller| {
        let request = request("acme", &acme.admin_id, pb::Role::Member);
        refused(caller.update_member(request).await)
    })
    .await;
}
