//! What is dead for long enough is removed: in batches, on a schedule, by one replica
//! at a time. What lives stays.

use std::time::Duration;

use token_authority::authority::sweeper::{Retention, Swept};
use token_authority::pb;

use crate::support::invites::{guest, seconds};
use crate::support::tokens::{delete_tenant, id, list, remove_member, ttl, wanted};
use crate::support::{
    Actor, Backend, TestServer, both_backends, message, outcome, self_service, shared,
};

both_backends!(
    what_is_dead_goes_after_its_retention_and_what_lives_stays,
    a_tenant_may_keep_its_dead_longer,
    a_deleted_tenants_tokens_go_with_it,
    an_invite_goes_after_its_end_and_its_tenants_retention,
    more_than_a_batch_is_removed,
    a_sweep_is_due_once_a_period,
    what_was_swept_is_written_down,
    calls_are_recognised_for_a_day_and_then_forgotten,
    the_log_of_changes_loses_its_tail_alone,
    a_pruned_audit_log_is_whole,
);

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

const RETENTION: Retention = Retention {
    dead_tokens: Duration::from_secs(30 * 24 * 60 * 60),
    audit_events: None,
    period: Duration::from_secs(60 * 60),
};

/// Returns a millisecond less.
fn a_moment_less(duration: Duration) -> Duration {
    duration.checked_sub(Duration::from_millis(1)).unwrap()
}

/// Sweeps; it must be due.
async fn sweep(t: &TestServer) -> Swept {
    t.authority.sweep(RETENTION).await.unwrap().unwrap()
}

/// Returns the names of all tokens that are kept.
async fn kept(actor: &Actor) -> Vec<String> {
    let request = message!(ListTokensRequest {
        tenant_id: "acme",
        show_revoked: true,
        page_size: 1000,
    });
    let tokens = list(actor, request).await.unwrap().tokens;
    let mut names: Vec<_> = tokens.into_iter().map(|token| token.name).collect();
    names.sort();
    names
}

async fn count(t: &TestServer, table: &str) -> usize {
    let rows = format!("SELECT '' FROM {table}");
    t.database.texts(&rows).await.len()
}

async fn what_is_dead_goes_after_its_retention_and_what_lives_stays(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let operator = t.operator();
    for name in ["live", "disabled"] {
        acme.admin.issue(name, &[]).await;
    }
    let revoked = id(&acme.admin.issue("revoked", &[]).await);
    acme.admin.revoke("acme", &revoked).await;
    let brief = pb::CreateTokenRequest {
        expiry: ttl(1),
        ..wanted("expired", &[])
    };
    acme.admin.create(brief).await;
    let left = t.member(&acme, "left", &[]).await;
    remove_member(&acme.admin, "acme", &left.user_id).await;
    // The operator's and the administrator's tokens must outlive this test.
    t.database
        .execute("UPDATE tokens SET expires_at = NULL WHERE name = 'operator'")
        .await;
    // What is done past the service is not seen.
    t.authority.coherence().doubt();
    let all = kept(&operator).await;
    assert_eq!(
        all,
        [
            "disabled",
            "expired",
            "live",
            "of the test",
            "of the test",
            "revoked"
        ]
    );
    let secrets = count(&t, "secrets").await;

    t.advance(a_moment_less(RETENTION.dead_tokens));
    assert_eq!(sweep(&t).await.tokens, 0);
    assert_eq!(kept(&operator).await, all);
    // The one that expired a second later stays a second longer.
    t.advance(RETENTION.period);
    t.database
        .execute("UPDATE tokens SET expires_at = expires_at + 3600000 WHERE name = 'expired'")
        .await;
    assert_eq!(sweep(&t).await.tokens, 2);
    assert_eq!(
        kept(&operator).await,
        ["disabled", "expired", "live", "of the test"]
    );
    t.advance(RETENTION.period + Duration::from_secs(1));
    assert_eq!(sweep(&t).await.tokens, 1);
    assert_eq!(kept(&operator).await, ["disabled", "live", "of the test"]);
    // Nothing that verifies their values is left either.
    assert_eq!(count(&t, "secrets").await, secrets - 3);
    let server = t.resource_server().await;
    assert!(server.introspect("acme", acme.admin.value()).await.active);
}

