//! `SelfService/RevokeExposedToken`.

use std::time::Duration;

use token_authority::pb;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::support::tokens::{
    altered, at, checked, delete_user, disabled, expose, get, id, presenting, service,
    suspend_tenant, suspend_user, ttl, update, wanted, who_am_i,
};
use crate::support::{
    Backend, TestServer, both_backends, refusal, refused, self_service, without_memory,
};

both_backends!(
    a_good_value_of_any_kind_is_revoked_by_whoever_holds_it,
    it_is_written_down_that_nobody_known_did_it,
    the_answer_is_the_same_for_what_is_not_good,
    no_credential_is_looked_at,
    so_many_are_served_at_once_and_what_has_no_form_is_always_answered,
);

/// Shows a value.
fn found(value: &str) -> pb::RevokeExposedTokenRequest {
    pb::RevokeExposedTokenRequest {
        value: value.into(),
    }
}

const NOTHING: pb::RevokeExposedTokenResponse = pb::RevokeExposedTokenResponse {};

async fn a_good_value_of_any_kind_is_revoked_by_whoever_holds_it(backend: Backend) {
    use pb::TokenKind::{Agent, Api, Service, Webhook};
    let t = TestServer::start(backend).await;
    // Administrators alone manage tokens here.
    let acme = t.tenant("acme", pb::TenantPolicy::default()).await;
    let nobody = t.nobody();
    t.advance(Duration::from_secs(4));
    for (number, kind) in [Api, Webhook, Agent, Service].into_iter().enumerate() {
        let request = pb::CreateTokenRequest {
            kind: kind.into(),
            ..wanted("one of each", &["read"])
        };
        let created = acme.admin.create(request).await;
        let value = match number {
            0 => format!(" bearer {} ", created.value),
            _ => created.value.clone(),
        };
        assert_eq!(expose(&nobody, found(&value)).await.unwrap(), NOTHING);
        let request = pb::GetTokenRequest {
            tenant_id: "acme".into(),
            token_id: id(&created),
            kind: kind.into(),
        };
        let token = get(&acme.admin, request).await.unwrap().token.unwrap();
        assert_eq!(token.state(), pb::TokenState::Revoked, "{kind:?}");
        assert_eq!(token.revoke_reason(), pb::RevokeReason::Compromised);
        assert_eq!(token.revoke_reason_text, "exposed");
        assert_eq!(token.revoke_time, Some(at(4)));
    }
    // Also an administrator's and an operator's.
    for powerful in [&acme.admin, &t.operator()] {
        who_am_i(powerful, pb::WhoAmIRequest {}).await.unwrap();
        expose(&nobody, found(powerful.value())).await.unwrap();
        assert_eq!(
            refused(who_am_i(powerful, pb::WhoAmIRequest {}).await),
            "Unauthenticated CALLER_UNAUTHENTICATED"
        );
    }
}

async fn it_is_written_down_that_nobody_known_did_it(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let created = acme.admin.issue("laptop", &["read"]).await;
    expose(&acme.admin, found(&created.value)).await.unwrap();
    // Also where somebody known calls: the credential is not looked at.
    let events = "SELECT tenant_id || CASE WHEN caller_id IS NULL THEN ' nobody' ELSE '' END
                      || CASE WHEN user_id IS NULL THEN '' ELSE ' user' END
                      || CASE WHEN token_id IS NULL THEN '' ELSE ' token' END
                    FROM audit_events WHERE action = 'RevokeExposedToken'";
    assert_eq!(t.database.texts(events).await, ["acme nobody user token"]);
    let change = "SELECT kind FROM changes
                   ORDER BY changes.number DESC, position DESC LIMIT 1";
    assert_eq!(t.database.texts(change).await, ["token_changed"]);
}

async fn the_answer_is_the_same_for_what_is_not_good(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let globex = t.tenant("globex", self_service()).await;
    let good = acme.admin.issue("good", &["read"]).await;
    let revoked = acme.admin.issue("revoked", &[]).await;
    acme.admin.revoke("acme", &id(&revoked)).await;
    let off = acme.admin.issue("off", &[]).await;
    update(&acme.admin, disabled(&id(&off), true))
        .await
        .unwrap();
    let brief = acme.admin.create(pb::CreateTokenRequest {
        expiry: ttl(1),
        ..wanted("brief", &[])
    });
    let brief = brief.await;
    let suspended = t.member(&acme, "suspended", &[]).await;
    suspend_user(&acme.admin, "acme", &suspended.user_id).await;
    let deleted = t.member(&acme, "deleted", &[]).await;
    delete_user(&acme.admin, "acme", &deleted.user_id).await;
    suspend_tenant(&t.operator(), "globex").await;
    // A value that is over, of a token that is not.
    let ended = acme.admin.issue("ended", &[]).await;
    let hint = ended.token.as_ref().unwrap().hint.clone();
    let end = "UPDATE secrets SET ends_at = 1767225601000";
    t.database
        .execute(&format!("{end} WHERE hint = '{hint}'"))
        .await;
    t.advance(Duration::from_secs(1));

    let state = "SELECT name || ' ' || CAST(version AS TEXT) FROM tokens ORDER BY token_id";
    let head = "SELECT CAST(number AS TEXT) FROM log_head";
    let events = "SELECT CAST(COUNT(*) AS TEXT) FROM audit_events WHERE action <> 'EndedValueUsed'";
    let mut before = t.database.texts(state).await;
    before.extend(t.database.texts(head).await);
    before.extend(t.database.texts(events).await);
    let nobody = t.nobody();
    for value in [
        "",
        "nonsense",
        &"x".repeat(100_000),
        // No such lookup, and a wrong secret of a known one.
        &checked(&altered(&good.value, "acme_", 3)),
        &checked(&altered(&good.value, "acme_", 20)),
        // Another tenant's prefix, and a typo.
        &checked(&good.value[..good.value.len() - 6].replace("acme_", "globex_")),
        &altered(&good.value, "acme_", 20),
        &revoked.value,
        &off.value,
        &brief.value,
        &ended.value,
        suspended.actor.value(),
        deleted.actor.value(),
        globex.admin.value(),
    ] {
        assert_eq!(expose(&nobody, found(value)).await.unwrap(), NOTHING);
    }
    let mut after = t.database.texts(state).await;
    after.extend(t.database.texts(head).await);
    after.extend(t.database.texts(events).await);
    assert_eq!(after, before);
    // Of the one that is over it is written down that it was used.
    let used = crate::support::events(&t.database, "acme", "EndedValueUsed").await;
    assert_eq!(used.len(), 1);
    let subject = used[0].subject.as_ref().unwrap();
    assert_eq!(subject.token_id, id(&ended));
    assert_eq!(used[0].caller, None);
    // Twice is as once.
    for _ in 0..2 {
        assert_eq!(expose(&nobody, found(&good.value)).await.unwrap(), NOTHING);
    }
    let server = t.resource_server().await;
    assert!(!server.introspect("acme", &good.value).await.active);
}

