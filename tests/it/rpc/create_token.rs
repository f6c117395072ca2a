//! `TokenService/CreateToken`: the answer, for whom, and which kinds.

use token_authority::domain::base62;
use token_authority::pb;

use crate::support::tokens::{
    checked, get, id, list, number, question, remove_member, service, set_policy, strings,
    suspend_tenant, suspend_user, wanted, who_am_i,
};
use crate::support::{Backend, TestServer, both_backends, refused, self_service};

both_backends!(
    the_whole_answer_of_a_creation,
    a_value_has_its_tenants_prefix_and_is_shown_once,
    members_create_their_own_where_the_tenant_is_self_service,
    an_administrator_creates_for_members_and_not_for_other_administrators,
    an_operator_creates_for_anybody,
    nobody_creates_for_who_is_not_there_or_suspended,
    a_service_has_no_user_and_takes_the_whole_tenants_reach,
    the_reserved_tenant_holds_services_of_operators_alone,
    where_tokens_may_not_mint_only_operators_create,
);

const DENIED: &str = "PermissionDenied PERMISSION_DENIED";

/// Asks for a token that acts as a user.
fn for_user(user_id: &str, scopes: &[&str]) -> pb::CreateTokenRequest {
    pb::CreateTokenRequest {
        user_id: user_id.into(),
        ..wanted("on behalf", scopes)
    }
}

/// Names the tenant.
fn within(tenant_id: &str, request: pb::CreateTokenRequest) -> pb::CreateTokenRequest {
    pb::CreateTokenRequest {
        tenant_id: tenant_id.into(),
        ..request
    }
}

