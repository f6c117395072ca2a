//! `UserService/ListUsers`.

use std::time::Duration;

use token_authority::pb;

use crate::support::{
    Actor, Backend, TestServer, administrators_only, both_backends, message, pages, refused,
    self_service, share,
};

both_backends!(
    each_user_is_listed_once_newest_first,
    an_external_id_finds_its_user,
    a_page_token_is_of_its_list_tenant_and_filter,
    only_its_administrators_list_users_of_a_tenant,
);

async fn list(actor: &Actor, request: pb::ListUsersRequest) -> (Vec<String>, String) {
    let page = actor.list_users(request).await.unwrap();
    let ids = page.users.into_iter().map(|user| user.user_id);
    (ids.collect(), page.next_page_token)
}

async fn each_user_is_listed_once_newest_first(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let beta = t.tenant("beta", self_service()).await;
    let operator = t.operator();
    t.advance(Duration::from_millis(1));
    let mut tied = Vec::new();
    for at in 0..5 {
        tied.push(
            operator
                .create_user("acme", &format!("{at}"), pb::Role::Member)
                .await,
        );
    }
    // One that another tenant vouches for, at the same instant, and one that left.
    let guest = operator
        .create_user("beta", "guest", pb::Role::Member)
        .await;
    share(&t, &guest, "acme").await;
    let leave = message!(RemoveMemberRequest {
        tenant_id: "acme",
        user_id: &tied[0]
    });
    acme.admin.remove_member(leave).await.unwrap();
    let suspend = message!(SuspendUserRequest {
        tenant_id: "acme",
        user_id: &tied[1]
    });
    acme.admin.suspend_user(suspend).await.unwrap();
    let gone = tied.pop().unwrap();
    let delete = message!(DeleteUserRequest {
        tenant_id: "acme",
        user_id: gone
    });
    acme.admin.delete_user(delete).await.unwrap();
    t.advance(Duration::from_millis(1));
    let last = operator.create_user("acme", "last", pb::Role::Member).await;

    let mut all = tied.clone();
    all.push(guest.clone());
    all.sort_by(|a, b| b.cmp(a));
    all.insert(0, last);
    all.push(acme.admin_id.clone());
    for page_size in [1, 2, 3, 7, 1001] {
        let request = |page_token| pb::ListUsersRequest {
            page_size,
            page_token,
            ..message!(ListUsersRequest {
                tenant_id: "active"
            })
        };
        let pages = pages(async |token| list(&acme.admin, request(token)).await).await;
        assert_eq!(pages.concat(), all);
        assert_eq!(
            pages.len(),
            all.len().div_ceil(usize::try_from(page_size).unwrap())
        );
    }
    // A guest that leaves is listed only where it is vouched for.
    let leave = message!(RemoveMemberRequest {
        tenant_id: "acme",
        user_id: &guest
    });
    acme.admin.remove_member(leave).await.unwrap();
    let named = |tenant_id: &str| {
        message!(ListUsersRequest {
            tenant_id: tenant_id
        })
    };
    assert!(!list(&operator, named("acme")).await.0.contains(&guest));
    assert_eq!(
        list(&beta.admin, named("beta")).await.0,
        [guest, beta.admin_id]
    );
}

async fn an_external_id_finds_its_user(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let beta = t.tenant("beta", self_service()).await;
    let ours = t.member(&acme, "123", &[]).await.user_id;
    let theirs = t.member(&beta, "123", &[]).await.user_id;
    let find = async |actor: &Actor, external_id: &str| {
        let request = message!(ListUsersRequest {
            tenant_id: "active",
            external_id: external_id
        });
        list(actor, request).await.0
    };
    assert_eq!(find(&acme.admin, "123").await, [ours.as_str()]);
    assert_eq!(find(&beta.admin, "123").await, [theirs.as_str()]);
    // The whole of it, nothing like it.
    for other in ["12", "1234", "%", "12_", "Admin"] {
        assert_eq!(find(&acme.admin, other).await, [""; 0], "{other}");
    }
    assert_eq!(find(&acme.admin, "admin").await, [acme.admin_id.as_str()]);
    // A member is found by what its own voucher calls it: there may be two.
    share(&t, &theirs, "acme").await;
    let mut both = [ours.clone(), theirs];
    both.sort_by(|a, b| b.cmp(a));
    assert_eq!(find(&acme.admin, "123").await, both);
    let delete = message!(DeleteUserRequest {
        tenant_id: "acme",
        user_id: ours
    });
    acme.admin.delete_user(delete).await.unwrap();
    assert_eq!(find(&acme.admin, "123").await.len(), 1);
}

async fn a_page_token_is_of_its_list_tenant_and_filter(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let beta = t.tenant("beta", self_service()).await;
    for tenant in [&acme, &beta] {
        t.member(tenant, "alice", &[]).await;
    }
    let request = |tenant_id: &str, external_id: &str, page_token: &str| {
        message!(ListUsersRequest {
            tenant_id: tenant_id,
            external_id: external_id,
            page_token: page_token,
            page_size: 1,
        })
    };
    let (_, good) = list(&acme.admin, request("acme", "", "")).await;
    let members = message!(ListMembersRequest {
        tenant_id: "acme",
        page_size: 1
    });
    let members = acme
        .admin
        .list_members(members)
        .await
        .unwrap()
        .next_page_token;
    let refusal = "InvalidArgument INVALID_PAGE_TOKEN\n  page_token: INVALID_PAGE_TOKEN";
    let (_, own) = list(&acme.admin, request("active", "", "")).await;
    let cases = [
        (&acme.admin, request("acme", "", &members)),
        (&acme.admin, request("acme", "alice", &good)),
        (&t.operator(), request("beta", "", &good)),
        // `active` is another tenant for another caller.
        (&beta.admin, request("active", "", &own)),
        (&acme.admin, request("acme", "", &format!("{good}A"))),
        (&acme.admin, request("acme", "", &good[1..])),
    ];
    for (actor, request) in cases {
        assert_eq!(refused(actor.list_users(request).await), refusal);
    }
    // By whatever name, and whoever asks, it is the same list.
    for (actor, tenant_id, token) in [
        (&acme.admin, "acme", &good),
        (&acme.admin, "active", &good),
        (&t.operator(), "acme", &own),
    ] {
        assert_eq!(
            list(actor, request(tenant_id, "", token)).await.0,
            [acme.admin_id.as_str()]
        );
    }
    let bad = message!(ListUsersRequest {
        tenant_id: "acme",
        page_size: i32::MIN,
        page_token: "x",
        external_id: "x".repeat(256),
    });
    assert_eq!(
        refused(acme.admin.list_users(bad).await),
        "InvalidArgument OUT_OF_RANGE\n  page_size: OUT_OF_RANGE\n  page_token: INVALID_PAGE_TOKEN\n  external_id: FIELD_TOO_LONG"
    );
}

async fn only_its_administrators_list_users_of_a_tenant(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    administrators_only(&t, &acme, async |caller| {
        // Whatever else is wrong.
        let request = message!(ListUsersRequest {
            tenant_id: "acme",
            page_size: -1
        });
        refused(caller.list_users(request).await)
    })
    .await;
}
