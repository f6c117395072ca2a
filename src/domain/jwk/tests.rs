//! Which keys are taken, and what they verify.

use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA512,
    RSA_PSS_SHA256, RsaEncoding, RsaKeyPair,
};
use serde_json::json;

use super::*;

fn base64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn set(keys: &[Value]) -> KeySet {
    KeySet::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
}

/// Returns a JWT that says this algorithm, signed by this.
fn signed(algorithm: &str, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> Jwt {
    let header = base64(format!(r#"{{"alg":"{algorithm}","kid":"k"}}"#).as_bytes());
    let text = format!("{header}.{}", base64(br#"{"sub":"a"}"#));
    let signature = base64(&sign(text.as_bytes()));
    Jwt::parse(&format!("{text}.{signature}")).unwrap()
}

fn rsa() -> RsaKeyPair {
    let text = include_str!("../../../tests/keys/rsa-for-tests.p8.b64");
    let der = base64::engine::general_purpose::STANDARD.decode(text.replace('\n', ""));
    RsaKeyPair::from_pkcs8(&der.unwrap()).unwrap()
}

fn rsa_key(alg: Option<&str>) -> Value {
    let RsaPublicKeyComponents::<Vec<u8>> { mut n, e } = rsa().public().into();
    // Some write a leading zero.
    n.insert(0, 0);
    json!({"kty": "RSA", "kid": "k", "alg": alg, "n": base64(&n), "e": base64(&e)})
}

fn rsa_signed(algorithm: &str, encoding: &'static dyn RsaEncoding) -> Jwt {
    signed(algorithm, |text| {
        let pair = rsa();
        let mut signature = vec![0; pair.public().modulus_len()];
        pair.sign(encoding, &SystemRandom::new(), text, &mut signature)
            .unwrap();
        signature
    })
}

#[test]
fn an_rsa_key_verifies_its_one_algorithm() {
    let (rs256, rs512) = (
        rsa_signed("RS256", &RSA_PKCS1_SHA256),
        rsa_signed("RS512", &RSA_PKCS1_SHA512),
    );
    let ps256 = rsa_signed("PS256", &RSA_PSS_SHA256);
    // That says another algorithm than it was signed with.
    let mixed = rsa_signed("RS256", &RSA_PSS_SHA256);
    for (alg, [for_rs256, for_rs512, for_ps256]) in [
        (
            None,
            [Ok(()), Err(Refusal::Algorithm), Err(Refusal::Algorithm)],
        ),
        (
            Some("RS256"),
            [Ok(()), Err(Refusal::Algorithm), Err(Refusal::Algorithm)],
        ),
        (
            Some("RS512"),
            [Err(Refusal::Algorithm), Ok(()), Err(Refusal::Algorithm)],
        ),
        (
            Some("PS256"),
            [Err(Refusal::Algorithm), Err(Refusal::Algorithm), Ok(())],
        ),
    ] {
        let keys = set(&[rsa_key(alg)]);
        assert_eq!(keys.verify(&rs256), for_rs256, "{alg:?}");
        assert_eq!(keys.verify(&rs512), for_rs512, "{alg:?}");
        assert_eq!(keys.verify(&ps256), for_ps256, "{alg:?}");
        assert!(keys.verify(&mixed).is_err());
    }
}

fn curve(algorithm: &'static EcdsaSigningAlgorithm) -> EcdsaKeyPair {
    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
    EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).unwrap()
}

fn curve_key(name: &str, pair: &EcdsaKeyPair) -> Value {
    let point = &pair.public_key().as_ref()[1..];
    let (x, y) = point.split_at(point.len() / 2);
    json!({"kty": "EC", "kid": "k", "crv": name, "x": base64(x), "y": base64(y), "use": "sig"})
}

#[test]
fn keys_on_curves_verify_what_they_signed_and_nothing_else() {
    let random = SystemRandom::new();
    let (p256, p384) = (
        curve(&ECDSA_P256_SHA256_FIXED_SIGNING),
        curve(&ECDSA_P384_SHA384_FIXED_SIGNING),
    );
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
    let ed = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
    let ed_key = json!({"kty": "OKP", "kid": "k", "crv": "Ed25519",
        "x": base64(ed.public_key().as_ref()), "key_ops": ["verify"]});
    let jwts = [
        signed("ES256", |text| {
            p256.sign(&random, text).unwrap().as_ref().to_vec()
        }),
        signed("ES384", |text| {
            p384.sign(&random, text).unwrap().as_ref().to_vec()
        }),
        signed("EdDSA", |text| ed.sign(text).as_ref().to_vec()),
    ];
    let keys = [curve_key("P-256", &p256), curve_key("P-384", &p384), ed_key];
    for (at, key) in keys.iter().enumerate() {
        let alone = set(std::slice::from_ref(key));
        for (of, jwt) in jwts.iter().enumerate() {
            let expected = if at == of {
                Ok(())
            } else {
                Err(Refusal::Algorithm)
            };
            assert_eq!(alone.verify(jwt), expected, "{key}");
        }
    }
    // Of one id, the one of the algorithm is meant.
    let together = set(&keys);
    assert!(jwts.iter().all(|jwt| together.verify(jwt).is_ok()));
    // Another key of the same id and kind.
    let other = set(&[curve_key("P-256", &curve(&ECDSA_P256_SHA256_FIXED_SIGNING))]);
    assert_eq!(other.verify(&jwts[0]), Err(Refusal::Signature));
    // Of another id.
    let mut renamed = keys[0].clone();
    renamed["kid"] = "other".into();
    let renamed = set(&[renamed]);
    assert_eq!(renamed.verify(&jwts[0]), Err(Refusal::UnknownKey));
    assert!(renamed.has("other") && !renamed.has("k"));
    // A signature of another length.
    let cut = signed("ES256", |text| {
        p256.sign(&random, text).unwrap().as_ref()[1..].to_vec()
    });
    assert_eq!(together.verify(&cut), Err(Refusal::Signature));
}

#[test]
fn keys_that_can_verify_nothing_here_are_left_out() {
    let good = rsa_key(None);
    let with = |name: &str, value: Value| {
        let mut key = good.clone();
        key[name] = value;
        key
    };
    let point = curve_key("P-256", &curve(&ECDSA_P256_SHA256_FIXED_SIGNING));
    let odd = |name: &str, value: Value| {
        let mut key = point.clone();
        key[name] = value;
        key
    };
    for key in [
        with("use", "enc".into()),
        with("key_ops", json!(["encrypt"])),
        with("alg", "HS256".into()),
        with("alg", "none".into()),
        with("alg", "ES256".into()),
        with("alg", "RSA-OAEP".into()),
        with("kid", Value::Null),
        with("kid", "".into()),
        with("d", "AQAB".into()),
        with("n", base64(&[255; 128]).into()),
        with("n", base64(&[255; 1025]).into()),
        odd("crv", "secp256k1".into()),
        odd("x", "AAAA".into()),
        odd("alg", "ES384".into()),
        json!({"kty": "oct", "kid": "k", "k": "c2VjcmV0"}),
        json!({"kty": 7}),
        json!("key"),
    ] {
        let text = json!({ "keys": [key] }).to_string();
        assert_eq!(
            KeySet::parse(text.as_bytes()),
            Err(ParseKeysError),
            "{text}"
        );
        let mixed = json!({ "keys": [key, point] }).to_string();
        assert_eq!(KeySet::parse(mixed.as_bytes()).unwrap().keys.len(), 1);
    }
    assert!(!set(std::slice::from_ref(&point)).exposes_private());
    assert!(set(&[point.clone(), with("d", "AQAB".into())]).exposes_private());
    let oct = json!({"kty": "oct", "kid": "k", "k": "c2VjcmV0"});
    assert!(set(&[point.clone(), oct]).exposes_private());
}

#[test]
fn a_set_is_bounded() {
    for text in ["", "{}", "[]", r#"{"keys":{}}"#, r#"{"keys":[]}"#] {
        assert_eq!(
            KeySet::parse(text.as_bytes()),
            Err(ParseKeysError),
            "{text}"
        );
    }
    let point = curve_key("P-256", &curve(&ECDSA_P256_SHA256_FIXED_SIGNING));
    let many = vec![point.clone(); bounds::JWKS_KEYS];
    assert!(KeySet::parse(json!({ "keys": many }).to_string().as_bytes()).is_ok());
    let more = vec![point.clone(); bounds::JWKS_KEYS + 1];
    assert!(KeySet::parse(json!({ "keys": more }).to_string().as_bytes()).is_err());
    let padded = |to: usize| {
        let text = json!({ "keys": [point] }).to_string();
        format!("{text}{}", " ".repeat(to - text.len()))
    };
    assert!(KeySet::parse(padded(bounds::JWKS_BYTES).as_bytes()).is_ok());
    assert!(KeySet::parse(padded(bounds::JWKS_BYTES + 1).as_bytes()).is_err());
}
