//! `TenantService/CreateTenant`.

use std::time::Duration;

use token_authority::pb;

use crate::support::{Backend, TestServer, both_backends, message, outcome, refused, self_service};

both_backends!(
    the_whole_answer_of_a_tenant_with_every_default,
    every_rule_of_the_policy_is_kept,
    an_id_is_well_formed_and_not_reserved,
    no_prefix_begins_another_and_none_is_reserved,
    neither_id_nor_prefix_is_used_again,
    what_is_wrong_is_said_all_at_once,
    only_operators_create_tenants,
);

fn request(tenant_id: &str, token_prefix: &str) -> pb::CreateTenantRequest {
    message!(CreateTenantRequest {
        tenant_id: tenant_id,
        token_prefix: token_prefix,
    })
}

fn seconds(seconds: i64) -> prost_types::Duration {
    prost_types::Duration { seconds, nanos: 0 }
}

async fn the_whole_answer_of_a_tenant_with_every_default(backend: Backend) {
    let t = TestServer::start(backend).await;
    let operator = t.operator();
    let created = operator
        .create_tenant(request("acme", "ac_"))
        .await
        .unwrap();
    insta::allow_duplicates! {
        insta::assert_debug_snapshot!(created, @r#"
        CreateTenantResponse {
            tenant: Some(
                Tenant {
                    tenant_id: "acme",
                    display_name: "acme",
                    state: Active,
                    token_prefix: "ac_",
                    policy: Some(
                        TenantPolicy {
                            token_management: AdminsOnly,
                            expiry_required: false,
                            default_ttl: None,
                            max_ttl: None,
                            max_tokens_per_user: 0,
                            unique_names: false,
                            tokens_may_not_mint: false,
                            admins_act_for_admins: false,
                            max_grace: None,
                            self_rotation: false,
                            retention: None,
                            oidc_trust: None,
                            admitted_trusts: [],
                        },
                    ),
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
            revision: "7MuGYCBLSp65szV8sDRrUE.2",
        }
        "#);
    }
    let read = operator.get_tenant(message!(GetTenantRequest { tenant_id: "acme" }));
    assert_eq!(read.await.unwrap().tenant, created.tenant);

    let named = message!(CreateTenantRequest {
        tenant_id: "b-2",
        display_name: "ä".repeat(100),
        token_prefix: "oi_pat_",
    });
    let named = operator.create_tenant(named).await.unwrap().tenant.unwrap();
    assert_eq!(named.display_name, "ä".repeat(100));
}

async fn every_rule_of_the_policy_is_kept(backend: Backend) {
    let t = TestServer::start(backend).await;
    let operator = t.operator();
    let policy = pb::TenantPolicy {
        token_management: pb::TokenManagement::SelfService.into(),
        expiry_required: true,
        default_ttl: Some(prost_types::Duration {
            seconds: 1,
            nanos: 5_000_000,
        }),
        max_ttl: Some(seconds(3653 * 24 * 60 * 60)),
        max_tokens_per_user: 1_000_000,
        unique_names: true,
        tokens_may_not_mint: true,
        admins_act_for_admins: true,
        max_grace: Some(seconds(30 * 24 * 60 * 60)),
        self_rotation: true,
        retention: Some(seconds(3650 * 24 * 60 * 60)),
        ..Default::default()
    };
    // Each alone, so that none stands in for another.
    let each = [
        pb::TenantPolicy {
            token_management: 2,
            ..Default::default()
        },
        pb::TenantPolicy {
            expiry_required: true,
            ..Default::default()
        },
        pb::TenantPolicy {
            default_ttl: policy.default_ttl,
            ..Default::default()
        },
        pb::TenantPolicy {
            max_ttl: Some(seconds(1)),
            ..Default::default()
        },
        pb::TenantPolicy {
            max_tokens_per_user: 1,
            ..Default::default()
        },
        pb::TenantPolicy {
            unique_names: true,
            ..Default::default()
        },
        pb::TenantPolicy {
            tokens_may_not_mint: true,
            ..Default::default()
        },
        pb::TenantPolicy {
            admins_act_for_admins: true,
            ..Default::default()
        },
        pb::TenantPolicy {
            max_grace: Some(seconds(0)),
            ..Default::default()
        },
        pb::TenantPolicy {
            self_rotation: true,
            ..Default::default()
        },
        pb::TenantPolicy {
            retention: Some(seconds(24 * 60 * 60)),
            ..Default::default()
        },
        policy,
    ];
    for (at, policy) in each.into_iter().enumerate() {
        let tenant_id = format!("acme-{at}");
        let request = pb::CreateTenantRequest {
            policy: Some(policy.clone()),
            ..request(&tenant_id, &format!("a{at}_"))
        };
        let created = operator
            .create_tenant(request)
            .await
            .unwrap()
            .tenant
            .unwrap();
        let management = policy.token_management.max(1);
        let expected = pb::TenantPolicy {
            token_management: management,
            ..policy
        };
        assert_eq!(created.policy, Some(expected));
        let read = operator.get_tenant(message!(GetTenantRequest {
            tenant_id: tenant_id
        }));
        assert_eq!(read.await.unwrap().tenant, Some(created));
    }
}

async fn an_id_is_well_formed_and_not_reserved(backend: Backend) {
    let t = TestServer::start(backend).await;
    let operator = t.operator();
    let (longest, too_long) = ("a".repeat(63), "a".repeat(64));
    let invalid = "InvalidArgument INVALID_TENANT_ID\n  tenant_id: INVALID_TENANT_ID";
    let reserved = "InvalidArgument RESERVED_TENANT_ID\n  tenant_id: RESERVED_TENANT_ID";
    let cases = [
        ("abc", None),
        ("a-1", None),
        ("activ", None),
        ("active2", None),
        ("author", None),
        (&longest, None),
        (
            "",
            Some("InvalidArgument FIELD_REQUIRED\n  tenant_id: FIELD_REQUIRED"),
        ),
        ("-", Some(invalid)),
        ("ab", Some(invalid)),
        ("1ab", Some(invalid)),
        ("-ab", Some(invalid)),
        ("ab-", Some(invalid)),
        ("aBc", Some(invalid)),
        ("a_b", Some(invalid)),
        ("a\0b", Some(invalid)),
        ("äbc", Some(invalid)),
        (&too_long, Some(invalid)),
        (&"a".repeat(101), Some(invalid)),
        ("active", Some(reserved)),
        ("authority", Some(reserved)),
        ("authority-2", Some(reserved)),
        ("authorityx", Some(reserved)),
    ];
    for (at, (tenant_id, expected)) in cases.into_iter().enumerate() {
        let made = operator
            .create_tenant(request(tenant_id, &format!("p{at}_")))
            .await;
        assert_eq!(outcome(made).as_deref(), expected, "{tenant_id:?}");
    }
}

async fn no_prefix_begins_another_and_none_is_reserved(backend: Backend) {
    let t = TestServer::start(backend).await;
    let operator = t.operator();
    let field = |reason| {
        Some(format!(
            "InvalidArgument {reason}\n  token_prefix: {reason}"
        ))
    };
    let invalid = field("INVALID_PREFIX");
    let reserved = field("RESERVED_PREFIX");
    let taken = Some("AlreadyExists PREFIX_TAKEN".to_owned());
    let cases = [
        ("ody_", None),
        ("sk-", None),
        ("oi_pat_", None),
        ("a234567890_-345_", None),
        ("t_", None),
        ("ta-", None),
        ("", field("FIELD_REQUIRED")),
        ("_", invalid.clone()),
        ("x", invalid.clone()),
        ("1x_", invalid.clone()),
        ("Xy_", invalid.clone()),
        ("x y_", invalid.clone()),
        ("b2345678901234567_", invalid.clone()),
        ("b23456789012345_", None),
        ("b234567890123456_", invalid),
        ("ta_", reserved.clone()),
        ("ta_x_", reserved.clone()),
        ("inv_", reserved.clone()),
        ("inv_x-", reserved),
        ("ody_", taken.clone()),
        ("ody_2_", taken.clone()),
        ("oi_", taken.clone()),
        ("sk-_", taken),
        ("od_", None),
        ("odyx_", None),
    ];
    for (at, (prefix, expected)) in cases.into_iter().enumerate() {
        let made = operator
            .create_tenant(request(&format!("acme-{at}"), prefix))
            .await;
        assert_eq!(outcome(made), expected, "{prefix:?}");
    }
}

async fn neither_id_nor_prefix_is_used_again(backend: Backend) {
    let t = TestServer::start(backend).await;
    let operator = t.operator();
    let exists = "AlreadyExists TENANT_EXISTS";
    operator
        .create_tenant(request("acme", "acme_"))
        .await
        .unwrap();
    assert_eq!(
        refused(operator.create_tenant(request("acme", "other_")).await),
        exists
    );

    let delete = message!(DeleteTenantRequest { tenant_id: "acme" });
    operator.delete_tenant(delete).await.unwrap();
    t.advance(Duration::from_secs(3600));
    for prefix in ["acme_", "other_"] {
        let again = operator.create_tenant(request("acme", prefix)).await;
        assert_eq!(refused(again), exists);
    }
    for prefix in ["acme_", "acme_2_"] {
        let again = operator.create_tenant(request("beta", prefix)).await;
        assert_eq!(refused(again), "AlreadyExists PREFIX_TAKEN");
    }
    // What was refused has left no trace.
    operator
        .create_tenant(request("beta", "other_"))
        .await
        .unwrap();
}

async fn what_is_wrong_is_said_all_at_once(backend: Backend) {
    let t = TestServer::start(backend).await;
    let operator = t.operator();
    let policy = pb::TenantPolicy {
        token_management: 9,
        default_ttl: Some(prost_types::Duration {
            seconds: -1,
            nanos: 0,
        }),
        max_ttl: Some(seconds(3653 * 24 * 60 * 60 + 1)),
        max_tokens_per_user: -1,
        ..Default::default()
    };
    let bad = message!(CreateTenantRequest {
        tenant_id: "Acme",
        display_name: "x".repeat(101),
        token_prefix: "Acme",
        policy: policy,
    });
    assert_eq!(
        refused(operator.create_tenant(bad).await),
        "InvalidArgument UNKNOWN_ENUM_VALUE
  policy.token_management: UNKNOWN_ENUM_VALUE
  policy.default_ttl: INVALID_DURATION
  policy.max_tokens_per_user: OUT_OF_RANGE
  tenant_id: INVALID_TENANT_ID
  display_name: FIELD_TOO_LONG
  token_prefix: INVALID_PREFIX
  policy.max_ttl: OUT_OF_RANGE"
    );

    let policy = |policy| pb::CreateTenantRequest {
        policy: Some(policy),
        ..request("acme", "acme_")
    };
    let ttl = |nanos| Some(prost_types::Duration { seconds: 0, nanos });
    let cases = [
        (
            pb::TenantPolicy {
                default_ttl: Some(seconds(61)),
                max_ttl: Some(seconds(60)),
                ..Default::default()
            },
            "TTL_TOO_LONG\n  policy.default_ttl: TTL_TOO_LONG",
        ),
        (
            pb::TenantPolicy {
                default_ttl: ttl(0),
                max_ttl: ttl(1_000_000_000),
                ..Default::default()
            },
            "INVALID_DURATION\n  policy.default_ttl: INVALID_DURATION\n  policy.max_ttl: INVALID_DURATION",
        ),
        (
            pb::TenantPolicy {
                default_ttl: ttl(999_999_999),
                max_ttl: ttl(999_999_999),
                ..Default::default()
            },
            "OUT_OF_RANGE\n  policy.default_ttl: OUT_OF_RANGE\n  policy.max_ttl: OUT_OF_RANGE",
        ),
        (
            pb::TenantPolicy {
                max_tokens_per_user: 1_000_001,
                ..Default::default()
            },
            "OUT_OF_RANGE\n  policy.max_tokens_per_user: OUT_OF_RANGE",
        ),
    ];
    for (given, expected) in cases {
        let made = operator.create_tenant(policy(given)).await;
        assert_eq!(refused(made), format!("InvalidArgument {expected}"));
    }
    for name in [" ", "a\nb"] {
        let made = pb::CreateTenantRequest {
            display_name: name.into(),
            ..request("acme", "acme_")
        };
        let expected = "InvalidArgument INVALID_NAME\n  display_name: INVALID_NAME";
        assert_eq!(refused(operator.create_tenant(made).await), expected);
    }
}

async fn only_operators_create_tenants(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let denied = "PermissionDenied PERMISSION_DENIED";
    let cases = [
        (t.nobody(), "Unauthenticated CALLER_UNAUTHENTICATED"),
        (acme.admin, denied),
        (t.resource_server().await, denied),
    ];
    for (caller, expected) in cases {
        // Also where something of that name exists: it is not said.
        for tenant_id in ["beta", "acme"] {
            let made = caller.create_tenant(request(tenant_id, "beta_")).await;
            assert_eq!(refused(made), expected);
        }
    }
}
