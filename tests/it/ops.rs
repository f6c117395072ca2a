//! The ops port: metrics and liveness, for whoever watches over a server.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use token_authority::pb;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::support::ops::{Scrape, ask};
use crate::support::tokens::{START, id, ttl, wanted};
use crate::support::{Backend, Program, TestServer, both_backends, self_service};

both_backends!(
    tokens_are_counted_by_kind_and_state,
    what_is_counted_is_told_and_names_nobody,
    it_is_alive_while_its_store_is_not,
);

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Returns the value of a metric, by its name and labels.
async fn metric(t: &TestServer, name: &str) -> Option<i64> {
    t.scrape().await.series.get(name).copied()
}

async fn tokens_are_counted_by_kind_and_state(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    // Before the first count there is nothing to say, which is not zero.
    assert_eq!(
        metric(&t, "tokens{kind=\"api\",state=\"active\"}").await,
        None
    );
    for (name, seconds) in [("hour", 3600), ("day", 86_400), ("week", 604_800)] {
        let brief = pb::CreateTokenRequest {
            expiry: ttl(seconds),
            ..wanted(name, &[])
        };
        acme.admin.create(brief).await;
    }
    let revoked = id(&acme.admin.issue("revoked", &[]).await);
    acme.admin.revoke("acme", &revoked).await;
    let brief = pb::CreateTokenRequest {
        expiry: ttl(1),
        ..wanted("expired", &[])
    };
    acme.admin.create(brief).await;
    t.advance(Duration::from_secs(1));
    t.authority.take_census().await.unwrap();
    for (name, expected) in [
        ("tokens{kind=\"api\",state=\"active\"}", Some(4)),
        ("tokens{kind=\"api\",state=\"revoked\"}", Some(1)),
        ("tokens{kind=\"api\",state=\"expired\"}", Some(1)),
        ("tokens{kind=\"api\",state=\"disabled\"}", Some(0)),
        ("tokens{kind=\"service\",state=\"active\"}", Some(1)),
        // The operator's, too, ends within a day.
        ("tokens_expiring{within_days=\"1\"}", Some(3)),
        ("tokens_expiring{within_days=\"7\"}", Some(4)),
        ("tokens_expiring{within_days=\"30\"}", Some(4)),
        ("tokens_unused{for_days=\"90\"}", Some(0)),
        ("census_timestamp_seconds", Some(START + 1)),
    ] {
        assert_eq!(metric(&t, name).await, expected, "{name}");
    }
    // What was counted stays until it is counted again.
    acme.admin.issue("another", &[]).await;
    let active = "tokens{kind=\"api\",state=\"active\"}";
    assert_eq!(metric(&t, active).await, Some(4));
    t.authority.take_census().await.unwrap();
    assert_eq!(metric(&t, active).await, Some(5));

    // Unused for ninety days: neither used nor made since.
    t.advance(90 * DAY);
    t.authority.take_census().await.unwrap();
    let unused = "tokens_unused{for_days=\"90\"}";
    assert_eq!(metric(&t, unused).await, Some(1), "the last one made");
    t.advance(Duration::from_secs(1));
    t.authority.flush_usage().await.unwrap();
    t.authority.take_census().await.unwrap();
    assert_eq!(
        metric(&t, unused).await,
        Some(2),
        "the administrator's, too"
    );
    acme.admin.issue("fresh", &[]).await;
    t.authority.flush_usage().await.unwrap();
    t.authority.take_census().await.unwrap();
    assert_eq!(metric(&t, unused).await, Some(1), "used by that call");
}

async fn what_is_counted_is_told_and_names_nobody(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    t.authority.take_census().await.unwrap();
    let body = t.scrape().await.text;
    assert!(body.ends_with("# EOF\n"), "{body}");
    for name in [
        "bcrypt_verifications_total",
        "fingerprints_upgraded_total",
        "fingerprint_upgrades_dropped_total",
        "uses_written_total",
        "uses_dropped_total",
    ] {
        assert_eq!(metric(&t, name).await, Some(0), "{name}");
    }
    let key = body
        .lines()
        .find(|line| line.starts_with("token_authority_rows_by_fingerprint_key{key=\"0001."));
    assert!(key.is_some_and(|line| line.ends_with(" 2")), "{body}");
    for needle in ["acme", acme.admin_id.as_str(), "tok_", "usr_"] {
        assert!(!body.contains(needle), "{needle} in {body}");
    }
    t.authority.flush_usage().await.unwrap();
    assert!(metric(&t, "uses_written_total").await > Some(0));
}

async fn it_is_alive_while_its_store_is_not(backend: Backend) {
    let mut t = TestServer::start(backend).await;
    t.expect_alarms();
    let so = async |head: &str, ready: i64| {
        let ready_now = |scrape: &Scrape| scrape.of("ready") == ready;
        t.scrape_until("of this readiness", ready_now).await;
        let answer = t.ops("/readyz").await.0;
        assert!(answer.starts_with(head), "{answer}");
    };
    so("http/1.1 200", 1).await;
    t.database
        .execute("ALTER TABLE log_head RENAME TO lost_head")
        .await;
    so("http/1.1 503", 0).await;
    let (head, body) = t.ops("/healthz").await;
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert_eq!(body, "ok\n");
    t.database
        .execute("ALTER TABLE lost_head RENAME TO log_head")
        .await;
    so("http/1.1 200", 1).await;
}

