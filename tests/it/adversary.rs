//! What somebody would try: with a late clock, with another tenant's eyes, with rights
//! that have ended, with a hand in the audit log.

use std::time::Duration;

use token_authority::authority::sweeper::Retention;
use token_authority::domain::audit::{
    Act, Checkpoint, Event, Hash, Head, Origin, Proof, Row, action,
};
use token_authority::domain::time::Timestamp;
use token_authority::pb;

use crate::support::tokens::{
    changed, own_id, question, revoke, rotated, rotation, scopes, service, set_role, update,
};
use crate::support::{
    Actor, Backend, TestServer, both_backends, message, refused, self_service, share,
};

both_backends!(
    a_late_clocks_update_brings_no_ended_value_back,
    a_log_names_no_other_tenant_of_a_user,
    a_log_names_no_other_tenants_service,
    who_is_no_operator_any_more_is_not_told_what_a_call_came_to,
    who_is_no_administrator_any_more_is_not_told_what_a_call_came_to,
    an_event_before_the_first_is_found,
    a_row_that_can_not_be_read_is_found,
    one_call_holds_no_more_than_a_page_of_events,
    a_sweep_does_not_attest_what_was_tampered_with,
);

async fn listed(actor: &Actor, tenant_id: &str) -> Vec<pb::AuditEvent> {
    let request = message!(ListAuditEventsRequest {
        tenant_id: tenant_id,
        page_size: 1000,
    });
    actor.list_audit_events(request).await.unwrap().events
}

async fn verify(actor: &Actor) -> pb::VerifyAuditLogResponse {
    let request = message!(VerifyAuditLogRequest {
        tenant_id: "active",
    });
    actor.verify_audit_log(request).await.unwrap()
}

async fn a_late_clocks_update_brings_no_ended_value_back(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let server = t.resource_server().await;
    let alice = t.member(&acme, "alice", &["read"]).await;
    let (first, token_id) = (alice.actor.value(), own_id(&alice.actor).await);
    rotated(&acme.admin, rotation(&token_id, 0)).await;
    assert!(!server.introspect("acme", first).await.active);
    // Another replica, whose clock is half a second behind.
    t.clock.back(Duration::from_millis(500));
    assert!(!server.introspect("acme", first).await.active);
    let mut request = crate::support::tokens::change(&token_id);
    request.name = "laptop".into();
    request.update_mask = crate::support::tokens::mask(&["name"]);
    changed(&acme.admin, request).await;
    assert!(
        !server.introspect("acme", first).await.active,
        "a value that a rotation has ended is active again"
    );
}

async fn a_log_names_no_other_tenant_of_a_user(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let beta = t.tenant("beta", self_service()).await;
    let alice = t.member(&acme, "alice", &[]).await;
    share(&t, &alice.user_id, "beta").await;
    let request = message!(SetActiveTenantRequest { tenant_id: "beta" });
    alice.actor.set_active_tenant(request).await.unwrap();
    // What a user's record hides from acme's administrator.
    let request = message!(GetUserRequest {
        tenant_id: "acme",
        user_id: alice.user_id.clone(),
    });
    let user = acme.admin.get_user(request).await.unwrap().user.unwrap();
    assert_eq!(user.active_tenant_id, "");
    let request = message!(DeleteUserRequest {
        tenant_id: "acme",
        user_id: alice.user_id,
    });
    acme.admin.delete_user(request).await.unwrap();
    let mut leaks = Vec::new();
    for (admin, own, other) in [(&acme.admin, "acme", "beta"), (&beta.admin, "beta", "acme")] {
        for event in listed(admin, "active").await {
            let shown = format!("{:?} {:?}", event.caller, event.changes);
            if shown.contains(&format!("{other:?}")) {
                leaks.push(format!("{own}'s log, {}: {shown}", event.action));
            }
        }
    }
    assert!(leaks.is_empty(), "{leaks:#?}");
}

async fn a_log_names_no_other_tenants_service(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    t.tenant("beta", self_service()).await;
    let created = t
        .operator()
        .create(service("beta", "checker", &["authority:introspect"]))
        .await;
    let checker = t.actor(&created.value);
    let alice = t.member(&acme, "alice", &["read"]).await;
    let (first, token_id) = (alice.actor.value(), own_id(&alice.actor).await);
    rotated(&acme.admin, rotation(&token_id, 0)).await;
    let mut asked = question("beta", first);
    asked.client_address = "203.0.113.7".into();
    let told = checker.try_introspect(asked).await.unwrap();
    assert!(!told.active);
    let events = listed(&acme.admin, "active").await;
    assert_eq!(events[0].action, "EndedValueUsed");
    assert_eq!(events[0].caller, None, "{:?}", events[0].changes);
}

async fn who_is_no_operator_any_more_is_not_told_what_a_call_came_to(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let created = t
        .operator()
        .create(service("authority", "deputy", &["authority:operator"]))
        .await;
    let deputy = t.actor(&created.value);
    let request = message!(SuspendUserRequest {
        tenant_id: "acme",
        user_id: acme.admin_id.clone(),
        request_id: "one",
    });
    deputy.suspend_user(request.clone()).await.unwrap();
    let mut narrowed = scopes(&own_id(&deputy).await, &["authority:introspect"]);
    narrowed.tenant_id = "authority".into();
    update(&t.operator(), narrowed).await.unwrap();
    assert_eq!(
        refused(deputy.suspend_user(request).await),
        "NotFound TENANT_NOT_FOUND"
    );
}

