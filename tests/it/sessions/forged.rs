//! What is no session of ours is refused, each alike; why is in the log alone.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde_json::{Value, json};

use super::{REFUSED, get_tenant, installed, logged_since, own, refusals, who_am_i};
use crate::support::{Backend, Provider, SigningKey, TestServer, both_backends, refused};

both_backends! {
    a_forged_session_is_refused_and_why_is_in_the_log_alone,
    a_session_is_good_for_a_minute_past_its_end_and_no_longer,
    of_two_credentials_none_is_taken,
    the_same_subject_of_two_vouchers_is_two_users,
}

/// Signs by a shared secret.
fn hs256(header: &Value, claims: &Value, secret: &[u8]) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", part(header), part(claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let signature = hmac::sign(&key, text.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// Returns sessions of alice that are forged, or not meant for us, and why.
fn forged(t: &TestServer, main: &Provider, other: &Provider) -> Vec<(String, &'static str)> {
    let key = &main.key;
    let claims = main.claims(t, "alice");
    let with = |name: &str, value: Value| main.sign(&main.claims_with(t, name, value));
    let header = |name: &str, value: Value| {
        let mut header = key.header();
        header[name] = value;
        key.sign(&header, &claims)
    };
    let now = claims["iat"].as_i64().unwrap();
    let good = main.sign(&claims);
    let (text, signature) = good.rsplit_once('.').unwrap();
    let (head, body) = text.split_once('.').unwrap();
    let published = key.public();
    let hs = json!({"alg": "HS256", "kid": key.key_id});
    let point = [
        published["x"].as_str().unwrap(),
        published["y"].as_str().unwrap(),
    ];
    let impostor = SigningKey::new(&key.key_id);
    let altered = URL_SAFE_NO_PAD.encode(main.claims(t, "admin").to_string());
    let elsewhere = json!("http://127.0.0.1:1/keys");
    let nested = key.sign(
        &json!({"alg": "ES256", "kid": key.key_id, "cty": "JWT"}),
        &claims,
    );
    let none = json!({"alg": "none", "kid": key.key_id}).to_string();
    let none = URL_SAFE_NO_PAD.encode(none);
    vec![
        (format!("{none}.{body}."), "algorithm"),
        (format!("{none}.{body}.{signature}"), "algorithm"),
        (format!("{head}.{body}."), "signature"),
        (format!("{head}.{altered}.{signature}"), "signature"),
        (
            hs256(&hs, &claims, published.to_string().as_bytes()),
            "algorithm",
        ),
        (hs256(&hs, &claims, point.concat().as_bytes()), "algorithm"),
        (impostor.sign(&key.header(), &claims), "signature"),
        (header("alg", json!("RS256")), "algorithm"),
        (header("kid", json!("key-2")), "unknown_key"),
        (header("kid", Value::Null), "malformed"),
        (header("crit", json!(["exp"])), "critical"),
        (header("typ", json!("logout+jwt")), "header_type"),
        (nested, "nested"),
        (format!("{good}.x.y"), "nested"),
        (format!("{good}.x"), "malformed"),
        (with("pad", json!("x".repeat(9000))), "too_long"),
        (with("iss", json!("https://id.example/")), "no_trust"),
        (with("iss", json!("https://other.example")), "no_trust"),
        (with("iss", Value::Null), "no_trust"),
        // PostgreSQL takes no text with a NUL.
        (with("iss", json!("https://id.example\0")), "no_trust"),
        (with("iss", json!("x".repeat(300))), "no_trust"),
        (with("aud", json!("other")), "no_trust"),
        (with("aud", json!(["Account"])), "no_trust"),
        (with("typ", json!("ID")), "required_claim"),
        (with("typ", Value::Null), "required_claim"),
        (
            with("at_hash", json!("77QmUPtjPfzWtF2AnpK9RQ")),
            "not_access_token",
        ),
        (
            with("c_hash", json!("LDktKdoQak3Pk0cnXxCltA")),
            "not_access_token",
        ),
        (with("exp", json!(now - 60)), "expired"),
        (with("exp", Value::Null), "expired"),
        (with("nbf", json!(now + 61)), "not_yet_valid"),
        (with("iat", json!(now + 61)), "not_yet_valid"),
        (with("sub", json!(7)), "subject"),
        (with("sub", Value::Null), "subject"),
        (with("sub", json!("nobody")), "unknown_user"),
        // Another provider, which is trusted as well, signs for this one.
        (other.key.sign(&other.key.header(), &claims), "unknown_key"),
        // A header that says where a key is that signed this.
        (
            impostor.sign(
                &json!({"alg": "ES256", "kid": key.key_id, "jku": elsewhere,
                    "x5u": elsewhere, "jwk": impostor.public()}),
                &claims,
            ),
            "signature",
        ),
        ("..".into(), "malformed"),
    ]
}

