//! The platform's sessions: access tokens of its OIDC provider, with which a member makes
//! its first token.

use serde_json::{Value, json};
use token_authority::pb;

use super::super::Stage;
use super::super::stage::DAY;
use super::{UNAUTHENTICATED, personal};
use crate::support::tokens::{id, list, who_am_i};
use crate::support::{Backend, Provider, SigningKey, TestServer, mask, message, refused};

/// Returns what somebody may try in place of a session.
fn forged(t: &TestServer, provider: &Provider) -> Vec<(&'static str, String)> {
    let with = |name: &str, value: Value| provider.sign(&provider.claims_with(t, name, value));
    let good = provider.claims(t, "alice");
    let now = good["iat"].as_i64().unwrap();
    let header = provider.key.header();
    let unsigned = provider
        .key
        .sign(&json!({"alg": "none", "typ": "JWT"}), &good);
    let (unsigned, _) = unsigned.rsplit_once('.').unwrap();
    let whole = provider.sign(&good);
    let (signed, _) = whole.rsplit_once('.').unwrap();
    vec![
        ("an ID token", with("typ", "ID".into())),
        ("one of no type", with("typ", Value::Null)),
        ("one for another audience", with("aud", "other".into())),
        (
            "one for a part of it",
            with("aud", json!(["accounts", "accoun"])),
        ),
        ("one for nobody", with("aud", Value::Null)),
        ("one that has ended", with("exp", (now - 3600).into())),
        ("one without an end", with("exp", Value::Null)),
        (
            "one of another issuer",
            with("iss", "https://id.evil".into()),
        ),
        ("one that is not signed", format!("{unsigned}.")),
        ("one without its signature", format!("{signed}.")),
        (
            "one signed by another",
            SigningKey::new("key-1").sign(&header, &good),
        ),
        (
            "one of nobody's key",
            SigningKey::new("key-2").sign(&header, &good),
        ),
        ("one of nobody's", provider.session(t, "mallory")),
    ]
}

pub(super) async fn b2_the_first_token_takes_a_session_of_the_provider(backend: Backend) {
    let provider = Provider::start("https://id.sk.example").await;
    let stage = Stage::set(backend).await;
    let (t, sk) = (&stage.t, &stage.sk);
    let mut trusting = message!(UpdateTenantRequest { tenant_id: sk.id });
    trusting.update_mask = Some(mask(&["policy.oidc_trust"]));
    trusting.policy = Some(pb::TenantPolicy {
        oidc_trust: Some(provider.oidc_trust()),
        ..Default::default()
    });
    sk.admin.update_tenant(trusting).await.unwrap();
    // Somebody who was never given a token.
    let operator = t.operator();
    let alice = operator.create_user(sk.id, "alice", pb::Role::Member).await;

    let before = t.database.rows().await;
    for (what, credential) in forged(t, &provider) {
        let actor = t.actor(&credential);
        for tenant_id in ["active", sk.id] {
            let request = pb::CreateTokenRequest {
                tenant_id: tenant_id.into(),
                ..personal("laptop", DAY)
            };
            let created = actor.try_create(request).await;
            assert_eq!(refused(created), UNAUTHENTICATED, "{what} in {tenant_id}");
        }
    }
    // Good here, and nowhere else.
    let session = t.actor(&provider.session(t, "alice"));
    for product in [&stage.odysseus, &stage.openindex] {
        let request = pb::CreateTokenRequest {
            tenant_id: product.id.into(),
            ..personal("laptop", DAY)
        };
        let created = session.try_create(request).await;
        assert_eq!(refused(created), UNAUTHENTICATED, "at {}", product.id);
    }
    assert_eq!(t.database.rows().await, before);

    for tenant_id in ["active", sk.id] {
        let request = pb::CreateTokenRequest {
            tenant_id: tenant_id.into(),
            ..personal(&format!("made in {tenant_id}"), DAY)
        };
        let created = session.create(request).await;
        assert!(created.value.starts_with("sk-"));
        let answer = stage.ask(sk, &created.value, &[]).await;
        assert!(answer.allowed);
        assert_eq!(answer.user_id, alice);
        let me = who_am_i(&t.actor(&created.value), pb::WhoAmIRequest {}).await;
        assert_eq!(me.unwrap().token.unwrap().token_id, id(&created));
        let request = message!(ListTokensRequest {
            tenant_id: tenant_id
        });
        let listed = list(&session, request).await.unwrap().tokens;
        assert!(listed.iter().any(|token| token.token_id == id(&created)));
    }
}
