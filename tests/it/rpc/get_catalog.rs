//! `ScopeService/GetCatalog`.

use token_authority::pb;

use crate::support::{Actor, Backend, TestServer, both_backends, message, refused, self_service};

both_backends!(any_active_token_reads_its_own_tenants_catalog);

async fn get(actor: &Actor, tenant_id: &str) -> Result<pb::Catalog, tonic::Status> {
    let request = message!(GetCatalogRequest {
        tenant_id: tenant_id
    });
    Ok(actor.get_catalog(request).await?.catalog.unwrap())
}

async fn any_active_token_reads_its_own_tenants_catalog(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    t.tenant("beta", self_service()).await;
    let alice = t.member(&acme, "alice", &[]).await;
    let server = t.resource_server().await;
    let whole = get(&t.operator(), "acme").await.unwrap();
    insta::allow_duplicates! {
        insta::assert_debug_snapshot!(whole, @r#"
        Catalog {
            scopes: [
                Scope {
                    name: "admin",
                    description: "May admin",
                    implies: [
                        "write",
                    ],
                    minimum_role: Admin,
                    forbidden_kinds: [
                        Agent,
                    ],
                },
                Scope {
                    name: "read",
                    description: "May read",
                    implies: [],
                    minimum_role: Member,
                    forbidden_kinds: [],
                },
                Scope {
                    name: "write",
                    description: "May write",
                    implies: [
                        "read",
                    ],
                    minimum_role: Member,
                    forbidden_kinds: [],
                },
            ],
            profiles: [
                Profile {
                    name: "editor",
                    description: "",
                    scopes: [
                        "write",
                    ],
                },
            ],
            update_time: Some(
                Timestamp {
                    seconds: 1767225600,
                    nanos: 0,
                },
            ),
            etag: "2",
        }
        "#);
    }
    for (actor, tenant_id) in [
        (&alice.actor, "active"),
        (&alice.actor, "acme"),
        (&acme.admin, "acme"),
    ] {
        assert_eq!(get(actor, tenant_id).await.unwrap(), whole);
    }
    let hidden = "NotFound TENANT_NOT_FOUND";
    let cases = [
        (&acme.admin, "beta", hidden),
        (&acme.admin, "authority", hidden),
        (&alice.actor, "nowhere", hidden),
        (&server, "acme", hidden),
        (&t.operator(), "nowhere", hidden),
        (
            &t.nobody(),
            "acme",
            "Unauthenticated CALLER_UNAUTHENTICATED",
        ),
        (
            &acme.admin,
            "",
            "InvalidArgument FIELD_REQUIRED\n  tenant_id: FIELD_REQUIRED",
        ),
        (
            &acme.admin,
            "B",
            "InvalidArgument INVALID_TENANT_ID\n  tenant_id: INVALID_TENANT_ID",
        ),
    ];
    for (actor, tenant_id, expected) in cases {
        assert_eq!(
            refused(get(actor, tenant_id).await),
            expected,
            "{tenant_id}"
        );
    }
    // The reserved tenant has none of its own.
    assert_eq!(get(&server, "active").await.unwrap().scopes, []);
}
