//! What is believed of a JWT, and what a trust must be.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::*;

const NOW: i64 = 1_700_000_000;

fn now() -> Timestamp {
    Timestamp::from_parts(NOW, 0).unwrap()
}

fn rules() -> Rules {
    Rules {
        issuer: "https://id.example".into(),
        audience: "account".into(),
        required_claims: BTreeMap::from([("typ".into(), "Bearer".into())]),
        user_claim: USER_CLAIM.into(),
        name_claim: "name".into(),
    }
}

fn claims() -> Value {
    json!({
        "iss": "https://id.example", "aud": ["other", "account"], "sub": "u-1",
        "exp": NOW + 300, "iat": NOW, "typ": "Bearer", "name": "Ada",
    })
}

fn jwt(header: &Value, claims: &Value) -> Jwt {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    Jwt::parse(&format!("{}.{}.AAAA", part(header), part(claims))).unwrap()
}

fn judged(rules: &Rules, claims: &Value) -> Result<Identity, Refusal> {
    rules.judge(&jwt(&json!({"alg": "ES256", "kid": "k"}), claims), now())
}

fn with(name: &str, value: impl Into<Value>) -> Value {
    let mut claims = claims();
    claims[name] = value.into();
    claims
}

#[test]
fn an_access_token_says_whose_it_is() {
    let identity = judged(&rules(), &claims()).unwrap();
    assert_eq!(identity.subject, "u-1");
    assert_eq!(identity.display_name, "Ada");
    assert_eq!(
        identity.ends_at,
        Timestamp::from_parts(NOW + 300, 0).unwrap()
    );
    let by_mail = Rules {
        user_claim: "email".into(),
        name_claim: String::new(),
        ..rules()
    };
    let identity = judged(&by_mail, &with("email", "a@b")).unwrap();
    assert_eq!(
        (identity.subject.as_str(), identity.display_name.as_str()),
        ("a@b", "")
    );
    // What people call a user is kept only where it can be.
    let unnamed = judged(&rules(), &with("name", "a\u{7}")).unwrap();
    assert_eq!(unnamed.display_name, "");
}

#[test]
fn clocks_may_differ_by_a_minute() {
    for (name, seconds, expected) in [
        ("exp", NOW - 59, Ok(())),
        ("exp", NOW - 60, Err(Refusal::Expired)),
        ("nbf", NOW + 60, Ok(())),
        ("nbf", NOW + 61, Err(Refusal::NotYetValid)),
        ("iat", NOW + 60, Ok(())),
        ("iat", NOW + 61, Err(Refusal::NotYetValid)),
        ("exp", -1, Err(Refusal::Malformed)),
        ("exp", i64::MAX, Err(Refusal::Malformed)),
    ] {
        let judged = judged(&rules(), &with(name, seconds)).map(|_| ());
        assert_eq!(judged, expected, "{name} {seconds}");
    }
    let at_end = judged(&rules(), &with("exp", NOW)).unwrap();
    assert_eq!(
        at_end.check_end(now().saturating_add(Duration::from_millis(59_999))),
        Ok(())
    );
    assert_eq!(
        at_end.check_end(now().saturating_add(SKEW)),
        Err(Refusal::Expired)
    );
}

#[test]
fn what_is_not_as_required_is_refused() {
    for (claims, why) in [
        (with("typ", "ID"), Refusal::RequiredClaim),
        (with("typ", Value::Null), Refusal::RequiredClaim),
        (with("exp", Value::Null), Refusal::Malformed),
        (with("exp", "soon"), Refusal::Malformed),
        (with("sub", 7), Refusal::Subject),
        (with("sub", ""), Refusal::Subject),
        (with("sub", "a\nb"), Refusal::Subject),
        (with("sub", "x".repeat(256)), Refusal::Subject),
    ] {
        assert_eq!(judged(&rules(), &claims), Err(why), "{claims}");
    }
    let mut endless = claims();
    endless.as_object_mut().unwrap().remove("exp");
    assert_eq!(judged(&rules(), &endless), Err(Refusal::Expired));
    let said = |claims: &Value| {
        rules().applies_to(&jwt(&json!({"alg": "ES256", "kid": "k"}), claims).claims)
    };
    assert!(said(&claims()) && said(&with("aud", "account")));
    for claims in [
        with("iss", "https://id.example/"),
        with("iss", json!(["https://id.example"])),
        with("aud", "Account"),
        with("aud", json!([])),
        with("aud", Value::Null),
    ] {
        assert!(!said(&claims), "{claims}");
    }
}

