//! `UserService/UpdateUser`.

use std::time::Duration;

use token_authority::pb;

use crate::support::{
    Actor, Backend, TestServer, administrators_only, both_backends, guarded_by_etag, mask, message,
    outcome, refused, self_service, share,
};

both_backends!(
    a_mask_says_what_is_set,
    what_is_wrong_is_said_all_at_once,
    an_external_id_is_unique_within_its_voucher,
    a_change_builds_on_the_version_that_it_names,
    only_who_vouches_for_a_user_changes_it,
    only_its_administrators_change_users_of_a_tenant,
);

fn request(user_id: &str, paths: Option<&[&str]>) -> pb::UpdateUserRequest {
    pb::UpdateUserRequest {
        update_mask: paths.map(mask),
        ..message!(UpdateUserRequest {
            tenant_id: "acme",
            user_id: user_id
        })
    }
}

async fn read(actor: &Actor, user_id: &str) -> pb::User {
    let request = message!(GetUserRequest {
        tenant_id: "acme",
        user_id: user_id
    });
    actor.get_user(request).await.unwrap().user.unwrap()
}

/// The paths of a mask, if there is one.
type Paths = Option<&'static [&'static str]>;

async fn a_mask_says_what_is_set(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let server = t.resource_server().await;
    let alice = t.member(&acme, "alice", &["read"]).await;
    let admin = &acme.admin;
    let cases: [(Paths, &str, &str, (&str, &str)); 6] = [
        (
            Some(&["display_name"]),
            "ignored",
            "Alice",
            ("alice", "Alice"),
        ),
        (Some(&["external_id"]), "al", "ignored", ("al", "Alice")),
        (None, "", "A.", ("al", "A.")),
        (None, "alice", "", ("alice", "A.")),
        (Some(&["display_name"]), "", "", ("alice", "")),
        (Some(&["*"]), "alice@b", "Alice", ("alice@b", "Alice")),
    ];
    for (paths, external_id, display_name, expected) in cases {
        t.advance(Duration::from_secs(1));
        let before = read(admin, &alice.user_id).await;
        let request = pb::UpdateUserRequest {
            external_id: external_id.into(),
            display_name: display_name.into(),
            ..request(&alice.user_id, paths)
        };
        let changed = admin.update_user(request).await.unwrap().user.unwrap();
        let expected = pb::User {
            external_id: expected.0.into(),
            display_name: expected.1.into(),
            update_time: before.update_time.map(|time| prost_types::Timestamp {
                seconds: time.seconds + 1,
                ..time
            }),
            etag: changed.etag.clone(),
            ..before.clone()
        };
        // The server's clock stood still while alice was made.
        let expected = pb::User {
            update_time: changed.update_time,
            ..expected
        };
        assert_eq!(changed, expected, "{paths:?}");
        assert_ne!(changed.etag, before.etag);
        assert_ne!(changed.update_time, before.update_time);
        assert_eq!(read(admin, &alice.user_id).await, changed);
        let answer = server.introspect("acme", alice.actor.value()).await;
        assert_eq!(answer.user_external_id, changed.external_id);
    }
    // A display name is in no answer to an introspection: it takes no number.
    let at = server.introspect("acme", "x").await.revision;
    let name = message!(UpdateUserRequest {
        tenant_id: "acme",
        user_id: &alice.user_id,
        display_name: "B"
    });
    assert_eq!(admin.update_user(name).await.unwrap().revision, at);
    let name = message!(UpdateUserRequest {
        tenant_id: "acme",
        user_id: &alice.user_id,
        external_id: "B"
    });
    assert_ne!(admin.update_user(name).await.unwrap().revision, at);
}

