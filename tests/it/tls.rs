//! TLS on the gRPC port: who is let in, and what becomes of who is not. No database matters
//! here, so one serves.

mod age;
mod identities;
mod mistakes;
mod rotation;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use token_authority::config::{ClientCertificates, Config, TlsVersion};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ProtocolVersion;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{self, ClientConfig};
use tonic::transport::{Channel, ClientTlsConfig};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::support::pki::{Ca, Pair, SERVER, TlsFiles, client_tls, connect, raw_tls};
use crate::support::tokens::question;
use crate::support::{Backend, TestServer, self_service};

/// What a client of HTTP/2 says first.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// Starts a server that shows a certificate of this CA.
async fn start(
    files: &TlsFiles,
    tls: ClientTlsConfig,
    also: impl FnOnce(&mut Config),
) -> TestServer {
    TestServer::start_over(Backend::Sqlite, Some(tls), |config| {
        files.configure(config, None);
        also(config);
    })
    .await
}

/// Asks for the server's health.
async fn ask(channel: Channel) -> Result<(), tonic::Status> {
    let request = HealthCheckRequest::default();
    let answer = HealthClient::new(channel).check(request).await?;
    assert_eq!(answer.into_inner().status(), ServingStatus::Serving);
    Ok(())
}

/// Connects over TLS, and asks.
async fn call(address: SocketAddr, tls: ClientTlsConfig) -> Result<(), String> {
    let channel = connect(address, tls).await;
    let channel = channel.map_err(|error| error.to_string())?;
    ask(channel).await.map_err(|status| status.to_string())
}

/// Makes a handshake, says what a client of HTTP/2 says first, and waits for a first byte
/// of the server.
async fn greet(address: SocketAddr, config: Arc<ClientConfig>) -> io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from(SERVER).unwrap();
    let mut stream = TlsConnector::from(config).connect(name, stream).await?;
    // Whoever was refused may be told before or after that.
    let said = stream.write_all(PREFACE).await;
    match stream.read_u8().await {
        Ok(_) => said.map(|()| stream),
        Err(error) => Err(error),
    }
}

/// Returns the alert that the server refused by.
fn alert(refused: io::Result<TlsStream<TcpStream>>) -> String {
    let error = refused.expect_err("it is let in");
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    if let Some(rustls::Error::AlertReceived(alert)) = inner {
        format!("{alert:?}")
    } else {
        format!("{:?}", error.kind())
    }
}

/// Waits until at least so many handshakes have failed for that reason.
async fn failed(t: &TestServer, reason: &str, times: i64) {
    let series = format!("tls_handshakes_failed_total{{reason=\"{reason}\"}}");
    t.scrape_until(&series, |scrape| scrape.of(&series) >= times)
        .await;
}

#[tokio::test]
async fn an_introspection_is_answered_over_tls() {
    let ca = Ca::new();
    let files = TlsFiles::new(&ca.server(), None);
    let t = start(&files, client_tls(&[&ca], None), |_| {}).await;
    let acme = t.tenant("acme", self_service()).await;
    let server = t.resource_server().await;
    let asked = question("acme", acme.admin.value());
    assert!(server.try_introspect(asked).await.unwrap().active);
    // Who trusts another CA does not talk to it.
    let stranger = client_tls(&[&Ca::new()], None);
    call(t.address, stranger).await.unwrap_err();
    failed(&t, "refused_by_client", 1).await;
}

#[tokio::test]
async fn plain_text_is_refused_and_told_nothing() {
    let ca = Ca::new();
    let files = TlsFiles::new(&ca.server(), None);
    let t = start(&files, client_tls(&[&ca], None), |_| {}).await;
    for said in [PREFACE, b"GET /metrics HTTP/1.1\r\nhost: a\r\n\r\n"] {
        let mut stream = TcpStream::connect(t.address).await.unwrap();
        stream.write_all(said).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        // One record: a fatal alert.
        assert_eq!((answer[0], answer.len()), (21, 7), "{answer:?}");
    }
    let channel = Channel::from_shared(format!("http://{}", t.address)).unwrap();
    if let Ok(channel) = channel.connect().await {
        ask(channel).await.unwrap_err();
    }
    failed(&t, "not_tls", 3).await;
}

#[tokio::test]
async fn tls_1_2_is_spoken_where_it_is_configured() {
    let ca = Ca::new();
    let files = TlsFiles::new(&ca.server(), None);
    let old = || raw_tls(&ca, None, true, &["h2"]);
    let t = start(&files, client_tls(&[&ca], None), |_| {}).await;
    assert_eq!(alert(greet(t.address, old()).await), "ProtocolVersion");
    failed(&t, "incompatible", 1).await;

    let t = start(&files, client_tls(&[&ca], None), |config| {
        config.tls.minimum_version = TlsVersion::V1_2;
    })
    .await;
    for (config, version) in [
        (old(), ProtocolVersion::TLSv1_2),
        (raw_tls(&ca, None, false, &["h2"]), ProtocolVersion::TLSv1_3),
    ] {
        let stream = greet(t.address, config).await.unwrap();
        assert_eq!(stream.get_ref().1.protocol_version(), Some(version));
    }
}

