//! `SelfService`.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::call::{give, mutate, open, read};
use super::convert::{inward, outward};
use super::tokens::token;
use crate::authority::Authority;
use crate::authority::access::Rpc;
use crate::authority::revoke::RevokeCurrentToken;
use crate::domain::identity::{Identity, Source};
use crate::domain::reason::Violations;
use crate::domain::token::RevokeReason;
use crate::pb;
use crate::pb::self_service_server::SelfService;

/// Serves the bearer itself.
#[derive(Debug)]
pub struct Service(pub Arc<Authority>);

/// Shows a service identity to who is it.
fn identity(identity: &Identity) -> pb::ServiceIdentity {
    let (spiffe_id, dns_name) = match &identity.source {
        Source::SpiffeId(id) => (id.to_string(), String::new()),
        Source::DnsName(name) => (String::new(), name.to_string()),
    };
    pb::ServiceIdentity {
        name: identity.name.to_string(),
        spiffe_id,
        dns_name,
        scopes: identity.scopes.to_strings(),
    }
}

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
                    token: whoami.token.as_ref().map(token),
                    tenant: whoami.tenant.as_ref().map(outward::tenant),
                    user: whoami.user.as_ref().map(outward::user),
                    memberships: whoami.memberships.iter().map(outward::membership).collect(),
                    revision: whoami.revision.to_string(),
                    evaluate_time: Some(outward::timestamp(whoami.now)),
                    session: whoami.session.map(|session| pb::Session {
                        trust: session.trust,
                        expire_time: Some(outward::timestamp(session.ends_at)),
                        role: session.role.map(outward::role).unwrap_or_default(),
                    }),
                    identity: whoami.identity.as_deref().map(identity),
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

    async fn revoke_current_token(
        &self,
        request: Request<pb::RevokeCurrentTokenRequest>,
    ) -> Result<Response<pb::RevokeCurrentTokenResponse>, Status> {
        mutate(
            &self.0,
            request,
            |authority, call, message| async move {
                let mut violations = Violations::default();
                let reason = inward::revoke_reason("reason", message.reason, &mut violations);
                let command = RevokeCurrentToken {
                    reason: reason.unwrap_or(RevokeReason::Unspecified),
                    reason_text: message.reason_text,
                    violations,
                };
                authority.revoke_current_token(call, command).await
            },
            |_, (), revision| pb::RevokeCurrentTokenResponse { revision },
        )
        .await
    }

    async fn revoke_exposed_token(
        &self,
        request: Request<pb::RevokeExposedTokenRequest>,
    ) -> Result<Response<pb::RevokeExposedTokenResponse>, Status> {
        open(
            &self.0,
            Rpc::RevokeExposedToken,
            request,
            |authority, call, message| async move {
                let value = message.value;
                authority.revoke_exposed_token(call, &value).await?;
                Ok(pb::RevokeExposedTokenResponse {})
            },
        )
        .await
    }
}
