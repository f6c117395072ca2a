//! `UserService/CreateUser`.

use token_authority::pb;

use crate::support::{
    Backend, TestServer, administrators_only, both_backends, message, outcome, refused,
    self_service,
};

both_backends!(
    the_whole_answer_of_a_new_user,
    an_external_id_is_its_vouchers_own_and_free_after_deletion,
    what_is_wrong_is_said_all_at_once,
    only_its_administrators_create_users_of_a_tenant,
);

fn request(tenant_id: &str, external_id: &str) -> pb::CreateUserRequest {
    message!(CreateUserRequest {
        tenant_id: tenant_id,
        external_id: external_id,
    })
}

async fn the_whole_answer_of_a_new_user(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let created = message!(CreateUserRequest {
        tenant_id: "active",
        external_id: "auth0|Älice",
        display_name: "Alice",
    });
    let created = acme.admin.try_create_user(created).await.unwrap();
    insta::allow_duplicates! {
        insta::assert_debug_snapshot!(created, @r#"
        CreateUserResponse {
            user: Some(
                User {
                    user_id: "usr_0322SbK0OBIHK3MlLOkEHf",
                    external_id: "auth0|Älice",
                    display_name: "Alice",
                    state: Active,
                    vouching_tenant_id: "acme",
                    active_tenant_id: "acme",
                    create_time: Some(
                        Timestamp {
                            seconds: 1767225600,
                            nanos: 0,
                        },
                    ),
                    update_time: Some(
                        Timestamp {
                            seconds: 1767225600,
                            nanos: 0,
                        },
                    ),
                    etag: "1",
                    vouching_trust: "",
                },
            ),
            membership: Some(
                Membership {
                    tenant_id: "acme",
                    user_id: "usr_0322SbK0OBIHK3MlLOkEHf",
                    role: Member,
                    create_time: Some(
                        Timestamp {
                            seconds: 1767225600,
                            nanos: 0,
                        },
                    ),
                    update_time: Some(
                        Timestamp {
                            seconds: 1767225600,
                            nanos: 0,
                        },
                    ),
                    etag: "1",
                },
            ),
            revision: "7MuGYCBLSp65szV8sDRrUE.6",
        }
        "#);
    }
    let user_id = created.user.unwrap().user_id;
    let token = t.token_of("acme", &user_id, &["read"]).await;
    let answer = t
        .resource_server()
        .await
        .introspect("acme", token.value())
        .await;
    assert_eq!(answer.user_id, user_id);
    assert_eq!(answer.user_external_id, "auth0|Älice");

    let admin = message!(CreateUserRequest {
        tenant_id: "acme",
        external_id: "bob",
        role: pb::Role::Admin,
    });
    let admin = acme.admin.try_create_user(admin).await.unwrap();
    assert_eq!(admin.membership.unwrap().role(), pb::Role::Admin);
}

async fn an_external_id_is_its_vouchers_own_and_free_after_deletion(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let beta = t.tenant("beta", self_service()).await;
    let server = t.resource_server().await;
    let taken = "AlreadyExists EXTERNAL_ID_TAKEN";

    // One subject, two vouchers: two users.
    let ours = t.member(&acme, "123", &["read"]).await;
    let theirs = t.member(&beta, "123", &["read"]).await;
    assert_ne!(ours.user_id, theirs.user_id);
    for caller in [&acme.admin, &t.operator()] {
        let again = caller.try_create_user(request("acme", "123")).await;
        assert_eq!(refused(again), taken);
    }
    // Whom another vouches for has no name here, though it is a member.
    let join = message!(AddMemberRequest {
        tenant_id: "acme",
        user_id: theirs.user_id
    });
    t.operator().add_member(join).await.unwrap();
    // Case tells names apart, and so do blanks.
    for other in ["123 ", "12", "ALICE", "alice"] {
        acme.admin
            .try_create_user(request("acme", other))
            .await
            .unwrap();
    }

    // To leave the tenant does not free the name, to be suspended neither.
    let leave = message!(RemoveMemberRequest {
        tenant_id: "acme",
        user_id: &ours.user_id
    });
    acme.admin.remove_member(leave).await.unwrap();
    assert_eq!(
        refused(acme.admin.try_create_user(request("acme", "123")).await),
        taken
    );

    let delete = message!(DeleteUserRequest {
        tenant_id: "acme",
        user_id: &ours.user_id
    });
    acme.admin.delete_user(delete).await.unwrap();
    let again = t.member(&acme, "123", &["read"]).await;
    assert_ne!(again.user_id, ours.user_id);
    assert!(!server.introspect("acme", ours.actor.value()).await.active);
    assert!(server.introspect("acme", again.actor.value()).await.active);
    assert!(server.introspect("beta", theirs.actor.value()).await.active);
}

async fn what_is_wrong_is_said_all_at_once(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let bad = message!(CreateUserRequest {
        tenant_id: "acme",
        external_id: "x".repeat(256),
        display_name: "a\0b",
        role: 3,
    });
    assert_eq!(
        refused(acme.admin.try_create_user(bad).await),
        "InvalidArgument UNKNOWN_ENUM_VALUE\n  role: UNKNOWN_ENUM_VALUE\n  external_id: FIELD_TOO_LONG\n  display_name: INVALID_TEXT"
    );
    let (longest, name) = ("ä".repeat(255), "ä".repeat(100));
    let too_long = "ä".repeat(101);
    let field =
        |field: &str, reason: &str| Some(format!("InvalidArgument {reason}\n  {field}: {reason}"));
    let cases = [
        ("", "", field("external_id", "FIELD_REQUIRED")),
        ("a\nb", "", field("external_id", "INVALID_TEXT")),
        (
            "a",
            too_long.as_str(),
            field("display_name", "FIELD_TOO_LONG"),
        ),
        (longest.as_str(), name.as_str(), None),
    ];
    for (external_id, display_name, expected) in cases {
        let request = message!(CreateUserRequest {
            tenant_id: "acme",
            external_id: external_id,
            display_name: display_name,
        });
        assert_eq!(outcome(acme.admin.try_create_user(request).await), expected);
    }
}

async fn only_its_administrators_create_users_of_a_tenant(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    administrators_only(&t, &acme, async |caller| {
        refused(caller.try_create_user(request("acme", "x")).await)
    })
    .await;
    // Nor in the reserved tenant, which has no users.
    for name in ["authority", "active"] {
        let refusal = refused(t.operator().try_create_user(request(name, "x")).await);
        assert_eq!(refusal, "FailedPrecondition RESERVED_TENANT");
    }
}
