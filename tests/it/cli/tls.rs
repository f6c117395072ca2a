//! The client over TLS: whom it trusts, and who it says it is.

use std::net::SocketAddr;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig, crypto};

use super::client::Client;
use crate::support::{Backend, TestServer, both_backends, self_service};

both_backends! {
    a_server_is_trusted_by_its_ca_and_its_name,
    a_client_can_show_a_certificate,
}

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Returns a certificate for a name, and its key.
fn certified(by: &Authority, name: &str) -> (rcgen::Certificate, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new([name.to_owned()]).unwrap();
    (params.signed_by(&key, &**by).unwrap(), key)
}

/// Ends TLS before a server, as `tokens.example.com`; clients need a certificate where
/// `clients` is given.
async fn end_tls(t: &TestServer, ca: &Authority, clients: Option<&Authority>) -> SocketAddr {
    let (certificate, key) = certified(ca, "tokens.example.com");
    let provider = Arc::new(crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(clients) => {
            let mut roots = RootCertStore::empty();
            roots
                .add(CertificateDer::from(clients.der().to_vec()))
                .unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let mut config = builder
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, behind) = (listener.local_addr().unwrap(), t.address);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // A client that does not trust it goes away.
                if let Ok(mut stream) = acceptor.accept(stream).await {
                    let mut server = TcpStream::connect(behind).await.unwrap();
                    let _ = copy_bidirectional(&mut stream, &mut server).await;
                }
            });
        }
    });
    address
}

/// Returns a client whose profile is of the address over TLS.
async fn client(t: &TestServer, address: SocketAddr, ca: &Authority) -> Client {
    let acme = t.tenant("acme", self_service()).await;
    let client = Client::of(t, acme.admin.value()).await;
    std::fs::write(client.path("ca.pem"), ca.pem()).unwrap();
    let address = format!("https://{address}");
    let set = ["profile", "set", "test", "--token", "--address", &address];
    client.ok_with(&set, acme.admin.value()).await;
    std::fs::write(client.path("token"), acme.admin.value()).unwrap();
    client
}

async fn a_server_is_trusted_by_its_ca_and_its_name(backend: Backend) {
    let t = TestServer::start(backend).await;
    let ca = authority();
    let address = end_tls(&t, &ca, None).await;
    let client = client(&t, address, &ca).await;
    let trust = async |ca: &str, name: &str| {
        let set = ["profile", "set", "test", "--ca", ca, "--server-name", name];
        client.ok(&set).await;
    };
    trust("ca.pem", "tokens.example.com").await;
    client.ok(&["whoami"]).await;
    trust("ca.pem", "other.example.com").await;
    let err = client.fails(1, &["whoami"]).await;
    assert!(err.contains("--server-name NAME"), "{err}");
    std::fs::write(client.path("other.pem"), authority().pem()).unwrap();
    trust("other.pem", "tokens.example.com").await;
    let err = client.fails(1, &["whoami"]).await;
    assert!(err.contains("--ca FILE"), "{err}");
    // Without a CA of its own: whom the system trusts, which is not this one.
    trust("", "tokens.example.com").await;
    client.fails(1, &["whoami"]).await;
    // Plain text where TLS is wanted.
    let address = format!("http://{address}");
    let err = client
        .fails(
            1,
            &["whoami", "--token-file", "token", "--address", &address],
        )
        .await;
    assert!(err.contains("plain text where TLS is wanted"), "{err}");
}

async fn a_client_can_show_a_certificate(backend: Backend) {
    let t = TestServer::start(backend).await;
    let ca = authority();
    let address = end_tls(&t, &ca, Some(&ca)).await;
    let client = client(&t, address, &ca).await;
    let set = [
        "profile",
        "set",
        "test",
        "--ca",
        "ca.pem",
        "--server-name",
        "tokens.example.com",
    ];
    client.ok(&set).await;
    let err = client.fails(1, &["whoami"]).await;
    assert!(err.contains("--client-cert FILE"), "{err}");
    let (certificate, key) = certified(&ca, "client.example.com");
    std::fs::write(client.path("client.pem"), certificate.pem()).unwrap();
    std::fs::write(client.path("client.key"), key.serialize_pem()).unwrap();
    let set = [
        "profile",
        "set",
        "test",
        "--client-cert",
        "client.pem",
        "--client-key",
        "client.key",
    ];
    client.ok(&set).await;
    client.ok(&["whoami"]).await;
}
