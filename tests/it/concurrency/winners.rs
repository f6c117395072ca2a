//! Calls of which one may win.

use token_authority::pb;

use super::{Call, ROUNDS, Stage, at_once, one_wins, token};
use crate::support::{Actor, Backend, both_backends_in_parallel, catalog, self_service};

both_backends_in_parallel!(
    a_user_has_no_token_above_the_limit,
    a_name_is_given_once,
    of_two_updates_of_one_version_one_wins,
    overlapping_prefixes_and_equal_ids_go_to_one_tenant,
);

type Created = Result<pb::CreateTokenResponse, tonic::Status>;

/// Returns a call that creates a token.
fn create(actor: &Actor, request: pb::CreateTokenRequest) -> Call<Created> {
    let actor = actor.clone();
    Box::pin(async move { actor.try_create(request).await })
}

async fn a_user_has_no_token_above_the_limit(backend: Backend) {
    let policy = pb::TenantPolicy {
        max_tokens_per_user: 1,
        ..self_service()
    };
    let stage = Stage::set(backend, policy).await;
    let admin = &stage.acme.admin;
    for round in 0..ROUNDS {
        let user_id = stage.user(&format!("u{round}")).await;
        let name = |n: usize| format!("n{n}");
        let creates = (0..8).map(|n| create(admin, token(&user_id, &name(n), &["read"])));
        let won = one_wins(at_once(creates).await, "ResourceExhausted TOKEN_LIMIT");
        assert!(stage.introspect(&won).await.active, "round {round}");
    }
    stage.end().await;
}

async fn a_name_is_given_once(backend: Backend) {
    let policy = pb::TenantPolicy {
        unique_names: true,
        ..self_service()
    };
    let stage = Stage::set(backend, policy).await;
    let admin = &stage.acme.admin;
    for round in 0..ROUNDS {
        let user_id = stage.user(&format!("u{round}")).await;
        let other = admin.create(token(&user_id, "other", &["read"])).await;
        let token_id = other.token.unwrap().token_id;
        let renaming = admin.clone();
        let rename: Call<Result<(), tonic::Status>> = Box::pin(async move {
            let request = pb::UpdateTokenRequest {
                tenant_id: "acme".into(),
                token_id,
                name: "laptop".into(),
                ..Default::default()
            };
            let call = renaming.call(request);
            renaming.tokens().update_token(call).await.map(drop)
        });
        let mut calls: Vec<Call<Result<(), tonic::Status>>> = vec![rename];
        for _ in 0..8 {
            let create = create(admin, token(&user_id, "laptop", &["read"]));
            let create = async move { create.await.map(drop) };
            calls.insert(round % (calls.len() + 1), Box::pin(create));
        }
        one_wins(at_once(calls).await, "AlreadyExists NAME_TAKEN");
    }
    stage.end().await;
}

async fn of_two_updates_of_one_version_one_wins(backend: Backend) {
    let stage = Stage::set(backend, self_service()).await;
    let admin = &stage.acme.admin;
    let user_id = stage.user("alice").await;
    let created = admin.create(token(&user_id, "a", &["read"])).await;
    let mut record = created.token.unwrap();
    let mut etag = String::new();
    for round in 0..ROUNDS {
        let update = |name: &str| {
            let request = pb::UpdateTokenRequest {
                tenant_id: "acme".into(),
                token_id: record.token_id.clone(),
                etag: record.etag.clone(),
                name: format!("{name}{round}"),
                ..Default::default()
            };
            let actor = admin.clone();
            let call: Call<Result<pb::Token, tonic::Status>> = Box::pin(async move {
                let call = actor.call(request);
                let updated = actor.tokens().update_token(call).await?;
                Ok(updated.into_inner().token.unwrap())
            });
            call
        };
        let updates = [update("a"), update("b"), update("c")];
        let won = one_wins(at_once(updates).await, "Aborted ETAG_MISMATCH");
        let request = pb::GetTokenRequest {
            tenant_id: "acme".into(),
            token_id: won.token_id.clone(),
            ..Default::default()
        };
        let read = admin.tokens().get_token(admin.call(request)).await.unwrap();
        assert_eq!(read.into_inner().token.as_ref(), Some(&won));
        record = won;

        let replace = |description: &str| {
            let mut catalog = catalog();
            catalog.scopes[0].description = format!("{description}{round}");
            let request = pb::UpdateCatalogRequest {
                tenant_id: "acme".into(),
                catalog: Some(catalog),
                etag: etag.clone(),
                ..Default::default()
            };
            let actor = admin.clone();
            let call: Call<Result<pb::Catalog, tonic::Status>> = Box::pin(async move {
                let call = actor.call(request);
                let answer = actor.scopes().update_catalog(call).await?;
                Ok(answer.into_inner().catalog.unwrap())
            });
            call
        };
        if etag.is_empty() {
            etag = replace("first").await.unwrap().etag;
            continue;
        }
        let replaces = [replace("a"), replace("b")];
        etag = one_wins(at_once(replaces).await, "Aborted ETAG_MISMATCH").etag;
    }
    stage.end().await;
}

async fn overlapping_prefixes_and_equal_ids_go_to_one_tenant(backend: Backend) {
    let stage = Stage::set(backend, self_service()).await;
    let create = |tenant_id: String, prefix: String| {
        let actor = stage.t.operator();
        let call: Call<Result<pb::Tenant, tonic::Status>> = Box::pin(async move {
            let request = pb::CreateTenantRequest {
                tenant_id,
                token_prefix: prefix,
                ..Default::default()
            };
            let call = actor.call(request);
            let created = actor.tenants().create_tenant(call).await?;
            Ok(created.into_inner().tenant.unwrap())
        });
        call
    };
    for round in 0..ROUNDS {
        let prefixes = ["_", "_x_", "_y_", "_"];
        // Each overlaps with the first and the last, which begin in turn.
        let creates = prefixes.iter().enumerate().map(|(n, end)| {
            let tenant_id = format!("o{round:03}-{n}");
            create(tenant_id, format!("o{round:03}{end}"))
        });
        let results = at_once(creates).await;
        let short =
            results.first().is_some_and(Result::is_ok) || results.last().is_some_and(Result::is_ok);
        let won: Vec<_> = results.iter().flatten().collect();
        // The two long ones don't overlap with one another.
        let most = if short { 1 } else { 2 };
        assert_eq!(won.len(), most, "round {round}: {won:?}");
        for lost in results.into_iter().filter_map(Result::err) {
            assert_eq!(crate::support::refusal(&lost), "AlreadyExists PREFIX_TAKEN");
        }

        let tenant_id = format!("e{round:03}");
        let creates =
            ["a", "b", "c"].map(|end| create(tenant_id.clone(), format!("e{round:03}{end}_")));
        one_wins(at_once(creates).await, "AlreadyExists TENANT_EXISTS");
    }
    stage.end().await;
}
