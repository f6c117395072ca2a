//! `UserService/AddMember`.

use std::time::Duration;

use token_authority::pb;

use crate::support::{
    Backend, TestServer, administrators_only, both_backends, message, refused, self_service,
};

both_backends!(
    the_whole_answer_of_a_new_membership,
    administrators_add_whom_their_tenant_vouches_for_and_operators_anybody,
    what_is_wrong_is_said_all_at_once,
    only_its_administrators_add_members_to_a_tenant,
);

fn request(tenant_id: &str, user_id: &str) -> pb::AddMemberRequest {
    message!(AddMemberRequest {
        tenant_id: tenant_id,
        user_id: user_id
    })
}

async fn the_whole_answer_of_a_new_membership(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    t.tenant("beta", self_service()).await;
    let server = t.resource_server().await;
    let alice = t.member(&acme, "alice", &[]).await.user_id;
    t.advance(Duration::from_secs(5));
    let request = pb::AddMemberRequest {
        role: pb::Role::Admin.into(),
        ..request("beta", &alice)
    };
    let added = t.operator().add_member(request).await.unwrap();
    insta::allow_duplicates! {
        insta::assert_debug_snapshot!(added, @r#"
        AddMemberResponse {
            membership: Some(
                Membership {
                    tenant_id: "beta",
                    user_id: "usr_0322SbK0OBb3izKQkCeItw",
                    role: Admin,
                    create_time: Some(
                        Timestamp {
                            seconds: 1767225605,
                            nanos: 0,
                        },
                    ),
                    update_time: Some(
                        Timestamp {
                            seconds: 1767225605,
                            nanos: 0,
                        },
                    ),
                    etag: "1",
                },
            ),
            revision: "7MuGYCBLSp65szV8sDRrUE.13",
        }
        "#);
    }
    let admin = t
        .token_of("beta", &alice, &["admin", "authority:tenant.admin"])
        .await;
    let answer = server.introspect("beta", admin.value()).await;
    assert_eq!(answer.user_role(), pb::Role::Admin);
    // What it is in one tenant says nothing of what it is in another.
    let here = t.token_of("acme", &alice, &["write"]).await;
    let answer = server.introspect("acme", here.value()).await;
    assert_eq!(answer.user_role(), pb::Role::Member);
}

async fn administrators_add_whom_their_tenant_vouches_for_and_operators_anybody(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let beta = t.tenant("beta", self_service()).await;
    let operator = t.operator();
    let alice = t.member(&acme, "alice", &[]).await.user_id;
    let exists = "AlreadyExists MEMBER_EXISTS";
    let hidden = "NotFound USER_NOT_FOUND";

    // A stranger by its id: as if there were nobody.
    assert_eq!(
        refused(beta.admin.add_member(request("beta", &alice)).await),
        hidden
    );
    let nobody = format!("usr_{}", "0".repeat(22));
    for caller in [&beta.admin, &operator] {
        assert_eq!(
            refused(caller.add_member(request("beta", &nobody)).await),
            hidden
        );
    }
    let added = operator.add_member(request("beta", &alice)).await.unwrap();
    assert_eq!(added.membership.unwrap().role(), pb::Role::Member);
    for (caller, tenant_id) in [
        (&operator, "beta"),
        (&beta.admin, "active"),
        (&acme.admin, "acme"),
    ] {
        assert_eq!(
            refused(caller.add_member(request(tenant_id, &alice)).await),
            exists
        );
    }
    // An addition that was refused changes no role.
    let promote = pb::AddMemberRequest {
        role: pb::Role::Admin.into(),
        ..request("beta", &alice)
    };
    assert_eq!(refused(beta.admin.add_member(promote).await), exists);
    let read = message!(GetUserRequest {
        tenant_id: "beta",
        user_id: &alice
    });
    let read = beta.admin.get_user(read).await.unwrap().membership.unwrap();
    assert_eq!(read.role(), pb::Role::Member);

    // Once gone it is a stranger to beta again, but not to acme.
    for tenant_id in ["acme", "beta"] {
        let leave = message!(RemoveMemberRequest {
            tenant_id: tenant_id,
            user_id: &alice
        });
        operator.remove_member(leave).await.unwrap();
    }
    assert_eq!(
        refused(beta.admin.add_member(request("beta", &alice)).await),
        hidden
    );
    t.advance(Duration::from_secs(5));
    let again = acme
        .admin
        .add_member(request("acme", &alice))
        .await
        .unwrap();
    let again = again.membership.unwrap();
    // It begins anew, and no etag of the old one is its own.
    assert_eq!(
        again.create_time.unwrap().seconds,
        read.create_time.unwrap().seconds + 5
    );
    assert_ne!(again.etag, "1");
}

async fn what_is_wrong_is_said_all_at_once(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let cases = [
        ("", 0, "FIELD_REQUIRED\n  user_id: FIELD_REQUIRED"),
        ("alice", 0, "INVALID_USER_ID\n  user_id: INVALID_USER_ID"),
        (
            &acme.admin_id,
            3,
            "UNKNOWN_ENUM_VALUE\n  role: UNKNOWN_ENUM_VALUE",
        ),
        (
            "alice",
            -1,
            "UNKNOWN_ENUM_VALUE\n  role: UNKNOWN_ENUM_VALUE\n  user_id: INVALID_USER_ID",
        ),
    ];
    for (user_id, role, expected) in cases {
        let request = pb::AddMemberRequest {
            role,
            ..request("acme", user_id)
        };
        let refusal = refused(acme.admin.add_member(request).await);
        assert_eq!(refusal, format!("InvalidArgument {expected}"));
    }
}

async fn only_its_administrators_add_members_to_a_tenant(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    administrators_only(&t, &acme, async |caller| {
        refused(caller.add_member(request("acme", &acme.admin_id)).await)
    })
    .await;
    let refusal = refused(
        t.operator()
            .add_member(request("active", &acme.admin_id))
            .await,
    );
    assert_eq!(refusal, "FailedPrecondition RESERVED_TENANT");
}
