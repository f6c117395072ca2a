//! `TokenService/RotateToken`.

use std::time::Duration;

use token_authority::pb;

use crate::support::tokens::{
    at, changed, disabled, get, id, list, number, question, revoke, rotate, rotated, rotation, ttl,
    wanted,
};
use crate::support::{
    Actor, Backend, TestServer, both_backends, events, guarded_by_etag, outcome, refused,
    self_service,
};

both_backends!(
    a_token_gets_a_new_value_and_stays_what_it_is,
    without_grace_the_present_value_ends_at_once,
    each_value_in_grace_keeps_its_own_end,
    a_grace_is_as_long_as_the_policy_allows,
    what_is_over_is_not_rotated_and_what_is_off_stays_off,
    an_etag_guards_a_rotation,
    a_webhooks_token_is_rotated_only_when_named,
    a_token_is_found_by_an_earlier_hint,
    a_revocation_ends_every_value,
    a_rotation_is_asked_again_in_vain,
    a_rotation_is_written_down,
);

/// Returns which of these values are active.
async fn active(server: &Actor, values: &[&str]) -> Vec<bool> {
    let mut all = Vec::new();
    for value in values {
        all.push(server.introspect("acme", value).await.active);
    }
    all
}

/// Returns the seconds at which earlier values end, as they are shown.
fn ends(token: &pb::Token) -> Vec<prost_types::Timestamp> {
    let values = token.previous_values.iter();
    values.map(|value| value.end_time.unwrap()).collect()
}

async fn a_token_gets_a_new_value_and_stays_what_it_is(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let server = t.resource_server().await;
    let created = acme.admin.create(pb::CreateTokenRequest {
        expiry: ttl(1000),
        labels: [("team".into(), "search".into())].into(),
        ..wanted("laptop", &["write"])
    });
    let created = created.await;
    let before = created.token.clone().unwrap();
    assert_eq!(
        (before.rotate_time, before.previous_values.len()),
        (None, 0)
    );

    t.advance(Duration::from_secs(5));
    let answer = rotate(&acme.admin, rotation(&before.token_id, 60)).await;
    let answer = answer.unwrap();
    let after = answer.token.clone().unwrap();
    assert!(answer.settled);
    assert!(answer.value.starts_with(&after.hint), "{}", after.hint);
    assert_ne!(after.hint, before.hint);
    assert!(!format!("{answer:?}").contains(&answer.value));
    let expected = pb::Token {
        hint: after.hint.clone(),
        etag: "2".into(),
        update_time: Some(at(5)),
        rotate_time: Some(at(5)),
        previous_values: vec![pb::TokenValue {
            hint: before.hint.clone(),
            end_time: Some(at(65)),
        }],
        ..before.clone()
    };
    assert_eq!(after, expected);
    assert_eq!(after.expire_time, Some(at(1000)));

    // Both are active, as the same token.
    assert!(number(&answer.revision) > number(&created.revision));
    for value in [&created.value, &answer.value] {
        let request = pb::IntrospectRequest {
            min_revision: answer.revision.clone(),
            ..question("acme", value)
        };
        let told = server.try_introspect(request).await.unwrap();
        assert!(told.active);
        assert_eq!(told.token_id, before.token_id);
        assert_eq!(told.expire_time, Some(at(1000)));
    }
    // At the very instant of its end a value is over.
    let (old, new) = (created.value.as_str(), answer.value.as_str());
    t.advance(Duration::from_millis(59_999));
    assert_eq!(active(&server, &[old, new]).await, [true, true]);
    t.advance(Duration::from_millis(1));
    assert_eq!(active(&server, &[old, new]).await, [false, true]);
    let request = pb::GetTokenRequest {
        tenant_id: "acme".into(),
        token_id: before.token_id.clone(),
        ..Default::default()
    };
    let got = get(&acme.admin, request).await.unwrap().token.unwrap();
    let expected = pb::Token {
        previous_values: Vec::new(),
        ..expected
    };
    assert_eq!(got, expected);
    // And the token's own end is what it was.
    t.advance(Duration::from_secs(935));
    assert_eq!(active(&server, &[old, new]).await, [false, false]);
}

