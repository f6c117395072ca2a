//! `TokenService/RotateToken`: a value is given out to who could have made the token.

use token_authority::pb;

use crate::support::tokens::{
    id, own_id, rotate, rotated, rotation, service, set_policy, set_role, suspend_tenant,
    suspend_user, wanted,
};
use crate::support::{Actor, Backend, TestServer, both_backends, outcome, refused, self_service};

both_backends!(
    nobody_gets_a_value_that_may_more_than_the_caller,
    for_another_administrator_only_where_the_tenant_allows,
    where_tokens_mint_no_tokens_they_rotate_none,
    a_members_reach_ends_at_its_own_tokens,
    of_who_is_suspended_nothing_is_rotated,
);

const ESCALATION: &str = "PermissionDenied SCOPE_ESCALATION";

async fn nobody_gets_a_value_that_may_more_than_the_caller(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let operator = t.operator();
    let bob = operator.create_user("acme", "bob", pb::Role::Admin).await;
    let create = async |name: &str, scopes: &[&str]| {
        let created = operator.create(pb::CreateTokenRequest {
            tenant_id: "acme".into(),
            user_id: bob.clone(),
            ..wanted(name, scopes)
        });
        id(&created.await)
    };
    let small = ["write", "authority:tokens.write"];
    let small = t.token_of("acme", &bob, &small).await;
    let again = async |token_id: &str| outcome(rotate(&small, rotation(token_id, 0)).await);
    for (name, scopes) in [
        ("a", &["admin"][..]),
        ("b", &["read", "authority:tokens.read"]),
        ("c", &["authority:tenant.admin"]),
    ] {
        let token_id = create(name, scopes).await;
        let refusal = again(&token_id).await;
        assert_eq!(refusal.as_deref(), Some(ESCALATION), "{scopes:?}");
    }
    for (name, scopes) in [("d", &["read"][..]), ("e", &["write"]), ("f", &[])] {
        let token_id = create(name, scopes).await;
        assert_eq!(again(&token_id).await, None, "{scopes:?}");
    }
    // What a role withholds now may come back.
    let big = create("big", &["admin"]).await;
    set_role(&acme.admin, "acme", &bob, pb::Role::Member).await;
    assert_eq!(again(&big).await.as_deref(), Some(ESCALATION));

    // To introspect is no administrator's to give.
    let server = service("acme", "server", &["authority:introspect"]);
    let server = id(&operator.create(server).await);
    assert_eq!(
        refused(rotate(&acme.admin, rotation(&server, 0)).await),
        ESCALATION
    );
    let by_operator = pb::RotateTokenRequest {
        tenant_id: "acme".into(),
        ..rotation(&server, 0)
    };
    rotated(&operator, by_operator).await;
}

async fn for_another_administrator_only_where_the_tenant_allows(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let operator = t.operator();
    let other = operator.create_user("acme", "other", pb::Role::Admin).await;
    let others = t.token_of("acme", &other, &["read"]).await;
    let others = own_id(&others).await;
    let alice = t.member(&acme, "alice", &["write"]).await;
    let hers = own_id(&alice.actor).await;
    rotated(&acme.admin, rotation(&hers, 0)).await;
    assert_eq!(
        refused(rotate(&acme.admin, rotation(&others, 0)).await),
        "PermissionDenied ON_BEHALF_OF_ADMIN"
    );
    let allowing = pb::TenantPolicy {
        admins_act_for_admins: true,
        ..self_service()
    };
    set_policy(&acme.admin, "acme", allowing).await;
    rotated(&acme.admin, rotation(&others, 0)).await;
}

async fn where_tokens_mint_no_tokens_they_rotate_none(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let token_id = id(&acme.admin.issue("laptop", &["read"]).await);
    let strict = pb::TenantPolicy {
        tokens_may_not_mint: true,
        ..self_service()
    };
    set_policy(&acme.admin, "acme", strict).await;
    let mine = own_id(&acme.admin).await;
    for token_id in [&token_id, &mine, &"tok_0000000000000000000001".into()] {
        assert_eq!(
            refused(rotate(&acme.admin, rotation(token_id, 60)).await),
            "PermissionDenied TOKEN_MAY_NOT_MINT"
        );
    }
    let by_operator = pb::RotateTokenRequest {
        tenant_id: "acme".into(),
        ..rotation(&token_id, 0)
    };
    rotated(&t.operator(), by_operator).await;
}

async fn a_members_reach_ends_at_its_own_tokens(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let scopes = ["write", "authority:tokens.write"];
    let alice = t.member(&acme, "alice", &scopes).await;
    let bob = t.member(&acme, "bob", &["read"]).await;
    let machine = service("acme", "machine", &["read"]);
    let machine = id(&acme.admin.create(machine).await);
    let hers = id(&alice.actor.issue("laptop", &["read"]).await);
    for foreign in [own_id(&bob.actor).await, machine] {
        assert_eq!(
            refused(rotate(&alice.actor, rotation(&foreign, 0)).await),
            "NotFound TOKEN_NOT_FOUND"
        );
    }
    rotated(&alice.actor, rotation(&hers, 0)).await;
    // Itself, too, with its permission; from then on it needs its new value.
    let own = own_id(&alice.actor).await;
    let (_, value) = rotated(&alice.actor, rotation(&own, 0)).await;
    let told = |actor: Actor| {
        let hers = hers.clone();
        async move { outcome(rotate(&actor, rotation(&hers, 0)).await) }
    };
    assert_eq!(
        told(alice.actor.clone()).await.as_deref(),
        Some("Unauthenticated CALLER_UNAUTHENTICATED")
    );
    assert_eq!(told(t.actor(&value)).await, None);

    let admins_only = pb::TenantPolicy::default();
    set_policy(&acme.admin, "acme", admins_only).await;
    assert_eq!(
        told(t.actor(&value)).await.as_deref(),
        Some("PermissionDenied PERMISSION_DENIED")
    );
}

async fn of_who_is_suspended_nothing_is_rotated(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let alice = t.member(&acme, "alice", &["read"]).await;
    let hers = own_id(&alice.actor).await;
    let machine = service("acme", "machine", &["read"]);
    let machine = id(&acme.admin.create(machine).await);
    suspend_user(&acme.admin, "acme", &alice.user_id).await;
    assert_eq!(
        refused(rotate(&acme.admin, rotation(&hers, 0)).await),
        "FailedPrecondition USER_SUSPENDED"
    );
    rotated(&acme.admin, rotation(&machine, 0)).await;
    suspend_tenant(&t.operator(), "acme").await;
    let by_operator = pb::RotateTokenRequest {
        tenant_id: "acme".into(),
        ..rotation(&machine, 0)
    };
    assert_eq!(
        refused(rotate(&t.operator(), by_operator).await),
        "FailedPrecondition TENANT_SUSPENDED"
    );
}
