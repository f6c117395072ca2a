//! `UserService/ListMembers`.

use std::time::Duration;

use token_authority::pb;

use crate::support::{
    Actor, Backend, TestServer, administrators_only, both_backends, message, pages, refused,
    self_service, share,
};

both_backends!(
    each_member_is_listed_once_newest_first,
    a_page_token_is_of_its_list_and_tenant,
    only_its_administrators_list_members_of_a_tenant,
);

async fn list(actor: &Actor, request: pb::ListMembersRequest) -> (Vec<String>, String) {
    let page = actor.list_members(request).await.unwrap();
    let ids = page.memberships.into_iter().map(|member| member.user_id);
    (ids.collect(), page.next_page_token)
}

async fn each_member_is_listed_once_newest_first(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    t.tenant("beta", self_service()).await;
    let operator = t.operator();
    let guest = operator
        .create_user("beta", "guest", pb::Role::Member)
        .await;
    let mut users = Vec::new();
    t.advance(Duration::from_millis(1));
    for at in 0..6 {
        users.push(
            operator
                .create_user("acme", &format!("{at}"), pb::Role::Member)
                .await,
        );
    }
    let leave = |user_id: &str| {
        message!(RemoveMemberRequest {
            tenant_id: "acme",
            user_id: user_id
        })
    };
    let (gone, left, back) = (
        users.pop().unwrap(),
        users.pop().unwrap(),
        users.pop().unwrap(),
    );
    let delete = message!(DeleteUserRequest {
        tenant_id: "acme",
        user_id: gone
    });
    acme.admin.delete_user(delete).await.unwrap();
    for user_id in [&left, &back] {
        acme.admin.remove_member(leave(user_id)).await.unwrap();
    }
    t.advance(Duration::from_millis(1));
    // Ordered by when they joined, not by when they were made.
    let join = message!(AddMemberRequest {
        tenant_id: "acme",
        user_id: &back
    });
    acme.admin.add_member(join).await.unwrap();
    t.advance(Duration::from_millis(1));
    share(&t, &guest, "acme").await;

    users.sort_by(|a, b| b.cmp(a));
    let mut all = vec![guest, back];
    all.extend(users);
    all.push(acme.admin_id.clone());
    for page_size in [1, 2, 3, 6, 1001] {
        let request = |page_token| pb::ListMembersRequest {
            tenant_id: "acme".into(),
            page_size,
            page_token,
        };
        let pages = pages(async |token| list(&acme.admin, request(token)).await).await;
        assert_eq!(pages.concat(), all);
        assert_eq!(
            pages.len(),
            all.len().div_ceil(usize::try_from(page_size).unwrap())
        );
    }
    let listed = acme.admin.list_members(message!(ListMembersRequest {
        tenant_id: "active"
    }));
    for member in listed.await.unwrap().memberships {
        let read = message!(GetUserRequest {
            tenant_id: "acme",
            user_id: &member.user_id
        });
        assert_eq!(
            acme.admin.get_user(read).await.unwrap().membership,
            Some(member)
        );
    }
}

async fn a_page_token_is_of_its_list_and_tenant(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let beta = t.tenant("beta", self_service()).await;
    for tenant in [&acme, &beta] {
        t.member(tenant, "alice", &[]).await;
    }
    let request = |tenant_id: &str, page_token: &str| {
        message!(ListMembersRequest {
            tenant_id: tenant_id,
            page_token: page_token,
            page_size: 1,
        })
    };
    let (_, own) = list(&acme.admin, request("active", "")).await;
    let users = message!(ListUsersRequest {
        tenant_id: "acme",
        page_size: 1
    });
    let users = acme.admin.list_users(users).await.unwrap().next_page_token;
    let refusal = "InvalidArgument INVALID_PAGE_TOKEN\n  page_token: INVALID_PAGE_TOKEN";
    for (actor, request) in [
        (&acme.admin, request("acme", &users)),
        (&t.operator(), request("beta", &own)),
        (&beta.admin, request("active", &own)),
    ] {
        assert_eq!(refused(actor.list_members(request).await), refusal);
    }
    assert_eq!(
        list(&acme.admin, request("acme", &own)).await.0,
        [acme.admin_id.as_str()]
    );
    let bad = pb::ListMembersRequest {
        page_size: -1,
        ..request("acme", "x")
    };
    assert_eq!(
        refused(acme.admin.list_members(bad).await),
        "InvalidArgument OUT_OF_RANGE\n  page_size: OUT_OF_RANGE\n  page_token: INVALID_PAGE_TOKEN"
    );
}

async fn only_its_administrators_list_members_of_a_tenant(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    administrators_only(&t, &acme, async |caller| {
        let request = message!(ListMembersRequest {
            tenant_id: "acme",
            page_size: -1
        });
        refused(caller.list_members(request).await)
    })
    .await;
}
