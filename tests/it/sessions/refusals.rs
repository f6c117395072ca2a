//! Each reason for which a session is refused: it is counted, and nobody else is told.

use std::collections::BTreeSet;

use serde_json::json;
use token_authority::authority::sessions::{Credential, Named};
use token_authority::domain::session::Refusal;
use token_authority::domain::trust::SKEW;
use token_authority::pb;

use super::{REFUSED, admit, get_tenant};
use crate::support::tokens::{delete_tenant, delete_user, suspend_tenant, suspend_user};
use crate::support::{
    Answer, Backend, Provider, SigningKey, TestServer, both_backends, message, refused,
    self_service,
};

both_backends!(each_refusal_is_counted_and_told);

/// Returns sessions that are refused whoever is known, by why.
fn worthless(t: &TestServer, main: &Provider) -> Vec<(&'static str, String)> {
    let claims = main.claims(t, "alice");
    let now = claims["iat"].as_i64().unwrap();
    let skew = i64::try_from(SKEW.as_secs()).unwrap();
    let with = |name: &str, value: serde_json::Value| main.sign(&main.claims_with(t, name, value));
    let headed = |header: serde_json::Value| main.key.sign(&header, &claims);
    let (alg, kid) = ("ES256", &main.key.key_id);
    let impostor = SigningKey::new(kid);
    vec![
        ("too_long", with("pad", json!("x".repeat(9000)))),
        ("malformed", "a.b.c".into()),
        (
            "nested",
            headed(json!({"alg": alg, "kid": kid, "cty": "JWT"})),
        ),
        ("algorithm", headed(json!({"alg": "none", "kid": kid}))),
        (
            "critical",
            headed(json!({"alg": alg, "kid": kid, "crit": ["exp"]})),
        ),
        (
            "header_type",
            headed(json!({"alg": alg, "kid": kid, "typ": "dpop+jwt"})),
        ),
        ("no_key_id", headed(json!({"alg": alg}))),
        ("no_trust", with("aud", json!("other"))),
        ("unknown_key", headed(json!({"alg": alg, "kid": "key-9"}))),
        ("signature", impostor.sign(&impostor.header(), &claims)),
        ("expired", with("exp", json!(now - skew))),
        ("not_yet_valid", with("nbf", json!(now + skew + 1))),
        ("required_claim", with("typ", json!("ID"))),
        ("subject", with("sub", json!(7))),
        ("unknown_user", main.session(t, "nobody")),
    ]
}

/// Returns a session of somebody whom the tenant knows.
async fn known(
    t: &TestServer,
    provider: &Provider,
    tenant_id: &str,
    name: &str,
) -> (String, String) {
    let user_id = t
        .operator()
        .create_user(tenant_id, name, pb::Role::Member)
        .await;
    (user_id, provider.session(t, name))
}

async fn each_refusal_is_counted_and_told(backend: Backend) {
    let main = Provider::start("https://id.example").await;
    let away = Provider::start("https://away.example").await;
    away.answer(Answer::Nothing);
    let bare = Provider::start("https://bare.example").await;
    let own = Provider::start("https://own.example").await;
    let (trust, of_away) = (main.trust(), away.trust());
    // Nothing but the header can say what its JWTs are.
    let of_bare = token_authority::config::Trust {
        required_claims: std::collections::BTreeMap::new(),
        ..bare.trust()
    };
    let mut t = TestServer::start_with(backend, |config| {
        config.trusts.insert("main".into(), trust);
        config.trusts.insert("away".into(), of_away);
        config.trusts.insert("bare".into(), of_bare);
    })
    .await;
    t.expect_alarms();
    let policy = || pb::TenantPolicy {
        oidc_trust: Some(own.oidc_trust()),
        ..self_service()
    };
    for tenant_id in ["acme", "second", "third", "plain"] {
        let policy = if tenant_id == "plain" {
            self_service()
        } else {
            policy()
        };
        t.tenant(tenant_id, policy).await;
    }
    admit(&t, "acme", &["main"]).await;
    let operator = t.operator();
    let mut done = BTreeSet::new();
    let mut before = t.scrape().await;
    let mut check = async |why: &'static str, tenant_id: &str, session: &str| {
        let refusal = refused(get_tenant(&t.actor(session), tenant_id).await);
        assert_eq!(refusal, REFUSED, "{why}");
        let after = t.scrape().await;
        for (metric, label) in [
            ("sessions_refused_total", why),
            ("unauthenticated_total", "session"),
        ] {
            let moved = after.moved(metric, &before);
            let expected = [(format!("{{reason=\"{label}\"}}"), 1)].into();
            assert_eq!(moved, expected, "{why}");
        }
        before = after;
        done.insert(why);
    };

    for (why, session) in worthless(&t, &main) {
        // No tenant's trust is meant, and none makes users of the installation's.
        check(why, "plain", &session).await;
    }
    check("keys_unavailable", "acme", &away.session(&t, "alice")).await;
    check("not_access_token", "acme", &bare.session(&t, "alice")).await;
    let (_, alice) = known(&t, &own, "second", "alice").await;
    check("other_tenant", "plain", &alice).await;
    check("ambiguous", "active", &alice).await;

    let (user_id, session) = known(&t, &own, "second", "deleted").await;
    delete_user(&operator, "second", &user_id).await;
    check("user_deleted", "second", &session).await;
    let (user_id, session) = known(&t, &own, "second", "suspended").await;
    suspend_user(&operator, "second", &user_id).await;
    check("user_suspended", "second", &session).await;
    let (user_id, session) = known(&t, &own, "second", "removed").await;
    let remove = message!(RemoveMemberRequest {
        tenant_id: "second",
        user_id: user_id
    });
    operator.remove_member(remove).await.unwrap();
    check("not_member", "second", &session).await;
    suspend_tenant(&operator, "second").await;
    check("tenant_suspended", "second", &alice).await;

    // Between the two steps that a call takes, the tenant goes.
    let (_, session) = known(&t, &own, "third", "late").await;
    let Credential::Session(admitted) = t.authority.admit(Some(&session)).await.unwrap() else {
        panic!("a JWT is a session");
    };
    delete_tenant(&operator, "third").await;
    let named = Named::Tenant("third".parse().unwrap());
    t.authority.settle(&admitted, named).await.unwrap_err();
    let after = t.scrape().await;
    let moved = after.moved("sessions_refused_total", &before);
    assert_eq!(moved, [("{reason=\"trust_changed\"}".into(), 1)].into());
    done.insert("trust_changed");

    let all: BTreeSet<_> = Refusal::ALL.iter().map(|why| why.as_str()).collect();
    assert_eq!(done, all);
}
