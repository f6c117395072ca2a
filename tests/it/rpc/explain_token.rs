//! `TokenService/ExplainToken`.

use std::time::Duration;

use token_authority::pb;
use token_authority::pb::explain_token_request::Subject;

use crate::support::tokens::{
    altered, at, checked, delete_user, disabled, explain, get, id, remove_member, service,
    set_role, strings, suspend_tenant, suspend_user, ttl, update, wanted,
};
use crate::support::{Actor, Backend, TestServer, both_backends, refused, self_service};

both_backends!(
    each_scope_says_where_it_comes_from,
    what_is_dead_says_why,
    a_value_says_where_it_is_in_its_life,
    what_is_out_of_reach_is_as_unknown_as_what_nobody_was_given,
    a_webhooks_is_explained_only_where_its_kind_is_named,
    what_is_wrong_is_said_all_at_once,
    who_may_not_read_tokens_is_refused,
);

/// Asks about a token of the caller's tenant.
fn by_id(token_id: &str) -> pb::ExplainTokenRequest {
    pb::ExplainTokenRequest {
        tenant_id: "active".into(),
        subject: Some(Subject::TokenId(token_id.into())),
        ..Default::default()
    }
}

/// Asks about a value of the caller's tenant.
fn by_value(value: &str) -> pb::ExplainTokenRequest {
    pb::ExplainTokenRequest {
        subject: Some(Subject::Value(value.into())),
        ..by_id("")
    }
}

/// Asks by id and by value, and returns why it is inactive, which is the same.
async fn why(actor: &Actor, tenant_id: &str, token_id: &str, value: &str) -> pb::InactiveReason {
    let mut reasons = Vec::new();
    for request in [by_id(token_id), by_value(value)] {
        let request = pb::ExplainTokenRequest {
            tenant_id: tenant_id.into(),
            ..request
        };
        let answer = explain(actor, request).await.unwrap();
        let reason = answer.reason();
        assert_eq!(answer.active, reason == pb::InactiveReason::Unspecified);
        assert_eq!(answer.token.unwrap().token_id, token_id);
        reasons.push(reason);
    }
    assert_eq!(reasons[0], reasons[1]);
    reasons[0]
}

async fn each_scope_says_where_it_comes_from(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let user_id = t.member(&acme, "alice", &[]).await.user_id;
    let created = acme.admin.create(pb::CreateTokenRequest {
        user_id,
        profile: "editor".into(),
        ..wanted("laptop", &[])
    });
    let created = created.await;
    let request = pb::ExplainTokenRequest {
        required_scopes: strings(&["read", "admin", "typo"]),
        ..by_value(&format!(" bearer {}", created.value))
    };
    let answer = explain(&acme.admin, request.clone()).await.unwrap();
    let scope = |name: &str| pb::ScopeExplanation {
        name: name.into(),
        ..Default::default()
    };
    assert_eq!(
        answer.scopes,
        [
            pb::ScopeExplanation {
                withheld: pb::ScopeWithheld::NotGranted.into(),
                ..scope("admin")
            },
            pb::ScopeExplanation {
                effective: true,
                implied_by: strings(&["write"]),
                ..scope("read")
            },
            pb::ScopeExplanation {
                withheld: pb::ScopeWithheld::NotInCatalog.into(),
                ..scope("typo")
            },
            pb::ScopeExplanation {
                effective: true,
                granted: true,
                profile: "editor".into(),
                ..scope("write")
            },
        ]
    );
    assert_eq!(answer.missing_scopes, ["admin", "typo"]);
    assert!(answer.active);
    assert_eq!(answer.reason(), pb::InactiveReason::Unspecified);
    assert_eq!(answer.value_state(), pb::ValueState::Current);
    assert_eq!(answer.value_end_time, None);
    assert_eq!(answer.revision, created.revision);
    assert_eq!(answer.evaluate_time, Some(at(0)));
    // The record is the one that GetToken shows.
    let named = pb::GetTokenRequest {
        tenant_id: "acme".into(),
        token_id: id(&created),
        ..Default::default()
    };
    assert_eq!(answer.token, get(&acme.admin, named).await.unwrap().token);

    // By id the same, but for the value.
    let request = pb::ExplainTokenRequest {
        required_scopes: request.required_scopes,
        ..by_id(&id(&created))
    };
    let same = explain(&acme.admin, request).await.unwrap();
    assert_eq!(same.value_state(), pb::ValueState::Unspecified);
    assert_eq!((same.scopes, same.token), (answer.scopes, answer.token));

    // What an administrator's demotion withholds.
    let boss = acme.admin.issue("boss", &["admin"]).await;
    let operator = t.operator();
    let second = operator.create_user("acme", "second", pb::Role::Admin);
    let second = t
        .token_of("acme", &second.await, &["authority:tenant.admin"])
        .await;
    set_role(&second, "acme", &acme.admin_id, pb::Role::Member).await;
    let answer = explain(&second, by_id(&id(&boss))).await.unwrap();
    assert_eq!(
        answer.scopes[0],
        pb::ScopeExplanation {
            granted: true,
            withheld: pb::ScopeWithheld::NeedsAdminRole.into(),
            ..scope("admin")
        }
    );
    let rest: Vec<_> = answer.scopes.iter().map(|scope| scope.effective).collect();
    assert_eq!(rest, [false, true, true]);
    assert_eq!(answer.missing_scopes, [""; 0]);
}