#[tokio::test]
async fn a_scraper_gets_the_format_that_it_asks_for() {
    let t = TestServer::start(Backend::Sqlite).await;
    let get = async |accept: &str| {
        let lines = ["GET /metrics HTTP/1.1", &format!("accept: {accept}")];
        ask(t.ops_address, &lines).await
    };
    let (head, body) = get("application/openmetrics-text;version=1.0.0,text/plain;q=0.5").await;
    assert!(
        head.contains("content-type: application/openmetrics-text; version=1.0.0"),
        "{head}"
    );
    assert!(body.ends_with("\n# EOF\n"), "{body}");
    assert!(body.contains("\n# TYPE token_authority_requests counter\n"));
    let (head, body) = get("text/plain").await;
    assert!(
        head.contains("content-type: text/plain; version=0.0.4"),
        "{head}"
    );
    assert!(!body.contains("# EOF") && !body.contains("# UNIT"));
    assert!(body.contains("\n# TYPE token_authority_requests_total counter\n"));
    assert!(body.contains("\n# HELP token_authority_connections_taken_total Conn"));
    let (head, _) = t.ops("/metrics").await;
    assert!(head.contains("version=0.0.4"), "{head}");
}

#[tokio::test]
async fn what_is_not_there_is_refused_and_a_head_has_no_body() {
    let t = TestServer::start(Backend::Sqlite).await;
    for (request, code, allow) in [
        ("GET /nothing", "404", false),
        ("POST /metrics", "405", true),
        ("DELETE /readyz", "405", true),
        ("HEAD /metrics", "200", false),
        ("HEAD /healthz", "200", false),
        ("HEAD /readyz", "200", false),
    ] {
        let line = format!("{request} HTTP/1.1");
        let (head, body) = ask(t.ops_address, &[&line, "content-length: 0"]).await;
        assert!(
            head.starts_with(&format!("http/1.1 {code}")),
            "{request}: {head}"
        );
        assert_eq!(body, "", "{request}");
        assert_eq!(head.contains("allow: get,head"), allow, "{request}: {head}");
        // Nobody keeps a place without a question.
        assert!(head.contains("connection: close"), "{request}: {head}");
    }
}

#[test]
fn the_ops_port_leaves_loopback_only_when_told_to() {
    let temporary = tempfile::tempdir().unwrap();
    let anywhere = ("TOKEN_AUTHORITY_OPS__ADDRESS", String::from("0.0.0.0:0"));
    let exposed = ("TOKEN_AUTHORITY_OPS__EXPOSED", String::from("true"));
    let arguments = ["serve", "--address", "127.0.0.1:0"];
    let environment = [anywhere.clone()];
    let program = Program::start_with(&arguments, temporary.path(), &environment);
    let (code, said) = program.end();
    assert_eq!(code, Some(64), "{said}");
    assert!(said.contains("set ops.exposed = true"), "{said}");

    let environment = [anywhere, exposed];
    let mut program = Program::start_with(&arguments, temporary.path(), &environment);
    program.until("ops.address=0.0.0.0:");
    program.terminate();
    assert_eq!(program.end().0, Some(0));
}

#[tokio::test]
async fn many_who_are_silent_keep_nobody_out() {
    let t = TestServer::start(Backend::Sqlite).await;
    let mut silent = Vec::new();
    for _ in 0..64 {
        silent.push(TcpStream::connect(t.ops_address).await.unwrap());
    }
    let (head, body) = t.ops("/healthz").await;
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert_eq!(body, "ok\n");
    // Not because the time of those before it was over.
    let mut last = silent.pop().unwrap();
    let request = b"GET /readyz HTTP/1.1\r\nhost: ops\r\n\r\n";
    last.write_all(request).await.unwrap();
    let mut answer = String::new();
    last.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    // Those gave way that came first.
    assert_eq!(silent[0].read(&mut [0]).await.unwrap_or(0), 0);
    assert!(
        silent[62]
            .try_read(&mut [0])
            .is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    );
}

/// Opens a connection of HTTP/2, asks nothing and reads the server's first frame.
async fn idle(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The preface, and empty settings: RFC 9113, 3.4.
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    stream.write_all(preface).await.unwrap();
    stream.read_exact(&mut [0; 9]).await.unwrap();
    stream
}

/// Asks as kubelet does, once over HTTP/1 and once over gRPC; between the connection and
/// the question others have the time to come.
async fn probe(address: SocketAddr, mut others: impl AsyncFnMut()) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    others().await;
    let request = b"GET /readyz HTTP/1.1\r\nhost: ops\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");

    let endpoint = Channel::from_shared(format!("http://{address}")).unwrap();
    let mut client = HealthClient::new(endpoint.connect().await.unwrap());
    others().await;
    let asked = client.check(HealthCheckRequest::default()).await.unwrap();
    assert_eq!(asked.into_inner().status(), ServingStatus::Serving);
}

#[tokio::test]
async fn many_who_have_a_connection_and_ask_nothing_keep_nobody_out() {
    let t = TestServer::start(Backend::Sqlite).await;
    let mut silent = Vec::new();
    for _ in 0..40 {
        silent.push(idle(t.ops_address).await);
    }
    let mut more = Vec::new();
    let others = async || {
        for _ in 0..8 {
            more.push(idle(t.ops_address).await);
        }
    };
    probe(t.ops_address, others).await;
}

#[tokio::test]
async fn many_who_watch_keep_nobody_out() {
    let t = TestServer::start(Backend::Sqlite).await;
    let mut watching = Vec::new();
    let mut watch = async || {
        let endpoint = Channel::from_shared(format!("http://{}", t.ops_address)).unwrap();
        let mut client = HealthClient::new(endpoint.connect().await.unwrap());
        let watched = client.watch(HealthCheckRequest::default()).await.unwrap();
        let mut stream = watched.into_inner();
        stream.message().await.unwrap();
        watching.push(stream);
    };
    for _ in 0..40 {
        watch().await;
    }
    let others = async || {
        for _ in 0..8 {
            watch().await;
        }
    };
    probe(t.ops_address, others).await;
}
