//! What is cheap to send must be cheap to refuse, and holds up nobody else.

use std::time::Duration;

use token_authority::authority::access::Rpc;
use token_authority::pb;

use crate::support::{Actor, Backend, Raw, TestServer, both_backends, refused, self_service};

both_backends!(
    who_may_not_introspect_is_refused_before_its_message_is_read,
    a_hint_with_control_characters_is_told_as_such,
    a_catalog_has_a_bounded_number_of_implications,
    revoking_each_others_tokens_finds_none_and_waits_for_nobody,
    who_has_left_gains_nothing_by_it,
);

async fn who_may_not_introspect_is_refused_before_its_message_is_read(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    // Longer than any message may be: who reads it says so.
    let message = vec![0; 9 * 1024 * 1024];
    for rpc in [Rpc::Introspect, Rpc::BatchIntrospect] {
        let answer = acme.admin.raw(rpc.path(), message.clone()).await;
        assert_eq!(refused(answer), "PermissionDenied PERMISSION_DENIED");
    }
}

async fn a_hint_with_control_characters_is_told_as_such(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let request = pb::ListTokensRequest {
        tenant_id: "acme".into(),
        hint: "a\0b".into(),
        ..Default::default()
    };
    let listed = acme
        .admin
        .tokens()
        .list_tokens(acme.admin.call(request))
        .await;
    assert_eq!(
        refused(listed),
        "InvalidArgument INVALID_TEXT\n  hint: INVALID_TEXT"
    );
}

async fn a_catalog_has_a_bounded_number_of_implications(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let scope = |at: usize| pb::Scope {
        name: at.to_string(),
        implies: (at + 1..(at + 101).min(200))
            .map(|at| at.to_string())
            .collect(),
        ..Default::default()
    };
    let request = pb::UpdateCatalogRequest {
        tenant_id: "acme".into(),
        catalog: Some(pb::Catalog {
            scopes: (0..200).map(scope).collect(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let updated = acme
        .admin
        .scopes()
        .update_catalog(acme.admin.call(request))
        .await;
    assert_eq!(
        refused(updated),
        "InvalidArgument TOO_MANY_ITEMS\n  catalog.scopes: TOO_MANY_ITEMS"
    );
}

async fn token_id(actor: &Actor) -> String {
    let me = actor.me().who_am_i(actor.call(pb::WhoAmIRequest {})).await;
    me.unwrap().into_inner().token.unwrap().token_id
}

async fn revoking_each_others_tokens_finds_none_and_waits_for_nobody(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let beta = t.tenant("beta", self_service()).await;
    let (ours, theirs) = (token_id(&acme.admin).await, token_id(&beta.admin).await);
    let revoke = async |actor: &Actor, token_id: &str| {
        let request = pb::RevokeTokenRequest {
            tenant_id: "active".into(),
            token_id: token_id.into(),
            ..Default::default()
        };
        refused(actor.tokens().revoke_token(actor.call(request)).await)
    };
    for _ in 0..30 {
        let both = tokio::join!(revoke(&acme.admin, &theirs), revoke(&beta.admin, &ours));
        let none = String::from("NotFound TOKEN_NOT_FOUND");
        assert_eq!(both, (none.clone(), none));
    }
}

async fn who_has_left_gains_nothing_by_it(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let operator = t.operator();
    let user_id = operator.create_user("acme", "bob", pb::Role::Admin).await;
    let token = t.token_of("acme", &user_id, &["admin"]).await;
    let token_id = token_id(&token).await;
    let scopes = async || {
        let request = pb::GetTokenRequest {
            tenant_id: "acme".into(),
            token_id: token_id.clone(),
            ..Default::default()
        };
        let got = acme
            .admin
            .tokens()
            .get_token(acme.admin.call(request))
            .await;
        got.unwrap().into_inner().token.unwrap().effective_scopes
    };
    assert_eq!(scopes().await, ["admin", "read", "write"]);
    let request = pb::RemoveMemberRequest {
        tenant_id: "acme".into(),
        user_id,
        ..Default::default()
    };
    acme.admin
        .users()
        .remove_member(acme.admin.call(request))
        .await
        .unwrap();
    assert_eq!(scopes().await, ["read", "write"]);
}

async fn set_active(actor: &Actor, tenant_id: &str) -> Result<(), tonic::Status> {
    let request = pb::SetActiveTenantRequest {
        tenant_id: tenant_id.into(),
        ..Default::default()
    };
    actor
        .users()
        .set_active_tenant(actor.call(request))
        .await
        .map(drop)
}

/// Locks a tenant's row, past the server.
async fn hold(t: &TestServer, tenant_id: &str) -> Raw {
    let mut raw = t.database.raw().await;
    let lock = format!("BEGIN; SELECT 1 FROM tenants WHERE tenant_id = '{tenant_id}' FOR UPDATE");
    raw.execute(&lock).await.unwrap();
    raw
}

#[tokio::test]
async fn a_tenant_in_which_the_caller_is_nothing_is_not_locked_on_postgresql() {
    let t = TestServer::start(Backend::Postgres).await;
    let acme = t.tenant("acme", self_service()).await;
    let bob = t.member(&acme, "bob", &["read"]).await;
    let mut held = hold(&t, "authority").await;
    let answer = set_active(&bob.actor, "authority");
    let answer = tokio::time::timeout(Duration::from_secs(4), answer).await;
    assert_eq!(refused(answer.unwrap()), "NotFound TENANT_NOT_FOUND");
    held.execute("ROLLBACK").await.unwrap();
}

#[tokio::test]
async fn who_waits_for_a_lock_leaves_connections_to_readers_on_postgresql() {
    let t = TestServer::start_with(Backend::Postgres, |config| {
        config.database.connections = 4;
    })
    .await;
    let acme = t.tenant("acme", self_service()).await;
    let beta = t.tenant("beta", self_service()).await;
    let bob = t.member(&acme, "bob", &["read"]).await;
    let server = t.resource_server().await;
    let mut held = hold(&t, "acme").await;
    let waiting: Vec<_> = (0..20)
        .map(|_| {
            let bob = bob.actor.clone();
            tokio::spawn(async move { set_active(&bob, "acme").await })
        })
        .collect();
    // Until as many wait for the lock as there are places for.
    let blocked = "SELECT CAST(COUNT(*) AS TEXT) FROM pg_stat_activity
                    WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while t.database.texts(blocked).await != ["2"] {
        tokio::task::yield_now().await;
    }
    for _ in 0..10 {
        let answer = server.introspect("beta", beta.admin.value());
        let answer = tokio::time::timeout(Duration::from_secs(2), answer).await;
        assert!(answer.unwrap().active);
    }
    held.execute("ROLLBACK").await.unwrap();
    for call in waiting {
        call.await.unwrap().unwrap();
    }
}
