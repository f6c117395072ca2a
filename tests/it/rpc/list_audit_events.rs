//! `AuditService/ListAuditEvents`.

use std::time::Duration;

use sha2::{Digest as _, Sha256};
use token_authority::pb;

use prost::Message as _;

use crate::support::tokens::{at, id, mask};
use crate::support::{
    Actor, Backend, TestServer, administrators_only, both_backends, message, outcome, pages,
    refused,
};

both_backends!(
    an_event_says_who_did_what_to_what,
    events_are_listed_newest_first_page_by_page,
    filters_are_joined_by_and,
    the_hashes_can_be_verified_by_anybody,
    what_befalls_a_tenant_is_in_the_installations_log_too,
    what_changes_nothing_is_not_written_down,
    a_page_token_is_of_its_list_and_tenant,
    only_administrators_and_operators_read_the_log,
);

fn of(tenant_id: &str) -> pb::ListAuditEventsRequest {
    message!(ListAuditEventsRequest {
        tenant_id: tenant_id,
    })
}

async fn list(actor: &Actor, request: pb::ListAuditEventsRequest) -> Vec<pb::AuditEvent> {
    actor.list_audit_events(request).await.unwrap().events
}

/// Returns an event as a line, its changes with it.
fn line(event: &pb::AuditEvent) -> String {
    let changes = event.changes.iter().map(|change| {
        let pb::AuditFieldChange {
            field,
            before,
            after,
        } = change;
        format!(" {field}:{before}>{after}")
    });
    format!("{}{}", event.action, changes.collect::<String>())
}

