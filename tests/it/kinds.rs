//! What each kind of token is, and never is.

use token_authority::pb;

use crate::support::import::{batch, foreign, imported};
use crate::support::invites::{first, guest};
use crate::support::tokens::{
    batch_revoke, change, changed, explain, get, id, import, list, question, revoke, revoke_all,
    rotate, rotation, scopes, service, set_catalog, set_role, strings, update, wanted,
};
use crate::support::{
    Actor, Backend, TestServer, both_backends, catalog, message, outcome, refused, self_service,
};

both_backends!(
    an_agent_is_given_no_administrators_scope,
    an_agent_comes_to_hold_no_administrators_scope,
    where_an_agent_is_asked_for_no_other_kind_is_accepted,
    a_webhooks_token_is_managed_where_it_is_named,
    a_services_token_has_no_user,
);

/// The names that an agent may not hold in [`with_powers`].
const POWERS: [&str; 6] = [
    "boss",
    "human",
    "deputy",
    "sly",
    "authority:tenant.admin",
    "authority:operator",
];

/// Returns the catalog of tests and, beside it, what is an administrator's, what agents
/// may not hold, and what implies one of these.
fn with_powers() -> pb::Catalog {
    let mut catalog = catalog();
    let implying = |name: &str, implied: &str| pb::Scope {
        name: name.into(),
        implies: strings(&[implied]),
        ..Default::default()
    };
    catalog.scopes.extend([
        pb::Scope {
            minimum_role: pb::Role::Admin.into(),
            ..implying("boss", "read")
        },
        pb::Scope {
            forbidden_kinds: vec![pb::TokenKind::Agent.into()],
            ..implying("human", "read")
        },
        implying("deputy", "boss"),
        implying("sly", "human"),
    ]);
    catalog.profiles.push(pb::Profile {
        name: "chief".into(),
        scopes: strings(&["read", "deputy"]),
        ..Default::default()
    });
    catalog
}

fn agent(name: &str, scopes: &[&str]) -> pb::CreateTokenRequest {
    pb::CreateTokenRequest {
        kind: pb::TokenKind::Agent.into(),
        ..wanted(name, scopes)
    }
}

/// Returns how a scope of an agent is refused.
fn forbidden(field: &str, scope: &str) -> String {
    let reason = if scope == "authority:operator" {
        "UNKNOWN_SCOPE"
    } else {
        "SCOPE_FORBIDDEN_FOR_KIND"
    };
    format!("InvalidArgument {reason}\n  {field}: {reason}")
}

async fn an_agent_is_given_no_administrators_scope(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    set_catalog(&acme.admin, "acme", with_powers()).await;
    let run = acme.admin.create(agent("run", &["write"])).await;
    for scope in POWERS {
        for actor in [&acme.admin, &t.operator()] {
            let request = pb::CreateTokenRequest {
                tenant_id: "acme".into(),
                user_id: acme.admin_id.clone(),
                ..agent("power", &["read", scope])
            };
            let created = actor.try_create(request).await;
            assert_eq!(refused(created), forbidden("scopes[1]", scope));
            let request = pb::UpdateTokenRequest {
                tenant_id: "acme".into(),
                ..scopes(&id(&run), &["read", scope])
            };
            let updated = update(actor, request).await;
            assert_eq!(refused(updated), forbidden("scopes[1]", scope));
        }
        // Nor by an invite.
        let request = pb::CreateInviteRequest {
            first_token: Some(pb::FirstToken {
                kind: pb::TokenKind::Agent.into(),
                ..first("power", &[scope]).unwrap()
            }),
            ..guest("bob")
        };
        let invited = acme.admin.try_invite(request).await;
        assert_eq!(refused(invited), forbidden("first_token.scopes[0]", scope));
        // Nor by an import.
        let request = pb::ImportedToken {
            scopes: strings(&["read", scope]),
            kind: pb::TokenKind::Agent.into(),
            ..imported(&foreign("acme", 1), &acme.admin_id, "power")
        };
        let came = import(&acme.admin, batch(vec![request])).await;
        assert_eq!(refused(came), forbidden("tokens[0].scopes[1]", scope));
    }
    let profile = pb::CreateTokenRequest {
        profile: "chief".into(),
        ..agent("power", &[])
    };
    let created = acme.admin.try_create(profile).await;
    assert_eq!(refused(created), forbidden("profile", "deputy"));
    let profile = pb::ImportedToken {
        profile: "chief".into(),
        kind: pb::TokenKind::Agent.into(),
        ..imported(&foreign("acme", 1), &acme.admin_id, "power")
    };
    let came = import(&acme.admin, batch(vec![profile])).await;
    assert_eq!(refused(came), forbidden("tokens[0].profile", "deputy"));
    // Of another kind all of it is granted.
    acme.admin.issue("person", &POWERS[..5]).await;
}

