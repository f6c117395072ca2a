//! `IntrospectionService`.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::call::{Opened, answer as respond};
use super::convert::{inward, outward};
use super::status;
use crate::authority::introspect::{Answer, Introspect};
use crate::authority::{Authority, Error};
use crate::domain::bounds;
use crate::domain::introspection::{Active, Introspection};
use crate::domain::reason::{Field, Violations};
use crate::pb;
use crate::pb::batch_introspect_result::Result as BatchResult;
use crate::pb::introspection_service_server::IntrospectionService;

/// Serves introspection.
#[derive(Debug)]
pub struct Service(pub Arc<Authority>);

#[tonic::async_trait]
impl IntrospectionService for Service {
    async fn introspect(
        &self,
        request: Request<pb::IntrospectRequest>,
    ) -> Result<Response<pb::IntrospectResponse>, Status> {
        let (opened, message) = Opened::of(&self.0, request).await?;
        let answered = self.0.introspect(&opened.call.caller, question(message));
        respond(answered.await.map(answer), &opened.request_id)
    }

    async fn batch_introspect(
        &self,
        request: Request<pb::BatchIntrospectRequest>,
    ) -> Result<Response<pb::BatchIntrospectResponse>, Status> {
        let (opened, message) = Opened::of(&self.0, request).await?;
        respond(self.batch(&opened, message).await, &opened.request_id)
    }
}

impl Service {
    async fn batch(
        &self,
        opened: &Opened,
        message: pb::BatchIntrospectRequest,
    ) -> Result<pb::BatchIntrospectResponse, Error> {
        match message.requests.len() {
            0 => return Err(Error::field("requests", Field::Required)),
            1..=bounds::BATCH => {}
            _ => return Err(Error::field("requests", Field::TooMany)),
        }
        let mut results = Vec::with_capacity(message.requests.len());
        for message in message.requests {
            let answered = self.0.introspect(&opened.call.caller, question(message));
            let result = match answered.await {
                Ok(answered) => BatchResult::Response(answer(answered)),
                // The rest would fare alike, each after a wait of its own.
                Err(error @ Error::Unavailable(_)) => return Err(error),
                Err(error) => BatchResult::Status(status::message(&error, &opened.request_id)),
            };
            results.push(pb::BatchIntrospectResult {
                result: Some(result),
            });
        }
        Ok(pb::BatchIntrospectResponse { results })
    }
}

fn question(message: pb::IntrospectRequest) -> Introspect {
    let mut violations = Violations::default();
    Introspect {
        expected_kind: inward::kind("expected_kind", message.expected_kind, &mut violations),
        token: message.token,
        tenant_id: message.tenant_id,
        required_scopes: message.required_scopes,
        min_revision: message.min_revision,
        client_address: message.client_address,
        violations,
    }
}

fn answer(answer: Answer) -> pb::IntrospectResponse {
    let always = pb::IntrospectResponse {
        revision: answer.revision.to_string(),
        evaluate_time: Some(outward::timestamp(answer.evaluated_at)),
        ..Default::default()
    };
    let Active {
        token,
        scopes,
        missing,
    } = match answer.introspection {
        // Why is not said: unknown, malformed, expired, revoked, another tenant's
        // are one answer.
        Introspection::Inactive(_) => return always,
        Introspection::Active(active) => *active,
    };
    let (user_id, user_external_id, user_role) = match &token.owner {
        Some(owner) => (
            owner.user_id.to_string(),
            owner.external_id.clone(),
            owner.role.map(outward::role).unwrap_or_default(),
        ),
        None => Default::default(),
    };
    pb::IntrospectResponse {
        allowed: missing.is_empty(),
        active: true,
        token_id: token.token_id.to_string(),
        tenant_id: token.tenant_id.to_string(),
        user_id,
        user_external_id,
        user_role,
        kind: outward::kind(token.kind),
        scopes: scopes.to_strings(),
        missing_scopes: missing.to_strings(),
        create_time: Some(outward::timestamp(token.created_at)),
        expire_time: token.expires_at.map(outward::timestamp),
        name: token.name,
        agent_id: token.agent_id,
        labels: token.labels.into_iter().collect(),
        ..always
    }
}