async fn what_is_dead_says_why(backend: Backend) {
    use pb::InactiveReason::{
        Disabled, Expired, OwnerDeleted, OwnerLeft, OwnerSuspended, Revoked, TenantSuspended,
        Unspecified,
    };
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let server = t.resource_server().await;
    let admin = &acme.admin;
    let create = async |name: &str, user_id: &str| {
        let request = pb::CreateTokenRequest {
            user_id: user_id.into(),
            expiry: ttl(if name == "brief" { 1 } else { 1000 }),
            ..wanted(name, &["read"])
        };
        let created = admin.create(request).await;
        (id(&created), created.value)
    };
    let good = create("good", "").await;
    let brief = create("brief", "").await;
    let off = create("off", "").await;
    update(admin, disabled(&off.0, true)).await.unwrap();
    let revoked = create("revoked", "").await;
    admin.revoke("acme", &revoked.0).await;
    let mut users = Vec::new();
    for name in ["suspended", "removed", "left"] {
        let user_id = t.member(&acme, name, &[]).await.user_id;
        users.push((create(name, &user_id).await, user_id));
    }
    suspend_user(admin, "acme", &users[0].1).await;
    remove_member(admin, "acme", &users[1].1).await;
    // No member any more, though no epoch was made of it; and one that is deleted.
    let left = "UPDATE memberships SET removed_at = 1 WHERE user_id =
                (SELECT user_id FROM users WHERE external_id = 'left')";
    t.database.execute(left).await;
    let (gone, gone_id) = {
        let user_id = t.member(&acme, "gone", &[]).await.user_id;
        (create("gone", &user_id).await, user_id)
    };
    delete_user(admin, "acme", &gone_id).await;
    t.advance(Duration::from_secs(1));
    for ((token_id, value), expected) in [
        (&good, Unspecified),
        (&brief, Expired),
        (&off, Disabled),
        (&revoked, Revoked),
        (&users[0].0, OwnerSuspended),
        (&users[1].0, Revoked),
        (&users[2].0, OwnerLeft),
        (&gone, OwnerDeleted),
    ] {
        assert_eq!(why(admin, "acme", token_id, value).await, expected);
        // And so says who introspects.
        let answer = server.introspect("acme", value).await;
        assert_eq!(answer.active, expected == Unspecified);
    }
    suspend_tenant(&t.operator(), "acme").await;
    let told = why(&t.operator(), "acme", &good.0, &good.1).await;
    assert_eq!(told, TenantSuspended);
}

async fn a_value_says_where_it_is_in_its_life(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let created = acme.admin.issue("laptop", &["read"]).await;
    let hint = created.token.as_ref().unwrap().hint.clone();
    t.database
        .execute(&format!(
            "UPDATE secrets SET ends_at = 1767225605000 WHERE hint = '{hint}'"
        ))
        .await;
    let answer = explain(&acme.admin, by_value(&created.value))
        .await
        .unwrap();
    assert!(answer.active);
    assert_eq!(answer.value_state(), pb::ValueState::InGrace);
    assert_eq!(answer.value_end_time, Some(at(5)));
    t.advance(Duration::from_secs(5));
    let answer = explain(&acme.admin, by_value(&created.value))
        .await
        .unwrap();
    assert!(!answer.active);
    assert_eq!(answer.reason(), pb::InactiveReason::ValueEnded);
    assert_eq!(answer.value_state(), pb::ValueState::Ended);
    assert_eq!(answer.value_end_time, Some(at(5)));
    assert_eq!(answer.token.unwrap().state(), pb::TokenState::Active);
    assert_eq!(answer.scopes.len(), 1);
}

