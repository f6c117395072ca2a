//! Services that are known by certificates, over real handshakes.

use std::time::Duration;

use token_authority::authority::counters::Unauthenticated;
use token_authority::config::{ClientCertificates, Identity};
use token_authority::domain::identity::Refusal;
use token_authority::pb;
use tonic::transport::ClientTlsConfig;

use crate::support::pki::{Ca, TlsFiles, client_tls, connect};
use crate::support::tokens::{question, suspend_tenant, who_am_i};
use crate::support::{Actor, Backend, TestServer, both_backends, refused, self_service};

const CHAT: &str = "spiffe://prod.example.org/sa/chat";
const REFUSED: &str = "Unauthenticated CALLER_UNAUTHENTICATED";
const FAR: (i32, u8, u8) = (4096, 1, 1);

both_backends!(
    a_certificate_is_a_caller_over_tls,
    a_tenant_that_is_suspended_ends_its_certificates,
    a_certificate_that_expires_is_nobodys_over_the_connection_that_it_opened,
);

fn chat(tenant_id: &str) -> Identity {
    Identity {
        spiffe_id: Some(CHAT.into()),
        dns_name: None,
        tenant_id: tenant_id.into(),
        scopes: vec!["authority:introspect".into()],
    }
}

/// Starts a server that knows one identity, in this tenant, by certificates of a CA.
async fn start(backend: Backend, server: &Ca, clients: &Ca, tenant_id: &str) -> TestServer {
    let files = TlsFiles::new(&server.server(), Some(&clients.pem()));
    let tls = client_tls(&[server], None);
    TestServer::start_over(backend, Some(tls), |config| {
        files.configure(config, Some(ClientCertificates::Optional));
        config.identities.insert("chat".into(), chat(tenant_id));
    })
    .await
}

/// Returns who connects so, and gives this credential.
async fn actor(t: &TestServer, tls: ClientTlsConfig, credential: Option<&str>) -> Actor {
    let channel = connect(t.address, tls).await.unwrap();
    Actor::new(channel, credential, t.issued_to())
}

async fn a_certificate_is_a_caller_over_tls(backend: Backend) {
    let (server, clients) = (Ca::new(), Ca::new());
    let t = start(backend, &server, &clients, "acme").await;
    let acme = t.tenant("acme", self_service()).await;
    let asked = || question("acme", acme.admin.value());
    let by = |names: &[&str]| client_tls(&[&server], Some(&clients.certify(names, FAR)));
    // Long connections and short ones, from memory and not.
    let known = actor(&t, by(&[CHAT]), None).await;
    for _ in 0..3 {
        assert!(known.try_introspect(asked()).await.unwrap().active);
    }
    let both = actor(&t, by(&[CHAT, "gate.example.org"]), None).await;
    assert!(both.try_introspect(asked()).await.unwrap().active);
    for (names, credential) in [
        (["spiffe://prod.example.org/sa/chat2"].as_slice(), None),
        (&["spiffe://prod.example.org/sa/Chat"], None),
        (&["chat.example.org"], None),
        (&[CHAT, "spiffe://prod.example.org/sa/other"], None),
        // Whoever gives a credential is judged by that alone.
        (&[CHAT], Some("sk_not_a_value")),
    ] {
        let other = actor(&t, by(names), credential).await;
        let told = other.try_introspect(asked()).await;
        assert_eq!(refused(told), REFUSED, "{names:?}");
    }
    // None was shown.
    let nobody = actor(&t, client_tls(&[&server], None), None).await;
    assert_eq!(refused(nobody.try_introspect(asked()).await), REFUSED);
    // One that another CA made does not even get to ask.
    let forged = client_tls(&[&server], Some(&Ca::new().certify(&[CHAT], FAR)));
    if let Ok(channel) = connect(t.address, forged).await {
        let liar = Actor::new(channel, None, t.issued_to());
        liar.try_introspect(asked()).await.unwrap_err();
    }
}

async fn a_tenant_that_is_suspended_ends_its_certificates(backend: Backend) {
    let (server, clients) = (Ca::new(), Ca::new());
    let t = start(backend, &server, &clients, "acme").await;
    let acme = t.tenant("acme", self_service()).await;
    let tls = client_tls(&[&server], Some(&clients.certify(&[CHAT], FAR)));
    let known = actor(&t, tls, None).await;
    let asked = || question("acme", acme.admin.value());
    assert!(known.try_introspect(asked()).await.unwrap().active);
    suspend_tenant(&t.operator(), "acme").await;
    // Over the connection that it has.
    assert_eq!(refused(known.try_introspect(asked()).await), REFUSED);
}

async fn a_certificate_that_expires_is_nobodys_over_the_connection_that_it_opened(
    backend: Backend,
) {
    let (server, clients) = (Ca::new(), Ca::new());
    let t = start(backend, &server, &clients, "acme").await;
    let acme = t.tenant("acme", self_service()).await;
    // It is 2026-01-01.
    let tls = client_tls(&[&server], Some(&clients.certify(&[CHAT], (2026, 1, 2))));
    let channel = connect(t.address, tls).await.unwrap();
    let known = Actor::new(channel.clone(), None, t.issued_to());
    let value = acme.admin.value();
    let bearer = Actor::new(channel, Some(value), t.issued_to());
    let asked = || question("acme", value);
    assert!(known.try_introspect(asked()).await.unwrap().active);
    // The moment that it names is its last.
    let day = Duration::from_secs(24 * 60 * 60);
    t.advance(day);
    assert!(known.try_introspect(asked()).await.unwrap().active);
    t.advance(Duration::from_millis(1));
    let count = || {
        let reason = Unauthenticated::Identity(Refusal::Expired);
        t.authority.counters().unauthenticated.get(reason)
    };
    assert_eq!(count(), 0);
    assert_eq!(refused(known.try_introspect(asked()).await), REFUSED);
    assert_eq!(refused(known.try_introspect(asked()).await), REFUSED);
    assert_eq!(count(), 2);
    // Who gives a credential needs no other.
    let me = who_am_i(&bearer, pb::WhoAmIRequest {}).await.unwrap();
    assert!(me.token.is_some());
}
