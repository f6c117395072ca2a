//! `TenantService/UpdateTenant`.

mod prefix;

use std::time::Duration;

use token_authority::pb;

use crate::support::{
    Actor, Backend, TestServer, administrators_only, both_backends, guarded_by_etag, mask, message,
    outcome, refused, self_service,
};

both_backends!(
    a_mask_says_what_is_set,
    a_name_is_set_alone_and_a_star_sets_all,
    a_mask_that_says_nothing_or_nonsense_is_refused,
    the_rules_are_judged_as_they_would_be,
    a_change_builds_on_the_version_that_it_names,
    a_rule_binds_at_once,
    only_its_administrators_change_a_tenant,
);

fn seconds(seconds: i64) -> prost_types::Duration {
    prost_types::Duration { seconds, nanos: 0 }
}

async fn update(actor: &Actor, request: pb::UpdateTenantRequest) -> pb::Tenant {
    actor.update_tenant(request).await.unwrap().tenant.unwrap()
}

async fn get(actor: &Actor) -> pb::Tenant {
    let read = actor.get_tenant(message!(GetTenantRequest { tenant_id: "acme" }));
    read.await.unwrap().tenant.unwrap()
}

/// The policy that the tests begin with: nothing in it is a default.
fn full() -> pb::TenantPolicy {
    pb::TenantPolicy {
        token_management: pb::TokenManagement::SelfService.into(),
        expiry_required: true,
        default_ttl: Some(seconds(60)),
        max_ttl: Some(seconds(600)),
        max_tokens_per_user: 7,
        unique_names: true,
        tokens_may_not_mint: false,
        admins_act_for_admins: true,
        max_grace: Some(seconds(3600)),
        self_rotation: true,
        retention: Some(seconds(864_000)),
        oidc_trust: Some(trust("https://id.example")),
        // There is none that could be admitted.
        admitted_trusts: Vec::new(),
    }
}

fn trust(issuer: &str) -> pb::OidcTrust {
    pb::OidcTrust {
        issuer: issuer.into(),
        audience: "account".into(),
        jwks_url: format!("{issuer}/keys"),
        user_claim: "sub".into(),
        ..Default::default()
    }
}

/// What every default makes.
fn empty() -> pb::TenantPolicy {
    pb::TenantPolicy {
        token_management: pb::TokenManagement::AdminsOnly.into(),
        ..Default::default()
    }
}

/// Changes one thing of a policy.
type Change = fn(&mut pb::TenantPolicy);

/// Another than [`full`] in each field.
fn other() -> pb::TenantPolicy {
    pb::TenantPolicy {
        token_management: pb::TokenManagement::AdminsOnly.into(),
        expiry_required: false,
        default_ttl: Some(seconds(30)),
        max_ttl: Some(seconds(300)),
        max_tokens_per_user: 9,
        unique_names: false,
        tokens_may_not_mint: true,
        admins_act_for_admins: false,
        max_grace: Some(seconds(0)),
        self_rotation: false,
        retention: Some(seconds(86_400)),
        oidc_trust: Some(trust("https://other.example")),
        admitted_trusts: Vec::new(),
    }
}

async fn a_mask_says_what_is_set(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", full()).await;
    // By an operator, whom no rule of the tenant's binds meanwhile.
    let operator = t.operator();
    let check = async |paths: &[&str], given: Option<pb::TenantPolicy>, expected| {
        let request = pb::UpdateTenantRequest {
            update_mask: (!paths.is_empty()).then(|| mask(paths)),
            policy: given,
            ..message!(UpdateTenantRequest { tenant_id: "acme" })
        };
        let changed = update(&operator, request).await;
        assert_eq!(changed.policy, Some(expected), "{paths:?}");
        assert_eq!(changed.display_name, "acme");
        assert_eq!(get(&acme.admin).await, changed);
        let restore = message!(UpdateTenantRequest {
            tenant_id: "acme",
            policy: full(),
            update_mask: mask(&["policy"]),
        });
        assert_eq!(update(&operator, restore).await.policy, Some(full()));
    };
    let each: [(&str, Change); 12] = [
        ("token_management", |policy| policy.token_management = 1),
        ("expiry_required", |policy| policy.expiry_required = false),
        ("default_ttl", |policy| {
            policy.default_ttl = Some(seconds(30));
        }),
        ("max_ttl", |policy| policy.max_ttl = Some(seconds(300))),
        ("max_tokens_per_user", |policy| {
            policy.max_tokens_per_user = 9;
        }),
        ("unique_names", |policy| policy.unique_names = false),
        ("tokens_may_not_mint", |policy| {
            policy.tokens_may_not_mint = true;
        }),
        ("admins_act_for_admins", |policy| {
            policy.admins_act_for_admins = false;
        }),
        ("max_grace", |policy| policy.max_grace = Some(seconds(0))),
        ("self_rotation", |policy| policy.self_rotation = false),
        ("retention", |policy| {
            policy.retention = Some(seconds(86_400));
        }),
        ("oidc_trust", |policy| {
            policy.oidc_trust = Some(trust("https://other.example"));
        }),
    ];
    let changed = |from: pb::TenantPolicy, change: Change| {
        let mut policy = from;
        change(&mut policy);
        policy
    };
    for (field, change) in each {
        check(
            &[&format!("policy.{field}")],
            Some(other()),
            changed(full(), change),
        )
        .await;
    }
    let cleared = changed(full(), |policy| {
        (policy.max_ttl, policy.unique_names) = (None, false);
    });
    check(&["policy.max_ttl", "policy.unique_names"], None, cleared).await;
    check(&["policy"], Some(other()), other()).await;
    check(&["policy"], None, empty()).await;
    let brief: Change = |policy| policy.max_ttl = Some(seconds(100));
    let given = changed(pb::TenantPolicy::default(), brief);
    check(
        &["policy", "policy.max_ttl"],
        Some(given.clone()),
        changed(empty(), brief),
    )
    .await;
    // Without a mask, what is not empty.
    check(&[], Some(given), changed(full(), brief)).await;
    let populated = pb::TenantPolicy {
        expiry_required: true,
        unique_names: true,
        admins_act_for_admins: true,
        self_rotation: true,
        ..other()
    };
    check(&[], Some(other()), populated).await;
}

