//! `TokenService/UpdateToken`: no widening beyond what the caller holds.

use token_authority::pb;

use crate::support::tokens::{
    change, changed, disabled, id, mask, own_id, scopes, set_policy, set_role, strings, ttl, until,
    update, wanted,
};
use crate::support::{Backend, TestServer, both_backends, refused, self_service};

both_backends!(
    nobody_widens_a_grant_beyond_its_own,
    nobody_gives_more_time_or_enables_beyond_its_own,
    for_another_administrator_only_where_the_tenant_allows,
    what_a_role_withholds_is_part_of_the_grant_all_the_same,
);

async fn nobody_widens_a_grant_beyond_its_own(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    // An administrator's token without the administrator's scope.
    let small = ["read", "authority:tokens.write"];
    let small = t.token_of("acme", &acme.admin_id, &small).await;
    let escalation = "PermissionDenied SCOPE_ESCALATION";
    let token_id = id(&acme.admin.issue("big", &["admin"]).await);
    for wider in [
        &["admin", "authority:tokens.read"][..],
        &["admin", "authority:tenant.admin"],
        &["admin", "authority:introspect"],
    ] {
        assert_eq!(
            refused(update(&small, scopes(&token_id, wider)).await),
            escalation
        );
    }
    // What stays need not be held by who changes the rest, nor what goes away.
    let token = changed(
        &small,
        scopes(&token_id, &["admin", "authority:tokens.write"]),
    )
    .await;
    assert_eq!(token.scopes, ["admin", "authority:tokens.write"]);
    let token = changed(&small, scopes(&token_id, &["write"])).await;
    assert_eq!(token.effective_scopes, ["read", "write"]);
    assert_eq!(
        refused(update(&small, scopes(&token_id, &["admin"])).await),
        escalation
    );
    // Nor is a scope wider that what is there implied already.
    changed(&small, scopes(&token_id, &["read"])).await;
    assert_eq!(
        refused(update(&small, scopes(&token_id, &["write"])).await),
        escalation
    );
    assert_eq!(
        refused(update(&small, scopes(&own_id(&small).await, &["write"])).await),
        escalation
    );

    let token = changed(
        &acme.admin,
        scopes(&token_id, &["admin", "authority:tenant.admin"]),
    )
    .await;
    assert_eq!(token.scopes, ["admin", "authority:tenant.admin"]);
    assert_eq!(
        refused(update(&acme.admin, scopes(&token_id, &["authority:introspect"])).await),
        escalation
    );
    let operators = pb::UpdateTokenRequest {
        tenant_id: "acme".into(),
        ..scopes(&token_id, &["authority:introspect"])
    };
    changed(&t.operator(), operators).await;
    // Whom the scope may be given to is a matter of the field.
    for (wrong, reason) in [
        ("authority:operator", "UNKNOWN_SCOPE"),
        ("nothing", "UNKNOWN_SCOPE"),
        ("a b", "INVALID_SCOPE"),
    ] {
        assert_eq!(
            refused(update(&acme.admin, scopes(&token_id, &["read", wrong])).await),
            format!("InvalidArgument {reason}\n  scopes[1]: {reason}")
        );
    }
}

async fn nobody_gives_more_time_or_enables_beyond_its_own(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let small = ["read", "authority:tokens.write"];
    let small = t.token_of("acme", &acme.admin_id, &small).await;
    let escalation = "PermissionDenied SCOPE_ESCALATION";
    let big = acme.admin.create(pb::CreateTokenRequest {
        expiry: ttl(60),
        ..wanted("big", &["write"])
    });
    let token_id = id(&big.await);
    for longer in [until(&token_id, Some(61)), until(&token_id, None)] {
        assert_eq!(refused(update(&small, longer).await), escalation);
    }
    // As long or shorter, off, renamed: that takes nothing.
    changed(&small, until(&token_id, Some(60))).await;
    changed(&small, until(&token_id, Some(50))).await;
    changed(&small, disabled(&token_id, true)).await;
    changed(&small, disabled(&token_id, true)).await;
    assert_eq!(
        refused(update(&small, disabled(&token_id, false)).await),
        escalation
    );
    // Wider only together with what the caller holds: narrowed, it may be enabled.
    let narrowed = pb::UpdateTokenRequest {
        update_mask: mask(&["scopes", "disabled", "expire_time"]),
        scopes: strings(&["read"]),
        ..change(&token_id)
    };
    let token = changed(&small, narrowed).await;
    assert_eq!(
        (token.state(), token.expire_time),
        (pb::TokenState::Active, None)
    );
    changed(&acme.admin, scopes(&token_id, &["admin"])).await;
    changed(&acme.admin, until(&token_id, Some(9))).await;
    changed(&acme.admin, until(&token_id, Some(99))).await;
}

async fn for_another_administrator_only_where_the_tenant_allows(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let alice = t.member(&acme, "alice", &["write"]).await;
    let operator = t.operator();
    let other = operator.create_user("acme", "other", pb::Role::Admin).await;
    let others = t.token_of("acme", &other, &["read"]).await;
    let others = own_id(&others).await;
    let hers = own_id(&alice.actor).await;
    // A member's token is every administrator's to widen.
    changed(
        &acme.admin,
        scopes(&hers, &["write", "authority:tokens.read"]),
    )
    .await;
    let refusal = "PermissionDenied ON_BEHALF_OF_ADMIN";
    changed(&acme.admin, until(&others, Some(60))).await;
    changed(&acme.admin, disabled(&others, true)).await;
    for wider in [
        scopes(&others, &["write"]),
        until(&others, Some(61)),
        disabled(&others, false),
    ] {
        assert_eq!(refused(update(&acme.admin, wider.clone()).await), refusal);
    }
    let renamed = pb::UpdateTokenRequest {
        name: "renamed".into(),
        ..change(&others)
    };
    changed(&acme.admin, renamed).await;
    changed(&acme.admin, scopes(&others, &[])).await;
    let allowing = pb::TenantPolicy {
        admins_act_for_admins: true,
        ..self_service()
    };
    set_policy(&acme.admin, "acme", allowing).await;
    changed(&acme.admin, scopes(&others, &["write"])).await;
    changed(&acme.admin, disabled(&others, false)).await;
}

async fn what_a_role_withholds_is_part_of_the_grant_all_the_same(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let operator = t.operator();
    let bob = operator.create_user("acme", "bob", pb::Role::Admin).await;
    let big = operator.create(pb::CreateTokenRequest {
        tenant_id: "acme".into(),
        user_id: bob.clone(),
        expiry: ttl(60),
        ..wanted("big", &["admin"])
    });
    let big = id(&big.await);
    let small = ["write", "authority:tokens.write"];
    let small = t.token_of("acme", &bob, &small).await;
    set_role(&acme.admin, "acme", &bob, pb::Role::Member).await;
    // Were it given more time now, it would have it once the role comes back.
    let longer = until(&big, Some(61));
    assert_eq!(
        refused(update(&small, longer).await),
        "PermissionDenied SCOPE_ESCALATION"
    );
    changed(&small, disabled(&big, true)).await;
    assert_eq!(
        refused(update(&small, disabled(&big, false)).await),
        "PermissionDenied SCOPE_ESCALATION"
    );
    let narrowed = pb::UpdateTokenRequest {
        update_mask: mask(&["*"]),
        name: "small".into(),
        scopes: strings(&["write"]),
        ..change(&big)
    };
    let token = changed(&small, narrowed).await;
    assert_eq!(
        (token.state(), token.expire_time),
        (pb::TokenState::Active, None)
    );
}
