//! `IntrospectionService/Introspect`: what is worth nothing, all in one answer.

use std::time::Duration;

use prost::Message as _;
use token_authority::pb;

use crate::support::tokens::{
    altered, change, checked, delete_tenant, delete_user, id, mask, question, remove_member,
    service, suspend_tenant, suspend_user, ttl, update, wanted,
};
use crate::support::{Backend, TestServer, both_backends, self_service};

both_backends!(
    all_that_is_inactive_gets_one_answer,
    a_token_is_active_for_its_own_kind_alone_and_webhook_only_when_named,
    a_value_is_good_only_as_it_was_given_out,
);

const NOTHING: [u8; 0] = [];

/// Returns the answer's bytes without what every answer has.
fn told(mut answer: pb::IntrospectResponse) -> Vec<u8> {
    assert!(!answer.revision.is_empty());
    assert!(answer.evaluate_time.is_some());
    answer.revision.clear();
    answer.evaluate_time = None;
    answer.encode_to_vec()
}

async fn all_that_is_inactive_gets_one_answer(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let operator = t.operator();
    let server = t.resource_server().await;
    let brief = acme.admin.create(pb::CreateTokenRequest {
        expiry: ttl(1),
        ..wanted("brief", &[])
    });
    let brief = brief.await;
    let revoked = acme.admin.issue("revoked", &[]).await;
    let disabled = acme.admin.issue("disabled", &[]).await;
    let alice = t.member(&acme, "alice", &["read"]).await;
    let bob = t.member(&acme, "bob", &["read"]).await;
    let carol = t.member(&acme, "carol", &["read"]).await;
    let globex = t.tenant("globex", self_service()).await;
    let initech = t.tenant("initech", self_service()).await;
    let values = [
        ("expired", "acme", brief.value.as_str()),
        ("revoked", "acme", &revoked.value),
        ("disabled", "acme", &disabled.value),
        ("owner suspended", "acme", alice.actor.value()),
        ("owner deleted", "acme", bob.actor.value()),
        ("owner removed", "acme", carol.actor.value()),
        ("tenant suspended", "globex", globex.admin.value()),
        ("tenant deleted", "initech", initech.admin.value()),
    ];
    for (why, tenant_id, value) in values {
        let answer = server.introspect(tenant_id, value).await;
        assert!(answer.active, "before: {why}");
        assert!(!told(answer).is_empty());
    }

    t.advance(Duration::from_secs(1));
    acme.admin.revoke("acme", &id(&revoked)).await;
    let off = pb::UpdateTokenRequest {
        disabled: true,
        ..change(&id(&disabled))
    };
    update(&acme.admin, off).await.unwrap();
    suspend_user(&acme.admin, "acme", &alice.user_id).await;
    delete_user(&acme.admin, "acme", &bob.user_id).await;
    remove_member(&acme.admin, "acme", &carol.user_id).await;
    suspend_tenant(&operator, "globex").await;
    delete_tenant(&operator, "initech").await;

    let good = acme.admin.value();
    let bare = &good[..good.len() - 6];
    let long = format!("{good}{}", "0".repeat(257 - good.len()));
    let huge = "a".repeat(1024 * 1024);
    let unknown = checked(&altered(good, "acme_", 0));
    let foreign = checked(&bare.replacen("acme_", "globex_", 1));
    let values = values.into_iter().chain([
        ("empty", "acme", ""),
        ("a word", "acme", "hunter2"),
        ("truncated", "acme", bare),
        ("too long", "acme", &long),
        ("huge", "acme", &huge),
        ("unknown", "acme", &unknown),
        ("wrong prefix", "acme", &foreign),
        ("of the prefix's tenant", "globex", &foreign),
        ("of another tenant", "globex", good),
        ("of no tenant", "nowhere", good),
        ("of the caller's tenant", "active", good),
        ("of the reserved tenant", "authority", good),
    ]);
    for (why, tenant_id, value) in values {
        let request = pb::IntrospectRequest {
            required_scopes: vec!["read".into()],
            ..question(tenant_id, value)
        };
        let answer = server.try_introspect(request).await.unwrap();
        assert_eq!(told(answer), NOTHING, "{why}");
    }
    assert!(server.introspect("acme", good).await.active);
}

async fn a_value_is_good_only_as_it_was_given_out(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let server = t.resource_server().await;
    let good = acme.admin.value();
    // Lookup, secret: first and last character of each; with and without the
    // checksum that belongs to the altered text.
    for at in [0, 11, 12, 54] {
        let text = altered(good, "acme_", at);
        let typo = format!("{text}{}", &good[good.len() - 6..]);
        for value in [checked(&text), typo] {
            let answer = server.introspect("acme", &value).await;
            assert_eq!(told(answer), NOTHING, "{at}");
            let alarm = t.actor(&value).try_introspect(question("acme", good)).await;
            assert_eq!(alarm.unwrap_err().code(), tonic::Code::Unauthenticated);
        }
    }
    let bare = &good[..good.len() - 6];
    let upper = checked(&bare.replacen("acme_", "ACME_", 1));
    for value in [
        upper.as_str(),
        &format!("{good}0"),
        &format!("x{good}"),
        &good.replacen('_', "_ ", 1),
        &format!("{good} {good}"),
        &format!("Bearer Bearer {good}"),
        &format!("Basic {good}"),
        &format!("Bearer{good}"),
        &format!("\u{feff}{good}"),
        &format!("{good}\0"),
        "é".repeat(33).as_str(),
    ] {
        let answer = server.introspect("acme", value).await;
        assert_eq!(told(answer), NOTHING, "{value:?}");
    }
    assert!(server.introspect("acme", good).await.active);
}

async fn a_token_is_active_for_its_own_kind_alone_and_webhook_only_when_named(backend: Backend) {
    use pb::TokenKind::{Agent, Api, Service, Unspecified, Webhook};
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let server = t.resource_server().await;
    for kind in [Api, Webhook, Agent, Service] {
        let request = pb::CreateTokenRequest {
            kind: kind.into(),
            ..wanted("one of each", &["read"])
        };
        let value = acme.admin.create(request).await.value;
        for expected in [Unspecified, Api, Webhook, Agent, Service] {
            let request = pb::IntrospectRequest {
                expected_kind: expected.into(),
                ..question("acme", &value)
            };
            let answer = server.try_introspect(request).await.unwrap();
            let fits = expected == kind || (expected == Unspecified && kind != Webhook);
            assert_eq!(answer.active, fits, "{kind:?} for {expected:?}");
            if fits {
                assert_eq!(answer.kind(), kind);
            } else {
                assert_eq!(told(answer), NOTHING, "{kind:?} for {expected:?}");
            }
        }
    }
    // By id, too, a webhook's token is there only for who names its kind.
    let created = acme.admin.create(service("active", "another", &[])).await;
    let off = pb::UpdateTokenRequest {
        kind: Webhook.into(),
        update_mask: mask(&["disabled"]),
        disabled: true,
        ..change(&id(&created))
    };
    let refusal = crate::support::refused(update(&acme.admin, off).await);
    assert_eq!(refusal, "NotFound TOKEN_NOT_FOUND");
}
