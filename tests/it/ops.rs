//! The ops port: metrics and liveness, for whoever watches over a server.

use std::time::Duration;

use token_authority::pb;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::tokens::{START, id, ttl, wanted};
use crate::support::{Backend, TestServer, both_backends, self_service};

both_backends!(
    tokens_are_counted_by_kind_and_state,
    what_is_counted_is_told_and_names_nobody,
    it_is_alive_while_its_store_is_not,
);

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Asks for a path over HTTP/1.1; returns the head and the body.
async fn get(t: &TestServer, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(t.ops_address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: ops\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_lowercase(), body.to_owned())
}

/// Returns the value of a metric, by its name and labels.
async fn metric(t: &TestServer, name: &str) -> Option<i64> {
    let (_, body) = get(t, "/metrics").await;
    let line = body.lines().find_map(|line| {
        line.strip_prefix("token_authority_")?
            .strip_prefix(name)?
            .strip_prefix(' ')
    });
    line.map(|value| value.parse().unwrap())
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
    let (head, body) = get(&t, "/metrics").await;
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert!(head.contains("openmetrics-text; version=1.0.0"), "{head}");
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
    assert!(get(&t, "/nothing").await.0.starts_with("http/1.1 404"));
}

async fn it_is_alive_while_its_store_is_not(backend: Backend) {
    let mut t = TestServer::start(backend).await;
    t.expect_alarms();
    t.database
        .execute("ALTER TABLE log_head RENAME TO lost_head")
        .await;
    let (head, body) = get(&t, "/healthz").await;
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert_eq!(body, "ok\n");
    assert!(get(&t, "/metrics").await.0.starts_with("http/1.1 200"));
}
