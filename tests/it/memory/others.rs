//! What another call has committed and not told yet, and what another process holds.

use token_authority::domain::token::RevokeReason;
use token_authority::pb;

use super::{complete, remembering, start};
use crate::support::tokens::{change, expose, id, mask, update};
use crate::support::{Backend, Installation, Relay, TestServer, both_backends, self_service};

both_backends! {
    a_call_that_is_asked_again_is_told_to_be_done_once_that_is_true,
}

/// Returns the statements that revoke a token and log it, as a call does that has not told
/// memory of it yet.
fn revoking(name: &str) -> [String; 3] {
    let reason = RevokeReason::Administrative.as_str();
    [
        format!(
            "UPDATE tokens SET revoked_at = 1, revoke_reason = '{reason}', revoke_text = ''
              WHERE name = '{name}'"
        ),
        format!(
            "INSERT INTO changes (number, position, kind, tenant_id, user_id, token_id, created_at)
             SELECT h.number + 1, 0, 'token_changed', t.tenant_id, NULL, t.token_id, 1
               FROM log_head h, tokens t
              WHERE t.name = '{name}'"
        ),
        String::from("UPDATE log_head SET number = number + 1"),
    ]
}

async fn a_call_that_is_asked_again_is_told_to_be_done_once_that_is_true(backend: Backend) {
    let t = start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let server = t.resource_server().await;
    let created = acme.admin.issue("laptop", &["read"]).await;
    let asked = pb::UpdateTokenRequest {
        name: "desk".into(),
        update_mask: mask(&["name"]),
        request_id: "once".into(),
        ..change(&id(&created))
    };
    update(&acme.admin, asked.clone()).await.unwrap();
    assert!(server.introspect("acme", &created.value).await.active);
    // As if that call had done this, and were still waiting for memory.
    for sql in revoking("desk") {
        t.database.execute(&sql).await;
    }
    let sql = "UPDATE requests SET number = (SELECT number FROM log_head)";
    t.database.execute(sql).await;
    if let Backend::Sqlite = backend {
        // Elsewhere memory asks for itself from time to time.
        assert!(server.introspect("acme", &created.value).await.active);
    }
    update(&acme.admin, asked).await.unwrap();
    assert!(!server.introspect("acme", &created.value).await.active);
}

#[tokio::test]
async fn who_has_a_value_revoked_that_another_ends_hears_of_it_once_that_is_true() {
    let t = start(Backend::Postgres).await;
    let acme = t.tenant("acme", self_service()).await;
    let server = t.resource_server().await;
    let created = acme.admin.issue("laptop", &["read"]).await;
    assert!(server.introspect("acme", &created.value).await.active);
    // Another is about to revoke it, and holds its lock.
    let [revoke, log, number] = revoking("laptop");
    let mut other = t.database.raw().await;
    other.execute(&format!("BEGIN; {revoke}")).await.unwrap();
    let exposed = pb::RevokeExposedTokenRequest {
        value: created.value.clone(),
    };
    let nobody = t.nobody();
    let exposing = tokio::spawn(async move { expose(&nobody, exposed).await });
    let waiting = "SELECT 'waits' FROM pg_stat_activity
                    WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let mut watching = t.database.raw().await;
    while watching.texts(waiting).await.is_empty() {
        tokio::task::yield_now().await;
    }
    let rest = format!("{log}; {number}; COMMIT");
    other.execute(&rest).await.unwrap();
    exposing.await.unwrap().unwrap();
    assert!(!server.introspect("acme", &created.value).await.active);
}

#[tokio::test]
async fn who_lost_the_database_to_another_process_ends() {
    let installation = Installation::new(Backend::Postgres).await;
    let alone = ("TOKEN_AUTHORITY_COHERENCE__SINGLE_PROCESS", "true");
    let (first, _) = installation.start(&[alone]);
    let other = installation.database.open(2).await;
    // Before the first notices that its session is over, which it asks for once a second.
    installation.database.end_holder().await;
    let second = loop {
        match other.hold_alone().await {
            Ok(held) => break held,
            Err(refused) => assert!(refused.to_string().contains("single_process"), "{refused}"),
        }
    };
    let (code, said) = first.ended().await;
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("another process holds the database alone"),
        "{said}"
    );
    second.release().await;
    // Started again, it serves.
    let (third, _) = installation.start(&[alone]);
    third.terminate();
    let (code, said) = third.ended().await;
    assert_eq!(code, Some(0), "{said}");
}

#[tokio::test]
async fn one_that_holds_the_database_keeps_another_from_starting() {
    let installation = Installation::new(Backend::Postgres).await;
    let alone = ("TOKEN_AUTHORITY_COHERENCE__SINGLE_PROCESS", "true");
    let other = installation.database.open(2).await;
    let (first, _) = installation.start(&[alone]);
    let refused = other.hold_alone().await.unwrap_err();
    assert!(refused.to_string().contains("single_process"), "{refused}");
    first.terminate();
    let (code, said) = first.ended().await;
    assert_eq!(code, Some(0), "{said}");
    // It has taken its leave: nobody waits for its session to be noticed.
    other.hold_alone().await.unwrap().release().await;
}

#[tokio::test]
async fn who_was_cut_off_for_a_while_goes_on() {
    let (_database, relay) = Relay::new().await;
    let url = relay.url.clone();
    let mut t = TestServer::start_with(Backend::Postgres, |config| {
        remembering(config);
        config.database.url = Some(url.into());
    })
    .await;
    t.expect_alarms();
    complete(&t).await;
    let acme = t.tenant("acme", self_service()).await;
    let server = t.resource_server().await;
    let value = acme.admin.issue("laptop", &["read"]).await.value;
    relay.tear();
    t.scrape_until("in doubt", |scrape| scrape.of("memory_complete") == 0)
        .await;
    relay.resume();
    t.scrape_until("sure again", |scrape| scrape.of("memory_complete") == 1)
        .await;
    assert!(server.introspect("acme", &value).await.active);
}