async fn an_event_says_who_did_what_to_what(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", pb::TenantPolicy::default()).await;
    t.advance(Duration::from_secs(3));
    let created = acme.admin.issue("laptop", &["write"]).await;
    let renamed = message!(UpdateTokenRequest {
        tenant_id: "active",
        token_id: id(&created),
        update_mask: mask(&["name", "expire_time", "labels"]),
        name: "desktop",
        expire_time: at(60),
        labels: [("team".to_owned(), "search".to_owned())],
    });
    let mut request = acme.admin.call(renamed);
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let headers = request.metadata_mut();
    headers.insert("traceparent", trace.parse().unwrap());
    headers.insert("x-request-id", "quote-me".parse().unwrap());
    acme.admin.tokens().update_token(request).await.unwrap();
    let revoked = message!(RevokeTokenRequest {
        tenant_id: "active",
        token_id: id(&created),
        reason: pb::RevokeReason::Compromised,
        reason_text: "seen in a log",
    });
    crate::support::tokens::revoke(&acme.admin, revoked)
        .await
        .unwrap();

    let events = list(&acme.admin, of("active")).await;
    let lines: Vec<_> = events.iter().rev().map(line).collect();
    let hint = &created.token.as_ref().unwrap().hint;
    let admin_id = &acme.admin_id;
    assert_eq!(
        lines[4..],
        [
            format!(
                "CreateToken hint:>{hint} kind:>api name:>laptop scopes:>write user_id:>{admin_id}"
            ),
            String::from(
                "UpdateToken expire_time:>2026-01-01T00:01:00Z labels.team:>search \
                 name:laptop>desktop"
            ),
            String::from(
                "RevokeToken revoke_reason:>compromised revoke_reason_text:>seen in a log \
                 revoke_time:>2026-01-01T00:00:03Z"
            ),
        ]
    );
    let names: Vec<_> = events.iter().rev().map(|event| &*event.action).collect();
    assert_eq!(
        names[..4],
        ["CreateTenant", "UpdateCatalog", "CreateUser", "CreateToken"]
    );
    let update = &events[1];
    assert_eq!((update.tenant_id.as_str(), update.sequence), ("acme", 6));
    assert_eq!(update.event_time, Some(at(3)));
    let caller = update.caller.clone().unwrap();
    let own = crate::support::tokens::own_id(&acme.admin).await;
    assert_eq!(
        (caller.token_id, caller.tenant_id, caller.user_id),
        (own, "acme".into(), acme.admin_id.clone())
    );
    let subject = update.subject.clone().unwrap();
    assert_eq!(
        (subject.tenant_id, subject.user_id, subject.token_id),
        ("acme".into(), acme.admin_id.clone(), id(&created))
    );
    assert_eq!(update.trace_id, "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(update.call_id, "quote-me");
    assert_eq!(events[0].trace_id, "");
}

async fn events_are_listed_newest_first_page_by_page(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", pb::TenantPolicy::default()).await;
    for number in 0..6 {
        acme.admin.issue(&number.to_string(), &[]).await;
    }
    for page_size in [1, 3, 10, 1001] {
        let read = async |page_token: String| {
            let request = message!(ListAuditEventsRequest {
                tenant_id: "acme",
                page_size: page_size,
                page_token: page_token,
            });
            let page = acme.admin.list_audit_events(request).await.unwrap();
            let places = page.events.iter().map(|event| event.sequence.to_string());
            (places.collect(), page.next_page_token)
        };
        let pages = pages(read).await;
        let places: Vec<_> = pages.concat();
        let expected: Vec<_> = (1..=10).rev().map(|place| place.to_string()).collect();
        assert_eq!(places, expected);
        let most = usize::try_from(page_size).unwrap();
        assert!(pages.iter().all(|page| page.len() <= most), "{pages:?}");
    }
}

async fn filters_are_joined_by_and(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", pb::TenantPolicy::default()).await;
    let user = t.member(&acme, "user", &["read"]).await;
    let his = crate::support::tokens::own_id(&user.actor).await;
    t.advance(Duration::from_secs(10));
    acme.admin.revoke("acme", &his).await;
    let operator = crate::support::tokens::own_id(&t.operator()).await;
    let admin = crate::support::tokens::own_id(&acme.admin).await;
    let seen = async |request: pb::ListAuditEventsRequest| {
        let events = list(&acme.admin, request).await;
        let names = events.into_iter().map(|event| event.action);
        names.collect::<Vec<_>>().join(" ")
    };
    let action = pb::ListAuditEventsRequest {
        action: "CreateToken".into(),
        ..of("acme")
    };
    assert_eq!(seen(action.clone()).await, "CreateToken CreateToken");
    let about = pb::ListAuditEventsRequest {
        token_id: his.clone(),
        ..of("acme")
    };
    assert_eq!(seen(about.clone()).await, "RevokeToken CreateToken");
    let by = pb::ListAuditEventsRequest {
        caller_token_id: admin,
        ..of("acme")
    };
    assert_eq!(seen(by).await, "RevokeToken");
    let both = pb::ListAuditEventsRequest {
        caller_token_id: operator,
        ..about
    };
    assert_eq!(seen(both).await, "CreateToken");
    let of_user = pb::ListAuditEventsRequest {
        user_id: user.user_id,
        ..of("acme")
    };
    assert_eq!(seen(of_user).await, "RevokeToken CreateToken CreateUser");
    let late = pb::ListAuditEventsRequest {
        start_time: Some(at(10)),
        ..of("acme")
    };
    assert_eq!(seen(late).await, "RevokeToken");
    let early = pb::ListAuditEventsRequest {
        end_time: Some(at(10)),
        ..action
    };
    assert_eq!(seen(early).await, "CreateToken CreateToken");
    let nothing = pb::ListAuditEventsRequest {
        action: "createtoken".into(),
        ..of("acme")
    };
    assert_eq!(seen(nothing).await, "");
    let wrong = message!(ListAuditEventsRequest {
        tenant_id: "acme",
        page_size: -1,
        action: "x".repeat(65),
        caller_token_id: "x",
        user_id: his.clone(),
        token_id: "x",
        start_time: prost_types::Timestamp {
            seconds: -1,
            nanos: 0
        },
    });
    let told = refused(acme.admin.list_audit_events(wrong).await);
    insta::allow_duplicates! {
        insta::assert_snapshot!(told, @r"
        InvalidArgument FIELD_TOO_LONG
          action: FIELD_TOO_LONG
          caller_token_id: INVALID_TOKEN_ID
          user_id: INVALID_USER_ID
          token_id: INVALID_TOKEN_ID
          start_time: INVALID_TIME
          page_size: OUT_OF_RANGE
        ");
    }
}

/// By the published rule alone, as a program of somebody else's would.
async fn the_hashes_can_be_verified_by_anybody(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", pb::TenantPolicy::default()).await;
    acme.admin.issue("laptop", &["read"]).await;
    let mut before = vec![0; 32];
    for mut event in list(&acme.admin, of("acme")).await.into_iter().rev() {
        let hash = std::mem::take(&mut event.hash);
        let mut hasher = Sha256::new();
        hasher.update(&before);
        hasher.update(event.encode_to_vec());
        assert_eq!(hasher.finalize().to_vec(), hash);
        before = hash;
    }
}

async fn what_befalls_a_tenant_is_in_the_installations_log_too(backend: Backend) {
    let t = TestServer::start(backend).await;
    t.tenant("acme", pb::TenantPolicy::default()).await;
    let operator = t.operator();
    let suspend = message!(SuspendTenantRequest { tenant_id: "acme" });
    operator.suspend_tenant(suspend).await.unwrap();
    let resume = message!(ResumeTenantRequest { tenant_id: "acme" });
    operator.resume_tenant(resume).await.unwrap();
    let about_acme = |events: Vec<pb::AuditEvent>| {
        let about = events.into_iter().filter(|event| {
            let subject = event.subject.as_ref().unwrap();
            subject.tenant_id == "acme"
        });
        about.map(|event| event.action).collect::<Vec<_>>()
    };
    let installation = list(&operator, of("authority")).await;
    assert_eq!(installation.last().unwrap().action, "Bootstrap");
    assert_eq!(installation.last().unwrap().caller, None);
    assert_eq!(
        about_acme(installation),
        ["ResumeTenant", "SuspendTenant", "CreateTenant"]
    );
    let own = about_acme(list(&operator, of("acme")).await);
    assert_eq!(own[..2], ["ResumeTenant", "SuspendTenant"]);
    assert_eq!(own.last().unwrap(), "CreateTenant");
}

async fn what_changes_nothing_is_not_written_down(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", pb::TenantPolicy::default()).await;
    let token_id = id(&acme.admin.issue("laptop", &[]).await);
    acme.admin.revoke("acme", &token_id).await;
    let before = list(&acme.admin, of("acme")).await;
    // Revoked again, refused, read.
    acme.admin.revoke("acme", &token_id).await;
    assert!(
        acme.admin
            .try_create(pb::CreateTokenRequest::default())
            .await
            .is_err()
    );
    let resume = message!(ResumeTenantRequest { tenant_id: "acme" });
    t.operator().resume_tenant(resume).await.unwrap();
    let judged = message!(CreateTokenRequest {
        tenant_id: "acme",
        name: "judged",
        validate_only: true,
    });
    acme.admin.create(judged).await;
    assert_eq!(list(&acme.admin, of("acme")).await, before);
}

async fn a_page_token_is_of_its_list_and_tenant(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", pb::TenantPolicy::default()).await;
    let globex = t.tenant("globex", pb::TenantPolicy::default()).await;
    let first = message!(ListAuditEventsRequest {
        tenant_id: "acme",
        page_size: 1,
    });
    let page = acme.admin.list_audit_events(first).await.unwrap();
    let after = |tenant_id: &str, action: &str| {
        message!(ListAuditEventsRequest {
            tenant_id: tenant_id,
            action: action,
            page_token: page.next_page_token.clone(),
        })
    };
    for (actor, request) in [
        (&globex.admin, after("globex", "")),
        (&acme.admin, after("acme", "CreateToken")),
    ] {
        assert_eq!(
            refused(actor.list_audit_events(request).await),
            "InvalidArgument INVALID_PAGE_TOKEN\n  page_token: INVALID_PAGE_TOKEN"
        );
    }
    assert_eq!(list(&acme.admin, after("active", "")).await.len(), 3);
}

async fn only_administrators_and_operators_read_the_log(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", pb::TenantPolicy::default()).await;
    administrators_only(&t, &acme, async |actor| {
        outcome(actor.list_audit_events(of("acme")).await).unwrap_or_default()
    })
    .await;
    assert!(!list(&t.operator(), of("acme")).await.is_empty());
}
