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
    stage.trust(sk, &provider).await;
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

/// A session of the installation's provider is of no one tenant: its user says which is
/// active, among those that it is a member of.
pub(super) async fn active_is_what_a_session_chose(backend: Backend) {
    let provider = Provider::start("https://id.example").await;
    let trust = provider.trust();
    let t = TestServer::start_with(backend, |config| {
        config.trusts.insert("main".into(), trust);
    });
    let stage = Stage::on(t.await).await;
    let operator = stage.t.operator();
    let session = stage.t.actor(&provider.session(&stage.t, "carol"));
    let products = [&stage.sk, &stage.openindex];
    for product in products {
        let mut admitting = message!(UpdateTenantRequest {
            tenant_id: product.id
        });
        admitting.update_mask = Some(mask(&["policy.admitted_trusts"]));
        admitting.policy = Some(pb::TenantPolicy {
            admitted_trusts: vec!["main".into()],
            ..Default::default()
        });
        operator.update_tenant(admitting).await.unwrap();
        // Seen there first, it is a member from then on.
        let named = message!(GetTenantRequest {
            tenant_id: product.id
        });
        session.get_tenant(named).await.unwrap();
    }
    let created = async |tenant_id: &str, name: &str| {
        let request = pb::CreateTokenRequest {
            tenant_id: tenant_id.into(),
            ..personal(name, DAY)
        };
        session.create(request).await.token.unwrap()
    };
    for (number, product) in [products[0], products[1], products[0]].iter().enumerate() {
        if number > 0 {
            let chosen = message!(SetActiveTenantRequest {
                tenant_id: product.id
            });
            session.set_active_tenant(chosen).await.unwrap();
        }
        let token = created("active", &format!("active {number}")).await;
        assert_eq!(token.tenant_id, product.id, "{number}");
        let request = message!(ListTokensRequest {
            tenant_id: "active"
        });
        let listed = list(&session, request).await.unwrap().tokens;
        assert!(listed.iter().all(|token| token.tenant_id == product.id));
        assert!(listed.iter().any(|other| other.token_id == token.token_id));
        // Whichever is active, the other is reached by its name.
        for other in products {
            let token = created(other.id, &format!("named {number}")).await;
            assert_eq!(token.tenant_id, other.id, "{number}");
        }
    }
    for elsewhere in [stage.odysseus.id, "nowhere"] {
        let chosen = message!(SetActiveTenantRequest {
            tenant_id: elsewhere
        });
        let chosen = session.set_active_tenant(chosen).await;
        assert_eq!(refused(chosen), "NotFound TENANT_NOT_FOUND");
    }
    let token = created("active", "still").await;
    assert_eq!(token.tenant_id, stage.sk.id);
}
