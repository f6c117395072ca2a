//! The last use of each token: when, by whom, from where.

use std::time::Duration;

use token_authority::pb;

use crate::support::tokens::{at, batch, get, id, list, own_id, question, wanted};
use crate::support::{Actor, Backend, TestServer, both_backends, refused, self_service};

both_backends!(
    ten_thousand_uses_are_one_row_and_one_write,
    a_use_says_when_by_whom_and_from_where,
    a_use_leaves_the_records_etag_alone,
    an_address_is_an_address_or_refused,
    uses_of_tokens_that_are_gone_are_dropped,
    a_store_that_fails_loses_no_use,
    a_stop_writes_and_a_restart_keeps,
    tokens_are_listed_by_how_long_they_were_not_used,
);

async fn shown(actor: &Actor, token_id: &str) -> pb::Token {
    let request = pb::GetTokenRequest {
        tenant_id: "acme".into(),
        token_id: token_id.into(),
        ..Default::default()
    };
    get(actor, request).await.unwrap().token.unwrap()
}

async fn flush(t: &TestServer) {
    t.authority.flush_usage().await.unwrap();
}

/// Returns how many uses there are, and how many were ever written.
async fn written(t: &TestServer) -> (usize, u64) {
    let rows = "SELECT CAST(used_at AS TEXT) FROM token_uses";
    let written = t.authority.counters().uses_written.get();
    (t.database.texts(rows).await.len(), written)
}

async fn ten_thousand_uses_are_one_row_and_one_write(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let server = t.resource_server().await;
    let created = acme.admin.create(wanted("token", &[])).await;
    flush(&t).await;
    let before = written(&t).await;
    for _ in 0..10 {
        t.advance(Duration::from_secs(1));
        let requests = vec![question("acme", &created.value); 1000];
        let request = pb::BatchIntrospectRequest { requests };
        let results = batch(&server, request).await.unwrap().results;
        assert_eq!(results.len(), 1000);
    }
    assert_eq!(written(&t).await, before);
    flush(&t).await;
    // The token's row, and that of the service which asked.
    assert_eq!(written(&t).await, (before.0 + 2, before.1 + 2));
    let token = shown(&acme.admin, &id(&created)).await;
    assert_eq!(token.last_used_time, Some(at(10)));
    // Nothing was used since but by whom it was looked at.
    flush(&t).await;
    assert_eq!(written(&t).await, (before.0 + 2, before.1 + 3));
}

async fn a_use_says_when_by_whom_and_from_where(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let server = t.resource_server().await;
    let server_id = own_id(&server).await;
    let created = acme.admin.create(wanted("token", &["read"])).await;
    let token_id = id(&created);
    let last = async || {
        flush(&t).await;
        let token = shown(&acme.admin, &token_id).await;
        let second = token
            .last_used_time
            .map(|time| time.seconds - at(0).seconds);
        (second, token.last_used_by, token.last_used_address)
    };
    let ask = async |tenant_id: &str, scope: &str, address: &str| {
        t.advance(Duration::from_secs(1));
        let request = pb::IntrospectRequest {
            required_scopes: vec![scope.into()],
            client_address: address.into(),
            ..question(tenant_id, &created.value)
        };
        server.try_introspect(request).await.unwrap()
    };
    assert_eq!(last().await, (None, String::new(), String::new()));
    assert!(ask("acme", "read", "203.0.113.7").await.allowed);
    let by_server = |second, address: &str| (Some(second), server_id.clone(), address.to_owned());
    assert_eq!(last().await, by_server(1, "203.0.113.7"));
    // Active is active, whatever is missing.
    assert!(!ask("acme", "write", "2001:DB8:0:0::1").await.allowed);
    assert_eq!(last().await, by_server(2, "2001:db8::1"));
    assert!(ask("acme", "read", "::ffff:192.0.2.1").await.allowed);
    assert_eq!(last().await, by_server(3, "192.0.2.1"));
    // What is inactive is not used, nor who asks in another's name.
    assert!(!ask("other", "read", "203.0.113.8").await.active);
    assert_eq!(last().await, by_server(3, "192.0.2.1"));
    assert!(ask("acme", "read", "").await.allowed);
    assert_eq!(last().await, by_server(5, ""));
    // Presented to the authority itself, by its holder.
    t.advance(Duration::from_secs(1));
    own_id(&t.actor(&created.value)).await;
    assert_eq!(last().await, (Some(6), String::new(), String::new()));
    acme.admin.revoke("acme", &token_id).await;
    assert!(!ask("acme", "read", "203.0.113.9").await.active);
    assert_eq!(last().await, (Some(6), String::new(), String::new()));
}

async fn a_use_leaves_the_records_etag_alone(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let server = t.resource_server().await;
    let created = acme.admin.create(wanted("token", &[])).await;
    let before = shown(&acme.admin, &id(&created)).await;
    t.advance(Duration::from_secs(1));
    let revision = server.introspect("acme", &created.value).await.revision;
    flush(&t).await;
    let mut after = shown(&acme.admin, &id(&created)).await;
    assert_eq!(after.last_used_time.take(), Some(at(1)));
    assert_eq!(after.last_used_by, own_id(&server).await);
    after.last_used_by.clear();
    assert_eq!(after, before);
    let again = server.introspect("acme", &created.value).await;
    assert_eq!(again.revision, revision);
}