async fn an_agent_comes_to_hold_no_administrators_scope(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let server = t.resource_server().await;
    let mut harmless = with_powers();
    for scope in &mut harmless.scopes {
        scope.minimum_role = pb::Role::Member.into();
        scope.forbidden_kinds.clear();
    }
    set_catalog(&acme.admin, "acme", harmless.clone()).await;
    let granted = ["write", "deputy", "sly"];
    let run = acme.admin.create(agent("run", &granted)).await;
    let person = acme.admin.issue("person", &granted).await;
    let holds = async |created: &pb::CreateTokenResponse| {
        let answer = server.introspect("acme", &created.value).await;
        assert!(answer.active);
        let request = pb::GetTokenRequest {
            tenant_id: "acme".into(),
            token_id: id(created),
            ..Default::default()
        };
        let token = get(&acme.admin, request).await.unwrap().token.unwrap();
        assert_eq!(token.effective_scopes, answer.scopes);
        answer.scopes
    };
    let all = ["boss", "deputy", "human", "read", "sly", "write"];
    assert_eq!(holds(&run).await, all);
    // With the scopes goes what implies them.
    set_catalog(&acme.admin, "acme", with_powers()).await;
    assert_eq!(holds(&run).await, ["read", "write"]);
    assert_eq!(holds(&person).await, all);
    let request = message!(ExplainTokenRequest {
        tenant_id: "acme",
        subject: pb::explain_token_request::Subject::TokenId(id(&run)),
    });
    let explained = explain(&acme.admin, request).await.unwrap();
    for scope in explained.scopes {
        let power = POWERS.contains(&&*scope.name);
        assert_eq!(scope.effective, !power, "{}", scope.name);
    }
    // Whoever runs it: a role has no part in it.
    for role in [pb::Role::Member, pb::Role::Admin] {
        set_role(&t.operator(), "acme", &acme.admin_id, role).await;
        assert_eq!(holds_as_told(&server, &run).await, ["read", "write"]);
    }
    set_catalog(&acme.admin, "acme", harmless).await;
    assert_eq!(holds(&run).await, all);
    // An implication that is added makes a power of what was none.
    let mut edited = with_powers();
    edited.scopes[1].implies = strings(&["boss"]);
    set_catalog(&acme.admin, "acme", edited).await;
    assert_eq!(holds(&run).await, ["read"]);
}

async fn holds_as_told(server: &Actor, created: &pb::CreateTokenResponse) -> Vec<String> {
    server.introspect("acme", &created.value).await.scopes
}

async fn where_an_agent_is_asked_for_no_other_kind_is_accepted(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let server = t.resource_server().await;
    let expecting = async |value: &str| {
        let request = pb::IntrospectRequest {
            expected_kind: pb::TokenKind::Agent.into(),
            ..question("acme", value)
        };
        server.try_introspect(request).await.unwrap()
    };
    let power = acme.admin.issue("power", &["admin"]).await.value;
    let answer = expecting(&power).await;
    assert_eq!((answer.active, answer.allowed), (false, false));
    assert_eq!(answer.token_id, "");
    assert!(server.introspect("acme", &power).await.active);
    let run = acme.admin.create(agent("run", &["read"])).await.value;
    let answer = expecting(&run).await;
    assert!(answer.active && answer.allowed);
    assert_eq!(answer.scopes, ["read"]);
}

