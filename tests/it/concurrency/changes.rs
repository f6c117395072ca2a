//! Creating a token while a rule of its tenant changes, and asking while it is
//! revoked.

use token_authority::pb;

use super::{Call, ROUNDS, Stage, at_once, created, number, race, token};
use crate::support::{Actor, Backend, both_backends_in_parallel, catalog, refusal, self_service};

both_backends_in_parallel!(
    a_scope_goes_or_is_granted_but_never_both,
    a_scope_is_for_administrators_alone_once_the_catalog_says_so,
    a_prefix_changes_or_a_token_bears_it,
    an_introspection_that_begins_after_a_revocation_is_inactive,
);

/// Returns a call that replaces the catalog.
fn replace(
    actor: &Actor,
    catalog: pb::Catalog,
) -> Call<Result<pb::UpdateCatalogResponse, tonic::Status>> {
    let actor = actor.clone();
    Box::pin(async move {
        let request = pb::UpdateCatalogRequest {
            tenant_id: "acme".into(),
            catalog: Some(catalog),
            ..Default::default()
        };
        let call = actor.call(request);
        let updated = actor.scopes().update_catalog(call).await;
        updated.map(tonic::Response::into_inner)
    })
}

/// Returns the catalog with one scope more.
fn with_extra(minimum_role: pb::Role) -> pb::Catalog {
    let mut catalog = catalog();
    catalog.scopes.push(pb::Scope {
        name: "extra".into(),
        minimum_role: minimum_role.into(),
        ..Default::default()
    });
    catalog
}

async fn a_scope_goes_or_is_granted_but_never_both(backend: Backend) {
    let stage = Stage::set(backend, self_service()).await;
    let admin = &stage.acme.admin;
    let user_id = stage.user("alice").await;
    let (mut went, mut stayed) = (0, 0);
    for round in 0..ROUNDS {
        replace(admin, with_extra(pb::Role::Unspecified))
            .await
            .unwrap();
        let asked = |name| (admin, token(&user_id, name, &["extra"]));
        let creates = vec![asked("a"), asked("b"), asked("c")];
        let remove = replace(&stage.t.operator(), catalog());
        let (outcomes, removed) = race(round, creates, remove).await;
        let unknown = "InvalidArgument UNKNOWN_SCOPE\n  scopes[0]: UNKNOWN_SCOPE";
        let all = created(outcomes, &[unknown]);
        match removed {
            Ok(_) => {
                went += 1;
                assert_eq!(all.len(), 0, "round {round}: granted and gone");
            }
            Err(status) => {
                stayed += 1;
                assert_eq!(
                    refusal(&status),
                    "InvalidArgument SCOPE_IN_USE\n  catalog.scopes[extra]: SCOPE_IN_USE"
                );
                assert_ne!(all.len(), 0, "round {round}: kept for nobody");
            }
        }
        for created in all {
            assert_eq!(stage.introspect(&created).await.scopes, ["extra"]);
            admin.revoke("acme", &created.token.unwrap().token_id).await;
        }
    }
    assert!(went > 0 && stayed > 0, "no race: {went} {stayed}");
    stage.end().await;
}

async fn a_scope_is_for_administrators_alone_once_the_catalog_says_so(backend: Backend) {
    let stage = Stage::set(backend, self_service()).await;
    let admin = &stage.acme.admin;
    let user_id = stage.user("alice").await;
    for round in 0..ROUNDS {
        replace(admin, with_extra(pb::Role::Member)).await.unwrap();
        let asked = |name| (admin, token(&user_id, name, &["read", "extra"]));
        let creates = vec![asked("a"), asked("b"), asked("c")];
        let raise = replace(&stage.t.operator(), with_extra(pb::Role::Admin));
        let (outcomes, raised) = race(round, creates, raise).await;
        raised.unwrap();
        let above = "InvalidArgument SCOPE_ABOVE_ROLE\n  scopes[1]: SCOPE_ABOVE_ROLE";
        for created in created(outcomes, &[above]) {
            let answer = stage.introspect(&created).await;
            assert_eq!((answer.active, answer.scopes), (true, vec!["read".into()]));
        }
    }
    stage.end().await;
}

async fn a_prefix_changes_or_a_token_bears_it(backend: Backend) {
    let stage = Stage::set(backend, self_service()).await;
    let operator = stage.t.operator();
    for round in 0..ROUNDS {
        let tenant_id = format!("p{round:03}");
        let request = pb::CreateTenantRequest {
            tenant_id: tenant_id.clone(),
            token_prefix: format!("old{round:03}_"),
            ..Default::default()
        };
        let call = operator.call(request);
        operator.tenants().create_tenant(call).await.unwrap();
        let user_id = operator
            .create_user(&tenant_id, "alice", pb::Role::Member)
            .await;
        let asked = |name| {
            let request = pb::CreateTokenRequest {
                tenant_id: tenant_id.clone(),
                ..token(&user_id, name, &[])
            };
            (&operator, request)
        };
        let creates = vec![asked("a"), asked("b"), asked("c")];
        let (changing, request) = (
            operator.clone(),
            pb::UpdateTenantRequest {
                tenant_id: tenant_id.clone(),
                token_prefix: format!("new{round:03}_"),
                ..Default::default()
            },
        );
        let change = async move {
            let call = changing.call(request);
            changing.tenants().update_tenant(call).await
        };
        let (outcomes, changed) = race(round, creates, change).await;
        if let Err(status) = &changed {
            assert_eq!(refusal(status), "FailedPrecondition PREFIX_IN_USE");
        }
        let prefix = if changed.is_ok() { "new" } else { "old" };
        let all = created(outcomes, &[]);
        assert_eq!(all.len(), 3, "round {round}");
        for created in all {
            assert!(created.value.starts_with(prefix), "round {round}");
            let hint = created.token.unwrap().hint;
            assert!(created.value.starts_with(&hint), "round {round}");
            let answer = stage.server.introspect(&tenant_id, &created.value).await;
            assert!(answer.active, "round {round}: a stillborn token");
        }
    }
    stage.end().await;
}

async fn an_introspection_that_begins_after_a_revocation_is_inactive(backend: Backend) {
    let stage = Stage::set(backend, self_service()).await;
    let admin = &stage.acme.admin;
    let user_id = stage.user("alice").await;
    for round in 0..ROUNDS {
        let created = admin.create(token(&user_id, "a", &["read"])).await;
        let token_id = created.token.unwrap().token_id;
        let revoking = admin.clone();
        let revoke = async move { revoking.revoke("acme", &token_id).await.revision };
        let mut asking = Vec::new();
        for _ in 0..3 {
            let (server, value) = (stage.server.clone(), created.value.clone());
            let ask: Call<Vec<pb::IntrospectResponse>> = Box::pin(async move {
                let mut answers = Vec::new();
                for _ in 0..5 {
                    answers.push(server.introspect("acme", &value).await);
                }
                answers
            });
            asking.push(ask);
        }
        let asking = tokio::spawn(at_once(asking));
        let (_, revision) = race(round, Vec::new(), revoke).await;
        let after = stage.server.introspect("acme", &created.value).await;
        assert!(!after.active, "round {round}");
        assert!(number(&after.revision) >= number(&revision));
        for answers in asking.await.unwrap() {
            // Never active again, and never active at or past the revocation.
            assert!(
                answers.is_sorted_by_key(|answer| !answer.active),
                "round {round}"
            );
            for answer in answers {
                assert!(
                    !answer.active || number(&answer.revision) < number(&revision),
                    "round {round}"
                );
            }
        }
    }
    stage.end().await;
}
