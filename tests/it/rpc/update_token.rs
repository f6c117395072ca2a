//! `TokenService/UpdateToken`.

use std::time::Duration;

use token_authority::pb;

use crate::support::tokens::{
    at, change, changed, disabled, id, mask, number, own_id, scopes, service, set_policy, set_role,
    strings, ttl, until, update, wanted, who_am_i,
};
use crate::support::{Backend, Member, Tenant, TestServer, both_backends, refused, self_service};

both_backends!(
    the_mask_says_what_is_set,
    an_etag_guards_an_update,
    what_is_over_stays_so,
    a_change_is_true_for_the_next_introspection,
    a_members_reach_ends_at_its_own_tokens,
    the_policy_is_judged_at_each_update,
    a_name_is_unique_where_the_tenant_says_so,
    all_that_is_wrong_with_an_update_is_said_at_once,
    a_webhooks_token_is_changed_only_when_named,
);

/// Makes a tenant and a member that manages its own tokens and may write.
async fn acme_and_alice(t: &TestServer) -> (Tenant, Member) {
    let acme = t.tenant("acme", self_service()).await;
    let alice = t.member(&acme, "alice", &["write", "authority:tokens.write"]);
    let alice = alice.await;
    (acme, alice)
}

async fn the_mask_says_what_is_set(backend: Backend) {
    let t = TestServer::start(backend).await;
    let (_, alice) = acme_and_alice(&t).await;
    let created = alice.actor.create(pb::CreateTokenRequest {
        profile: "editor".into(),
        labels: [("team".into(), "search".into())].into(),
        expiry: ttl(60),
        ..wanted("laptop", &["read"])
    });
    let before = created.await.token.unwrap();
    let full = |paths: &[&str]| pb::UpdateTokenRequest {
        update_mask: mask(paths),
        name: "desktop".into(),
        scopes: strings(&["read"]),
        expire_time: Some(at(90)),
        labels: [("team".into(), "ads".into())].into(),
        disabled: true,
        ..change(&before.token_id)
    };
    // Only what is named is set.
    t.advance(Duration::from_secs(1));
    let token = changed(&alice.actor, full(&["name"])).await;
    let mut expected = before.clone();
    expected.name = "desktop".into();
    expected.update_time = Some(at(1));
    expected.etag.clone_from(&token.etag);
    assert_ne!(token.etag, before.etag);
    assert_eq!(token, expected);
    let token = changed(&alice.actor, full(&["labels", "scopes"])).await;
    assert_eq!(
        (token.scopes, token.expire_time),
        (strings(&["read"]), Some(at(60)))
    );
    assert_eq!(token.labels["team"], "ads");

    // Without a path: what is not empty.
    for update_mask in [None, mask(&[])] {
        let request = pb::UpdateTokenRequest {
            update_mask,
            expire_time: Some(at(70)),
            ..change(&before.token_id)
        };
        let token = changed(&alice.actor, request).await;
        assert_eq!(
            (token.name.as_str(), token.expire_time),
            ("desktop", Some(at(70)))
        );
        assert_eq!(
            (token.scopes.len(), token.state()),
            (1, pb::TokenState::Active)
        );
    }
    let token = changed(&alice.actor, full(&["*"])).await;
    assert_eq!(
        (token.state(), token.expire_time),
        (pb::TokenState::Disabled, Some(at(90)))
    );
    // What is named and empty is emptied.
    let request = pb::UpdateTokenRequest {
        update_mask: mask(&["*"]),
        name: "bare".into(),
        ..change(&before.token_id)
    };
    let token = changed(&alice.actor, request).await;
    assert_eq!(
        (token.scopes.len(), token.labels.len(), token.expire_time),
        (0, 0, None)
    );
    assert_eq!(
        (token.state(), token.profile.as_str()),
        (pb::TokenState::Active, "editor")
    );

    for (paths, refusal) in [
        (None, "EMPTY_MASK\n  update_mask: EMPTY_MASK"),
        (
            Some("value"),
            "INVALID_MASK\n  update_mask.paths[0]: INVALID_MASK",
        ),
        (
            Some("token_id"),
            "INVALID_MASK\n  update_mask.paths[0]: INVALID_MASK",
        ),
        (
            Some(""),
            "INVALID_MASK\n  update_mask.paths[0]: INVALID_MASK",
        ),
        (
            Some("labels.team"),
            "INVALID_MASK\n  update_mask.paths[0]: INVALID_MASK",
        ),
    ] {
        let request = pb::UpdateTokenRequest {
            update_mask: paths.and_then(|path| mask(&[path])),
            ..change(&before.token_id)
        };
        let told = refused(update(&alice.actor, request).await);
        assert_eq!(told, format!("InvalidArgument {refusal}"));
    }
}

