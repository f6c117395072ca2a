//! `TokenService/CreateToken`: what may be granted, to whom, and by whom.

use token_authority::pb;

use crate::support::tokens::{service, set_catalog, set_role, strings, wanted};
use crate::support::{Backend, TestServer, both_backends, catalog, refused, self_service};

both_backends!(
    a_profiles_scopes_are_granted_beside_those_named,
    who_administers_gives_the_catalog_and_what_manages_tokens,
    a_member_gives_what_it_holds,
    introspect_is_given_on_by_who_holds_it,
    an_agent_never_holds_an_administrative_scope,
    a_webhook_never_holds_the_authoritys_scopes,
    the_users_role_limits_a_grant,
);

const ESCALATION: &str = "PermissionDenied SCOPE_ESCALATION";

/// Returns the refusal of one field.
fn wrong(field: &str, reason: &str) -> String {
    format!("InvalidArgument {reason}\n  {field}: {reason}")
}

async fn a_profiles_scopes_are_granted_beside_those_named(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let create = async |profile: &str, scopes: &[&str]| {
        let request = pb::CreateTokenRequest {
            profile: profile.into(),
            ..wanted("laptop", scopes)
        };
        acme.admin.try_create(request).await
    };
    for (profile, scopes, granted, effective) in [
        ("", &[][..], &[][..], &[][..]),
        ("", &["write", "write"], &["write"], &["read", "write"]),
        ("editor", &[], &["write"], &["read", "write"]),
        (
            "editor",
            &["read", "write"],
            &["read", "write"],
            &["read", "write"],
        ),
        (
            "editor",
            &["admin"],
            &["admin", "write"],
            &["admin", "read", "write"],
        ),
    ] {
        let token = create(profile, scopes).await.unwrap().token.unwrap();
        assert_eq!(
            (token.profile.as_str(), token.scopes),
            (profile, strings(granted))
        );
        assert_eq!(token.effective_scopes, effective);
    }
    assert_eq!(
        refused(create("Editor", &[]).await),
        wrong("profile", "UNKNOWN_PROFILE")
    );
    assert_eq!(
        refused(create("a b", &[]).await),
        wrong("profile", "INVALID_SCOPE")
    );
    assert_eq!(
        refused(create("", &["read", "READ"]).await),
        wrong("scopes[1]", "UNKNOWN_SCOPE")
    );
    assert_eq!(
        refused(create("", &["editor"]).await),
        wrong("scopes[0]", "UNKNOWN_SCOPE")
    );
    // A later catalog changes no grant that was made by its profile.
    let server = t.resource_server().await;
    let value = create("editor", &[]).await.unwrap().value;
    let mut edited = catalog();
    edited.profiles[0].scopes = strings(&["read"]);
    set_catalog(&acme.admin, "acme", edited).await;
    assert_eq!(
        server.introspect("acme", &value).await.scopes,
        ["read", "write"]
    );
}

async fn who_administers_gives_the_catalog_and_what_manages_tokens(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let scopes = [
        "admin",
        "authority:tenant.admin",
        "authority:tokens.read",
        "authority:tokens.write",
        "read",
        "write",
    ];
    // Its own token was given none of the catalog's.
    let created = acme.admin.issue("all", &scopes).await.token.unwrap();
    assert_eq!(
        (&created.scopes, &created.effective_scopes),
        (&strings(&scopes), &strings(&scopes))
    );
    for request in [
        wanted("eyes", &["authority:introspect"]),
        service("acme", "eyes", &["authority:introspect"]),
    ] {
        assert_eq!(refused(acme.admin.try_create(request).await), ESCALATION);
    }
    // There is no operator of a tenant, not even by an operator's hand.
    for (actor, scope) in [
        (&acme.admin, "authority:operator"),
        (&t.operator(), "authority:operator"),
        (&t.operator(), "authority:everything"),
    ] {
        let request = service("acme", "operator", &["read", scope]);
        assert_eq!(
            refused(actor.try_create(request).await),
            wrong("scopes[1]", "UNKNOWN_SCOPE")
        );
    }
    let request = service("authority", "server", &["read"]);
    assert_eq!(
        refused(t.operator().try_create(request).await),
        wrong("scopes[0]", "UNKNOWN_SCOPE")
    );
}

