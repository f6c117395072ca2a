//! `TokenService/GetToken`.

use std::time::Duration;

use token_authority::pb;

use crate::support::tokens::{at, change, get, id, service, strings, ttl, update, wanted};
use crate::support::{Backend, TestServer, both_backends, refused, self_service};

both_backends!(
    a_record_is_as_it_was_created_and_without_its_value,
    the_state_is_as_of_now,
    what_is_out_of_reach_is_not_there,
    who_may_not_read_is_refused_before_anything_is_read,
    a_webhooks_token_is_found_only_when_named,
);

/// Names a token of the caller's tenant.
fn named(token_id: &str) -> pb::GetTokenRequest {
    pb::GetTokenRequest {
        tenant_id: "active".into(),
        token_id: token_id.into(),
        ..Default::default()
    }
}

async fn a_record_is_as_it_was_created_and_without_its_value(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let created = acme.admin.create(pb::CreateTokenRequest {
        profile: "editor".into(),
        labels: [("team".into(), "search".into())].into(),
        expiry: ttl(60),
        ..wanted("laptop", &["read"])
    });
    let created = created.await;
    for tenant_id in ["active", "acme"] {
        let request = pb::GetTokenRequest {
            tenant_id: tenant_id.into(),
            ..named(&id(&created))
        };
        let got = get(&acme.admin, request).await.unwrap();
        assert_eq!(got.token, created.token);
        let bytes = prost::Message::encode_to_vec(&got);
        let secret = &created.value.as_bytes()[created.value.len() - 49..];
        assert!(!bytes.windows(8).any(|part| part == &secret[..8]));
    }
}

async fn the_state_is_as_of_now(backend: Backend) {
    use pb::TokenState::{Active, Disabled, Expired, Revoked};
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let created = acme.admin.create(pb::CreateTokenRequest {
        expiry: ttl(60),
        ..wanted("laptop", &["read"])
    });
    let token_id = id(&created.await);
    let look = async || {
        let got = get(&acme.admin, named(&token_id)).await.unwrap();
        let token = got.token.unwrap();
        // What the grant comes to is told whatever the state.
        assert_eq!(token.effective_scopes, ["read"]);
        token
    };
    assert_eq!(look().await.state(), Active);
    t.advance(Duration::from_secs(1));
    let off = pb::UpdateTokenRequest {
        disabled: true,
        ..change(&token_id)
    };
    update(&acme.admin, off).await.unwrap();
    let token = look().await;
    assert_eq!((token.state(), token.update_time), (Disabled, Some(at(1))));
    t.advance(Duration::from_secs(59));
    assert_eq!(look().await.state(), Expired);
    acme.admin.revoke("acme", &token_id).await;
    let token = look().await;
    assert_eq!((token.state(), token.revoke_time), (Revoked, Some(at(60))));
    assert_eq!(
        (token.create_time, token.expire_time),
        (Some(at(0)), Some(at(60)))
    );
}

async fn what_is_out_of_reach_is_not_there(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let globex = t.tenant("globex", self_service()).await;
    let scopes = ["read", "authority:tokens.read"];
    let alice = t.member(&acme, "alice", &scopes).await;
    let bob = t.member(&acme, "bob", &scopes).await;
    let worker = acme.admin.create(service("acme", "worker", &[])).await;
    let hers = alice.actor.clone();
    let own = crate::support::tokens::who_am_i(&hers, pb::WhoAmIRequest {}).await;
    let own = own.unwrap().token.unwrap().token_id;

    assert!(get(&hers, named(&own)).await.is_ok());
    assert!(get(&acme.admin, named(&own)).await.is_ok());
    let missing = "NotFound TOKEN_NOT_FOUND";
    let nobodys = format!("tok_{}", "0".repeat(22));
    for (actor, token_id) in [
        (&bob.actor, &own),
        (&bob.actor, &id(&worker)),
        (&bob.actor, &nobodys),
        (&acme.admin, &nobodys),
        (&globex.admin, &own),
    ] {
        assert_eq!(refused(get(actor, named(token_id)).await), missing);
    }
    // The operator finds a token in its own tenant alone.
    for (tenant_id, refusal) in [
        ("globex", missing),
        ("authority", missing),
        ("nowhere", "NotFound TENANT_NOT_FOUND"),
    ] {
        let request = pb::GetTokenRequest {
            tenant_id: tenant_id.into(),
            ..named(&own)
        };
        assert_eq!(refused(get(&t.operator(), request.clone()).await), refusal);
        // For others, another tenant is not there, whether it is or not.
        let refusal = refused(get(&acme.admin, request).await);
        assert_eq!(refusal, "NotFound TENANT_NOT_FOUND");
    }
}

