//! `UserService/GetUser`.

use token_authority::pb;

use crate::support::{
    Actor, Backend, TestServer, administrators_only, both_backends, message, refused, self_service,
    share,
};

both_backends!(
    a_user_is_seen_where_it_is_a_member_or_vouched_for,
    a_user_must_be_named,
    only_its_administrators_read_users_of_a_tenant,
);

async fn get(
    actor: &Actor,
    tenant_id: &str,
    user_id: &str,
) -> Result<pb::GetUserResponse, tonic::Status> {
    let request = message!(GetUserRequest {
        tenant_id: tenant_id,
        user_id: user_id
    });
    actor.get_user(request).await
}

async fn a_user_is_seen_where_it_is_a_member_or_vouched_for(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let beta = t.tenant("beta", self_service()).await;
    let operator = t.operator();
    let created = message!(CreateUserRequest {
        tenant_id: "acme",
        external_id: "alice"
    });
    let created = acme.admin.try_create_user(created).await.unwrap();
    let alice = created.user.clone().unwrap();
    let user_id = alice.user_id.as_str();
    let hidden = "NotFound USER_NOT_FOUND";

    let whole = pb::GetUserResponse {
        user: created.user,
        membership: created.membership,
    };
    for (actor, tenant_id) in [
        (&acme.admin, "active"),
        (&acme.admin, "acme"),
        (&operator, "acme"),
    ] {
        assert_eq!(get(actor, tenant_id, user_id).await.unwrap(), whole);
    }
    // Not where it is nothing, not even for an operator.
    assert_eq!(refused(get(&beta.admin, "beta", user_id).await), hidden);
    assert_eq!(refused(get(&operator, "beta", user_id).await), hidden);

    // As a member of two tenants it is seen in both, with its membership of each.
    share(&t, user_id, "beta").await;
    let there = get(&beta.admin, "active", user_id).await.unwrap();
    assert_eq!(there.membership.unwrap().tenant_id, "beta");
    let user = there.user.unwrap();
    assert_eq!(
        (user.external_id.as_str(), user.vouching_tenant_id.as_str()),
        ("alice", "")
    );
    // Which other tenant vouches for it, an operator alone is told.
    let user = get(&operator, "beta", user_id).await.unwrap().user.unwrap();
    assert_eq!(user.vouching_tenant_id, "acme");
    assert_eq!(get(&acme.admin, "acme", user_id).await.unwrap(), whole);

    // Whoever vouches for it sees it also when it has left.
    for tenant_id in ["acme", "beta"] {
        let request = message!(RemoveMemberRequest {
            tenant_id: tenant_id,
            user_id: user_id
        });
        operator.remove_member(request).await.unwrap();
    }
    let left = get(&acme.admin, "acme", user_id).await.unwrap();
    assert_eq!((left.user, left.membership), (Some(alice.clone()), None));
    assert_eq!(refused(get(&beta.admin, "beta", user_id).await), hidden);

    let delete = message!(DeleteUserRequest {
        tenant_id: "acme",
        user_id: user_id
    });
    acme.admin.delete_user(delete).await.unwrap();
    assert_eq!(refused(get(&acme.admin, "acme", user_id).await), hidden);
    assert_eq!(refused(get(&operator, "acme", user_id).await), hidden);
}

async fn a_user_must_be_named(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let invalid = "InvalidArgument INVALID_USER_ID\n  user_id: INVALID_USER_ID";
    let token = acme.admin.issue("x", &[]).await.token.unwrap().token_id;
    let cases = [
        (
            "",
            "InvalidArgument FIELD_REQUIRED\n  user_id: FIELD_REQUIRED",
        ),
        ("admin", invalid),
        (&token, invalid),
        (&format!("{}0", acme.admin_id), invalid),
        (&acme.admin_id[..25], invalid),
        (&format!("usr_{}", "z".repeat(22)), invalid),
        (
            &format!("usr_{}", "0".repeat(22)),
            "NotFound USER_NOT_FOUND",
        ),
    ];
    for (user_id, expected) in cases {
        assert_eq!(refused(get(&acme.admin, "acme", user_id).await), expected);
    }
}

async fn only_its_administrators_read_users_of_a_tenant(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    administrators_only(&t, &acme, async |caller| {
        refused(get(&caller, "acme", &acme.admin_id).await)
    })
    .await;
}