async fn an_etag_guards_an_update(backend: Backend) {
    let t = TestServer::start(backend).await;
    let (acme, _) = acme_and_alice(&t).await;
    let created = acme.admin.issue("laptop", &["read"]).await;
    let first = created.token.clone().unwrap();
    let rename = |name: &str, etag: &str| pb::UpdateTokenRequest {
        name: name.into(),
        etag: etag.into(),
        ..change(&first.token_id)
    };
    let answer = update(&acme.admin, rename("second", &first.etag))
        .await
        .unwrap();
    assert_eq!(number(&answer.revision), number(&created.revision) + 1);
    let second = answer.token.unwrap();
    // Use does not change a record.
    let used = t.actor(&created.value);
    assert_eq!(
        who_am_i(&used, pb::WhoAmIRequest {})
            .await
            .unwrap()
            .token
            .unwrap(),
        second
    );
    for etag in [
        first.etag.clone(),
        "garbage".into(),
        "0".into(),
        "-1".into(),
        format!("+{}", second.etag),
        format!("0{}", second.etag),
        format!("{} ", second.etag),
        format!("\"{}\"", second.etag),
        "x".repeat(100_000),
    ] {
        assert_eq!(
            refused(update(&acme.admin, rename("third", &etag)).await),
            "Aborted ETAG_MISMATCH"
        );
    }
    changed(&acme.admin, rename("third", &second.etag)).await;
    let token = changed(&acme.admin, rename("fourth", "")).await;
    assert_eq!(token.name, "fourth");
    // A revocation is a change, too; that the etag is stale is told first.
    let revoked = acme
        .admin
        .revoke("acme", &first.token_id)
        .await
        .token
        .unwrap();
    assert_eq!(
        refused(update(&acme.admin, rename("fifth", &token.etag)).await),
        "Aborted ETAG_MISMATCH"
    );
    assert_eq!(
        refused(update(&acme.admin, rename("fifth", &revoked.etag)).await),
        "FailedPrecondition TOKEN_REVOKED"
    );
}

async fn what_is_over_stays_so(backend: Backend) {
    let t = TestServer::start(backend).await;
    let (acme, _) = acme_and_alice(&t).await;
    let brief = acme.admin.create(pb::CreateTokenRequest {
        expiry: ttl(1),
        ..wanted("brief", &[])
    });
    let brief = id(&brief.await);
    let revoked = id(&acme.admin.issue("revoked", &[]).await);
    acme.admin.revoke("acme", &revoked).await;
    t.advance(Duration::from_secs(1));
    for (token_id, refusal) in [
        (&brief, "FailedPrecondition TOKEN_EXPIRED"),
        (&revoked, "FailedPrecondition TOKEN_REVOKED"),
    ] {
        for request in [
            until(token_id, None),
            disabled(token_id, false),
            disabled(token_id, true),
            scopes(token_id, &[]),
        ] {
            assert_eq!(refused(update(&acme.admin, request).await), refusal);
        }
    }
    acme.admin.revoke("acme", &brief).await;
    assert_eq!(
        refused(update(&acme.admin, until(&brief, None)).await),
        "FailedPrecondition TOKEN_REVOKED"
    );
}

async fn a_change_is_true_for_the_next_introspection(backend: Backend) {
    let t = TestServer::start(backend).await;
    let (acme, alice) = acme_and_alice(&t).await;
    let server = t.resource_server().await;
    let token_id = own_id(&alice.actor).await;
    let look = async || server.introspect("acme", alice.actor.value()).await;
    assert_eq!(look().await.scopes.len(), 3);
    changed(&acme.admin, scopes(&token_id, &["read"])).await;
    assert_eq!(look().await.scopes, ["read"]);
    changed(&acme.admin, until(&token_id, Some(5))).await;
    assert_eq!(look().await.expire_time, Some(at(5)));
    changed(&acme.admin, disabled(&token_id, true)).await;
    assert!(!look().await.active);
    changed(&acme.admin, disabled(&token_id, false)).await;
    assert!(look().await.active);
    t.advance(Duration::from_secs(5));
    assert!(!look().await.active);
}