async fn a_name_is_set_alone_and_a_star_sets_all(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", full()).await;
    // By an administrator, whatever else the message holds.
    t.advance(Duration::from_secs(9));
    let before = get(&acme.admin).await;
    let renamed = update(
        &acme.admin,
        message!(UpdateTenantRequest {
            tenant_id: "active",
            update_mask: mask(&["display_name"]),
            display_name: "Acme, Inc.",
            token_prefix: "other_",
            policy: other(),
        }),
    );
    let renamed = renamed.await;
    let expected = pb::Tenant {
        display_name: "Acme, Inc.".into(),
        update_time: renamed.update_time,
        etag: renamed.etag.clone(),
        ..before.clone()
    };
    assert_eq!(renamed, expected);
    assert_eq!(
        renamed.update_time.unwrap().seconds - before.update_time.unwrap().seconds,
        9
    );

    // `*` is all of them, the prefix too, and takes what is absent as empty.
    let all = message!(UpdateTenantRequest {
        tenant_id: "acme",
        update_mask: mask(&["*"]),
        display_name: "A",
        token_prefix: "acme_",
    });
    let changed = update(&t.operator(), all).await;
    assert_eq!(
        (changed.display_name.as_str(), changed.policy),
        ("A", Some(empty()))
    );
}

async fn a_mask_that_says_nothing_or_nonsense_is_refused(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", full()).await;
    let before = get(&acme.admin).await;
    let operator = t.operator();
    let cases: [(&[&str], &str); 5] = [
        (&[], "EMPTY_MASK\n  update_mask: EMPTY_MASK"),
        (
            &["tenant_id", "display_name", "", "policy.nothing", "etag"],
            "INVALID_MASK\n  update_mask.paths[0]: INVALID_MASK\n  update_mask.paths[2]: INVALID_MASK\n  update_mask.paths[3]: INVALID_MASK\n  update_mask.paths[4]: INVALID_MASK\n  display_name: INVALID_NAME",
        ),
        (
            &["*"],
            "INVALID_NAME\n  display_name: INVALID_NAME\n  token_prefix: FIELD_REQUIRED",
        ),
        (
            &["token_prefix"],
            "FIELD_REQUIRED\n  token_prefix: FIELD_REQUIRED",
        ),
        (
            &["policy.max_ttl.seconds"],
            "INVALID_MASK\n  update_mask.paths[0]: INVALID_MASK",
        ),
    ];
    for (paths, expected) in cases {
        let request = message!(UpdateTenantRequest {
            tenant_id: "acme",
            update_mask: mask(paths)
        });
        let refusal = refused(operator.update_tenant(request).await);
        assert_eq!(refusal, format!("InvalidArgument {expected}"), "{paths:?}");
    }
    assert_eq!(get(&acme.admin).await, before);
}

async fn the_rules_are_judged_as_they_would_be(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", full()).await;
    let before = get(&acme.admin).await;
    let too_long = "TTL_TOO_LONG\n  policy.default_ttl: TTL_TOO_LONG";
    let cases = [
        (
            pb::TenantPolicy {
                default_ttl: Some(seconds(601)),
                ..Default::default()
            },
            "",
            too_long,
        ),
        (
            pb::TenantPolicy {
                max_ttl: Some(seconds(59)),
                ..Default::default()
            },
            "",
            too_long,
        ),
        (
            pb::TenantPolicy {
                max_tokens_per_user: -1,
                token_management: 3,
                default_ttl: Some(seconds(0)),
                ..Default::default()
            },
            &"x".repeat(101),
            "UNKNOWN_ENUM_VALUE\n  policy.token_management: UNKNOWN_ENUM_VALUE\n  policy.default_ttl: INVALID_DURATION\n  policy.max_tokens_per_user: OUT_OF_RANGE\n  display_name: FIELD_TOO_LONG",
        ),
    ];
    for (policy, display_name, expected) in cases {
        let request = message!(UpdateTenantRequest {
            tenant_id: "active",
            display_name: display_name,
            policy: policy,
        });
        let refusal = refused(acme.admin.update_tenant(request).await);
        assert_eq!(refusal, format!("InvalidArgument {expected}"));
    }
    // What the mask does not name is not judged.
    let request = message!(UpdateTenantRequest {
        tenant_id: "active",
        update_mask: mask(&["policy.unique_names"]),
        display_name: "x".repeat(101),
        policy: pb::TenantPolicy {
            token_management: 9,
            unique_names: true,
            ..Default::default()
        },
    });
    assert_eq!(update(&acme.admin, request).await.policy, before.policy);
}

