//! Many calls with one request id: one is made, and all are told of it.

use token_authority::pb;
use tonic::Status;

use super::{Call, Stage, at_once};
use crate::support::{Backend, both_backends_in_parallel, message, outcome, self_service};

both_backends_in_parallel!(
    one_token_is_made_of_a_hundred_calls,
    one_tenant_is_made_of_a_hundred_calls,
    one_change_is_made_of_a_hundred_calls,
);

/// How many calls are made at once.
const CALLS: usize = 100;

async fn one_token_is_made_of_a_hundred_calls(backend: Backend) {
    let policy = pb::TenantPolicy {
        unique_names: true,
        max_tokens_per_user: 2,
        ..self_service()
    };
    let stage = Stage::set(backend, policy).await;
    let calls = (0..CALLS).map(|_| {
        let admin = stage.acme.admin.clone();
        let request = message!(CreateTokenRequest {
            tenant_id: "active",
            name: "laptop",
            request_id: "once",
        });
        Box::pin(async move { admin.try_create(request).await })
            as Call<Result<pb::CreateTokenResponse, Status>>
    });
    let results = at_once(calls).await;
    let made: Vec<_> = results
        .iter()
        .filter_map(|made| made.as_ref().ok())
        .collect();
    assert_eq!(made.len(), 1);
    let token_id = &made[0].token.as_ref().unwrap().token_id;
    for refused in results.iter().filter_map(|made| made.as_ref().err()) {
        let details = tonic_types::StatusExt::get_error_details(refused);
        assert_eq!(details.error_info().unwrap().reason, "REQUEST_ALREADY_DONE");
        assert_eq!(&details.resource_info().unwrap().resource_name, token_id);
    }
    let tokens = "SELECT name FROM tokens WHERE name = 'laptop'";
    assert_eq!(stage.t.database.texts(tokens).await.len(), 1);
    assert!(stage.introspect(made[0]).await.active);
    stage.end().await;
}

async fn one_tenant_is_made_of_a_hundred_calls(backend: Backend) {
    let stage = Stage::set(backend, self_service()).await;
    let calls = (0..CALLS).map(|_| {
        let operator = stage.t.operator();
        let request = message!(CreateTenantRequest {
            tenant_id: "globex",
            token_prefix: "gx_",
            request_id: "once",
        });
        Box::pin(async move { operator.create_tenant(request).await })
            as Call<Result<pb::CreateTenantResponse, Status>>
    });
    let results = at_once(calls).await;
    let first = results[0].as_ref().unwrap();
    for result in &results {
        assert_eq!(result.as_ref().unwrap(), first);
    }
    stage.end().await;
}

async fn one_change_is_made_of_a_hundred_calls(backend: Backend) {
    let stage = Stage::set(backend, self_service()).await;
    let created = stage.acme.admin.issue("laptop", &["read"]).await;
    let token = created.token.unwrap();
    let calls = (0..CALLS).map(|number| {
        let admin = stage.acme.admin.clone();
        let request = message!(UpdateTokenRequest {
            tenant_id: "active",
            token_id: token.token_id.clone(),
            // Every other call says something else under the same id.
            name: if number % 2 == 0 { "desktop" } else { "tablet" },
            etag: token.etag.clone(),
            request_id: "once",
        });
        Box::pin(async move {
            let mut tokens = admin.tokens();
            let updated = tokens.update_token(admin.call(request)).await;
            (number % 2, updated.map(tonic::Response::into_inner))
        }) as Call<(usize, Result<pb::UpdateTokenResponse, Status>)>
    });
    let results = at_once(calls).await;
    let done = results.iter().find(|(_, result)| result.is_ok()).unwrap();
    for (said, result) in &results {
        if *said == done.0 {
            assert_eq!(result.as_ref().unwrap(), done.1.as_ref().unwrap());
        } else {
            let told = outcome(result.clone()).unwrap();
            assert!(told.contains("REQUEST_ID_REUSED"), "{told}");
        }
    }
    stage.end().await;
}
