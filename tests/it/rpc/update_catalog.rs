//! `ScopeService/UpdateCatalog`.

mod judged;

use std::time::Duration;

use token_authority::pb;

use crate::support::{
    Actor, Backend, TestServer, administrators_only, both_backends, catalog, guarded_by_etag, mask,
    message, outcome, refused, self_service,
};

both_backends!(
    a_catalog_is_replaced_as_a_whole,
    what_was_read_may_be_written_back_and_nothing_too,
    a_scope_in_use_is_not_removed,
    an_edit_binds_every_token_at_once,
    of_the_authoritys_own_scopes_few_are_implied,
    an_edit_builds_on_the_version_that_it_names,
    only_its_administrators_edit_a_tenants_catalog,
);

fn scope(name: &str, implies: &[&str]) -> pb::Scope {
    pb::Scope {
        name: name.into(),
        implies: implies.iter().map(|&name| name.into()).collect(),
        ..Default::default()
    }
}

fn for_admins(scope: pb::Scope) -> pb::Scope {
    pb::Scope {
        minimum_role: pb::Role::Admin.into(),
        ..scope
    }
}

fn profile(name: &str, scopes: &[&str]) -> pb::Profile {
    pb::Profile {
        name: name.into(),
        scopes: scopes.iter().map(|&name| name.into()).collect(),
        ..Default::default()
    }
}

async fn update(
    actor: &Actor,
    scopes: Vec<pb::Scope>,
    profiles: Vec<pb::Profile>,
) -> Result<pb::UpdateCatalogResponse, tonic::Status> {
    let catalog = pb::Catalog {
        scopes,
        profiles,
        ..Default::default()
    };
    let request = message!(UpdateCatalogRequest {
        tenant_id: "acme",
        catalog: catalog
    });
    actor.update_catalog(request).await
}

async fn read(actor: &Actor) -> pb::Catalog {
    let request = message!(GetCatalogRequest { tenant_id: "acme" });
    actor.get_catalog(request).await.unwrap().catalog.unwrap()
}