async fn a_members_reach_ends_at_its_own_tokens(backend: Backend) {
    let t = TestServer::start(backend).await;
    let (acme, alice) = acme_and_alice(&t).await;
    let closed = t.tenant("closed", pb::TenantPolicy::default()).await;
    let carl = t.member(&closed, "carl", &["authority:tokens.write"]).await;
    let reader = t.member(&acme, "reader", &["authority:tokens.read"]).await;
    let worker = id(&acme.admin.create(service("acme", "worker", &[])).await);
    let admins = own_id(&acme.admin).await;
    let hers = own_id(&alice.actor).await;
    let nobodys = format!("tok_{}", "0".repeat(22));
    let missing = "NotFound TOKEN_NOT_FOUND";
    let denied = "PermissionDenied PERMISSION_DENIED";
    for (actor, token_id, refusal) in [
        (&alice.actor, &worker, missing),
        (&alice.actor, &admins, missing),
        (&alice.actor, &nobodys, missing),
        (&closed.admin, &hers, missing),
        (&reader.actor, &hers, denied),
        (&reader.actor, &nobodys, denied),
        (&carl.actor, &nobodys, denied),
        (&t.nobody(), &hers, "Unauthenticated CALLER_UNAUTHENTICATED"),
    ] {
        assert_eq!(
            refused(update(actor, disabled(token_id, true)).await),
            refusal
        );
    }
    let abroad = pb::UpdateTokenRequest {
        tenant_id: "acme".into(),
        ..disabled(&hers, true)
    };
    assert_eq!(
        refused(update(&closed.admin, abroad).await),
        "NotFound TENANT_NOT_FOUND"
    );
    changed(&alice.actor, disabled(&hers, true)).await;
    assert_eq!(
        refused(update(&alice.actor, disabled(&hers, false)).await),
        "Unauthenticated CALLER_UNAUTHENTICATED"
    );
    changed(&acme.admin, disabled(&worker, true)).await;
}

async fn the_policy_is_judged_at_each_update(backend: Backend) {
    let t = TestServer::start(backend).await;
    let (acme, alice) = acme_and_alice(&t).await;
    let token_id = id(&acme.admin.issue("laptop", &["read"]).await);
    let seconds = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
    let policy = pb::TenantPolicy {
        max_ttl: seconds(100),
        default_ttl: seconds(50),
        ..self_service()
    };
    set_policy(&acme.admin, "acme", policy).await;
    t.advance(Duration::from_secs(40));
    let refusal = |reason: &str| format!("InvalidArgument {reason}\n  expire_time: {reason}");
    // Counted from its creation, forty seconds ago.
    for (seconds, reason) in [
        (Some(101), "TTL_TOO_LONG"),
        (None, "EXPIRY_REQUIRED"),
        (Some(40), "EXPIRY_IN_PAST"),
        (Some(0), "EXPIRY_IN_PAST"),
    ] {
        let told = refused(update(&acme.admin, until(&token_id, seconds)).await);
        assert_eq!(told, refusal(reason));
    }
    // What is not named is not judged: it was made under another policy.
    let token = changed(&acme.admin, disabled(&token_id, true)).await;
    assert_eq!(token.expire_time, None);
    changed(&acme.admin, until(&token_id, Some(100))).await;
    changed(&acme.admin, until(&token_id, Some(41))).await;
    let wrong = pb::UpdateTokenRequest {
        expire_time: Some(prost_types::Timestamp {
            seconds: 0,
            nanos: -1,
        }),
        ..until(&token_id, None)
    };
    assert_eq!(
        refused(update(&acme.admin, wrong).await),
        refusal("INVALID_TIME")
    );
    // A scope that its user may no longer hold can't be given anew.
    let boss = t.token_of("acme", &alice.user_id, &["write"]).await;
    let boss = own_id(&boss).await;
    assert_eq!(
        refused(update(&acme.admin, scopes(&boss, &["admin"])).await),
        "InvalidArgument SCOPE_ABOVE_ROLE\n  scopes[0]: SCOPE_ABOVE_ROLE"
    );
    set_role(&acme.admin, "acme", &alice.user_id, pb::Role::Admin).await;
    let operators = pb::UpdateTokenRequest {
        tenant_id: "acme".into(),
        ..scopes(&boss, &["admin"])
    };
    changed(&t.operator(), operators).await;
}