async fn without_grace_the_present_value_ends_at_once(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let server = t.resource_server().await;
    let created = acme.admin.issue("laptop", &["read"]).await;
    let mut last = created.value.clone();
    let graces = [
        None,
        Some((0, 0)),
        // Less than the millisecond that times are kept in.
        Some((0, 999_999)),
    ];
    for grace in graces {
        let request = pb::RotateTokenRequest {
            grace_period: grace.map(|(seconds, nanos)| prost_types::Duration { seconds, nanos }),
            ..rotation(&id(&created), 0)
        };
        let (token, value) = rotated(&acme.admin, request).await;
        assert_eq!(token.previous_values, []);
        assert_eq!(active(&server, &[&last, &value]).await, [false, true]);
        last = value;
    }
}

async fn each_value_in_grace_keeps_its_own_end(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let server = t.resource_server().await;
    let created = acme.admin.issue("laptop", &["read"]).await;
    let token_id = id(&created);
    let mut values = vec![created.value.clone()];
    for (grace, expected) in [(100, &[100][..]), (50, &[100, 51]), (200, &[202, 100, 51])] {
        let (token, value) = rotated(&acme.admin, rotation(&token_id, grace)).await;
        let expected: Vec<_> = expected.iter().copied().map(at).collect();
        assert_eq!(ends(&token), expected);
        values.push(value);
        t.advance(Duration::from_secs(1));
    }
    let refusal = "FailedPrecondition TOO_MANY_VALUES";
    for grace in [1, 1000] {
        let fourth = rotate(&acme.admin, rotation(&token_id, grace)).await;
        assert_eq!(refused(fourth), refusal);
    }
    // Without grace there is no fourth, and the others go on.
    let (token, value) = rotated(&acme.admin, rotation(&token_id, 0)).await;
    assert_eq!(ends(&token), [at(202), at(100), at(51)]);
    values.push(value);
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    let all = async || active(&server, &values).await;
    assert_eq!(all().await, [true, true, true, false, true]);
    t.advance(Duration::from_secs(47));
    assert_eq!(
        refused(rotate(&acme.admin, rotation(&token_id, 1)).await),
        refusal
    );
    t.advance(Duration::from_secs(1));
    assert_eq!(all().await, [true, false, true, false, true]);
    // One is over, so that there is room for another, which shortens none.
    let (token, newest) = rotated(&acme.admin, rotation(&token_id, 500)).await;
    assert_eq!(ends(&token), [at(551), at(202), at(100)]);
    t.advance(Duration::from_secs(49));
    assert_eq!(all().await, [false, false, true, false, true]);
    t.advance(Duration::from_secs(102));
    assert_eq!(all().await, [false, false, false, false, true]);
    t.advance(Duration::from_secs(349));
    assert_eq!(all().await, [false; 5]);
    assert_eq!(active(&server, &[&newest]).await, [true]);
}

async fn a_grace_is_as_long_as_the_policy_allows(backend: Backend) {
    const MOST: i64 = 30 * 24 * 60 * 60;
    let t = TestServer::start(backend).await;
    let too_long = "InvalidArgument GRACE_TOO_LONG\n  grace_period: GRACE_TOO_LONG";
    for (tenant_id, max_grace, most) in [
        ("service", None, MOST),
        ("ten", Some(10), 10),
        ("none", Some(0), 0),
    ] {
        let seconds = |seconds| prost_types::Duration { seconds, nanos: 0 };
        let policy = pb::TenantPolicy {
            max_grace: max_grace.map(seconds),
            ..self_service()
        };
        let tenant = t.tenant(tenant_id, policy).await;
        let token_id = id(&tenant.admin.issue("laptop", &["read"]).await);
        let longer = pb::RotateTokenRequest {
            tenant_id: tenant_id.into(),
            grace_period: Some(prost_types::Duration {
                seconds: most,
                nanos: 1_000_000,
            }),
            ..rotation(&token_id, 0)
        };
        for caller in [&tenant.admin, &t.operator()] {
            assert_eq!(refused(rotate(caller, longer.clone()).await), too_long);
        }
        rotated(&tenant.admin, rotation(&token_id, most)).await;
    }
    let beyond = pb::UpdateTenantRequest {
        tenant_id: "ten".into(),
        policy: Some(pb::TenantPolicy {
            max_grace: Some(prost_types::Duration {
                seconds: MOST,
                nanos: 1_000_000,
            }),
            ..Default::default()
        }),
        ..Default::default()
    };
    assert_eq!(
        refused(t.operator().update_tenant(beyond).await),
        "InvalidArgument OUT_OF_RANGE\n  policy.max_grace: OUT_OF_RANGE"
    );
    // What is no length of time, with all else that is wrong.
    let wrong = pb::RotateTokenRequest {
        kind: 99,
        ..rotation("tok_0000000000000000000001", -1)
    };
    assert_eq!(
        refused(rotate(&t.tenant("acme", self_service()).await.admin, wrong).await),
        "InvalidArgument UNKNOWN_ENUM_VALUE\n  kind: UNKNOWN_ENUM_VALUE\n  \
         grace_period: INVALID_DURATION"
    );
}

