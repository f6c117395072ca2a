//! What is fetched, and what is not.

use std::io::Write as _;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use super::*;

/// Answers one connection with these bytes, and gives the request's head.
async fn once(answer: Vec<u8>) -> (SocketAddr, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let head = head(&mut stream).await;
        // Who has read enough hangs up.
        let _ = stream.write_all(&answer).await;
        let _ = stream.shutdown().await;
        head
    });
    (address, serving)
}

async fn head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(head).unwrap()
}

fn answer(status: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n{headers}\r\n{body}").into_bytes()
}

fn of_operator(url: String) -> KeySource {
    KeySource::Url {
        url,
        of_tenant: false,
    }
}

fn of_tenant(url: String) -> KeySource {
    KeySource::Url {
        url,
        of_tenant: true,
    }
}

async fn fetched(source: &KeySource) -> Result<String, String> {
    let fetched = Fetcher::default().fetch(source).await;
    fetched
        .map(|bytes| String::from_utf8(bytes).unwrap())
        .map_err(|error| error.to_string())
}

#[tokio::test]
async fn a_document_is_fetched_by_one_plain_request() {
    let (address, serving) = once(answer("200 OK", "", "{}")).await;
    let source = of_operator(format!("http://{address}/keys?a=b"));
    assert_eq!(fetched(&source).await.as_deref(), Ok("{}"));
    let head = serving.await.unwrap();
    assert!(head.starts_with("GET /keys?a=b HTTP/1.1\r\n"), "{head}");
    assert!(head.contains(&format!("host: {address}\r\n")), "{head}");
}

#[tokio::test]
async fn neither_redirects_nor_failures_are_documents() {
    for status in [
        "301 Moved",
        "302 Found",
        "404 Not Found",
        "500 Oops",
        "204 No Content",
    ] {
        let (address, serving) = once(answer(status, "location: /elsewhere\r\n", "")).await;
        let source = of_operator(format!("http://{address}/keys"));
        let said = fetched(&source).await.unwrap_err();
        assert_eq!(said, format!("the provider answered {}", &status[..3]));
        serving.await.unwrap();
    }
}

#[tokio::test]
async fn a_document_that_is_too_long_is_not_read() {
    let long = "x".repeat(bounds::JWKS_BYTES + 1);
    let full = "x".repeat(bounds::JWKS_BYTES);
    let unsaid = |body: &str| format!("HTTP/1.1 200 OK\r\n\r\n{body}").into_bytes();
    let told = answer("200 OK", "", &long);
    for (answer, good) in [
        (answer("200 OK", "", &full), true),
        (unsaid(&full), true),
        (told, false),
        (unsaid(&long), false),
    ] {
        let (address, serving) = once(answer).await;
        let fetched = fetched(&of_operator(format!("http://{address}/"))).await;
        match fetched {
            Ok(document) => assert!(good && document == full),
            Err(said) => assert!(
                !good && said == "the provider's answer is too long",
                "{said}"
            ),
        }
        serving.await.unwrap();
    }
    // Nor is a header that goes on.
    let headers = format!("x: {}\r\n", "y".repeat(1024 * 1024));
    let (address, serving) = once(answer("200 OK", &headers, "{}")).await;
    assert!(
        fetched(&of_operator(format!("http://{address}/")))
            .await
            .is_err()
    );
    serving.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_is_too_slow_is_not_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        head(&mut stream).await;
        let begun = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{";
        stream.write_all(begun).await.unwrap();
        // Until the other side hangs up.
        stream.read_u8().await.unwrap_err();
    });
    let said = fetched(&of_operator(format!("http://{address}/"))).await;
    assert_eq!(said.unwrap_err(), "the provider is too slow");
    serving.await.unwrap();
}

#[tokio::test]
async fn tenants_reach_public_addresses_alone_and_over_https() {
    for (url, said) in [
        ("http://localhost:1/", "a tenant's URL is https"),
        (
            "https://127.0.0.1:1/",
            "the host has an address that is not public",
        ),
        (
            "https://localhost:1/",
            "the host has an address that is not public",
        ),
        (
            "https://[::1]:1/",
            "the host has an address that is not public",
        ),
        (
            "https://[::ffff:127.0.0.1]:1/",
            "the host has an address that is not public",
        ),
        (
            "https://169.254.169.254/",
            "the host has an address that is not public",
        ),
        (
            "https://0x7f.1/",
            "the host has an address that is not public",
        ),
    ] {
        let refused = fetched(&of_tenant(url.into())).await.unwrap_err();
        // Some resolvers don't know the odd ways to write an address.
        let unknown = url.contains("0x7f");
        assert!(refused == said || unknown, "{url}: {refused}");
    }
}

#[tokio::test]
async fn https_is_for_who_has_the_certificate_of_the_name() {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let der = cert.der().clone();
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![der.clone()],
            PrivateKeyDer::Pkcs8(signing_key.serialize_der().into()),
        )
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            if let Ok(mut stream) = acceptor.accept(stream).await {
                head(&mut stream).await;
                let _ = stream.write_all(&answer("200 OK", "", "{}")).await;
                let _ = stream.shutdown().await;
            }
        }
    });
    let trusting = |roots: &[&[u8]]| {
        let mut store = RootCertStore::empty();
        for root in roots {
            store.add(root.to_vec().into()).unwrap();
        }
        let fetcher = Fetcher {
            // The test's own machine is not public.
            may_reach: |_| true,
            tls: Arc::default(),
        };
        fetcher.tls.set(connector(store).unwrap()).ok().unwrap();
        fetcher
    };
    let (known, stranger) = (trusting(&[&der]), trusting(&[]));
    let named = of_tenant(format!("https://localhost:{port}/"));
    assert_eq!(known.fetch(&named).await.unwrap(), b"{}");
    assert!(stranger.fetch(&named).await.is_err());
    let by_address = of_tenant(format!("https://127.0.0.1:{port}/"));
    assert!(known.fetch(&by_address).await.is_err(), "another name");
    serving.abort();
}

#[tokio::test]
async fn a_file_is_read_up_to_the_bound() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&vec![b' '; bounds::JWKS_BYTES]).unwrap();
    let source = KeySource::File(file.path().to_owned());
    assert_eq!(fetched(&source).await.unwrap().len(), bounds::JWKS_BYTES);
    file.write_all(b" ").unwrap();
    assert_eq!(fetched(&source).await.unwrap_err(), "the file is too long");
    let gone = KeySource::File(file.path().with_extension("gone"));
    assert!(fetched(&gone).await.is_err());
}
