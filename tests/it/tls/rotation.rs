//! Certificates that are replaced while calls are made.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use token_authority::config::ClientCertificates;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::{ask, call, greet, start};
use crate::support::pki::{Ca, Pair, TlsFiles, client_tls, connect, raw_tls};
use crate::support::{Program, TestServer};

async fn reload(t: &TestServer) {
    t.certificates.as_ref().unwrap().reload().await;
}

/// Returns the certificate that the server showed.
fn shown(stream: &TlsStream<TcpStream>) -> Vec<u8> {
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

fn der(pair: &Pair) -> Vec<u8> {
    use tokio_rustls::rustls::pki_types::CertificateDer;
    use tokio_rustls::rustls::pki_types::pem::PemObject as _;
    CertificateDer::from_pem_slice(pair.certificate.as_bytes())
        .unwrap()
        .to_vec()
}

#[tokio::test]
async fn certificates_are_replaced_under_load_without_a_failed_call() {
    let (one, two) = (Ca::new(), Ca::new());
    let trusted = [&one, &two];
    let files = TlsFiles::new(&one.server(), None);
    let t = start(&files, client_tls(&trusted, None), |_| {}).await;
    // Calls on a connection that is there from the start, and on new ones.
    let (done, calls) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
    let old = connect(t.address, client_tls(&trusted, None))
        .await
        .unwrap();
    let mut callers = Vec::new();
    for is_new in [false, true] {
        let (done, calls, old) = (Arc::clone(&done), Arc::clone(&calls), old.clone());
        let (address, tls) = (t.address, client_tls(&trusted, None));
        callers.push(tokio::spawn(async move {
            while !done.load(Ordering::Relaxed) {
                if is_new {
                    call(address, tls.clone()).await.unwrap();
                } else {
                    ask(old.clone()).await.unwrap();
                }
                calls.fetch_add(1, Ordering::Relaxed);
            }
        }));
    }
    for round in 0..10 {
        let ca = trusted[(round + 1) % 2];
        let next = ca.server();
        files.replace(&next, None);
        reload(&t).await;
        let seen = greet(t.address, raw_tls(ca, None, false, &["h2"])).await;
        assert_eq!(shown(&seen.unwrap()), der(&next), "{round}");
        // Some calls with each.
        let enough = calls.load(Ordering::Relaxed) + 4;
        while calls.load(Ordering::Relaxed) < enough {
            tokio::task::yield_now().await;
        }
    }
    done.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.unwrap();
    }
    let scrape = t.scrape().await;
    assert_eq!(scrape.of("tls_reloads_total{outcome=\"done\"}"), 10);
    assert_eq!(scrape.of("tls_reloads_total{outcome=\"failed\"}"), 0);
}

#[tokio::test]
async fn the_ca_of_clients_is_replaced() {
    let (ca, before, after) = (Ca::new(), Ca::new(), Ca::new());
    let server = ca.server();
    let files = TlsFiles::new(&server, Some(&before.pem()));
    let client = |of: &Ca| {
        let pair = of.certify(&["gateway.example.org"], (4096, 1, 1));
        client_tls(&[&ca], Some(&pair))
    };
    let (old, new) = (client(&before), client(&after));
    let t = start(&files, old.clone(), |config| {
        files.configure(config, Some(ClientCertificates::Required));
    })
    .await;
    let connected = connect(t.address, old.clone()).await.unwrap();
    ask(connected.clone()).await.unwrap();
    call(t.address, new.clone()).await.unwrap_err();
    // Both for a while, then the new one alone.
    let both = format!("{}{}", before.pem(), after.pem());
    files.replace(&server, Some(&both));
    reload(&t).await;
    call(t.address, old.clone()).await.unwrap();
    call(t.address, new.clone()).await.unwrap();
    files.replace(&server, Some(&after.pem()));
    reload(&t).await;
    call(t.address, old).await.unwrap_err();
    call(t.address, new).await.unwrap();
    // A connection that is open goes on, until its age.
    ask(connected).await.unwrap();
}