async fn a_forged_session_is_refused_and_why_is_in_the_log_alone(backend: Backend) {
    let main = Provider::start("https://id.example").await;
    let mut other = Provider::start("https://other.example").await;
    other.key = SigningKey::new("key-other");
    let (trust, also) = (main.trust(), other.trust());
    let t = TestServer::start_with(backend, |config| {
        config.trusts.insert("main".into(), trust);
        let named = token_authority::config::Trust {
            audience: "elsewhere".into(),
            ..also
        };
        config.trusts.insert("other".into(), named);
    })
    .await;
    t.tenant("acme", crate::support::self_service()).await;
    super::admit(&t, "acme", &["main"]).await;
    let good = t.actor(&main.session(&t, "alice"));
    assert!(get_tenant(&good, "acme").await.is_ok());
    super::admit(&t, "acme", &[]).await;
    let mut counted = 0;
    for (session, why) in forged(&t, &main, &other) {
        let actor = t.actor(&session);
        let from = t.logs.text().len();
        for status in [
            get_tenant(&actor, "acme").await.unwrap_err(),
            who_am_i(&actor).await.unwrap_err(),
        ] {
            counted += 1;
            assert_eq!(status.message(), "the caller is not authenticated");
            assert_eq!(refused(Err::<(), _>(status)), REFUSED, "{why}");
        }
        let logged = logged_since(&t, from);
        assert_eq!(logged.len(), 2, "{logged:?}");
        for line in logged {
            let said = format!("session.refusal=\"{why}\"");
            assert!(
                line.contains(" INFO ") && line.contains(&said),
                "{why}: {line}"
            );
        }
    }
    let refused: u64 = refusals(&t).iter().map(|(_, count)| count).sum();
    assert_eq!(refused, counted);
    assert!(get_tenant(&good, "acme").await.is_ok());
    // Nobody was asked for keys but who is trusted, and once, beside who knew no key-2.
    assert_eq!((main.asked(), other.asked()), (1, 0));
}

async fn a_session_is_good_for_a_minute_past_its_end_and_no_longer(backend: Backend) {
    let (t, provider, _acme) = installed(backend).await;
    super::admit(&t, "acme", &["main"]).await;
    let actor = t.actor(&provider.session(&t, "alice"));
    assert!(get_tenant(&actor, "acme").await.is_ok());
    t.advance(std::time::Duration::from_secs(359));
    assert!(get_tenant(&actor, "acme").await.is_ok());
    t.advance(std::time::Duration::from_secs(1));
    assert_eq!(refused(get_tenant(&actor, "acme").await), REFUSED);
    assert_eq!(refusals(&t), [("expired", 1)]);
}

async fn of_two_credentials_none_is_taken(backend: Backend) {
    let (t, provider, acme, _) = own(backend).await;
    let session = provider.session(&t, "alice");
    let actor = t.actor(&session);
    let mut request = actor.call(token_authority::pb::WhoAmIRequest {});
    assert!(actor.me().who_am_i(request).await.is_ok());
    request = actor.call(token_authority::pb::WhoAmIRequest {});
    let bearer = format!("Bearer {}", acme.admin.value()).parse().unwrap();
    request.metadata_mut().append("authorization", bearer);
    assert_eq!(refused(actor.me().who_am_i(request).await), REFUSED);
}

async fn the_same_subject_of_two_vouchers_is_two_users(backend: Backend) {
    let main = Provider::start("https://id.example").await;
    let theirs = Provider::start("https://theirs.example").await;
    let trust = main.trust();
    let t = TestServer::start_with(backend, |config| {
        config.trusts.insert("main".into(), trust);
    })
    .await;
    let policy = token_authority::pb::TenantPolicy {
        oidc_trust: Some(token_authority::pb::OidcTrust {
            provision_members: true,
            ..theirs.oidc_trust()
        }),
        admitted_trusts: vec!["main".into()],
        ..crate::support::self_service()
    };
    t.tenant("acme", policy).await;
    let mut users = Vec::new();
    for session in [main.session(&t, "alice"), theirs.session(&t, "alice")] {
        let actor = t.actor(&session);
        get_tenant(&actor, "acme").await.unwrap();
        let user = who_am_i(&actor).await.unwrap().user.unwrap();
        assert_eq!(user.external_id, "alice");
        users.push((user.user_id, user.vouching_tenant_id, user.vouching_trust));
    }
    assert_ne!(users[0].0, users[1].0);
    assert_eq!((&*users[0].1, &*users[0].2), ("authority", "main"));
    assert_eq!((&*users[1].1, &*users[1].2), ("acme", ""));
    // Signed by the one, in the name of the other.
    let crossed = theirs
        .key
        .sign(&theirs.key.header(), &main.claims(&t, "alice"));
    assert_eq!(
        refused(get_tenant(&t.actor(&crossed), "acme").await),
        REFUSED
    );
}
