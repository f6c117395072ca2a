//! `TokenService/RotateToken`: what is recorded of a value that is used after its end.

use std::time::Duration;

use token_authority::domain::audit::Event;
use token_authority::pb;

use crate::support::tokens::{
    altered, batch, checked, id, own_id, question, rotated, rotation, who_am_i,
};
use crate::support::{Backend, TestServer, both_backends, events, refused, self_service};

both_backends!(
    the_use_of_an_ended_value_is_recorded_once,
    a_credential_that_is_over_is_recorded_too,
    a_wrong_secret_records_nothing,
    what_can_not_be_recorded_is_answered_all_the_same,
);

const UNAUTHENTICATED: &str = "Unauthenticated CALLER_UNAUTHENTICATED";

async fn recorded(t: &TestServer) -> Vec<Event> {
    events(&t.database, "acme", "EndedValueUsed").await
}

fn hint(event: &Event) -> &str {
    assert_eq!(event.changes.len(), 1);
    assert_eq!(event.changes[0].field, "hint");
    &event.changes[0].after
}

async fn the_use_of_an_ended_value_is_recorded_once(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let server = t.resource_server().await;
    let alice = t.member(&acme, "alice", &["read"]).await;
    let (first, token_id) = (alice.actor.value(), own_id(&alice.actor).await);
    let (_, second) = rotated(&acme.admin, rotation(&token_id, 60)).await;
    let (_, third) = rotated(&acme.admin, rotation(&token_id, 90)).await;
    for value in [first, &second, &third] {
        assert!(server.introspect("acme", value).await.active);
    }
    assert_eq!(recorded(&t).await, []);

    t.advance(Duration::from_secs(60));
    let before = server.introspect("acme", &third).await.revision;
    for _ in 0..2 {
        let told = server.introspect("acme", first).await;
        assert!(!told.active && told.token_id.is_empty());
        // It alters no answer, so the log of changes has nothing of it.
        assert_eq!(told.revision, before);
        t.advance(Duration::from_secs(1));
    }
    let written = recorded(&t).await;
    assert_eq!(written.len(), 1);
    let event = &written[0];
    assert_eq!(
        event.event_time.unwrap().seconds,
        crate::support::tokens::START + 60
    );
    let subject = event.subject.as_ref().unwrap();
    assert_eq!(
        (subject.token_id.as_str(), subject.user_id.as_str()),
        (token_id.as_str(), alice.user_id.as_str())
    );
    assert!(first.starts_with(hint(event)));
    let by = event.caller.as_ref().unwrap();
    assert_eq!(by.token_id, own_id(&server).await);
    assert_eq!(by.tenant_id, "authority");

    // Each value once, also of several in one call, and by who is of another tenant.
    t.advance(Duration::from_secs(60));
    let requests = vec![question("acme", &second), question("acme", &second)];
    let request = pb::BatchIntrospectRequest { requests };
    batch(&server, request).await.unwrap();
    let written = recorded(&t).await;
    assert_eq!(written.len(), 2);
    assert!(second.starts_with(hint(&written[1])));
    // The current one is untouched by it.
    assert!(server.introspect("acme", &third).await.active);
    let used = t.logs.text();
    let line = "a value was used after its end";
    assert_eq!(used.matches(line).count(), 2, "{used}");
}

async fn a_credential_that_is_over_is_recorded_too(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let alice = t.member(&acme, "alice", &["read"]).await;
    let token_id = own_id(&alice.actor).await;
    let (_, value) = rotated(&acme.admin, rotation(&token_id, 0)).await;
    for _ in 0..2 {
        let refusal = who_am_i(&alice.actor, pb::WhoAmIRequest {}).await;
        assert_eq!(refused(refusal), UNAUTHENTICATED);
    }
    let written = recorded(&t).await;
    assert_eq!(written.len(), 1);
    assert_eq!(written[0].caller, None);
    assert!(alice.actor.value().starts_with(hint(&written[0])));
    own_id(&t.actor(&value)).await;
    assert_eq!(recorded(&t).await.len(), 1);
}

async fn a_wrong_secret_records_nothing(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let server = t.resource_server().await;
    let created = acme.admin.issue("laptop", &["read"]).await;
    rotated(&acme.admin, rotation(&id(&created), 0)).await;
    // The lookup is right, the secret is not.
    let wrong = checked(&altered(&created.value, "acme_", 20));
    assert!(!server.introspect("acme", &wrong).await.active);
    let impostor = t.actor(&wrong);
    let refusal = who_am_i(&impostor, pb::WhoAmIRequest {}).await;
    assert_eq!(refused(refusal), UNAUTHENTICATED);
    assert_eq!(recorded(&t).await, []);
    // Nor does it prevent the record of a right one.
    assert!(!server.introspect("acme", &created.value).await.active);
    assert_eq!(recorded(&t).await.len(), 1);
}

async fn what_can_not_be_recorded_is_answered_all_the_same(backend: Backend) {
    let mut t = TestServer::start(backend).await;
    t.expect_alarms();
    let acme = t.tenant("acme", self_service()).await;
    let server = t.resource_server().await;
    let created = acme.admin.issue("laptop", &["read"]).await;
    let (_, value) = rotated(&acme.admin, rotation(&id(&created), 0)).await;
    let rename = |from: &str, to: &str| format!("ALTER TABLE {from} RENAME TO {to}");
    t.database.execute(&rename("audit_heads", "lost")).await;
    assert!(!server.introspect("acme", &created.value).await.active);
    let refusal = who_am_i(&t.actor(&created.value), pb::WhoAmIRequest {}).await;
    assert_eq!(refused(refusal), UNAUTHENTICATED);
    assert!(server.introspect("acme", &value).await.active);
    assert_eq!(t.logs.alarms().len(), 2, "{:?}", t.logs.alarms());
    t.database.execute(&rename("lost", "audit_heads")).await;
    assert_eq!(recorded(&t).await, []);
    // Its next use is.
    assert!(!server.introspect("acme", &created.value).await.active);
    assert_eq!(recorded(&t).await.len(), 1);
}