#[expect(clippy::too_many_lines, reason = "the whole answer is in it")]
async fn a_catalog_is_replaced_as_a_whole(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    t.advance(Duration::from_secs(5));
    let given = pb::Catalog {
        scopes: vec![
            pb::Scope {
                description: "Several\nlines".into(),
                forbidden_kinds: vec![3, 2, 2],
                ..for_admins(scope(
                    "todos:write",
                    &["todos.read", "INTEGRATION_API", "todos.read"],
                ))
            },
            scope("todos.read", &[]),
            scope("INTEGRATION_API", &["authority:tokens.read"]),
        ],
        profiles: vec![
            pb::Profile {
                description: "Edits".into(),
                ..profile("editor", &["todos:write", "authority:tokens.write"])
            },
            // A profile may be called as a scope is.
            profile("Todos.read", &["todos.read"]),
            profile("todos.read", &["todos.read"]),
        ],
        // Not read.
        update_time: None,
        etag: "999".into(),
    };
    let request = message!(UpdateCatalogRequest {
        tenant_id: "active",
        catalog: given
    });
    let updated = acme.admin.update_catalog(request).await.unwrap();
    insta::allow_duplicates! {
        insta::assert_debug_snapshot!(updated, @r#"
        UpdateCatalogResponse {
            catalog: Some(
                Catalog {
                    scopes: [
                        Scope {
                            name: "INTEGRATION_API",
                            description: "",
                            implies: [
                                "authority:tokens.read",
                            ],
                            minimum_role: Member,
                            forbidden_kinds: [],
                        },
                        Scope {
                            name: "todos.read",
                            description: "",
                            implies: [],
                            minimum_role: Member,
                            forbidden_kinds: [],
                        },
                        Scope {
                            name: "todos:write",
                            description: "Several\nlines",
                            implies: [
                                "INTEGRATION_API",
                                "todos.read",
                            ],
                            minimum_role: Admin,
                            forbidden_kinds: [
                                Webhook,
                                Agent,
                            ],
                        },
                    ],
                    profiles: [
                        Profile {
                            name: "Todos.read",
                            description: "",
                            scopes: [
                                "todos.read",
                            ],
                        },
                        Profile {
                            name: "editor",
                            description: "Edits",
                            scopes: [
                                "authority:tokens.write",
                                "todos:write",
                            ],
                        },
                        Profile {
                            name: "todos.read",
                            description: "",
                            scopes: [
                                "todos.read",
                            ],
                        },
                    ],
                    update_time: Some(
                        Timestamp {
                            seconds: 1767225605,
                            nanos: 0,
                        },
                    ),
                    etag: "3",
                },
            ),
            revision: "7MuGYCBLSp65szV8sDRrUE.6",
        }
        "#);
    }
    let after = updated.catalog.unwrap();
    assert_eq!(read(&acme.admin).await, after);
}

async fn what_was_read_may_be_written_back_and_nothing_too(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let before = read(&acme.admin).await;
    let request = message!(UpdateCatalogRequest {
        tenant_id: "acme",
        etag: &before.etag,
        catalog: before.clone(),
    });
    let again = acme.admin.update_catalog(request).await.unwrap();
    let again = again.catalog.unwrap();
    assert_ne!(again.etag, before.etag);
    let expected = pb::Catalog {
        etag: again.etag.clone(),
        ..before
    };
    assert_eq!(again, expected);
    let empty = update(&acme.admin, vec![], vec![]).await.unwrap();
    let empty = empty.catalog.unwrap();
    assert_eq!((empty.scopes.len(), empty.profiles.len()), (0, 0));
}

async fn a_scope_in_use_is_not_removed(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let names = [
        "active", "disabled", "revoked", "expired", "left", "profiled", "implied", "unused",
    ];
    let scopes = |left: &[&str]| {
        let all = names.iter().filter(|name| !left.contains(*name));
        let all = all.map(|&name| {
            if name == "active" && !left.contains(&"implied") {
                scope(name, &["implied"])
            } else {
                scope(name, &[])
            }
        });
        all.collect::<Vec<_>>()
    };
    update(&acme.admin, scopes(&[]), vec![profile("p", &["profiled"])])
        .await
        .unwrap();
    let bob = t.member(&acme, "bob", &["left"]).await;
    let leave = message!(RemoveMemberRequest {
        tenant_id: "acme",
        user_id: bob.user_id
    });
    acme.admin.remove_member(leave).await.unwrap();
    acme.admin.issue("a", &["active"]).await;
    let profiled = message!(CreateTokenRequest {
        tenant_id: "acme",
        name: "p",
        profile: "p"
    });
    acme.admin.create(profiled).await;
    let disabled = acme.admin.issue("d", &["disabled"]).await.token.unwrap();
    let disable = message!(UpdateTokenRequest {
        tenant_id: "acme",
        token_id: &disabled.token_id,
        update_mask: mask(&["disabled"]),
        disabled: true,
    });
    acme.admin
        .tokens()
        .update_token(acme.admin.call(disable))
        .await
        .unwrap();
    let revoked = acme.admin.issue("r", &["revoked"]).await.token.unwrap();
    acme.admin.revoke("acme", &revoked.token_id).await;
    let expiring = message!(CreateTokenRequest {
        tenant_id: "acme",
        name: "e",
        scopes: vec!["expired".to_owned()],
        expiry: pb::create_token_request::Expiry::Ttl(prost_types::Duration {
            seconds: 60,
            nanos: 0
        }),
    });
    acme.admin.create(expiring).await;

    let in_use = |names: &[&str]| {
        let lines = names
            .iter()
            .map(|name| format!("\n  catalog.scopes[{name}]: SCOPE_IN_USE"));
        format!("InvalidArgument SCOPE_IN_USE{}", lines.collect::<String>())
    };
    t.advance(Duration::from_millis(59_999));
    let all = update(&acme.admin, vec![], vec![]).await;
    assert_eq!(
        refused(all),
        in_use(&["active", "disabled", "expired", "profiled"])
    );
    t.advance(Duration::from_millis(1));
    let all = update(&acme.admin, vec![], vec![]).await;
    assert_eq!(refused(all), in_use(&["active", "disabled", "profiled"]));
    // With what else is wrong.
    let both = update(&acme.admin, vec![scope("a", &["nowhere"])], vec![]).await;
    let said = refused(both);
    assert_eq!(
        said,
        "InvalidArgument UNKNOWN_SCOPE\n  catalog.scopes[0].implies[0]: UNKNOWN_SCOPE\n  catalog.scopes[active]: SCOPE_IN_USE\n  catalog.scopes[disabled]: SCOPE_IN_USE\n  catalog.scopes[profiled]: SCOPE_IN_USE"
    );
    // What is merely implied, or granted to the dead alone, may go.
    update(
        &acme.admin,
        scopes(&["implied", "revoked", "expired", "left", "unused"]),
        vec![],
    )
    .await
    .unwrap();
    acme.admin.revoke("acme", &disabled.token_id).await;
    update(
        &acme.admin,
        scopes(&[
            "implied", "revoked", "expired", "left", "unused", "disabled",
        ]),
        vec![],
    )
    .await
    .unwrap();
}

async fn an_edit_binds_every_token_at_once(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let server = t.resource_server().await;
    let alice = t.member(&acme, "alice", &["write"]).await;
    let agent = message!(CreateTokenRequest {
        tenant_id: "acme",
        user_id: &acme.admin_id,
        kind: pb::TokenKind::Agent,
        name: "agent",
        scopes: vec!["write".to_owned()],
    });
    let agent = acme.admin.create(agent).await.value;
    let service = message!(CreateTokenRequest {
        tenant_id: "acme",
        kind: pb::TokenKind::Service,
        name: "service",
        scopes: vec!["write".to_owned()],
    });
    let service = acme.admin.create(service).await.value;
    // Of a member, an administrator's agent and a service.
    let write = |implies: &[&str]| {
        vec![
            scope("write", implies),
            scope("read", &[]),
            scope("extra", &["more"]),
            scope("more", &[]),
        ]
    };
    let all = "more extra read write";
    let edit = |at: usize, change: &dyn Fn(pb::Scope) -> pb::Scope| {
        let mut scopes = write(&["read", "extra"]);
        scopes[at] = change(scopes[at].clone());
        scopes
    };
    let no_agent = |scope| pb::Scope {
        forbidden_kinds: vec![pb::TokenKind::Agent.into()],
        ..scope
    };
    let cases: Vec<(Vec<pb::Scope>, [&str; 3])> = vec![
        (catalog().scopes, ["read write"; 3]),
        (write(&[]), ["write"; 3]),
        (write(&["read", "extra"]), [all; 3]),
        // What an administrator alone may hold no agent holds, nor what implies it.
        (
            edit(0, &for_admins),
            ["more extra read", "more extra read", all],
        ),
        (
            edit(1, &for_admins),
            ["more extra write", "more extra", all],
        ),
        (edit(2, &no_agent), [all, "more read", all]),
        (
            edit(3, &|scope| no_agent(for_admins(scope))),
            ["extra read write", "read", all],
        ),
        (catalog().scopes, ["read write"; 3]),
    ];
    for (at, (scopes, expected)) in cases.into_iter().enumerate() {
        let revision = update(&acme.admin, scopes, vec![]).await.unwrap().revision;
        for (value, expected) in [alice.actor.value(), &agent, &service]
            .into_iter()
            .zip(expected)
        {
            let answer = server.introspect("acme", value).await;
            let mut expected: Vec<_> = expected.split(' ').collect();
            expected.sort_unstable();
            assert_eq!(answer.scopes, expected, "{at}");
            assert_eq!(answer.revision, revision);
            assert!(answer.active);
        }
    }
}

async fn of_the_authoritys_own_scopes_few_are_implied(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let server = t.resource_server().await;
    let alice = t.member(&acme, "alice", &["write"]).await;
    let boss = t
        .operator()
        .create_user("acme", "boss", pb::Role::Admin)
        .await;
    let boss = t.token_of("acme", &boss, &["write"]).await;
    let list = async |actor: &Actor| {
        let request = message!(ListTokensRequest {
            tenant_id: "active"
        });
        outcome(actor.tokens().list_tokens(actor.call(request)).await)
    };
    let rename = async |actor: &Actor| {
        let request = message!(UpdateTenantRequest {
            tenant_id: "active",
            display_name: "A"
        });
        outcome(actor.update_tenant(request).await)
    };
    let denied = Some("PermissionDenied PERMISSION_DENIED".to_owned());
    assert_eq!(list(&alice.actor).await, denied);

    // By a plain scope a member reads its own tokens; by one of administrators',
    // and by way of a plain one too, an administrator manages the tenant.
    let implying = vec![
        scope("write", &["authority:tokens.read", "manage"]),
        for_admins(scope("manage", &["authority:tenant.admin"])),
    ];
    update(&acme.admin, implying, vec![]).await.unwrap();
    assert_eq!(list(&alice.actor).await, None);
    assert_eq!(rename(&alice.actor).await, denied);
    assert_eq!(rename(&boss).await, None);
    let scopes = server.introspect("acme", alice.actor.value()).await.scopes;
    assert_eq!(scopes, ["authority:tokens.read", "write"]);
    // And no longer.
    update(&acme.admin, vec![scope("write", &[])], vec![])
        .await
        .unwrap();
    assert_eq!(list(&alice.actor).await, denied);
    assert_eq!(rename(&boss).await, denied);

    // Nobody, operators included, makes others of them implied, or administering so
    // by a scope that members hold.
    let reserved = |field: &str| {
        Some(format!(
            "InvalidArgument RESERVED_SCOPE\n  catalog.{field}: RESERVED_SCOPE"
        ))
    };
    let operator = t.operator();
    for name in ["introspect", "operator", "tenant.admin"] {
        let name = format!("authority:{name}");
        let member = vec![scope("write", &[&name])];
        let admin = vec![scope("write", &[]), for_admins(scope("manage", &[&name]))];
        let bundle = vec![profile("p", &[&name])];
        for actor in [&acme.admin, &operator] {
            let implied = outcome(update(actor, member.clone(), vec![]).await);
            assert_eq!(implied, reserved("scopes[0].implies[0]"), "{name}");
            let bundled = outcome(update(actor, vec![scope("write", &[])], bundle.clone()).await);
            assert_eq!(bundled, reserved("profiles[0].scopes[0]"), "{name}");
            let implied = outcome(update(actor, admin.clone(), vec![]).await);
            let expected = if name.ends_with("admin") {
                None
            } else {
                reserved("scopes[1].implies[0]")
            };
            assert_eq!(implied, expected, "{name}");
            let defined =
                outcome(update(actor, vec![scope("write", &[]), scope(&name, &[])], vec![]).await);
            assert_eq!(defined, reserved("scopes[1].name"), "{name}");
        }
    }
}

async fn an_edit_builds_on_the_version_that_it_names(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let present = read(&acme.admin).await.etag;
    guarded_by_etag(&present, async |etag| {
        let request = message!(UpdateCatalogRequest {
            tenant_id: "acme",
            etag: etag,
            catalog: catalog()
        });
        outcome(acme.admin.update_catalog(request).await)
    })
    .await;
    assert_ne!(read(&acme.admin).await.etag, present);
}

async fn only_its_administrators_edit_a_tenants_catalog(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    administrators_only(&t, &acme, async |caller| {
        refused(update(&caller, vec![scope("a", &["nowhere"])], vec![]).await)
    })
    .await;
    for name in ["authority", "active"] {
        let request = message!(UpdateCatalogRequest {
            tenant_id: name,
            catalog: catalog()
        });
        let refusal = refused(t.operator().update_catalog(request).await);
        assert_eq!(refusal, "FailedPrecondition RESERVED_TENANT");
    }
}