#[tokio::test]
async fn who_does_not_offer_http2_is_refused() {
    let ca = Ca::new();
    let files = TlsFiles::new(&ca.server(), None);
    let t = start(&files, client_tls(&[&ca], None), |_| {}).await;
    for (alpn, said) in [
        (["http/1.1"].as_slice(), "NoApplicationProtocol"),
        // Who names none gets an orderly end.
        (&[], "UnexpectedEof"),
    ] {
        let refused = greet(t.address, raw_tls(&ca, None, false, alpn)).await;
        assert_eq!(alert(refused), said);
    }
    failed(&t, "no_http2", 2).await;
}

#[tokio::test]
async fn who_is_not_let_in_is_told_so_and_counted() {
    let (ca, clients) = (Ca::new(), Ca::new());
    let files = TlsFiles::new(&ca.server(), Some(&clients.pem()));
    let far = (4096, 1, 1);
    // The time is 2026-01-01.
    let id = "spiffe://example.org/ns/api/sa/gateway";
    let good = clients.certify(&[id, "gateway.example.org"], (2026, 1, 3));
    let (wrong, expired) = (
        Ca::new().certify(&[id], far),
        clients.certify(&[id], (2025, 12, 31)),
    );
    let rows: [(Option<&Pair>, &str, &str); 3] = [
        (None, "CertificateRequired", "no_certificate"),
        (Some(&wrong), "UnknownCA DecryptError", "bad_certificate"),
        (Some(&expired), "CertificateExpired", "expired_certificate"),
    ];
    let t = start(&files, client_tls(&[&ca], Some(&good)), |config| {
        files.configure(config, Some(ClientCertificates::Required));
    })
    .await;
    for (shown, said, reason) in rows {
        let told = alert(greet(t.address, raw_tls(&ca, shown, false, &["h2"])).await);
        assert!(said.contains(&told), "{reason}: {told}");
        failed(&t, reason, 1).await;
        let refused = call(t.address, client_tls(&[&ca], shown)).await;
        refused.unwrap_err();
    }
    let channel = connect(t.address, client_tls(&[&ca], Some(&good))).await;
    let channel = channel.unwrap();
    ask(channel.clone()).await.unwrap();
    // A certificate that ends meanwhile opens no other connection.
    t.advance(Duration::from_secs(3 * 24 * 60 * 60));
    let told = alert(greet(t.address, raw_tls(&ca, Some(&good), false, &["h2"])).await);
    assert_eq!(told, "CertificateExpired");
    ask(channel).await.unwrap();

    // Where none is required, whoever shows one shows a good one.
    let t = start(&files, client_tls(&[&ca], None), |config| {
        files.configure(config, Some(ClientCertificates::Optional));
    })
    .await;
    call(t.address, client_tls(&[&ca], None)).await.unwrap();
    call(t.address, client_tls(&[&ca], Some(&good)))
        .await
        .unwrap();
    for shown in [&wrong, &expired] {
        let refused = call(t.address, client_tls(&[&ca], Some(shown))).await;
        refused.unwrap_err();
    }
}

#[tokio::test]
async fn handshakes_that_stall_keep_nobody_out() {
    let ca = Ca::new();
    let files = TlsFiles::new(&ca.server(), None);
    let t = start(&files, client_tls(&[&ca], None), |config| {
        config.server.cores = Some(1);
    })
    .await;
    let mut stalled = Vec::new();
    for number in 0..50 {
        let mut stream = TcpStream::connect(t.address).await.unwrap();
        if number % 2 == 0 {
            // The beginning of a client's hello.
            stream.write_all(b"\x16\x03\x01\x02\x00\x01").await.unwrap();
        }
        stalled.push(stream);
    }
    for _ in 0..3 {
        call(t.address, client_tls(&[&ca], None)).await.unwrap();
    }
    // They have places as any connection has.
    let open = t.scrape().await.of("connections");
    assert!(open > 50, "{open}");
}

#[tokio::test]
async fn health_needs_no_certificate_on_the_ops_port() {
    let (ca, clients) = (Ca::new(), Ca::new());
    let files = TlsFiles::new(&ca.server(), Some(&clients.pem()));
    let good = clients.certify(&["gateway.example.org"], (4096, 1, 1));
    let t = start(&files, client_tls(&[&ca], Some(&good)), |config| {
        files.configure(config, Some(ClientCertificates::Required));
    })
    .await;
    let channel = Channel::from_shared(format!("http://{}", t.ops_address)).unwrap();
    let channel = channel.connect().await.unwrap();
    ask(channel.clone()).await.unwrap();
    ask(channel.clone()).await.unwrap();
    let unknown = HealthCheckRequest {
        service: "nobody".into(),
    };
    let refused = HealthClient::new(channel.clone()).check(unknown).await;
    assert_eq!(refused.unwrap_err().code(), tonic::Code::NotFound);
    // What is served on the gRPC port is not served here.
    let mut client = token_authority::pb::self_service_client::SelfServiceClient::new(channel);
    let refused = client.who_am_i(token_authority::pb::WhoAmIRequest {}).await;
    assert_eq!(refused.unwrap_err().code(), tonic::Code::Unimplemented);
    let (head, body) = t.ops("/readyz").await;
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert!(head.contains("connection: close"), "{head}");
    assert_eq!(body, "ok\n");
}