async fn a_change_builds_on_the_version_that_it_names(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", full()).await;
    let server = t.resource_server().await;
    let before = get(&acme.admin).await;
    guarded_by_etag(&before.etag, async |etag| {
        let request = message!(UpdateTenantRequest {
            tenant_id: "acme",
            etag: etag,
            display_name: "A"
        });
        outcome(acme.admin.update_tenant(request).await)
    })
    .await;
    let after = get(&acme.admin).await;
    assert_ne!(after.etag, before.etag);
    // Using tokens leaves the record alone.
    server.introspect("acme", acme.admin.value()).await;
    assert_eq!(get(&acme.admin).await, after);

    // A name is in no answer to an introspection: it takes no number. A rule does.
    let at = server.introspect("acme", "x").await.revision;
    let name = message!(UpdateTenantRequest {
        tenant_id: "acme",
        display_name: "B"
    });
    assert_eq!(acme.admin.update_tenant(name).await.unwrap().revision, at);
    let rule = message!(UpdateTenantRequest {
        tenant_id: "acme",
        policy: pb::TenantPolicy {
            max_tokens_per_user: 8,
            ..Default::default()
        }
    });
    let changed = acme.admin.update_tenant(rule).await.unwrap();
    assert_ne!(changed.revision, at);
    let request = message!(IntrospectRequest {
        token: acme.admin.value(),
        tenant_id: "acme",
        min_revision: changed.revision,
    });
    assert!(server.try_introspect(request).await.unwrap().active);
}

async fn a_rule_binds_at_once(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let alice = t
        .member(&acme, "alice", &["write", "authority:tokens.write"])
        .await;
    alice.actor.issue("before", &["read"]).await;
    let create = |name: &str| {
        message!(CreateTokenRequest {
            tenant_id: "active",
            name: name
        })
    };
    let cases = [
        ("policy.unique_names", "before", "AlreadyExists NAME_TAKEN"),
        (
            "policy.max_tokens_per_user",
            "x",
            "ResourceExhausted TOKEN_LIMIT",
        ),
        (
            "policy.expiry_required",
            "x",
            "InvalidArgument EXPIRY_REQUIRED\n  expire_time: EXPIRY_REQUIRED",
        ),
        (
            "policy.tokens_may_not_mint",
            "x",
            "PermissionDenied TOKEN_MAY_NOT_MINT",
        ),
        (
            "policy.token_management",
            "x",
            "PermissionDenied PERMISSION_DENIED",
        ),
    ];
    for (path, name, expected) in cases {
        let policy = pb::TenantPolicy {
            token_management: pb::TokenManagement::AdminsOnly.into(),
            expiry_required: true,
            max_tokens_per_user: 2,
            unique_names: true,
            tokens_may_not_mint: true,
            ..Default::default()
        };
        let set = message!(UpdateTenantRequest {
            tenant_id: "acme",
            update_mask: mask(&[path]),
            policy: policy
        });
        update(&acme.admin, set).await;
        assert_eq!(
            refused(alice.actor.try_create(create(name)).await),
            expected
        );
        let reset = message!(UpdateTenantRequest {
            tenant_id: "acme",
            update_mask: mask(&["policy"]),
            policy: self_service()
        });
        update(&acme.admin, reset).await;
    }
    alice.actor.try_create(create("before")).await.unwrap();
}

async fn only_its_administrators_change_a_tenant(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    administrators_only(&t, &acme, async |caller| {
        let request = message!(UpdateTenantRequest {
            tenant_id: "acme",
            display_name: "x"
        });
        refused(caller.update_tenant(request).await)
    })
    .await;
    let request = |tenant_id: &str| {
        message!(UpdateTenantRequest {
            tenant_id: tenant_id,
            display_name: "x"
        })
    };
    let reserved = "FailedPrecondition RESERVED_TENANT";
    for name in ["authority", "active"] {
        assert_eq!(
            refused(t.operator().update_tenant(request(name)).await),
            reserved
        );
    }
    let server = t.resource_server().await;
    let denied = "PermissionDenied PERMISSION_DENIED";
    assert_eq!(
        refused(server.update_tenant(request("active")).await),
        denied
    );
    let hidden = "NotFound TENANT_NOT_FOUND";
    assert_eq!(
        refused(acme.admin.update_tenant(request("authority")).await),
        hidden
    );
    assert_eq!(
        refused(t.operator().update_tenant(request("nowhere")).await),
        hidden
    );
}
