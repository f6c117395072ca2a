//! What is refused of a catalog as it was written.

use token_authority::pb;

use super::{profile, read, scope, update};
use crate::support::{Backend, TestServer, both_backends, message, refused, self_service};

both_backends!(
    what_is_wrong_is_said_all_at_once,
    a_catalog_is_bounded,
    a_large_catalog_holds_up_nobody,
);

async fn what_is_wrong_is_said_all_at_once(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let before = read(&acme.admin).await;
    t.member(&acme, "alice", &["read"]).await;
    let scopes = vec![
        scope("a", &["b"]),
        scope("b", &["c"]),
        scope("c", &["a"]),
        scope("self", &["self"]),
        scope("on-the-way", &["a", "nowhere", "no name", ""]),
        scope("odd", &[]),
        scope("authority:mine", &[]),
        scope("", &[]),
        scope(&"x".repeat(65), &[]),
        pb::Scope {
            minimum_role: 3,
            forbidden_kinds: vec![1, 0, 9],
            description: "a\0b".into(),
            ..scope("odd", &[])
        },
        pb::Scope {
            forbidden_kinds: vec![1; 5],
            description: "x".repeat(501),
            ..scope("many", &[])
        },
        scope("ä", &["authority:introspect"]),
        scope(
            "root",
            &[
                "authority:operator",
                "authority:introspect",
                "authority:tenant.admin",
                "authority:nothing",
            ],
        ),
    ];
    let profiles = vec![
        profile("p", &[]),
        profile("p", &["a", "nowhere", "authority:tenant.admin", "no name"]),
        profile("authority:p", &["a"]),
        profile("no name", &["a"]),
    ];
    let refusal = refused(update(&acme.admin, scopes, profiles).await);
    assert_eq!(
        refusal,
        "InvalidArgument UNKNOWN_ENUM_VALUE
  catalog.scopes[9].minimum_role: UNKNOWN_ENUM_VALUE
  catalog.scopes[9].forbidden_kinds[1]: FIELD_REQUIRED
  catalog.scopes[9].forbidden_kinds[2]: UNKNOWN_ENUM_VALUE
  catalog.scopes[10].forbidden_kinds: TOO_MANY_ITEMS
  catalog.scopes[4].implies[2]: INVALID_SCOPE
  catalog.scopes[4].implies[3]: INVALID_SCOPE
  catalog.scopes[6].name: RESERVED_SCOPE
  catalog.scopes[7].name: INVALID_SCOPE
  catalog.scopes[8].name: INVALID_SCOPE
  catalog.scopes[9].description: INVALID_TEXT
  catalog.scopes[9].name: DUPLICATE_NAME
  catalog.scopes[10].description: FIELD_TOO_LONG
  catalog.scopes[11].name: INVALID_SCOPE
  catalog.scopes[0].implies: SCOPE_CYCLE
  catalog.scopes[1].implies: SCOPE_CYCLE
  catalog.scopes[2].implies: SCOPE_CYCLE
  catalog.scopes[3].implies: SCOPE_CYCLE
  catalog.scopes[4].implies[1]: UNKNOWN_SCOPE
  catalog.scopes[11].implies[0]: RESERVED_SCOPE
  catalog.scopes[12].implies[0]: RESERVED_SCOPE
  catalog.scopes[12].implies[1]: RESERVED_SCOPE
  catalog.scopes[12].implies[2]: RESERVED_SCOPE
  catalog.scopes[12].implies[3]: UNKNOWN_SCOPE
  catalog.profiles[0].scopes: FIELD_REQUIRED
  catalog.profiles[1].scopes[1]: UNKNOWN_SCOPE
  catalog.profiles[1].scopes[2]: RESERVED_SCOPE
  catalog.profiles[1].scopes[3]: INVALID_SCOPE
  catalog.profiles[1].name: DUPLICATE_NAME
  catalog.profiles[2].name: RESERVED_SCOPE
  catalog.profiles[3].name: INVALID_SCOPE
  catalog.scopes[read]: SCOPE_IN_USE"
    );
    assert_eq!(read(&acme.admin).await, before);
}

async fn a_catalog_is_bounded(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    t.member(&acme, "alice", &["read"]).await;
    let mut scopes: Vec<_> = (0..999)
        .map(|at| scope(&format!("{at:064}"), &[]))
        .collect();
    scopes.push(pb::Scope {
        description: "ä".repeat(500),
        ..scope("read", &[])
    });
    let hundred: Vec<_> = (0..101).map(|at| format!("{at:064}")).collect();
    let hundred: Vec<_> = hundred.iter().map(String::as_str).collect();
    let mut profiles: Vec<_> = (0..199)
        .map(|at| profile(&format!("{at:064}"), &["read"]))
        .collect();
    profiles.push(profile("p", &hundred[..100]));
    let made = update(&acme.admin, scopes.clone(), profiles.clone())
        .await
        .unwrap();
    let made = made.catalog.unwrap();
    assert_eq!((made.scopes.len(), made.profiles.len()), (1000, 200));

    let too_many = "InvalidArgument TOO_MANY_ITEMS\n  ";
    let long = vec![profile("p", &hundred)];
    let refusal = refused(update(&acme.admin, scopes.clone(), long).await);
    assert_eq!(
        refusal,
        format!("{too_many}catalog.profiles[0].scopes: TOO_MANY_ITEMS")
    );
    // A document that is not read to its end says nothing of what is in it.
    scopes.insert(0, scope("one-more", &[]));
    let refusal = refused(update(&acme.admin, scopes.clone(), profiles.clone()).await);
    assert_eq!(refusal, format!("{too_many}catalog.scopes: TOO_MANY_ITEMS"));
    profiles.push(profile("q", &["read"]));
    let refusal = refused(update(&acme.admin, scopes, profiles).await);
    assert_eq!(
        refusal,
        format!("{too_many}catalog.scopes: TOO_MANY_ITEMS\n  catalog.profiles: TOO_MANY_ITEMS")
    );

    // None at all is a slip.
    let absent = message!(UpdateCatalogRequest { tenant_id: "acme" });
    let refusal = refused(acme.admin.update_catalog(absent).await);
    assert_eq!(
        refusal,
        "InvalidArgument FIELD_REQUIRED\n  catalog: FIELD_REQUIRED"
    );
    assert_eq!(read(&acme.admin).await, made);
}

/// What each of many scopes implies is the caller's to say: it must not become a way
/// to hold the tenant's lock for long, which the database ends with an error.
async fn a_large_catalog_holds_up_nobody(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let names: Vec<_> = (0..500).map(|at| at.to_string()).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let mut scopes: Vec<_> = (0..500)
        .map(|at| scope(names[at], &names[at + 1..(at + 21).min(500)]))
        .collect();
    update(&acme.admin, scopes.clone(), vec![]).await.unwrap();
    let alice = t.member(&acme, "alice", &["0"]).await;
    let server = t.resource_server().await;
    assert_eq!(
        server
            .introspect("acme", alice.actor.value())
            .await
            .scopes
            .len(),
        500
    );
    // One implication back, and all of them imply themselves.
    scopes[499].implies.push("0".to_owned());
    let refusal = refused(update(&acme.admin, scopes, vec![]).await);
    assert!(
        refusal
            .starts_with("InvalidArgument SCOPE_CYCLE\n  catalog.scopes[0].implies: SCOPE_CYCLE")
    );
}