async fn a_name_is_unique_where_the_tenant_says_so(backend: Backend) {
    let t = TestServer::start(backend).await;
    let policy = pb::TenantPolicy {
        unique_names: true,
        ..self_service()
    };
    let acme = t.tenant("acme", policy).await;
    let one = id(&acme.admin.issue("one", &[]).await);
    let two = id(&acme.admin.issue("two", &[]).await);
    let rename = |token_id: &str, name: &str| pb::UpdateTokenRequest {
        name: name.into(),
        ..change(token_id)
    };
    let taken = "AlreadyExists NAME_TAKEN";
    assert_eq!(
        refused(update(&acme.admin, rename(&two, "one")).await),
        taken
    );
    changed(&acme.admin, rename(&one, "one")).await;
    changed(&acme.admin, disabled(&one, true)).await;
    assert_eq!(
        refused(update(&acme.admin, rename(&two, "one")).await),
        taken
    );
    acme.admin.revoke("acme", &one).await;
    changed(&acme.admin, rename(&two, "one")).await;
}

async fn all_that_is_wrong_with_an_update_is_said_at_once(backend: Backend) {
    let t = TestServer::start(backend).await;
    let (acme, alice) = acme_and_alice(&t).await;
    let hers = own_id(&alice.actor).await;
    let request = pb::UpdateTokenRequest {
        update_mask: mask(&["*", "value"]),
        name: "x".repeat(101),
        scopes: strings(&["a b", "nothing", "admin"]),
        expire_time: Some(at(0)),
        labels: [(String::new(), "x".into())].into(),
        ..change(&hers)
    };
    let expected = "InvalidArgument INVALID_MASK
  update_mask.paths[1]: INVALID_MASK
  name: FIELD_TOO_LONG
  scopes[0]: INVALID_SCOPE
  scopes[1]: UNKNOWN_SCOPE
  scopes[2]: SCOPE_ABOVE_ROLE
  expire_time: EXPIRY_IN_PAST
  labels: INVALID_LABEL";
    assert_eq!(refused(update(&acme.admin, request).await), expected);
    for (request, refusal) in [
        (scopes(&hers, &["read"; 101]), "scopes: TOO_MANY_ITEMS"),
        (
            pb::UpdateTokenRequest {
                labels: (0..33).map(|n| (n.to_string(), String::new())).collect(),
                ..change(&hers)
            },
            "labels: TOO_MANY_ITEMS",
        ),
        (
            pb::UpdateTokenRequest {
                update_mask: mask(&["name"]),
                ..change(&hers)
            },
            "name: INVALID_NAME",
        ),
        (
            pb::UpdateTokenRequest {
                update_mask: mask(&["name"; 101]),
                ..change(&hers)
            },
            "update_mask: TOO_MANY_ITEMS",
        ),
        (disabled("", true), "token_id: FIELD_REQUIRED"),
        (disabled("laptop", true), "token_id: INVALID_TOKEN_ID"),
        (
            pb::UpdateTokenRequest {
                tenant_id: String::new(),
                ..disabled(&hers, true)
            },
            "tenant_id: FIELD_REQUIRED",
        ),
    ] {
        let (_, reason) = refusal.split_once(": ").unwrap();
        let told = refused(update(&acme.admin, request).await);
        assert_eq!(told, format!("InvalidArgument {reason}\n  {refusal}"));
    }
    // Nothing of all this was written.
    let me = who_am_i(&alice.actor, pb::WhoAmIRequest {}).await.unwrap();
    assert_eq!(me.token.unwrap().etag, "1");
}

async fn a_webhooks_token_is_changed_only_when_named(backend: Backend) {
    use pb::TokenKind::{Api, Unspecified, Webhook};
    let t = TestServer::start(backend).await;
    let (acme, _) = acme_and_alice(&t).await;
    let hook = pb::CreateTokenRequest {
        kind: Webhook.into(),
        ..wanted("hook", &["read"])
    };
    let hook = id(&acme.admin.create(hook).await);
    for (kind, found) in [(Unspecified, false), (Api, false), (Webhook, true)] {
        let request = pb::UpdateTokenRequest {
            kind: kind.into(),
            ..disabled(&hook, true)
        };
        assert_eq!(
            update(&acme.admin, request).await.is_ok(),
            found,
            "{kind:?}"
        );
    }
    let wrong = pb::UpdateTokenRequest {
        kind: Webhook.into(),
        ..scopes(&hook, &["authority:tokens.read"])
    };
    let reason = "SCOPE_FORBIDDEN_FOR_KIND";
    assert_eq!(
        refused(update(&acme.admin, wrong).await),
        format!("InvalidArgument {reason}\n  scopes[0]: {reason}")
    );
}
