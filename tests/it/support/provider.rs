//! An OIDC provider, as far as a resource server sees one: keys, which it serves on a
//! loopback port and counts who asks for, and what it signs with them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};
use token_authority::config::Trust;
use token_authority::domain::time::Clock as _;
use token_authority::pb;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::TestServer;

/// A key that signs.
pub(crate) struct SigningKey {
    pub(crate) key_id: String,
    pair: EcdsaKeyPair,
}

impl SigningKey {
    /// Makes one.
    pub(crate) fn new(key_id: &str) -> Self {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        Self {
            key_id: key_id.into(),
            pair: EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).unwrap(),
        }
    }

    /// Returns what is published of it.
    pub(crate) fn public(&self) -> Value {
        let (x, y) = self.pair.public_key().as_ref()[1..].split_at(32);
        let base64 = |bytes| URL_SAFE_NO_PAD.encode(bytes);
        json!({"kty": "EC", "kid": self.key_id, "crv": "P-256", "use": "sig",
            "x": base64(x), "y": base64(y)})
    }

    /// Returns the header of what it signs.
    pub(crate) fn header(&self) -> Value {
        json!({"alg": "ES256", "typ": "JWT", "kid": self.key_id})
    }

    /// Signs.
    pub(crate) fn sign(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}", part(header), part(claims));
        let signature = self.pair.sign(&SystemRandom::new(), text.as_bytes());
        let signature = URL_SAFE_NO_PAD.encode(signature.unwrap());
        format!("{text}.{signature}")
    }
}

/// Returns these keys as a document.
pub(crate) fn keys(keys: &[&SigningKey]) -> String {
    let keys: Vec<Value> = keys.iter().map(|key| key.public()).collect();
    json!({ "keys": keys }).to_string()
}

/// How a provider answers who asks for its keys.
#[derive(Clone)]
pub(crate) enum Answer {
    /// With this document.
    Keys(String),
    /// With this status and nothing else.
    Status(&'static str),
    /// By hanging up.
    Nothing,
}

/// A provider.
pub(crate) struct Provider {
    pub(crate) issuer: String,
    pub(crate) key: SigningKey,
    answer: Arc<Mutex<Answer>>,
    asked: Arc<AtomicUsize>,
    pub(crate) url: String,
}

impl Provider {
    /// Starts one.
    pub(crate) async fn start(issuer: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        let key = SigningKey::new("key-1");
        let answer = Arc::new(Mutex::new(Answer::Keys(keys(&[&key]))));
        let asked = Arc::new(AtomicUsize::new(0));
        tokio::spawn(serve(listener, Arc::clone(&answer), Arc::clone(&asked)));
        Self {
            issuer: issuer.into(),
            key,
            answer,
            asked,
            url,
        }
    }

    /// Answers like this from now on.
    pub(crate) fn answer(&self, answer: Answer) {
        *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = answer;
    }

    /// Returns how often its keys were asked for.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// Returns an installation-wide trust in it.
    pub(crate) fn trust(&self) -> Trust {
        Trust {
            issuer: self.issuer.clone(),
            audience: "account".into(),
            required_claims: [("typ".into(), "Bearer".into())].into(),
            jwks_url: Some(self.url.clone()),
            name_claim: Some("name".into()),
            ..Trust::default()
        }
    }

    /// Returns a tenant's own trust in it.
    pub(crate) fn oidc_trust(&self) -> pb::OidcTrust {
        pb::OidcTrust {
            issuer: self.issuer.clone(),
            audience: "account".into(),
            required_claims: [("typ".into(), "Bearer".into())].into(),
            jwks: keys(&[&self.key]),
            name_claim: "name".into(),
            ..Default::default()
        }
    }

    /// Returns what an access token of a user claims, who has five minutes from now on.
    pub(crate) fn claims(&self, t: &TestServer, subject: &str) -> Value {
        let now = t.clock.now().millis() / 1000;
        json!({
            "iss": self.issuer, "aud": ["other", "account"], "sub": subject, "typ": "Bearer",
            "iat": now, "exp": now + 300, "name": format!("The {subject}"),
        })
    }

    /// Returns the claims with another one, or without where it is null.
    pub(crate) fn claims_with(&self, t: &TestServer, name: &str, value: impl Into<Value>) -> Value {
        let mut claims = self.claims(t, "alice");
        let members = claims.as_object_mut().unwrap();
        let value: Value = value.into();
        if value.is_null() {
            members.remove(name);
        } else {
            members.insert(name.into(), value);
        }
        claims
    }

    /// Signs claims.
    pub(crate) fn sign(&self, claims: &Value) -> String {
        self.key.sign(&self.key.header(), claims)
    }

    /// Returns a session of a user.
    pub(crate) fn session(&self, t: &TestServer, subject: &str) -> String {
        self.sign(&self.claims(t, subject))
    }
}

async fn serve(listener: TcpListener, answer: Arc<Mutex<Answer>>, asked: Arc<AtomicUsize>) {
    while let Ok((stream, _)) = listener.accept().await {
        asked.fetch_add(1, Ordering::SeqCst);
        let answer = answer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        // A client that goes away is nothing to us.
        let _ = respond(stream, answer).await;
    }
}

async fn respond(mut stream: TcpStream, answer: Answer) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let (status, body) = match answer {
        Answer::Keys(document) => ("200 OK", document),
        Answer::Status(status) => (status, String::new()),
        Answer::Nothing => return Ok(()),
    };
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nlocation: /keys\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}