async fn no_credential_is_looked_at(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let server = t.resource_server().await;
    let revoked = acme.admin.issue("revoked", &[]).await;
    acme.admin.revoke("acme", &id(&revoked)).await;
    for credential in [
        "nonsense",
        "Basic YWxpY2U6",
        &revoked.value,
        acme.admin.value(),
    ] {
        let exposed = acme.admin.issue("exposed", &[]).await.value;
        let mut request = presenting(found(&exposed), credential);
        let twice = acme.admin.value().parse().unwrap();
        request.metadata_mut().append("authorization", twice);
        let answer = t.nobody().me().revoke_exposed_token(request).await;
        assert_eq!(answer.unwrap().into_inner(), NOTHING);
        assert!(!server.introspect("acme", &exposed).await.active);
    }
}

async fn so_many_are_served_at_once_and_what_has_no_form_is_always_answered(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let server = t.resource_server().await;
    let mut values = Vec::new();
    for number in 0..16 {
        let created = acme
            .admin
            .create(service("acme", &format!("n{number}"), &[]));
        values.push(created.await.value);
    }
    let unknown = checked(&altered(&values[0], "acme_", 3));

    // Nobody gets on with a change for now.
    let mut raw = t.database.raw().await;
    let hold = match backend {
        Backend::Sqlite => "BEGIN IMMEDIATE",
        Backend::Postgres => "BEGIN; UPDATE tenants SET updated_at = updated_at",
    };
    raw.execute(hold).await.unwrap();
    let mut calls = Vec::new();
    for value in values.clone() {
        let nobody = t.nobody();
        calls.push(tokio::spawn(async move {
            loop {
                match expose(&nobody, found(&value)).await {
                    // The place of the one below, which it gives back at once.
                    Err(status) if status.code() == Code::ResourceExhausted => {}
                    answered => return answered,
                }
            }
        }));
    }
    let nobody = t.nobody();
    let status = loop {
        if let Err(status) = expose(&nobody, found(&unknown)).await {
            break status;
        }
    };
    assert_eq!(refusal(&status), "ResourceExhausted RATE_LIMITED");
    let retry = status.get_error_details().retry_info().unwrap().retry_delay;
    assert_eq!(retry, Some(Duration::from_secs(1)));
    // It tells nothing of the value, and others are served as ever.
    for value in [&unknown, &values[0], &values[15]] {
        let refusal = refused(expose(&nobody, found(value)).await);
        assert_eq!(refusal, "ResourceExhausted RATE_LIMITED");
    }
    assert_eq!(expose(&nobody, found("nonsense")).await.unwrap(), NOTHING);
    assert!(server.introspect("acme", &values[0]).await.active);

    raw.execute("ROLLBACK").await.unwrap();
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap(), NOTHING);
    }
    for value in &values {
        assert!(!server.introspect("acme", value).await.active);
    }
    assert_eq!(expose(&nobody, found(&unknown)).await.unwrap(), NOTHING);
}

#[tokio::test]
async fn a_lost_store_is_unavailable_for_all_that_has_the_form_of_a_value() {
    // Memory knows without the store of what nobody was given.
    let mut t = TestServer::start_with(Backend::Postgres, without_memory).await;
    t.expect_alarms();
    let acme = t.tenant("acme", self_service()).await;
    let good = acme.admin.issue("good", &["read"]).await.value;
    let unknown = checked(&altered(&good, "acme_", 3));
    t.database.shut().await;
    let nobody = t.nobody();
    for value in [&good, &unknown] {
        assert_eq!(
            refused(expose(&nobody, found(value)).await),
            "Unavailable STORE_UNAVAILABLE"
        );
    }
    assert_eq!(expose(&nobody, found("nonsense")).await.unwrap(), NOTHING);
}
