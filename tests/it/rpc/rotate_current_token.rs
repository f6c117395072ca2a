//! `SelfService/RotateCurrentToken`.

use std::time::Duration;

use token_authority::pb;

use crate::support::tokens::{
    at, id, own_id, roll, rolling, service, set_policy, ttl, wanted, who_am_i,
};
use crate::support::{Actor, Backend, TestServer, both_backends, events, refused, self_service};

both_backends!(
    a_token_rotates_itself_where_the_tenant_lets_it,
    only_the_current_value_rotates_the_token,
    the_reserved_tenants_tokens_always_may,
    no_permission_is_needed_and_no_other_rule_forbids_it,
    what_is_wrong_is_said,
    a_rotation_is_asked_again_in_vain,
);

const NOT_CURRENT: &str = "FailedPrecondition VALUE_NOT_CURRENT";
const UNAUTHENTICATED: &str = "Unauthenticated CALLER_UNAUTHENTICATED";

/// Returns a policy under which tokens rotate themselves.
fn rolls() -> pb::TenantPolicy {
    pb::TenantPolicy {
        self_rotation: true,
        ..self_service()
    }
}

/// Rotates the caller; returns its record and who presents its new value.
async fn rolled(t: &TestServer, actor: &Actor, grace: i64) -> (pb::Token, Actor) {
    let answer = roll(actor, rolling(grace)).await.unwrap();
    assert!(answer.settled);
    assert!(!format!("{answer:?}").contains(&answer.value));
    (answer.token.unwrap(), t.actor(&answer.value))
}

async fn a_token_rotates_itself_where_the_tenant_lets_it(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let created = acme.admin.create(pb::CreateTokenRequest {
        expiry: ttl(1000),
        ..wanted("laptop", &["read"])
    });
    let created = created.await;
    let first = t.actor(&created.value);
    for actor in [&first, &acme.admin] {
        assert_eq!(
            refused(roll(actor, rolling(60)).await),
            "PermissionDenied SELF_ROTATION_OFF"
        );
    }
    set_policy(&acme.admin, "acme", rolls()).await;
    t.advance(Duration::from_secs(1));
    let (token, second) = rolled(&t, &first, 60).await;
    let before = created.token.clone().unwrap();
    let expected = pb::Token {
        hint: token.hint.clone(),
        etag: "2".into(),
        update_time: Some(at(1)),
        rotate_time: Some(at(1)),
        previous_values: vec![pb::TokenValue {
            hint: before.hint.clone(),
            end_time: Some(at(61)),
        }],
        ..before
    };
    assert_eq!(token, expected);
    assert!(second.value().starts_with(&token.hint));
    // Both are the same token, and each says so.
    for actor in [&first, &second] {
        let me = who_am_i(actor, pb::WhoAmIRequest {}).await.unwrap();
        assert_eq!(me.token, Some(token.clone()));
    }
    t.advance(Duration::from_secs(60));
    let told = who_am_i(&first, pb::WhoAmIRequest {}).await;
    assert_eq!(refused(told), UNAUTHENTICATED);
    assert_eq!(own_id(&second).await, token.token_id);

    let written = events(&t.database, "acme", "RotateCurrentToken").await;
    assert_eq!(written.len(), 1);
    let (by, about) = (&written[0].caller, &written[0].subject);
    assert_eq!(by.as_ref().unwrap().token_id, token.token_id);
    assert_eq!(about.as_ref().unwrap().token_id, token.token_id);
}

async fn only_the_current_value_rotates_the_token(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", rolls()).await;
    let first = t.actor(&acme.admin.issue("laptop", &["read"]).await.value);
    let (_, second) = rolled(&t, &first, 60).await;
    for grace in [0, 60] {
        assert_eq!(refused(roll(&first, rolling(grace)).await), NOT_CURRENT);
    }
    let (_, third) = rolled(&t, &second, 60).await;
    for earlier in [&first, &second] {
        assert_eq!(refused(roll(earlier, rolling(60)).await), NOT_CURRENT);
    }
    let (_, fourth) = rolled(&t, &third, 60).await;
    assert_eq!(
        refused(roll(&fourth, rolling(1)).await),
        "FailedPrecondition TOO_MANY_VALUES"
    );
    let (_, fifth) = rolled(&t, &fourth, 0).await;
    assert_eq!(refused(roll(&fourth, rolling(0)).await), UNAUTHENTICATED);
    own_id(&fifth).await;
}

async fn the_reserved_tenants_tokens_always_may(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let server = t.resource_server().await;
    let (_, rolled_server) = rolled(&t, &server, 60).await;
    for server in [&server, &rolled_server] {
        assert!(server.introspect("acme", acme.admin.value()).await.active);
    }
    let before = own_id(&t.operator()).await;
    let (token, operator) = rolled(&t, &t.operator(), 60).await;
    assert_eq!(token.token_id, before);
    // Its day is not made longer by that.
    assert_eq!(token.expire_time, Some(at(24 * 60 * 60)));
    operator.create(service("acme", "machine", &[])).await;
}

async fn no_permission_is_needed_and_no_other_rule_forbids_it(backend: Backend) {
    let t = TestServer::start(backend).await;
    let strict = pb::TenantPolicy {
        tokens_may_not_mint: true,
        self_rotation: true,
        ..Default::default()
    };
    let acme = t.tenant("acme", strict).await;
    let bare = t.member(&acme, "bare", &[]).await;
    let machine = service("acme", "machine", &["authority:introspect"]);
    let machine = t.operator().create(machine).await;
    for actor in [&bare.actor, &acme.admin, &t.actor(&machine.value)] {
        let (token, rolled) = rolled(&t, actor, 0).await;
        assert_eq!(own_id(&rolled).await, token.token_id);
        let told = who_am_i(actor, pb::WhoAmIRequest {}).await;
        assert_eq!(refused(told), UNAUTHENTICATED);
    }
}

async fn what_is_wrong_is_said(backend: Backend) {
    let t = TestServer::start(backend).await;
    let policy = pb::TenantPolicy {
        max_grace: Some(prost_types::Duration {
            seconds: 10,
            nanos: 0,
        }),
        ..rolls()
    };
    let acme = t.tenant("acme", policy).await;
    for (grace, reason) in [(11, "GRACE_TOO_LONG"), (-1, "INVALID_DURATION")] {
        assert_eq!(
            refused(roll(&acme.admin, rolling(grace)).await),
            format!("InvalidArgument {reason}\n  grace_period: {reason}")
        );
    }
    assert_eq!(
        refused(roll(&t.nobody(), rolling(0)).await),
        UNAUTHENTICATED
    );
    rolled(&t, &acme.admin, 10).await;
}

async fn a_rotation_is_asked_again_in_vain(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", rolls()).await;
    let created = acme.admin.issue("laptop", &["read"]).await;
    let first = t.actor(&created.value);
    let request = pb::RotateCurrentTokenRequest {
        request_id: "once".into(),
        ..rolling(60)
    };
    let second = roll(&first, request.clone()).await.unwrap();
    // By the value in grace, whose answer may have been lost, and by the new one.
    for actor in [&first, &t.actor(&second.value)] {
        let again = roll(actor, request.clone()).await.unwrap_err();
        let details = tonic_types::StatusExt::get_error_details(&again);
        assert_eq!(details.resource_info().unwrap().resource_name, id(&created));
        assert_eq!(
            refused(Err::<(), _>(again)),
            "AlreadyExists REQUEST_ALREADY_DONE"
        );
    }
}
