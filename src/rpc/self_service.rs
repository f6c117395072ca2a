//! `SelfService`.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::call::{give, read};
use super::convert::{inward, outward};
use super::tokens::token;
use crate::authority::Authority;
use crate::domain::reason::Violations;
use crate::pb;
use crate::pb::self_service_server::SelfService;

/// Serves the bearer itself.
#[derive(Debug)]
pub struct Service(pub Arc<Authority>);

#[tonic::async_trait]
impl SelfService for Service {
    async fn who_am_i(
        &self,
        request: Request<pb::WhoAmIRequest>,
    ) -> Result<Response<pb::WhoAmIResponse>, Status> {
        read(
            &self.0,
            request,
            |authority, call, pb::WhoAmIRequest {}| async move {
                let whoami = authority.who_am_i(call).await?;
                Ok(pb::WhoAmIResponse {
                    token: Some(token(&whoami.token)),
                    tenant: Some(outward::tenant(&whoami.tenant)),
                    user: whoami.user.as_ref().map(outward::user),
                    memberships: whoami.memberships.iter().map(outward::membership).collect(),
                    revision: whoami.revision.to_string(),
                    evaluate_time: Some(outward::timestamp(whoami.token.now)),
                })
            },
        )
        .await
    }

    async fn rotate_current_token(
        &self,
        request: Request<pb::RotateCurrentTokenRequest>,
    ) -> Result<Response<pb::RotateCurrentTokenResponse>, Status> {
        give(&self.0, request, |authority, call, message| async move {
            let mut violations = Violations::default();
            let grace = message.grace_period.as_ref();
            let grace = inward::duration_or_none("grace_period", grace, &mut violations);
            let rotated = authority.rotate_current_token(call, grace, violations);
            let rotated = rotated.await?;
            Ok(pb::RotateCurrentTokenResponse {
                token: Some(token(&rotated.token)),
                value: rotated.value.expose(),
                revision: rotated.revision.to_string(),
                // As in a creation.
                settled: true,
            })
        })
        .await
    }
}