async fn who_may_not_read_is_refused_before_anything_is_read(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let closed = t.tenant("closed", pb::TenantPolicy::default()).await;
    let scopes = ["read", "authority:tokens.write"];
    let alice = t.member(&acme, "alice", &scopes).await;
    let carl = t.member(&closed, "carl", &["authority:tokens.read"]).await;
    let services = ["authority:tokens.read", "authority:tokens.write"];
    let worker = acme
        .admin
        .create(service("acme", "worker", &services))
        .await;
    let server = t.resource_server().await;
    let nobodys = format!("tok_{}", "0".repeat(22));
    for actor in [&alice.actor, &carl.actor, &t.actor(&worker.value), &server] {
        assert_eq!(
            refused(get(actor, named(&nobodys)).await),
            "PermissionDenied PERMISSION_DENIED"
        );
    }
    assert_eq!(
        refused(get(&t.nobody(), named(&nobodys)).await),
        "Unauthenticated CALLER_UNAUTHENTICATED"
    );
    let wrong = |tenant_id: &str, token_id: &str, kind| pb::GetTokenRequest {
        tenant_id: tenant_id.into(),
        token_id: token_id.into(),
        kind,
    };
    for (request, refusal) in [
        (wrong("", &nobodys, 0), "tenant_id: FIELD_REQUIRED"),
        (wrong("-", &nobodys, 0), "tenant_id: INVALID_TENANT_ID"),
        (wrong("acme", "", 0), "token_id: FIELD_REQUIRED"),
        (wrong("acme", "tok_0", 0), "token_id: INVALID_TOKEN_ID"),
        (
            wrong("acme", &nobodys.replace("tok", "usr"), 0),
            "token_id: INVALID_TOKEN_ID",
        ),
        (
            wrong("acme", &"x".repeat(100_000), 0),
            "token_id: INVALID_TOKEN_ID",
        ),
        (wrong("acme", &nobodys, 5), "kind: UNKNOWN_ENUM_VALUE"),
        (wrong("acme", &nobodys, -1), "kind: UNKNOWN_ENUM_VALUE"),
    ] {
        let (_, reason) = refusal.split_once(": ").unwrap();
        assert_eq!(
            refused(get(&acme.admin, request).await),
            format!("InvalidArgument {reason}\n  {refusal}")
        );
    }
}

async fn a_webhooks_token_is_found_only_when_named(backend: Backend) {
    use pb::TokenKind::{Api, Unspecified, Webhook};
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let hook = pb::CreateTokenRequest {
        kind: Webhook.into(),
        ..wanted("hook", &["read"])
    };
    let hook = id(&acme.admin.create(hook).await);
    let laptop = id(&acme.admin.issue("laptop", &["read"]).await);
    for (token_id, kind, found) in [
        (&hook, Unspecified, false),
        (&hook, Api, false),
        (&hook, Webhook, true),
        (&laptop, Unspecified, true),
        (&laptop, Api, true),
        (&laptop, Webhook, false),
    ] {
        let request = pb::GetTokenRequest {
            kind: kind.into(),
            ..named(token_id)
        };
        match get(&acme.admin, request).await {
            Ok(got) => {
                assert!(found, "{kind:?}");
                assert_eq!(got.token.unwrap().scopes, strings(&["read"]));
            }
            Err(status) => {
                assert!(!found, "{kind:?}");
                assert_eq!(crate::support::refusal(&status), "NotFound TOKEN_NOT_FOUND");
            }
        }
    }
}