async fn a_tenant_may_keep_its_dead_longer(backend: Backend) {
    let t = TestServer::start(backend).await;
    let policy = pb::TenantPolicy {
        retention: Some(prost_types::Duration {
            seconds: 60 * 24 * 60 * 60,
            nanos: 0,
        }),
        ..Default::default()
    };
    let acme = t.tenant("acme", policy).await;
    let globex = t.tenant("globex", pb::TenantPolicy::default()).await;
    for tenant in [&acme, &globex] {
        let token_id = id(&tenant.admin.issue("revoked", &[]).await);
        tenant.admin.revoke("active", &token_id).await;
    }
    t.advance(30 * DAY);
    assert_eq!(sweep(&t).await.tokens, 1, "globex's alone");
    assert_eq!(kept(&acme.admin).await, ["of the test", "revoked"]);
    t.advance(30 * DAY);
    // The operator's own ended a day after the beginning.
    assert_eq!(sweep(&t).await.tokens, 2);
    assert_eq!(kept(&acme.admin).await, ["of the test"]);
}

async fn a_deleted_tenants_tokens_go_with_it(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    acme.admin.issue("laptop", &[]).await;
    delete_tenant(&t.operator(), "acme").await;
    let tokens = count(&t, "tokens").await;
    t.advance(RETENTION.dead_tokens);
    sweep(&t).await;
    // Of the operator's own token nothing is left either: it expired after a day.
    assert_eq!(tokens - count(&t, "tokens").await, 2);
}

async fn an_invite_goes_after_its_end_and_its_tenants_retention(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    for name in ["claimed", "expired", "later"] {
        let days = if name == "later" { 8 } else { 7 };
        let request = pb::CreateInviteRequest {
            ttl: seconds(days * 24 * 60 * 60),
            ..guest(name)
        };
        let made = acme.admin.invite(request).await;
        if name == "claimed" {
            t.nobody().try_claim(&made.value).await.unwrap();
        }
    }
    t.advance(7 * DAY + a_moment_less(RETENTION.dead_tokens));
    assert_eq!(sweep(&t).await.invites, 0);
    assert_eq!(count(&t, "invites").await, 3);
    t.advance(RETENTION.period);
    assert_eq!(sweep(&t).await.invites, 2);
    t.advance(DAY);
    assert_eq!(sweep(&t).await.invites, 1);
    assert_eq!(count(&t, "invites").await, 0);
}

async fn more_than_a_batch_is_removed(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    for _ in 0..3 {
        for _ in 0..70 {
            acme.admin.issue("laptop", &[]).await;
        }
    }
    t.database
        .execute("UPDATE tokens SET expires_at = 1 WHERE name = 'laptop'")
        .await;
    assert_eq!(sweep(&t).await.tokens, 210);
    assert_eq!(kept(&acme.admin).await, ["of the test"]);
}

async fn a_sweep_is_due_once_a_period(backend: Backend) {
    let t = TestServer::start(backend).await;
    assert!(t.authority.sweep(RETENTION).await.unwrap().is_some());
    assert!(t.authority.sweep(RETENTION).await.unwrap().is_none());
    t.advance(a_moment_less(RETENTION.period));
    assert!(t.authority.sweep(RETENTION).await.unwrap().is_none());
    t.advance(Duration::from_millis(1));
    assert!(t.authority.sweep(RETENTION).await.unwrap().is_some());
}

/// On a file there is one process; of several on a server, one sweeps.
#[tokio::test]
async fn of_several_replicas_one_sweeps() {
    let t = TestServer::start_with(Backend::Postgres, shared).await;
    let (one, two) = (t.replica().await, t.replica().await);
    for _ in 0..20 {
        t.advance(RETENTION.period);
        let sweeps = [&t.authority, &one.authority, &two.authority].map(|authority| {
            let authority = std::sync::Arc::clone(authority);
            tokio::spawn(async move { authority.sweep(RETENTION).await.unwrap() })
        });
        let mut swept = 0;
        for sweep in sweeps {
            swept += usize::from(sweep.await.unwrap().is_some());
        }
        assert_eq!(swept, 1);
    }
}