#[test]
fn without_a_required_claim_the_header_must_say_what_it_is() {
    let bare = Rules {
        required_claims: BTreeMap::new(),
        ..rules()
    };
    let judged = |typ: &str| {
        let header = json!({"alg": "ES256", "kid": "k", "typ": typ});
        bare.judge(&jwt(&header, &claims()), now()).map(|_| ())
    };
    assert_eq!(judged("JWT"), Err(Refusal::NotAccessToken));
    assert_eq!(judged("at+jwt"), Ok(()));
}

fn trust() -> TenantTrust {
    TenantTrust {
        rules: rules(),
        keys: TenantKeys::Url("https://id.example/keys".into()),
        admins: Some(AdminClaim {
            claim: "/realm_access/roles".into(),
            values: vec!["boss".into(), "admin".into()],
        }),
        provision: Some(Role::Member),
    }
}

fn said(change: impl FnOnce(&mut TenantTrust)) -> Vec<String> {
    let mut trust = trust();
    change(&mut trust);
    let mut violations = Violations::default();
    trust.check("t", &mut violations);
    let said = violations.iter();
    said.map(|v| format!("{} {}", v.field, v.reason.as_str()))
        .collect()
}

#[test]
fn a_role_at_first_sight_is_the_trusts_to_give() {
    let role = |trust: &TenantTrust, roles: Value| {
        let claims = with("realm_access", json!({ "roles": roles }));
        trust.first_role(&jwt(&json!({"alg": "ES256", "kid": "k"}), &claims).claims)
    };
    assert_eq!(role(&trust(), json!(["user"])), Some(Role::Member));
    assert_eq!(role(&trust(), json!(["user", "admin"])), Some(Role::Admin));
    assert_eq!(role(&trust(), json!("boss")), Some(Role::Admin));
    let none = TenantTrust {
        provision: None,
        ..trust()
    };
    assert_eq!(role(&none, json!(["admin"])), None);
    let plain = TenantTrust {
        admins: None,
        ..trust()
    };
    assert_eq!(role(&plain, json!(["admin"])), Some(Role::Member));
}

#[test]
fn what_is_wrong_with_a_trust_is_said_at_once() {
    assert_eq!(said(|_| {}), [""; 0]);
    let wrong = said(|trust| {
        trust.rules.issuer.clear();
        trust.rules.audience = "x".repeat(256);
        trust.rules.user_claim = "/".into();
        trust.rules.required_claims = BTreeMap::from([("typ".into(), String::new())]);
        trust.keys = TenantKeys::Inline("{}".into());
        trust.admins = Some(AdminClaim {
            claim: String::new(),
            values: Vec::new(),
        });
    });
    assert_eq!(
        wrong,
        [
            "t.issuer FIELD_REQUIRED",
            "t.audience FIELD_TOO_LONG",
            "t.user_claim INVALID_CLAIM",
            "t.required_claims FIELD_REQUIRED",
            "t.jwks INVALID_JWKS",
            "t.admin_claim FIELD_REQUIRED",
            "t.admin_values FIELD_REQUIRED",
        ]
    );
}

#[test]
fn a_tenants_url_is_https_and_nothing_else() {
    for good in [
        "https://id.example/keys",
        "https://id.example:8443/k?x=1",
        "https://[2600::1]/",
    ] {
        assert_eq!(https_url(good), Ok(()), "{good}");
    }
    for bad in [
        "http://id.example/keys",
        "file:///etc/passwd",
        "https://",
        "/keys",
        "https://user:pass@id.example/keys",
        "https://id.example/keys#x",
        "ftp://id.example/",
        "https://id example/",
    ] {
        assert_eq!(https_url(bad), Err(Field::InvalidUrl), "{bad}");
    }
    assert_eq!(operators_url("http://127.0.0.1:8080/keys"), Ok(()));
    assert_eq!(operators_url("file:///keys"), Err(Field::InvalidUrl));
}