async fn what_is_wrong_is_said_all_at_once(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let before = read(&acme.admin, &acme.admin_id).await;
    let long = "x".repeat(256);
    let cases: [(&str, Paths, &str, &str, &str); 6] = [
        (
            &acme.admin_id,
            None,
            "",
            "",
            "EMPTY_MASK\n  update_mask: EMPTY_MASK",
        ),
        (
            &acme.admin_id,
            Some(&[]),
            "",
            "",
            "EMPTY_MASK\n  update_mask: EMPTY_MASK",
        ),
        (
            &acme.admin_id,
            Some(&["*"]),
            "",
            "a\tb",
            "FIELD_REQUIRED\n  external_id: FIELD_REQUIRED\n  display_name: INVALID_TEXT",
        ),
        (
            &acme.admin_id,
            Some(&["user_id", "external_id", "state", "display_name"]),
            &long,
            &long[..101],
            "INVALID_MASK\n  update_mask.paths[0]: INVALID_MASK\n  update_mask.paths[2]: INVALID_MASK\n  external_id: FIELD_TOO_LONG\n  display_name: FIELD_TOO_LONG",
        ),
        (
            "",
            None,
            "x",
            "x",
            "FIELD_REQUIRED\n  user_id: FIELD_REQUIRED",
        ),
        (
            "usr_x",
            Some(&["nothing", "external_id"]),
            &long,
            "",
            "INVALID_MASK\n  update_mask.paths[0]: INVALID_MASK\n  user_id: INVALID_USER_ID\n  external_id: FIELD_TOO_LONG",
        ),
    ];
    for (user_id, paths, external_id, display_name, expected) in cases {
        let request = pb::UpdateUserRequest {
            external_id: external_id.into(),
            display_name: display_name.into(),
            ..request(user_id, paths)
        };
        let refusal = refused(acme.admin.update_user(request).await);
        assert_eq!(refusal, format!("InvalidArgument {expected}"), "{paths:?}");
    }
    assert_eq!(read(&acme.admin, &acme.admin_id).await, before);
}

async fn an_external_id_is_unique_within_its_voucher(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let beta = t.tenant("beta", self_service()).await;
    let alice = t.member(&acme, "alice", &[]).await.user_id;
    t.member(&acme, "bob", &[]).await;
    let carol = t.member(&beta, "carol", &[]).await.user_id;
    share(&t, &carol, "acme").await;
    let rename = |user_id: &str, external_id: &str| pb::UpdateUserRequest {
        external_id: external_id.into(),
        ..request(user_id, None)
    };
    let taken = Some("AlreadyExists EXTERNAL_ID_TAKEN".to_owned());
    let cases = [
        ("bob", taken.clone()),
        ("alice", None),
        // beta's name for its user, and beta's alone.
        ("carol", None),
        // Given up, it is free.
        ("alice", None),
    ];
    for (external_id, expected) in cases {
        let renamed = acme.admin.update_user(rename(&alice, external_id)).await;
        assert_eq!(outcome(renamed), expected, "{external_id}");
    }
    // Judged within the voucher also where an operator names another tenant.
    let operator = t.operator();
    assert_eq!(
        outcome(operator.update_user(rename(&carol, "admin")).await),
        taken
    );
    assert_eq!(
        outcome(operator.update_user(rename(&carol, "bob")).await),
        None
    );
}

async fn a_change_builds_on_the_version_that_it_names(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let present = read(&acme.admin, &acme.admin_id).await.etag;
    guarded_by_etag(&present, async |etag| {
        let request = message!(UpdateUserRequest {
            tenant_id: "acme",
            user_id: &acme.admin_id,
            display_name: "A",
            etag: etag,
        });
        outcome(acme.admin.update_user(request).await)
    })
    .await;
    // Neither the use of its tokens nor its memberships are the user's record.
    let before = read(&acme.admin, &acme.admin_id).await;
    t.tenant("beta", self_service()).await;
    share(&t, &acme.admin_id, "beta").await;
    assert_eq!(read(&acme.admin, &acme.admin_id).await, before);
}

async fn only_who_vouches_for_a_user_changes_it(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let beta = t.tenant("beta", self_service()).await;
    let theirs = t.member(&beta, "carol", &[]).await.user_id;
    let rename = || pb::UpdateUserRequest {
        display_name: "C".into(),
        ..request(&theirs, None)
    };
    let hidden = "NotFound USER_NOT_FOUND";
    assert_eq!(refused(acme.admin.update_user(rename()).await), hidden);
    assert_eq!(refused(t.operator().update_user(rename()).await), hidden);
    share(&t, &theirs, "acme").await;
    let refusal = refused(acme.admin.update_user(rename()).await);
    assert_eq!(refusal, "PermissionDenied USER_NOT_VOUCHED");
    t.operator().update_user(rename()).await.unwrap();
    assert_eq!(read(&acme.admin, &theirs).await.display_name, "C");
}

async fn only_its_administrators_change_users_of_a_tenant(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    administrators_only(&t, &acme, async |caller| {
        let request = request(&acme.admin_id, None);
        refused(caller.update_user(request).await)
    })
    .await;
}
