//! `TokenService/RevokeToken`.

use std::time::Duration;

use token_authority::pb;

use crate::support::tokens::{
    at, change, get, id, number, remove_member, revoke, service, ttl, update, wanted,
};
use crate::support::{Backend, TestServer, both_backends, refused, self_service};

both_backends!(
    the_first_revocation_stands,
    each_reason_but_the_authoritys_own_may_be_given,
    what_has_expired_or_is_disabled_can_be_revoked,
    a_member_revokes_its_own_and_an_administrator_all,
    who_may_not_revoke_is_refused,
    a_caller_can_revoke_its_own_token,
    tokens_that_went_with_their_owner_stay_so,
);

/// Names a token of the caller's tenant.
fn named(token_id: &str) -> pb::RevokeTokenRequest {
    pb::RevokeTokenRequest {
        tenant_id: "active".into(),
        token_id: token_id.into(),
        ..Default::default()
    }
}

async fn the_first_revocation_stands(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let server = t.resource_server().await;
    let created = acme.admin.issue("laptop", &["read"]).await;
    let token_id = id(&created);
    t.advance(Duration::from_secs(5));
    let first = pb::RevokeTokenRequest {
        reason: pb::RevokeReason::Compromised.into(),
        reason_text: "posted in a chat".into(),
        ..named(&token_id)
    };
    let first = revoke(&acme.admin, first).await.unwrap();
    assert_eq!(number(&first.revision), number(&created.revision) + 1);
    assert!(!server.introspect("acme", &created.value).await.active);
    insta::allow_duplicates! {
        insta::assert_debug_snapshot!(first, @r#"
        RevokeTokenResponse {
            token: Some(
                Token {
                    token_id: "tok_0322SbK0NvdJRiaYtEpzbM",
                    tenant_id: "acme",
                    user_id: "usr_0322SbK0NuWtvJSCXALaIX",
                    kind: Api,
                    name: "laptop",
                    hint: "acme_qxjBmc9c",
                    state: Revoked,
                    scopes: [
                        "read",
                    ],
                    effective_scopes: [
                        "read",
                    ],
                    profile: "",
                    agent_id: "",
                    labels: {},
                    created_by: "tok_0322SbK0O4L9SpLRSS80fm",
                    create_time: Some(
                        Timestamp {
                            seconds: 1767225600,
                            nanos: 0,
                        },
                    ),
                    update_time: Some(
                        Timestamp {
                            seconds: 1767225605,
                            nanos: 0,
                        },
                    ),
                    expire_time: None,
                    revoke_time: Some(
                        Timestamp {
                            seconds: 1767225605,
                            nanos: 0,
                        },
                    ),
                    revoke_reason: Compromised,
                    revoke_reason_text: "posted in a chat",
                    etag: "2",
                    rotate_time: None,
                    previous_values: [],
                    last_used_time: None,
                    last_used_by: "",
                    last_used_address: "",
                },
            ),
            revision: "7MuGYCBLSp65szV8sDRrUE.8",
        }
        "#);
    }

    t.advance(Duration::from_secs(5));
    let second = pb::RevokeTokenRequest {
        reason: pb::RevokeReason::Superseded.into(),
        reason_text: "again".into(),
        ..named(&token_id)
    };
    // Nothing changes, so the revision doesn't: it includes the revocation already.
    assert_eq!(revoke(&acme.admin, second).await.unwrap(), first);
    let got = get(
        &acme.admin,
        pb::GetTokenRequest {
            tenant_id: "acme".into(),
            token_id,
            ..Default::default()
        },
    );
    assert_eq!(got.await.unwrap().token, first.token);
}

async fn each_reason_but_the_authoritys_own_may_be_given(backend: Backend) {
    use pb::RevokeReason::{
        Administrative, Compromised, NoLongerNeeded, OwnerGone, Superseded, Unspecified,
    };
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let longest = "ä\n".repeat(250);
    for reason in [
        Unspecified,
        Compromised,
        Superseded,
        NoLongerNeeded,
        Administrative,
    ] {
        let request = pb::RevokeTokenRequest {
            reason: reason.into(),
            reason_text: longest.clone(),
            ..named(&id(&acme.admin.issue("brief", &[]).await))
        };
        let token = revoke(&acme.admin, request).await.unwrap().token.unwrap();
        assert_eq!(token.revoke_reason(), reason);
        assert_eq!(token.revoke_reason_text, longest);
    }
    let token_id = id(&acme.admin.issue("spared", &[]).await);
    for (reason, text, refusal) in [
        (
            OwnerGone as i32,
            String::new(),
            "OUT_OF_RANGE\n  reason: OUT_OF_RANGE",
        ),
        (
            99,
            String::new(),
            "UNKNOWN_ENUM_VALUE\n  reason: UNKNOWN_ENUM_VALUE",
        ),
        (
            0,
            "x".repeat(501),
            "FIELD_TOO_LONG\n  reason_text: FIELD_TOO_LONG",
        ),
        (
            99,
            "\u{7}".into(),
            "UNKNOWN_ENUM_VALUE\n  reason: UNKNOWN_ENUM_VALUE\n  reason_text: INVALID_TEXT",
        ),
    ] {
        let request = pb::RevokeTokenRequest {
            reason,
            reason_text: text,
            ..named(&token_id)
        };
        let told = refused(revoke(&acme.admin, request).await);
        assert_eq!(told, format!("InvalidArgument {refusal}"));
    }
    for (tenant_id, token_id, refusal) in [
        ("", token_id.as_str(), "tenant_id: FIELD_REQUIRED"),
        ("A", &token_id, "tenant_id: INVALID_TENANT_ID"),
        ("acme", "", "token_id: FIELD_REQUIRED"),
        ("acme", "tok_", "token_id: INVALID_TOKEN_ID"),
    ] {
        let request = pb::RevokeTokenRequest {
            tenant_id: tenant_id.into(),
            ..named(token_id)
        };
        let (_, reason) = refusal.split_once(": ").unwrap();
        let told = refused(revoke(&acme.admin, request).await);
        assert_eq!(told, format!("InvalidArgument {reason}\n  {refusal}"));
    }
}

async fn what_has_expired_or_is_disabled_can_be_revoked(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let brief = acme.admin.create(pb::CreateTokenRequest {
        expiry: ttl(1),
        ..wanted("brief", &[])
    });
    let brief = id(&brief.await);
    let disabled = id(&acme.admin.issue("disabled", &[]).await);
    let off = pb::UpdateTokenRequest {
        disabled: true,
        ..change(&disabled)
    };
    update(&acme.admin, off).await.unwrap();
    t.advance(Duration::from_secs(9));
    for token_id in [brief, disabled] {
        let token = acme.admin.revoke("acme", &token_id).await.token.unwrap();
        assert_eq!(token.state(), pb::TokenState::Revoked);
        assert_eq!(token.revoke_time, Some(at(9)));
        assert_eq!(token.revoke_reason(), pb::RevokeReason::Unspecified);
    }
}

async fn a_member_revokes_its_own_and_an_administrator_all(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let globex = t.tenant("globex", self_service()).await;
    let scopes = ["read", "authority:tokens.write"];
    let alice = t.member(&acme, "alice", &scopes).await;
    let bob = t.member(&acme, "bob", &scopes).await;
    let boss = acme.admin.issue("boss", &["admin"]).await;
    let worker = acme.admin.create(service("acme", "worker", &[])).await;
    let hers = id(&alice.actor.issue("hers", &["read"]).await);
    let missing = "NotFound TOKEN_NOT_FOUND";
    for (actor, token_id) in [
        (&bob.actor, &hers),
        (&bob.actor, &id(&worker)),
        (&bob.actor, &id(&boss)),
        (&globex.admin, &hers),
        (&bob.actor, &format!("tok_{}", "0".repeat(22))),
    ] {
        assert_eq!(refused(revoke(actor, named(token_id)).await), missing);
    }
    let abroad = pb::RevokeTokenRequest {
        tenant_id: "acme".into(),
        ..named(&hers)
    };
    assert_eq!(
        refused(revoke(&globex.admin, abroad.clone()).await),
        "NotFound TENANT_NOT_FOUND"
    );
    revoke(&alice.actor, named(&hers)).await.unwrap();
    // An administrator, and an operator, revoke also what they could not give.
    revoke(&acme.admin, named(&id(&worker))).await.unwrap();
    let operator = t.operator();
    let operators = pb::RevokeTokenRequest {
        token_id: id(&boss),
        ..abroad
    };
    revoke(&operator, operators).await.unwrap();
    let given = service("acme", "server", &["authority:introspect"]);
    let given = id(&operator.create(given).await);
    revoke(&acme.admin, named(&given)).await.unwrap();
    // One's own, though it can do more than the token that revokes it.
    let more = t.token_of("acme", &bob.user_id, &["write"]).await;
    let more = crate::support::tokens::who_am_i(&more, pb::WhoAmIRequest {}).await;
    let more = more.unwrap().token.unwrap().token_id;
    revoke(&bob.actor, named(&more)).await.unwrap();
}

async fn who_may_not_revoke_is_refused(backend: Backend) {
    use pb::TokenKind::{Api, Service, Unspecified, Webhook};
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let closed = t.tenant("closed", pb::TenantPolicy::default()).await;
    let alice = t
        .member(&acme, "alice", &["write", "authority:tokens.read"])
        .await;
    let carl = t.member(&closed, "carl", &["authority:tokens.write"]).await;
    let server = t.resource_server().await;
    let nobodys = format!("tok_{}", "0".repeat(22));
    for actor in [&alice.actor, &carl.actor, &server] {
        assert_eq!(
            refused(revoke(actor, named(&nobodys)).await),
            "PermissionDenied PERMISSION_DENIED"
        );
    }
    assert_eq!(
        refused(revoke(&t.nobody(), named(&nobodys)).await),
        "Unauthenticated CALLER_UNAUTHENTICATED"
    );
    // A webhook's token is there only for who names its kind.
    let hook = pb::CreateTokenRequest {
        kind: Webhook.into(),
        ..wanted("hook", &[])
    };
    let hook = id(&acme.admin.create(hook).await);
    for (kind, found) in [
        (Unspecified, false),
        (Api, false),
        (Service, false),
        (Webhook, true),
    ] {
        let request = pb::RevokeTokenRequest {
            kind: kind.into(),
            ..named(&hook)
        };
        assert_eq!(
            revoke(&acme.admin, request).await.is_ok(),
            found,
            "{kind:?}"
        );
    }
}

async fn a_caller_can_revoke_its_own_token(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let created = acme.admin.issue("me", &["authority:tokens.write"]).await;
    let me = t.actor(&created.value);
    let token = revoke(&me, named(&id(&created))).await.unwrap().token;
    assert_eq!(token.unwrap().state(), pb::TokenState::Revoked);
    // Even to do it again it is nobody now.
    assert_eq!(
        refused(revoke(&me, named(&id(&created))).await),
        "Unauthenticated CALLER_UNAUTHENTICATED"
    );
    assert_eq!(
        refused(me.try_create(wanted("another", &[])).await),
        "Unauthenticated CALLER_UNAUTHENTICATED"
    );
}

async fn tokens_that_went_with_their_owner_stay_so(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let alice = t.member(&acme, "alice", &["authority:tokens.write"]).await;
    let hers = id(&alice.actor.issue("hers", &[]).await);
    t.advance(Duration::from_secs(3));
    remove_member(&acme.admin, "acme", &alice.user_id).await;
    t.advance(Duration::from_secs(3));
    let request = pb::RevokeTokenRequest {
        reason: pb::RevokeReason::Compromised.into(),
        ..named(&hers)
    };
    let token = revoke(&acme.admin, request).await.unwrap().token.unwrap();
    assert_eq!(token.revoke_reason(), pb::RevokeReason::OwnerGone);
    assert_eq!(token.revoke_time, Some(at(3)));
    // Who comes back does not bring its old tokens along.
    let back = pb::AddMemberRequest {
        tenant_id: "acme".into(),
        user_id: alice.user_id.clone(),
        role: pb::Role::Member.into(),
        ..Default::default()
    };
    let operator = t.operator();
    let added = operator.users().add_member(operator.call(back)).await;
    added.unwrap();
    let server = t.resource_server().await;
    assert!(!server.introspect("acme", alice.actor.value()).await.active);
    let anew = t.token_of("acme", &alice.user_id, &[]).await;
    assert!(server.introspect("acme", anew.value()).await.active);
}