async fn what_is_over_is_not_rotated_and_what_is_off_stays_off(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let server = t.resource_server().await;
    let again = async |token_id: &str| rotate(&acme.admin, rotation(token_id, 1)).await;

    let off = id(&acme.admin.issue("off", &[]).await);
    changed(&acme.admin, disabled(&off, true)).await;
    let (token, value) = rotated(&acme.admin, rotation(&off, 60)).await;
    assert_eq!(token.state(), pb::TokenState::Disabled);
    assert_eq!(active(&server, &[&value]).await, [false]);
    changed(&acme.admin, disabled(&off, false)).await;
    assert_eq!(active(&server, &[&value]).await, [true]);

    let revoked = id(&acme.admin.issue("revoked", &[]).await);
    acme.admin.revoke("acme", &revoked).await;
    let refusal = "FailedPrecondition TOKEN_REVOKED";
    assert_eq!(refused(again(&revoked).await), refusal);

    let brief = acme.admin.create(pb::CreateTokenRequest {
        expiry: ttl(10),
        ..wanted("brief", &[])
    });
    let brief = id(&brief.await);
    t.advance(Duration::from_millis(9_999));
    let (_, value) = rotated(&acme.admin, rotation(&brief, 60)).await;
    assert_eq!(active(&server, &[&value]).await, [true]);
    t.advance(Duration::from_millis(1));
    assert_eq!(active(&server, &[&value]).await, [false]);
    let refusal = "FailedPrecondition TOKEN_EXPIRED";
    assert_eq!(refused(again(&brief).await), refusal);

    assert_eq!(
        refused(again("tok_0000000000000000000001").await),
        "NotFound TOKEN_NOT_FOUND"
    );
    for (text, reason) in [("", "FIELD_REQUIRED"), ("laptop", "INVALID_TOKEN_ID")] {
        assert_eq!(
            refused(again(text).await),
            format!("InvalidArgument {reason}\n  token_id: {reason}")
        );
    }
}

async fn an_etag_guards_a_rotation(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let created = acme.admin.issue("laptop", &["read"]).await;
    let etag = created.token.clone().unwrap().etag;
    guarded_by_etag(&etag, async |etag| {
        let request = pb::RotateTokenRequest {
            etag: etag.into(),
            ..rotation(&id(&created), 0)
        };
        outcome(rotate(&acme.admin, request).await)
    })
    .await;
}

async fn a_webhooks_token_is_rotated_only_when_named(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let hook = acme.admin.create(pb::CreateTokenRequest {
        kind: pb::TokenKind::Webhook.into(),
        ..wanted("hook", &["read"])
    });
    let hook = id(&hook.await);
    let named = |kind: pb::TokenKind| pb::RotateTokenRequest {
        kind: kind.into(),
        ..rotation(&hook, 0)
    };
    for kind in [pb::TokenKind::Unspecified, pb::TokenKind::Api] {
        assert_eq!(
            refused(rotate(&acme.admin, named(kind)).await),
            "NotFound TOKEN_NOT_FOUND"
        );
    }
    let (token, _) = rotated(&acme.admin, named(pb::TokenKind::Webhook)).await;
    assert_eq!(token.kind(), pb::TokenKind::Webhook);
}