async fn a_webhooks_token_is_managed_where_it_is_named(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let admin = &acme.admin;
    let webhook: i32 = pb::TokenKind::Webhook.into();
    let request = pb::CreateTokenRequest {
        kind: webhook,
        ..wanted("hook", &["read"])
    };
    let token_id = id(&admin.create(request).await);
    let others = [0, 1, 3, 4];
    let none = Some(String::from("NotFound TOKEN_NOT_FOUND"));
    for kind in others.into_iter().chain([webhook]) {
        let told = (kind != webhook).then(|| none.clone()).flatten();
        let named = message!(GetTokenRequest {
            tenant_id: "acme",
            token_id: &*token_id,
            kind: kind,
        });
        assert_eq!(outcome(get(admin, named).await), told);
        let named = message!(ExplainTokenRequest {
            tenant_id: "acme",
            kind: kind,
            subject: pb::explain_token_request::Subject::TokenId(token_id.clone()),
        });
        assert_eq!(outcome(explain(admin, named).await), told);
        let named = pb::UpdateTokenRequest {
            kind,
            name: format!("hook {kind}"),
            ..change(&token_id)
        };
        assert_eq!(outcome(update(admin, named).await), told);
        let named = pb::RotateTokenRequest {
            kind,
            ..rotation(&token_id, 0)
        };
        assert_eq!(outcome(rotate(admin, named).await), told);
        let listed = message!(ListTokensRequest {
            tenant_id: "acme",
            kind: kind,
        });
        let tokens = list(admin, listed).await.unwrap().tokens;
        let found = tokens.iter().any(|token| token.token_id == token_id);
        assert_eq!(found, kind == webhook);
    }
    for kind in others {
        let named = message!(RevokeTokenRequest {
            tenant_id: "acme",
            token_id: &*token_id,
            kind: kind,
        });
        assert_eq!(outcome(revoke(admin, named).await), none);
        let named = message!(BatchRevokeTokensRequest {
            tenant_id: "acme",
            token_ids: vec![token_id.clone()],
            kind: kind,
        });
        batch_revoke(admin, named).await.unwrap();
    }
    // All but webhooks', if none are named.
    let operator = t.operator();
    let all = message!(RevokeAllTokensRequest { tenant_id: "acme" });
    revoke_all(&operator, all).await.unwrap();
    let admin = &t
        .token_of("acme", &acme.admin_id, &["authority:tenant.admin"])
        .await;
    let named = message!(GetTokenRequest {
        tenant_id: "acme",
        token_id: &*token_id,
        kind: webhook,
    });
    let token = get(admin, named).await.unwrap().token.unwrap();
    assert_eq!(token.state(), pb::TokenState::Active);
    let named = message!(RevokeTokenRequest {
        tenant_id: "acme",
        token_id: &*token_id,
        kind: webhook,
    });
    revoke(admin, named).await.unwrap();
}

async fn a_services_token_has_no_user(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let named = pb::CreateTokenRequest {
        user_id: acme.admin_id.clone(),
        ..service("acme", "worker", &["read"])
    };
    assert_eq!(
        refused(acme.admin.try_create(named).await),
        "InvalidArgument USER_FOR_SERVICE\n  user_id: USER_FOR_SERVICE"
    );
    let member = t
        .member(&acme, "bob", &["read", "authority:tokens.write"])
        .await;
    let own = member.actor.try_create(service("acme", "mine", &["read"]));
    assert_eq!(refused(own.await), "PermissionDenied PERMISSION_DENIED");
    // No role limits it, and nobody's going ends it.
    let worker = acme
        .admin
        .create(service("acme", "worker", &["admin"]))
        .await;
    assert_eq!(worker.token.as_ref().unwrap().user_id, "");
    set_role(&t.operator(), "acme", &acme.admin_id, pb::Role::Member).await;
    let server = t.resource_server().await;
    let answer = server.introspect("acme", &worker.value).await;
    assert_eq!((&*answer.user_id, &*answer.user_external_id), ("", ""));
    assert_eq!(answer.user_role(), pb::Role::Unspecified);
    assert_eq!(answer.scopes, ["admin", "read", "write"]);
    let renamed = pb::UpdateTokenRequest {
        tenant_id: "acme".into(),
        name: "renamed".into(),
        ..change(&id(&worker))
    };
    assert_eq!(changed(&t.operator(), renamed).await.user_id, "");
}