async fn what_was_swept_is_written_down(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    for name in ["one", "two"] {
        let token_id = id(&acme.admin.issue(name, &[]).await);
        acme.admin.revoke("acme", &token_id).await;
    }
    t.advance(RETENTION.dead_tokens);
    sweep(&t).await;
    let request = message!(ListAuditEventsRequest {
        tenant_id: "acme",
        page_size: 1,
    });
    let listed = acme.admin.list_audit_events(request).await.unwrap();
    let event = &listed.events[0];
    assert_eq!((event.action.as_str(), &event.caller), ("Sweep", &None));
    assert_eq!(event.changes[0].field, "tokens");
    assert_eq!(event.changes[0].after, "2");
    let request = message!(VerifyAuditLogRequest { tenant_id: "acme" });
    assert!(acme.admin.verify_audit_log(request).await.unwrap().verified);
}

async fn calls_are_recognised_for_a_day_and_then_forgotten(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let call = pb::CreateTokenRequest {
        request_id: "once".into(),
        ..wanted("laptop", &[])
    };
    acme.admin.create(call.clone()).await;
    t.advance(a_moment_less(DAY));
    assert_eq!(sweep(&t).await.requests, 0);
    let again = outcome(acme.admin.try_create(call.clone()).await);
    assert_eq!(again.as_deref(), Some("AlreadyExists REQUEST_ALREADY_DONE"));
    t.advance(RETENTION.period);
    assert_eq!(sweep(&t).await.requests, 1);
    assert_eq!(count(&t, "requests").await, 0);
    acme.admin.create(call).await;
}

async fn the_log_of_changes_loses_its_tail_alone(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let old = count(&t, "changes").await;
    t.advance(7 * DAY);
    acme.admin.issue("laptop", &[]).await;
    let swept = sweep(&t).await.changes;
    assert_eq!(usize::try_from(swept).unwrap(), old);
    let numbers = "SELECT CAST(number AS TEXT) FROM changes";
    let head = "SELECT CAST(number AS TEXT) FROM log_head";
    assert_eq!(
        t.database.texts(numbers).await,
        t.database.texts(head).await
    );
}

async fn a_pruned_audit_log_is_whole(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    for number in 0..250 {
        acme.admin.issue(&number.to_string(), &[]).await;
    }
    let verify = async |known_head: Option<pb::AuditHead>| {
        let request = pb::VerifyAuditLogRequest {
            tenant_id: "acme".into(),
            known_head,
        };
        acme.admin.verify_audit_log(request).await.unwrap()
    };
    let seen = verify(None).await.head.unwrap();
    t.advance(10 * DAY);
    acme.admin.issue("later", &[]).await;
    let kept = verify(None).await.head.unwrap();
    let retention = Retention {
        audit_events: Some(10 * DAY),
        ..RETENTION
    };
    let swept = t.authority.sweep(retention).await.unwrap().unwrap();
    // All of the installation's, too.
    assert!(swept.audit_events >= 254, "{swept:?}");
    let verified = verify(Some(kept)).await;
    assert!(verified.verified, "{verified:?}");
    assert_eq!(verified.first_sequence, seen.count + 1);
    // The head that was seen is where the chain begins now.
    assert!(verify(Some(seen.clone())).await.verified);
    let other = pb::AuditHead {
        hash: vec![7; 32],
        ..seen
    };
    assert_eq!(verify(Some(other)).await.flaw(), pb::AuditFlaw::OtherChain);
    let request = message!(ListAuditEventsRequest { tenant_id: "acme" });
    let listed = acme.admin.list_audit_events(request).await.unwrap().events;
    let names: Vec<_> = listed.iter().map(|event| &*event.action).collect();
    assert_eq!(names, ["PruneAuditLog", "PruneAuditLog", "CreateToken"]);
    // Once more, with what the first pruning wrote down.
    t.advance(10 * DAY);
    t.authority.sweep(retention).await.unwrap().unwrap();
    assert!(verify(None).await.verified);
}