async fn an_address_is_an_address_or_refused(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let server = t.resource_server().await;
    let ask = async |address: &str| {
        let request = pb::IntrospectRequest {
            client_address: address.into(),
            ..question("acme", acme.admin.value())
        };
        server.try_introspect(request).await
    };
    let longest = "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255";
    assert_eq!(longest.len(), 45);
    for good in ["0.0.0.0", "::", longest] {
        assert!(ask(good).await.unwrap().active, "{good}");
    }
    let long = "1".repeat(100_000);
    for bad in [
        "localhost",
        "1.2.3",
        "1.2.3.4:5",
        "[::1]",
        "fe80::1%eth0",
        " 1.2.3.4",
        &long,
    ] {
        assert_eq!(
            refused(ask(bad).await),
            "InvalidArgument INVALID_ADDRESS\n  client_address: INVALID_ADDRESS"
        );
    }
}

async fn uses_of_tokens_that_are_gone_are_dropped(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let server = t.resource_server().await;
    let gone = acme.admin.create(wanted("gone", &[])).await;
    let stays = acme.admin.create(wanted("stays", &[])).await;
    for created in [&gone, &stays] {
        assert!(server.introspect("acme", &created.value).await.active);
    }
    for sql in [
        "DELETE FROM secrets WHERE token_id IN (SELECT token_id FROM tokens WHERE name = 'gone')",
        "DELETE FROM tokens WHERE name = 'gone'",
    ] {
        t.database.execute(sql).await;
    }
    flush(&t).await;
    let token = shown(&acme.admin, &id(&stays)).await;
    assert_eq!(token.last_used_time, Some(at(0)));
    // It is not kept to be tried again.
    let before = written(&t).await;
    flush(&t).await;
    assert_eq!(written(&t).await.0, before.0);
}

async fn a_store_that_fails_loses_no_use(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let server = t.resource_server().await;
    let first = acme.admin.create(wanted("first", &[])).await;
    let second = acme.admin.create(wanted("second", &[])).await;
    for created in [&first, &second] {
        assert!(server.introspect("acme", &created.value).await.active);
    }
    let rename = async |from, to| {
        let sql = format!("ALTER TABLE {from} RENAME TO {to}");
        t.database.execute(&sql).await;
    };
    rename("token_uses", "lost_uses").await;
    assert!(t.authority.flush_usage().await.is_err());
    t.advance(Duration::from_secs(1));
    assert!(server.introspect("acme", &second.value).await.active);
    assert!(t.authority.flush_usage().await.is_err());
    rename("lost_uses", "token_uses").await;
    flush(&t).await;
    for (created, second) in [(&first, 0), (&second, 1)] {
        let token = shown(&acme.admin, &id(created)).await;
        assert_eq!(token.last_used_time, Some(at(second)));
    }
}

async fn a_stop_writes_and_a_restart_keeps(backend: Backend) {
    let mut t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let server = t.resource_server().await;
    let created = acme.admin.create(wanted("token", &[])).await;
    t.advance(Duration::from_secs(1));
    assert!(server.introspect("acme", &created.value).await.active);
    assert_eq!(written(&t).await, (0, 0));
    t.restart(async |_, _| {}).await;
    let admin = t.actor(acme.admin.value());
    let token = shown(&admin, &id(&created)).await;
    assert_eq!(token.last_used_time, Some(at(1)));
    assert_eq!(token.last_used_by, own_id(&t.actor(server.value())).await);
}

async fn tokens_are_listed_by_how_long_they_were_not_used(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let server = t.resource_server().await;
    let used = acme.admin.create(wanted("used", &[])).await;
    acme.admin.create(wanted("never used", &[])).await;
    t.advance(Duration::from_secs(10));
    acme.admin.create(wanted("younger", &[])).await;
    t.advance(Duration::from_secs(10));
    assert!(server.introspect("acme", &used.value).await.active);
    flush(&t).await;
    let unused_since = async |second| {
        let request = pb::ListTokensRequest {
            tenant_id: "acme".into(),
            unused_since: Some(at(second)),
            ..Default::default()
        };
        let page = list(&acme.admin, request).await.unwrap();
        let mut names: Vec<_> = page.tokens.into_iter().map(|token| token.name).collect();
        names.sort();
        names
    };
    // The administrator's own is used by each call, first at ten seconds.
    assert_eq!(unused_since(0).await, [] as [&str; 0]);
    assert_eq!(unused_since(1).await, ["never used"]);
    assert_eq!(
        unused_since(11).await,
        ["never used", "of the test", "younger"]
    );
    assert_eq!(
        unused_since(21).await,
        ["never used", "of the test", "used", "younger"]
    );
}
