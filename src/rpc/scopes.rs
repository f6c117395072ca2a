//! `ScopeService`.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::call::{mutate, read};
use super::convert::{inward, outward};
use crate::authority::Authority;
use crate::authority::scopes::UpdateCatalog;
use crate::domain::reason::Violations;
use crate::pb;
use crate::pb::scope_service_server::ScopeService;
use crate::store::StoredCatalog;

/// Serves catalogs.
#[derive(Debug)]
pub struct Service(pub Arc<Authority>);

#[tonic::async_trait]
impl ScopeService for Service {
    async fn get_catalog(
        &self,
        request: Request<pb::GetCatalogRequest>,
    ) -> Result<Response<pb::GetCatalogResponse>, Status> {
        read(&self.0, request, |authority, call, message| async move {
            let stored = authority.get_catalog(call, &message.tenant_id).await?;
            Ok(pb::GetCatalogResponse {
                catalog: Some(catalog(&stored)),
            })
        })
        .await
    }

    async fn update_catalog(
        &self,
        request: Request<pb::UpdateCatalogRequest>,
    ) -> Result<Response<pb::UpdateCatalogResponse>, Status> {
        mutate(
            &self.0,
            request,
            |authority, call, message| async move {
                let mut violations = Violations::default();
                let given = message.catalog.as_ref();
                let command = UpdateCatalog {
                    tenant_id: message.tenant_id,
                    draft: given.map(|given| inward::catalog(given, &mut violations)),
                    etag: inward::etag(&message.etag),
                    violations,
                };
                authority.update_catalog(call, command).await
            },
            |_, stored, revision| pb::UpdateCatalogResponse {
                catalog: Some(catalog(&stored)),
                revision,
            },
        )
        .await
    }
}

fn catalog(stored: &StoredCatalog) -> pb::Catalog {
    outward::catalog(&stored.catalog, stored.version, stored.updated_at)
}