async fn a_member_gives_what_it_holds(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let scopes = ["write", "authority:tokens.write"];
    let alice = t.member(&acme, "alice", &scopes).await;
    let boss = t
        .token_of("acme", &acme.admin_id, &["read", "authority:tokens.write"])
        .await;
    for given in [
        &[][..],
        &["read"],
        &["write"],
        &["authority:tokens.write"],
        &scopes,
    ] {
        let token = alice.actor.issue("hers", given).await.token.unwrap();
        assert_eq!(token.scopes.len(), given.len());
    }
    for (actor, beyond) in [
        (&alice.actor, "authority:tokens.read"),
        (&alice.actor, "authority:introspect"),
        // It is the token that counts, not its user's role.
        (&boss, "write"),
        (&boss, "admin"),
        (&boss, "authority:tokens.read"),
        (&boss, "authority:tenant.admin"),
    ] {
        let request = wanted("more", &["read", beyond]);
        assert_eq!(
            refused(actor.try_create(request).await),
            ESCALATION,
            "{beyond}"
        );
    }
    let editor = pb::CreateTokenRequest {
        profile: "editor".into(),
        ..wanted("more", &[])
    };
    alice.actor.create(editor.clone()).await;
    assert_eq!(refused(boss.try_create(editor).await), ESCALATION);
    // What it holds is what it may do now: nothing that was taken from it since.
    let mut edited = catalog();
    edited.scopes[1].minimum_role = pb::Role::Admin.into();
    set_catalog(&acme.admin, "acme", edited).await;
    let request = wanted("more", &["write"]);
    assert_eq!(
        refused(alice.actor.try_create(request).await),
        wrong("scopes[0]", "SCOPE_ABOVE_ROLE")
    );
    // Implied by what one holds is held, of the authority's own, too.
    let mut edited = catalog();
    edited.scopes[0].implies = strings(&["authority:tokens.read"]);
    set_catalog(&acme.admin, "acme", edited).await;
    alice
        .actor
        .issue("reader", &["authority:tokens.read"])
        .await;
}

async fn introspect_is_given_on_by_who_holds_it(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let scopes = ["authority:introspect", "authority:tenant.admin"];
    let both = t.operator().create(service("acme", "both", &scopes)).await;
    assert_eq!(both.token.unwrap().effective_scopes, scopes);
    let both = t.actor(&both.value);
    let eyes = both.create(service("acme", "eyes", &scopes[..1])).await;
    let eyes = t.actor(&eyes.value);
    assert!(eyes.introspect("acme", acme.admin.value()).await.active);
    assert_eq!(
        refused(eyes.try_create(service("acme", "more", &scopes[..1])).await),
        "PermissionDenied PERMISSION_DENIED"
    );
    let scopes = ["authority:introspect", "authority:tokens.write"];
    let alice = t.member(&acme, "alice", &scopes).await;
    alice.actor.issue("eyes", &["authority:introspect"]).await;
}