async fn who_is_no_administrator_any_more_is_not_told_what_a_call_came_to(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let bob = t.member(&acme, "bob", &["read"]).await;
    let held = ["authority:tenant.admin", "authority:tokens.write"];
    let admin = t.token_of("acme", &acme.admin_id, &held).await;
    let request = message!(RevokeTokenRequest {
        tenant_id: "acme",
        token_id: own_id(&bob.actor).await,
        request_id: "one",
    });
    revoke(&admin, request.clone()).await.unwrap();
    set_role(&t.operator(), "acme", &acme.admin_id, pb::Role::Member).await;
    assert_eq!(
        refused(revoke(&admin, request).await),
        "PermissionDenied PERMISSION_DENIED"
    );
}

async fn an_event_before_the_first_is_found(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    t.database
        .execute(
            "INSERT INTO audit_events (tenant_id, sequence, event, hash, created_at, action)
             SELECT tenant_id, 0, event, hash, created_at, 'RevokeToken' FROM audit_events
              WHERE tenant_id = 'acme' AND sequence = 3",
        )
        .await;
    let shown = listed(&acme.admin, "active").await.len();
    let verified = verify(&acme.admin).await;
    let count = usize::try_from(verified.head.unwrap().count).unwrap();
    assert!(
        !verified.verified,
        "{shown} events are listed, {count} were ever written, and all is well"
    );
}

async fn a_row_that_can_not_be_read_is_found(backend: Backend) {
    let mut t = TestServer::start(backend).await;
    t.expect_alarms();
    let acme = t.tenant("acme", self_service()).await;
    t.database
        .execute(
            "UPDATE audit_events SET created_at = -1 WHERE tenant_id = 'acme' AND sequence = 2",
        )
        .await;
    let verified = verify(&acme.admin).await;
    assert_eq!(
        (verified.flaw(), verified.flawed_sequence),
        (pb::AuditFlaw::Changed, 2)
    );
}

/// Not a proof of the harm, but of its size: what 1,001 such rows take before a page is
/// cut to 2 MiB.
async fn one_call_holds_no_more_than_a_page_of_events(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    for letter in ["ä", "ö"] {
        let scopes = (0..100).map(|number| pb::Scope {
            name: format!("scope-{number}"),
            description: letter.repeat(500),
            ..Default::default()
        });
        let request = message!(UpdateCatalogRequest {
            tenant_id: "acme",
            catalog: pb::Catalog {
                scopes: scopes.collect(),
                ..Default::default()
            },
        });
        acme.admin.update_catalog(request).await.unwrap();
    }
    let sizes = "SELECT CAST(MAX(length(event)) AS TEXT) FROM audit_events";
    let size: u64 = t.database.texts(sizes).await[0].parse().unwrap();
    assert!(
        size * 1001 < 64 << 20,
        "an event has {size} bytes: a page of 1,000 reads {} MiB into memory",
        (size * 1001) >> 20
    );
}

async fn a_sweep_does_not_attest_what_was_tampered_with(backend: Backend) {
    let mut t = TestServer::start(backend).await;
    t.expect_alarms();
    let acme = t.tenant("acme", self_service()).await;
    for name in ["one", "two", "three"] {
        acme.admin.issue(name, &[]).await;
    }
    let known = verify(&acme.admin).await.head.unwrap();
    // All of it happened just now; the column beside the bytes is made to say otherwise.
    t.database
        .execute("UPDATE audit_events SET created_at = 0 WHERE tenant_id = 'acme'")
        .await;
    assert!(!verify(&acme.admin).await.verified);
    let retention = Retention {
        dead_tokens: Duration::from_secs(30 * 24 * 60 * 60),
        audit_events: Some(Duration::from_secs(3650 * 24 * 60 * 60)),
        period: Duration::from_secs(60 * 60),
    };
    t.authority.sweep(retention).await.ok();
    let request = message!(VerifyAuditLogRequest {
        tenant_id: "acme",
        known_head: known,
    });
    let verified = acme.admin.verify_audit_log(request).await.unwrap();
    let left: Vec<_> = listed(&acme.admin, "acme").await;
    let left: Vec<_> = left.iter().map(|event| &event.action).collect();
    assert!(
        !verified.verified,
        "all is well, and this is left: {left:?}"
    );
}

/// A chain made anew behind a checkpoint that the forger puts past the known head.
#[test]
fn a_known_head_finds_a_chain_that_was_made_anew() {
    let known = Head {
        count: 8,
        hash: Hash([1; 32]),
    };
    let checkpoint = Checkpoint {
        sequence: 9,
        hash: Hash([2; 32]),
    };
    let at = Timestamp::from_millis(1000).unwrap();
    let act = Act::new(action::PRUNE, "acme".parse().unwrap())
        .with("sequence", "9")
        .with("hash", checkpoint.hash.to_hex());
    let event = Event {
        tenant_id: "acme".into(),
        sequence: 10,
        ..Event::of(&act, &Origin::default(), at)
    };
    let bytes = event.to_bytes();
    let hash = checkpoint.hash.then(&bytes);
    let row = Row {
        sequence: 10,
        event: bytes,
        hash,
        created_at: at.millis(),
        action: event.action,
        ids: Default::default(),
    };
    let head = Head { count: 10, hash };
    let mut proof = Proof::begin("acme".into(), head, Some(checkpoint), Some(known));
    let judged = proof.next(&row).and_then(|()| proof.end());
    assert!(
        judged.is_err(),
        "the known head was not compared with anything"
    );
}
