//! Changing what a tenant's values begin with.

use token_authority::pb;

use super::update;
use crate::support::{Backend, TestServer, both_backends, mask, message, outcome, refused};

both_backends!(
    the_prefix_is_the_operators_while_no_token_bears_it,
    a_prefix_is_free_of_others,
);

async fn the_prefix_is_the_operators_while_no_token_bears_it(backend: Backend) {
    let t = TestServer::start(backend).await;
    let operator = t.operator();
    let request = message!(CreateTenantRequest {
        tenant_id: "acme",
        token_prefix: "first_"
    });
    operator.create_tenant(request).await.unwrap();
    let prefix = |prefix: &str| {
        message!(UpdateTenantRequest {
            tenant_id: "acme",
            token_prefix: prefix,
        })
    };
    assert_eq!(
        update(&operator, prefix("acme_")).await.token_prefix,
        "acme_"
    );

    let user_id = operator.create_user("acme", "admin", pb::Role::Admin).await;
    let admin = t
        .token_of("acme", &user_id, &["authority:tenant.admin"])
        .await;
    assert!(admin.value().starts_with("acme_"));
    let denied = "PermissionDenied PERMISSION_DENIED";
    // An administrator's `*` names the prefix, too.
    for request in [
        prefix("new_"),
        message!(UpdateTenantRequest {
            tenant_id: "acme",
            update_mask: mask(&["*"]),
            display_name: "A",
            token_prefix: "acme_"
        }),
    ] {
        assert_eq!(refused(admin.update_tenant(request).await), denied);
    }
    let in_use = "FailedPrecondition PREFIX_IN_USE";
    assert_eq!(
        refused(operator.update_tenant(prefix("new_")).await),
        in_use
    );
    // The same one is no change.
    assert_eq!(
        update(&operator, prefix("acme_")).await.token_prefix,
        "acme_"
    );
    // A revoked token, too, has had it.
    let request = message!(RemoveMemberRequest {
        tenant_id: "acme",
        user_id: user_id
    });
    operator.remove_member(request).await.unwrap();
    assert_eq!(
        refused(operator.update_tenant(prefix("new_")).await),
        in_use
    );
}

async fn a_prefix_is_free_of_others(backend: Backend) {
    let t = TestServer::start(backend).await;
    let operator = t.operator();
    for (tenant_id, token_prefix) in [("acme", "acme_"), ("beta", "be_ta_"), ("gone", "gone_")] {
        let request = message!(CreateTenantRequest {
            tenant_id: tenant_id,
            token_prefix: token_prefix
        });
        operator.create_tenant(request).await.unwrap();
    }
    let delete = message!(DeleteTenantRequest { tenant_id: "gone" });
    operator.delete_tenant(delete).await.unwrap();
    let field = |reason| {
        Some(format!(
            "InvalidArgument {reason}\n  token_prefix: {reason}"
        ))
    };
    let taken = Some("AlreadyExists PREFIX_TAKEN".to_owned());
    let cases = [
        ("be_", taken.clone()),
        ("be_ta_", taken.clone()),
        ("be_ta_2_", taken.clone()),
        ("gone_", taken),
        ("ta_", field("RESERVED_PREFIX")),
        ("inv_x_", field("RESERVED_PREFIX")),
        ("Acme_", field("INVALID_PREFIX")),
        // What was its own may begin its new one.
        ("acme_2_", None),
    ];
    for (prefix, expected) in cases {
        let request = message!(UpdateTenantRequest {
            tenant_id: "acme",
            token_prefix: prefix
        });
        assert_eq!(
            outcome(operator.update_tenant(request).await),
            expected,
            "{prefix}"
        );
    }
}