async fn the_whole_answer_of_a_creation(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let expiry = prost_types::Duration {
        seconds: 3600,
        nanos: 1_999_999,
    };
    let created = acme.admin.create(pb::CreateTokenRequest {
        profile: "editor".into(),
        kind: pb::TokenKind::Agent.into(),
        agent_id: "agent-7".into(),
        labels: [("team".into(), "search".into())].into(),
        expiry: Some(pb::create_token_request::Expiry::Ttl(expiry)),
        ..wanted("run 12", &["read", "authority:tokens.read"])
    });
    let created = created.await;
    insta::allow_duplicates! {
        insta::assert_debug_snapshot!(created, @r#"
        CreateTokenResponse {
            token: Some(
                Token {
                    token_id: "tok_0322SbK0OBIHK3MlLOkEHf",
                    tenant_id: "acme",
                    user_id: "usr_0322SbK0NuWtvJSCXALaIX",
                    kind: Agent,
                    name: "run 12",
                    hint: "acme_p07LTLlG",
                    state: Active,
                    scopes: [
                        "authority:tokens.read",
                        "read",
                        "write",
                    ],
                    effective_scopes: [
                        "authority:tokens.read",
                        "read",
                        "write",
                    ],
                    profile: "editor",
                    agent_id: "agent-7",
                    labels: {
                        "team": "search",
                    },
                    created_by: "tok_0322SbK0O4L9SpLRSS80fm",
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
                    expire_time: Some(
                        Timestamp {
                            seconds: 1767229200,
                            nanos: 1000000,
                        },
                    ),
                    revoke_time: None,
                    revoke_reason: Unspecified,
                    revoke_reason_text: "",
                    etag: "1",
                    rotate_time: None,
                    previous_values: [],
                    last_used_time: None,
                    last_used_by: "",
                    last_used_address: "",
                },
            ),
            value: "[redacted]",
            revision: "7MuGYCBLSp65szV8sDRrUE.6",
            settled: true,
        }
        "#);
    }
}

async fn a_value_has_its_tenants_prefix_and_is_shown_once(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let server = t.resource_server().await;
    let created = acme.admin.issue("laptop", &["read"]).await;
    let again = acme.admin.issue("laptop", &["read"]).await;
    assert!(created.settled);
    assert_eq!(number(&again.revision), number(&created.revision) + 1);
    for created in [&created, &again] {
        let (value, token) = (&created.value, created.token.as_ref().unwrap());
        let tail = value.strip_prefix("acme_").unwrap();
        assert_eq!((tail.len(), base62::is_base62(tail)), (61, true));
        assert_eq!(checked(&value[..value.len() - 6]), *value);
        assert_eq!(token.hint, value[.."acme_".len() + 8]);
        let digits = token.token_id.strip_prefix("tok_").unwrap();
        assert_eq!((digits.len(), base62::is_base62(digits)), (22, true));
    }
    assert_ne!(created.value, again.value);
    assert_ne!(id(&created), id(&again));

    // Neither the whole nor the secret, 43 characters before the check, is anywhere.
    let secret = &created.value[17..60];
    let named = pb::GetTokenRequest {
        tenant_id: "acme".into(),
        token_id: id(&created),
        ..Default::default()
    };
    let all = pb::ListTokensRequest {
        tenant_id: "acme".into(),
        ..Default::default()
    };
    let bearer = t.actor(&created.value);
    let asked = question("acme", &created.value);
    let told = [
        format!("{:?}", get(&acme.admin, named).await.unwrap()),
        format!("{:?}", list(&acme.admin, all).await.unwrap()),
        format!(
            "{:?}",
            who_am_i(&bearer, pb::WhoAmIRequest {}).await.unwrap()
        ),
        format!("{:?}", server.try_introspect(asked.clone()).await.unwrap()),
        format!("{:?}", acme.admin.revoke("acme", &id(&created)).await),
        format!("{created:?} {asked:?}"),
        t.logs.text(),
    ];
    for (at, told) in told.iter().enumerate() {
        assert!(!told.contains(secret), "{at}");
    }
}

async fn members_create_their_own_where_the_tenant_is_self_service(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let scopes = ["write", "authority:tokens.write"];
    let alice = t.member(&acme, "alice", &scopes).await;
    let bob = t
        .member(&acme, "bob", &["write", "authority:tokens.read"])
        .await;
    let token = alice.actor.issue("laptop", &scopes).await.token.unwrap();
    let hers = who_am_i(&alice.actor, pb::WhoAmIRequest {}).await.unwrap();
    assert_eq!(token.user_id, alice.user_id);
    assert_eq!(token.created_by, hers.token.unwrap().token_id);
    // To name oneself is no different.
    alice
        .actor
        .create(for_user(&alice.user_id, &["read"]))
        .await;
    for other in [
        &bob.user_id,
        &acme.admin_id,
        &format!("usr_{}", "0".repeat(22)),
    ] {
        assert_eq!(
            refused(alice.actor.try_create(for_user(other, &[])).await),
            DENIED
        );
    }
    // Without the scope it is denied whatever is asked, wrong or not.
    for request in [wanted("mine", &[]), wanted("", &["nothing"])] {
        assert_eq!(refused(bob.actor.try_create(request).await), DENIED);
    }
    assert_eq!(
        refused(t.nobody().try_create(wanted("mine", &[])).await),
        "Unauthenticated CALLER_UNAUTHENTICATED"
    );
    assert_eq!(
        refused(
            alice
                .actor
                .try_create(within("globex", wanted("mine", &[])))
                .await
        ),
        "NotFound TENANT_NOT_FOUND"
    );

    set_policy(&acme.admin, "acme", pb::TenantPolicy::default()).await;
    assert_eq!(
        refused(alice.actor.try_create(wanted("mine", &[])).await),
        DENIED
    );
    // Nor does an administrator's token manage its own by that scope.
    let small = t.token_of("acme", &acme.admin_id, &scopes).await;
    assert_eq!(refused(small.try_create(wanted("mine", &[])).await), DENIED);
    acme.admin.create(for_user(&alice.user_id, &["read"])).await;
}

async fn an_administrator_creates_for_members_and_not_for_other_administrators(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", pb::TenantPolicy::default()).await;
    let alice = t.member(&acme, "alice", &[]).await;
    let other = acme
        .admin
        .create_user("acme", "other", pb::Role::Admin)
        .await;
    let created = acme
        .admin
        .create(for_user(&alice.user_id, &["write"]))
        .await;
    let token = created.token.unwrap();
    assert_eq!(
        (token.user_id.as_str(), token.effective_scopes.len()),
        (alice.user_id.as_str(), 2)
    );
    let me = who_am_i(&acme.admin, pb::WhoAmIRequest {}).await.unwrap();
    assert_eq!(token.created_by, me.token.unwrap().token_id);

    assert_eq!(
        refused(acme.admin.try_create(for_user(&other, &[])).await),
        "PermissionDenied ON_BEHALF_OF_ADMIN"
    );
    // Nor does a service that administers act as one.
    let worker = service("acme", "worker", &["authority:tenant.admin"]);
    let worker = t.actor(&acme.admin.create(worker).await.value);
    assert_eq!(
        refused(worker.try_create(for_user(&acme.admin_id, &[])).await),
        "PermissionDenied ON_BEHALF_OF_ADMIN"
    );
    worker.create(for_user(&alice.user_id, &["write"])).await;
    assert_eq!(
        refused(worker.try_create(wanted("whose", &[])).await),
        "InvalidArgument FIELD_REQUIRED\n  user_id: FIELD_REQUIRED"
    );
    let allowing = pb::TenantPolicy {
        admins_act_for_admins: true,
        ..Default::default()
    };
    set_policy(&acme.admin, "acme", allowing).await;
    acme.admin.create(for_user(&other, &["admin"])).await;
    worker.create(for_user(&acme.admin_id, &["admin"])).await;
}

async fn an_operator_creates_for_anybody(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", pb::TenantPolicy::default()).await;
    let alice = t.member(&acme, "alice", &[]).await;
    let operator = t.operator();
    for user_id in [&acme.admin_id, &alice.user_id] {
        let request = within(
            "acme",
            for_user(user_id, &["write", "authority:introspect"]),
        );
        let token = operator.create(request).await.token.unwrap();
        assert_eq!(
            (token.tenant_id.as_str(), &token.user_id),
            ("acme", user_id)
        );
    }
    // It has no user itself, and `active` is its own tenant.
    for (request, refusal) in [
        (
            within("acme", wanted("whose", &[])),
            "user_id: FIELD_REQUIRED",
        ),
        (wanted("whose", &[]), "kind: ONLY_SERVICE"),
        (
            within("", wanted("where", &[])),
            "tenant_id: FIELD_REQUIRED",
        ),
        (
            within("-", wanted("where", &[])),
            "tenant_id: INVALID_TENANT_ID",
        ),
    ] {
        let (_, reason) = refusal.split_once(": ").unwrap();
        assert_eq!(
            refused(operator.try_create(request).await),
            format!("InvalidArgument {reason}\n  {refusal}")
        );
    }
    assert_eq!(
        refused(
            operator
                .try_create(within("nowhere", for_user(&alice.user_id, &[])))
                .await
        ),
        "NotFound TENANT_NOT_FOUND"
    );
}

async fn nobody_creates_for_who_is_not_there_or_suspended(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let globex = t.tenant("globex", self_service()).await;
    let alice = t.member(&acme, "alice", &[]).await;
    let gone = t.member(&acme, "gone", &[]).await;
    let stranger = t.member(&globex, "stranger", &[]).await;
    let operator = t.operator();
    remove_member(&acme.admin, "acme", &gone.user_id).await;
    suspend_user(&acme.admin, "acme", &alice.user_id).await;
    let nobodys = format!("usr_{}", "0".repeat(22));
    for actor in [&acme.admin, &operator] {
        for (user_id, refusal) in [
            (&gone.user_id, "NotFound USER_NOT_FOUND"),
            (&stranger.user_id, "NotFound USER_NOT_FOUND"),
            (&nobodys, "NotFound USER_NOT_FOUND"),
            (&alice.user_id, "FailedPrecondition USER_SUSPENDED"),
        ] {
            let request = within("acme", for_user(user_id, &[]));
            assert_eq!(refused(actor.try_create(request).await), refusal);
        }
    }
    suspend_tenant(&operator, "acme").await;
    for request in [
        within("acme", for_user(&acme.admin_id, &[])),
        service("acme", "worker", &[]),
    ] {
        assert_eq!(
            refused(operator.try_create(request).await),
            "FailedPrecondition TENANT_SUSPENDED"
        );
    }
}

async fn a_service_has_no_user_and_takes_the_whole_tenants_reach(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let alice = t
        .member(&acme, "alice", &["write", "authority:tokens.write"])
        .await;
    // No role limits it.
    let worker = service("acme", "worker", &["admin", "authority:tenant.admin"]);
    let created = acme.admin.create(worker.clone()).await;
    let token = created.token.clone().unwrap();
    assert_eq!(
        (token.user_id.as_str(), token.kind()),
        ("", pb::TokenKind::Service)
    );
    let whole = ["admin", "authority:tenant.admin", "read", "write"];
    assert_eq!(token.effective_scopes, whole);
    // One begets another.
    t.actor(&created.value).create(worker).await;

    assert_eq!(
        refused(
            alice
                .actor
                .try_create(service("acme", "worker", &["read"]))
                .await
        ),
        DENIED
    );
    let owned = pb::CreateTokenRequest {
        user_id: alice.user_id.clone(),
        ..service("acme", "worker", &[])
    };
    assert_eq!(
        refused(acme.admin.try_create(owned).await),
        "InvalidArgument USER_FOR_SERVICE\n  user_id: USER_FOR_SERVICE"
    );
    // Without a user, nothing is one's own.
    let lonely = service("acme", "lonely", &["authority:tokens.write"]);
    let lonely = t.actor(&acme.admin.create(lonely).await.value);
    for request in [
        service("acme", "worker", &[]),
        for_user(&alice.user_id, &[]),
    ] {
        assert_eq!(refused(lonely.try_create(request).await), DENIED);
    }
}

async fn the_reserved_tenant_holds_services_of_operators_alone(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let operator = t.operator();
    let created = operator
        .create(service("active", "second", &["authority:operator"]))
        .await;
    assert_eq!(created.token.unwrap().tenant_id, "authority");
    assert!(created.value.starts_with("ta_"));
    let second = t.actor(&created.value);
    second
        .create(service("authority", "third", &["authority:operator"]))
        .await;
    for kind in [
        pb::TokenKind::Api,
        pb::TokenKind::Agent,
        pb::TokenKind::Webhook,
    ] {
        let request = pb::CreateTokenRequest {
            kind: kind.into(),
            ..service("authority", "wrong", &[])
        };
        assert_eq!(
            refused(operator.try_create(request).await),
            "InvalidArgument ONLY_SERVICE\n  kind: ONLY_SERVICE"
        );
    }
    // Who is no operator makes none there, whatever else it holds.
    let scopes = [
        "authority:introspect",
        "authority:tenant.admin",
        "authority:tokens.write",
    ];
    let limited = operator
        .create(service("authority", "limited", &scopes))
        .await;
    let limited = t.actor(&limited.value);
    for request in [
        service("authority", "more", &["authority:introspect"]),
        service("active", "", &[]),
    ] {
        assert_eq!(refused(limited.try_create(request).await), DENIED);
    }
    for (actor, tenant_id) in [(&limited, "acme"), (&acme.admin, "authority")] {
        assert_eq!(
            refused(actor.try_create(service(tenant_id, "more", &[])).await),
            "NotFound TENANT_NOT_FOUND"
        );
    }
}

async fn where_tokens_may_not_mint_only_operators_create(backend: Backend) {
    let t = TestServer::start(backend).await;
    let policy = pb::TenantPolicy {
        tokens_may_not_mint: true,
        ..self_service()
    };
    let acme = t.tenant("acme", policy).await;
    let alice = t.member(&acme, "alice", &["authority:tokens.write"]).await;
    for request in [
        wanted("mine", &[]),
        service("acme", "worker", &[]),
        wanted("", &["nothing"]),
    ] {
        assert_eq!(
            refused(acme.admin.try_create(request).await),
            "PermissionDenied TOKEN_MAY_NOT_MINT"
        );
    }
    assert_eq!(
        refused(alice.actor.try_create(wanted("mine", &[])).await),
        "PermissionDenied TOKEN_MAY_NOT_MINT"
    );
    let request = within("acme", for_user(&alice.user_id, &["read"]));
    let created = t.operator().create(request).await;
    assert_eq!(created.token.unwrap().scopes, strings(&["read"]));
}