#[tokio::test]
async fn what_does_not_fit_leaves_what_was_in_use() {
    let ca = Ca::new();
    let first = ca.certify(&[super::SERVER], (2027, 1, 1));
    let files = TlsFiles::new(&first, None);
    let mut t = start(&files, client_tls(&[&ca], None), |_| {}).await;
    t.expect_alarms();
    let reloads = async |t: &TestServer| {
        let scrape = t.scrape().await;
        let of = |outcome| scrape.of(&format!("tls_reloads_total{{outcome=\"{outcome}\"}}"));
        (of("done"), of("failed"))
    };
    let expiry = async |t: &TestServer| {
        t.scrape()
            .await
            .of("tls_certificate_expiry_timestamp_seconds")
    };
    // 2027-01-01.
    assert_eq!(expiry(&t).await, 1_798_761_600);
    reload(&t).await;
    assert_eq!(reloads(&t).await, (0, 0));
    let with_key = |key: &str| Pair {
        certificate: ca.server().certificate,
        key: key.to_owned(),
    };
    let bad = [
        (
            with_key(&ca.server().key),
            "tls.key_file: is the key of another certificate",
        ),
        (
            with_key("nothing"),
            "tls.key_file: holds no private key in PEM",
        ),
        (
            ca.certify(&[super::SERVER], (2025, 6, 1)),
            "tls.certificate_file: the certificate has expired, at 2025-06-01T00:00:00Z",
        ),
    ];
    let mut failures = 0;
    for (number, (pair, said)) in bad.iter().enumerate() {
        files.replace(pair, None);
        // However often it is found, it is told once.
        for _ in 0..3 {
            reload(&t).await;
            failures += 1;
        }
        let alarms = t.logs.alarms();
        assert_eq!(alarms.len(), number + 1, "{alarms:#?}");
        assert!(alarms[number].contains(" ERROR "), "{alarms:#?}");
        assert!(alarms[number].contains(said), "{alarms:#?}");
        let seen = greet(t.address, raw_tls(&ca, None, false, &["h2"])).await;
        assert_eq!(shown(&seen.unwrap()), der(&first));
        assert_eq!(reloads(&t).await, (0, failures));
    }
    fs::remove_file(files.path("tls.crt")).unwrap();
    reload(&t).await;
    assert!(t.logs.alarms()[3].contains("tls.certificate_file: can't be read"));
    assert_eq!(expiry(&t).await, 1_798_761_600);

    let next = ca.certify(&[super::SERVER], (2028, 1, 1));
    fs::write(files.path("tls.crt"), &next.certificate).unwrap();
    files.replace(&next, None);
    reload(&t).await;
    let seen = greet(t.address, raw_tls(&ca, None, false, &["h2"])).await;
    assert_eq!(shown(&seen.unwrap()), der(&next));
    assert_eq!(reloads(&t).await, (1, failures + 1));
    assert_eq!(expiry(&t).await, 1_830_297_600);
    assert_eq!(t.logs.alarms().len(), 4);
}

#[test]
fn without_tls_that_signal_ends_nothing() {
    let temporary = tempfile::tempdir().unwrap();
    let address = (
        "TOKEN_AUTHORITY_SERVER__ADDRESS",
        String::from("127.0.0.1:0"),
    );
    let mut program = Program::start_with(&["serve"], temporary.path(), &[address]);
    program.address();
    for _ in 0..2 {
        program.signal("-HUP");
        program.until("without TLS no file is read again");
    }
    program.terminate();
    let (code, said) = program.end();
    assert_eq!(code, Some(0), "{said}");
}

#[tokio::test]
async fn a_signal_has_the_program_read_its_certificates() {
    let ca = Ca::new();
    let (first, next) = (ca.server(), ca.server());
    let files = TlsFiles::new(&first, None);
    let temporary = tempfile::tempdir().unwrap();
    let path = |name: &str| files.path(name).display().to_string();
    let environment = [
        (
            "TOKEN_AUTHORITY_SERVER__ADDRESS",
            String::from("127.0.0.1:0"),
        ),
        ("TOKEN_AUTHORITY_TLS__CERTIFICATE_FILE", path("tls.crt")),
        ("TOKEN_AUTHORITY_TLS__KEY_FILE", path("tls.key")),
        ("TOKEN_AUTHORITY_TLS__RELOAD_SECONDS", String::from("3600")),
    ];
    let mut program = Program::start_with(&["serve"], temporary.path(), &environment);
    let address = program.address().parse().unwrap();
    let seen = async || {
        let stream = greet(address, raw_tls(&ca, None, false, &["h2"])).await;
        shown(&stream.unwrap())
    };
    assert_eq!(seen().await, der(&first));
    files.replace(&next, None);
    program.signal("-HUP");
    program.until("new certificates are in use");
    assert_eq!(seen().await, der(&next));
    program.terminate();
    let (code, said) = program.end();
    assert_eq!(code, Some(0), "{said}");
}