async fn a_token_is_found_by_an_earlier_hint(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    acme.admin.issue("other", &["read"]).await;
    let created = acme.admin.issue("laptop", &["read"]).await;
    let (_, second) = rotated(&acme.admin, rotation(&id(&created), 60)).await;
    let (token, third) = rotated(&acme.admin, rotation(&id(&created), 0)).await;
    t.advance(Duration::from_secs(61));
    let first_hint = created.token.clone().unwrap().hint;
    for hint in [&first_hint, &created.value, &second, &third, &token.hint] {
        let request = pb::ListTokensRequest {
            tenant_id: "acme".into(),
            hint: hint.clone(),
            ..Default::default()
        };
        let listed = list(&acme.admin, request).await.unwrap().tokens;
        assert_eq!(listed.len(), 1, "{hint}");
        assert_eq!(listed[0].token_id, id(&created));
        assert_eq!(listed[0].hint, token.hint);
        assert_eq!(listed[0].rotate_time, token.rotate_time);
    }
}

async fn a_revocation_ends_every_value(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let server = t.resource_server().await;
    let created = acme.admin.issue("laptop", &["read"]).await;
    let (_, second) = rotated(&acme.admin, rotation(&id(&created), 60)).await;
    let (_, third) = rotated(&acme.admin, rotation(&id(&created), 60)).await;
    let values = [created.value.as_str(), &second, &third];
    assert_eq!(active(&server, &values).await, [true; 3]);
    let request = pb::RevokeTokenRequest {
        tenant_id: "acme".into(),
        token_id: id(&created),
        ..Default::default()
    };
    let revoked = revoke(&acme.admin, request).await.unwrap().token.unwrap();
    assert_eq!(revoked.previous_values.len(), 2);
    assert_eq!(active(&server, &values).await, [false; 3]);
}

async fn a_rotation_is_asked_again_in_vain(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let server = t.resource_server().await;
    let created = acme.admin.issue("laptop", &["read"]).await;
    let request = pb::RotateTokenRequest {
        request_id: "once".into(),
        etag: created.token.clone().unwrap().etag,
        ..rotation(&id(&created), 60)
    };
    let (token, value) = rotated(&acme.admin, request.clone()).await;
    let again = rotate(&acme.admin, request.clone()).await.unwrap_err();
    let details = tonic_types::StatusExt::get_error_details(&again);
    assert_eq!(
        details.resource_info().unwrap().resource_name,
        token.token_id
    );
    assert_eq!(
        refused(Err::<(), _>(again)),
        "AlreadyExists REQUEST_ALREADY_DONE"
    );
    let other = pb::RotateTokenRequest {
        grace_period: None,
        ..request.clone()
    };
    assert_eq!(
        refused(rotate(&acme.admin, other).await),
        "InvalidArgument REQUEST_ID_REUSED\n  request_id: REQUEST_ID_REUSED"
    );
    assert_eq!(active(&server, &[&created.value, &value]).await, [true; 2]);
    // The value is gone with its answer; another rotation gives another.
    let anew = pb::RotateTokenRequest {
        request_id: "twice".into(),
        etag: String::new(),
        ..request
    };
    let (_, newest) = rotated(&acme.admin, anew).await;
    assert_ne!(newest, value);
}

async fn a_rotation_is_written_down(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let created = acme.admin.issue("laptop", &["read"]).await;
    let (token, value) = rotated(&acme.admin, rotation(&id(&created), 90)).await;
    let written = events(&t.database, "acme", "RotateToken").await;
    assert_eq!(written.len(), 1);
    let event = &written[0];
    let subject = event.subject.as_ref().unwrap();
    assert_eq!(subject.token_id, token.token_id);
    assert_eq!(subject.user_id, acme.admin_id);
    assert_eq!(event.caller.as_ref().unwrap().user_id, acme.admin_id);
    let said = event.changes.iter().map(|change| {
        (
            change.field.as_str(),
            change.before.as_str(),
            change.after.as_str(),
        )
    });
    let said: Vec<_> = said.collect();
    let before = created.token.unwrap().hint;
    assert_eq!(
        said,
        [
            ("hint", before.as_str(), token.hint.as_str()),
            ("grace_period", "", "90s"),
        ]
    );
    assert!(!format!("{event:?}").contains(&value));
}
