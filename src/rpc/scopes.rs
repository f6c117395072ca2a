//! `ScopeService`.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::call::Opened;
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
        let (opened, message) = Opened::of(request)?;
        let call = opened.call.clone();
        opened
            .read(async {
                let stored = self.0.get_catalog(call, &message.tenant_id).await?;
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
        let (opened, message) = Opened::of(request)?;
        let (authority, call) = (Arc::clone(&self.0), opened.call.clone());
        opened
            .mutate(async move {
                let mut violations = Violations::default();
                let given = message.catalog.as_ref();
                let command = UpdateCatalog {
                    tenant_id: message.tenant_id,
                    draft: given.map(|given| inward::catalog(given, &mut violations)),
                    etag: inward::etag(&message.etag),
                    violations,
                };
                let (stored, revision) = authority.update_catalog(call, command).await?;
                Ok(pb::UpdateCatalogResponse {
                    catalog: Some(catalog(&stored)),
                    revision: revision.to_string(),
                })
            })
            .await
    }
}

fn catalog(stored: &StoredCatalog) -> pb::Catalog {
    outward::catalog(&stored.catalog, stored.version, stored.updated_at)
}