async fn what_is_out_of_reach_is_as_unknown_as_what_nobody_was_given(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let globex = t.tenant("globex", self_service()).await;
    let reader = t.member(&acme, "bob", &["authority:tokens.read"]).await;
    let own = t.token_of("acme", &reader.user_id, &["read"]).await;
    let good = acme.admin.issue("good", &["read"]).await;
    let worker = acme.admin.create(service("acme", "worker", &[])).await;
    let abroad = globex.admin.issue("abroad", &["read"]).await;
    let other_prefix = good.value[..good.value.len() - 6].replace("acme_", "globex_");

    let told = async |actor: &Actor, value: &str| {
        let request = pb::ExplainTokenRequest {
            required_scopes: strings(&["read", "typo"]),
            ..by_value(value)
        };
        let mut answer = explain(actor, request).await.unwrap();
        answer.revision.clear();
        answer
    };
    let nothing = |reason: pb::InactiveReason| pb::ExplainTokenResponse {
        reason: reason.into(),
        evaluate_time: Some(at(0)),
        ..Default::default()
    };
    for (actor, value) in [
        // No such lookup, a wrong secret, another tenant's, another user's, nobody's.
        (&acme.admin, &checked(&altered(&good.value, "acme_", 3))),
        (&acme.admin, &checked(&altered(&good.value, "acme_", 20))),
        (&acme.admin, &abroad.value),
        (&globex.admin, &good.value),
        (&reader.actor, &good.value),
        (&reader.actor, &worker.value),
        (&reader.actor, &checked(&altered(own.value(), "acme_", 20))),
    ] {
        let answer = told(actor, value).await;
        assert_eq!(answer, nothing(pb::InactiveReason::Unknown), "{value}");
    }
    for value in ["", "nonsense", &altered(&good.value, "acme_", 20)] {
        let answer = told(&acme.admin, value).await;
        assert_eq!(answer, nothing(pb::InactiveReason::Malformed), "{value}");
    }
    // The right secret under another tenant's prefix is known for what it is.
    let answer = told(&acme.admin, &checked(&other_prefix)).await;
    assert_eq!(answer.reason(), pb::InactiveReason::WrongPrefix);
    assert!(!answer.active);

    // One's own is explained to who reads its own; by id, others are not there.
    assert!(told(&reader.actor, own.value()).await.active);
    for token_id in [&id(&good), &id(&worker), &id(&abroad)] {
        assert_eq!(
            refused(explain(&reader.actor, by_id(token_id)).await),
            "NotFound TOKEN_NOT_FOUND"
        );
    }
}

async fn a_webhooks_is_explained_only_where_its_kind_is_named(backend: Backend) {
    use pb::TokenKind::{Api, Unspecified, Webhook};
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let hook = acme.admin.create(pb::CreateTokenRequest {
        kind: Webhook.into(),
        ..wanted("hook", &["read"])
    });
    let hook = hook.await;
    for kind in [Unspecified, Api, Webhook] {
        let of_kind = |request| pb::ExplainTokenRequest {
            kind: kind.into(),
            ..request
        };
        let value = explain(&acme.admin, of_kind(by_value(&hook.value))).await;
        let named = explain(&acme.admin, of_kind(by_id(&id(&hook)))).await;
        if kind == Webhook {
            assert!(value.unwrap().active && named.unwrap().active);
        } else {
            assert_eq!(value.unwrap().reason(), pb::InactiveReason::Unknown);
            assert_eq!(refused(named), "NotFound TOKEN_NOT_FOUND");
        }
    }
}

async fn what_is_wrong_is_said_all_at_once(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let request = pb::ExplainTokenRequest {
        kind: 99,
        required_scopes: strings(&["read", "not a scope"]),
        subject: None,
        ..by_id("")
    };
    assert_eq!(
        refused(explain(&acme.admin, request).await),
        "InvalidArgument UNKNOWN_ENUM_VALUE\n  kind: UNKNOWN_ENUM_VALUE\n  \
         subject: FIELD_REQUIRED\n  required_scopes[1]: INVALID_SCOPE"
    );
    for (token_id, reason) in [("", "FIELD_REQUIRED"), ("tok_", "INVALID_TOKEN_ID")] {
        let request = pb::ExplainTokenRequest {
            required_scopes: vec!["read".into(); 101],
            ..by_id(token_id)
        };
        assert_eq!(
            refused(explain(&acme.admin, request).await),
            format!(
                "InvalidArgument {reason}\n  token_id: {reason}\n  \
                 required_scopes: TOO_MANY_ITEMS"
            )
        );
    }
}

async fn who_may_not_read_tokens_is_refused(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let globex = t.tenant("globex", self_service()).await;
    let server = t.resource_server().await;
    let writer = t.member(&acme, "alice", &["authority:tokens.write"]).await;
    let denied = "PermissionDenied PERMISSION_DENIED";
    for (tenant_id, actor, expected) in [
        (
            "acme",
            &t.nobody(),
            "Unauthenticated CALLER_UNAUTHENTICATED",
        ),
        ("acme", &writer.actor, denied),
        ("acme", &globex.admin, "NotFound TENANT_NOT_FOUND"),
        ("authority", &server, denied),
    ] {
        for request in [by_value(acme.admin.value()), by_id("tok_")] {
            let request = pb::ExplainTokenRequest {
                tenant_id: tenant_id.into(),
                ..request
            };
            assert_eq!(refused(explain(actor, request).await), expected);
        }
    }
}