async fn an_agent_never_holds_an_administrative_scope(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let mut edited = catalog();
    let boss = pb::Scope {
        name: "boss".into(),
        implies: strings(&["read", "authority:tenant.admin"]),
        minimum_role: pb::Role::Admin.into(),
        ..Default::default()
    };
    let deputy = pb::Scope {
        name: "deputy".into(),
        implies: strings(&["boss"]),
        ..boss.clone()
    };
    edited.scopes.extend([boss, deputy]);
    edited.profiles.push(pb::Profile {
        name: "chief".into(),
        scopes: strings(&["read", "deputy"]),
        ..Default::default()
    });
    set_catalog(&acme.admin, "acme", edited).await;
    let agent = |scopes: &[&str]| pb::CreateTokenRequest {
        kind: pb::TokenKind::Agent.into(),
        ..wanted("run", scopes)
    };
    let reason = "SCOPE_FORBIDDEN_FOR_KIND";
    for scope in ["authority:tenant.admin", "admin", "boss", "deputy"] {
        let refusal = refused(acme.admin.try_create(agent(&["read", scope])).await);
        assert_eq!(refusal, wrong("scopes[1]", reason), "{scope}");
        acme.admin.issue("not an agent", &[scope]).await;
    }
    let chief = pb::CreateTokenRequest {
        profile: "chief".into(),
        ..agent(&[])
    };
    assert_eq!(
        refused(acme.admin.try_create(chief).await),
        wrong("profile", reason)
    );
    acme.admin
        .create(agent(&["write", "authority:tokens.write"]))
        .await;
    // Nor does it come to hold one by an edit.
    let created = acme
        .admin
        .create(agent(&["write", "authority:tokens.write"]))
        .await;
    let mut edited = catalog();
    edited.scopes[1].minimum_role = pb::Role::Admin.into();
    edited.scopes[1].implies = strings(&["authority:tenant.admin"]);
    edited
        .scopes
        .extend(["boss", "deputy"].map(|name| pb::Scope {
            name: name.into(),
            ..Default::default()
        }));
    set_catalog(&acme.admin, "acme", edited).await;
    let server = t.resource_server().await;
    let answer = server.introspect("acme", &created.value).await;
    assert_eq!(answer.scopes, ["authority:tokens.write"]);
    assert_eq!(
        refused(
            t.actor(&created.value)
                .try_create(service("acme", "more", &[]))
                .await
        ),
        "PermissionDenied PERMISSION_DENIED"
    );
}

async fn a_webhook_never_holds_the_authoritys_scopes(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let hook = |scopes: &[&str]| pb::CreateTokenRequest {
        kind: pb::TokenKind::Webhook.into(),
        tenant_id: "acme".into(),
        user_id: acme.admin_id.clone(),
        ..wanted("hook", scopes)
    };
    for scope in [
        "authority:introspect",
        "authority:tokens.read",
        "authority:tokens.write",
        "authority:tenant.admin",
    ] {
        for actor in [&acme.admin, &t.operator()] {
            let refusal = refused(actor.try_create(hook(&[scope])).await);
            assert_eq!(
                refusal,
                wrong("scopes[0]", "SCOPE_FORBIDDEN_FOR_KIND"),
                "{scope}"
            );
        }
    }
    let token = acme.admin.create(hook(&["admin"])).await.token.unwrap();
    assert_eq!(token.effective_scopes, ["admin", "read", "write"]);
    // It can't be made by a request that doesn't say so.
    assert_eq!(
        acme.admin.issue("plain", &[]).await.token.unwrap().kind(),
        pb::TokenKind::Api
    );
}

async fn the_users_role_limits_a_grant(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let alice = t.member(&acme, "alice", &[]).await;
    let mut edited = catalog();
    edited.scopes.push(pb::Scope {
        name: "way-round".into(),
        implies: strings(&["admin"]),
        ..Default::default()
    });
    edited.profiles.push(pb::Profile {
        name: "chief".into(),
        scopes: strings(&["read", "way-round"]),
        ..Default::default()
    });
    set_catalog(&acme.admin, "acme", edited).await;
    let request = |profile: &str, scopes: &[&str]| pb::CreateTokenRequest {
        tenant_id: "acme".into(),
        user_id: alice.user_id.clone(),
        profile: profile.into(),
        ..wanted("hers", scopes)
    };
    let operator = t.operator();
    for actor in [&acme.admin, &operator] {
        for (profile, scope, field) in [
            ("", "admin", "scopes[0]"),
            ("", "way-round", "scopes[0]"),
            ("", "authority:tenant.admin", "scopes[0]"),
            ("chief", "read", "profile"),
        ] {
            assert_eq!(
                refused(actor.try_create(request(profile, &[scope])).await),
                wrong(field, "SCOPE_ABOVE_ROLE"),
                "{scope}"
            );
        }
    }
    set_role(&acme.admin, "acme", &alice.user_id, pb::Role::Admin).await;
    let created = operator
        .create(request("chief", &["authority:tenant.admin"]))
        .await;
    let scopes = [
        "admin",
        "authority:tenant.admin",
        "read",
        "way-round",
        "write",
    ];
    assert_eq!(created.token.unwrap().effective_scopes, scopes);
}
