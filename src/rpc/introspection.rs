//! `IntrospectionService`.

use std::sync::Arc;

use tonic::{Code, Request, Response, Status};
use tracing::Instrument as _;

use super::call::{Opened, answer as respond, span};
use super::convert::{inward, outward};
use super::layers::PartlyFailed;
use super::status::message as told;
use crate::authority::introspect::{Active, Answer, Introspect};
use crate::authority::{Authority, Error};
use crate::domain::bounds;
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
        let answered = self
            .0
            .introspect(&opened.call.caller, question(&message), answer);
        let answered = answered.instrument(span(opened.call.rpc)).await;
        respond(answered, &opened.request_id)
    }

    async fn batch_introspect(
        &self,
        request: Request<pb::BatchIntrospectRequest>,
    ) -> Result<Response<pb::BatchIntrospectResponse>, Status> {
        let (opened, message) = Opened::of(&self.0, request).await?;
        let answered = self.batch(&opened, message);
        let answered = answered.instrument(span(opened.call.rpc)).await;
        let (answered, failed) = match answered {
            Ok((answered, failed)) => (Ok(answered), failed),
            Err(error) => (Err(error), None),
        };
        let mut response = respond(answered, &opened.request_id)?;
        if let Some(failed) = failed {
            response.extensions_mut().insert(failed);
        }
        Ok(response)
    }
}

impl Service {
    /// Answers each question of a batch, and says which could not be.
    async fn batch(
        &self,
        opened: &Opened,
        message: pb::BatchIntrospectRequest,
    ) -> Result<(pb::BatchIntrospectResponse, Option<PartlyFailed>), Error> {
        match message.requests.len() {
            0 => return Err(Error::field("requests", Field::Required)),
            1..=bounds::BATCH => {}
            _ => return Err(Error::field("requests", Field::TooMany)),
        }
        self.0.counters().batches.observe(message.requests.len());
        let mut results = Vec::with_capacity(message.requests.len());
        let mut failed = None;
        for message in &message.requests {
            let caller = &opened.call.caller;
            let answered = self.0.introspect(caller, question(message), answer);
            let result = match answered.await {
                Ok(answered) => BatchResult::Response(answered),
                // The rest would fare alike, each after a wait of its own.
                Err(error @ Error::Unavailable(_)) => return Err(error),
                Err(error) => {
                    let (message, failure) = told(&error, &opened.request_id);
                    PartlyFailed::add(&mut failed, Code::from_i32(message.code), failure);
                    BatchResult::Status(message)
                }
            };
            results.push(pb::BatchIntrospectResult {
                result: Some(result),
            });
        }
        Ok((pb::BatchIntrospectResponse { results }, failed))
    }
}

pub(super) fn question(message: &pb::IntrospectRequest) -> Introspect<'_> {
    let mut violations = Violations::default();
    Introspect {
        expected_kind: inward::kind("expected_kind", message.expected_kind, &mut violations),
        token: &message.token,
        tenant_id: &message.tenant_id,
        required_scopes: &message.required_scopes,
        min_revision: &message.min_revision,
        client_address: &message.client_address,
        violations,
    }
}

fn answer(answer: &Answer<'_>) -> pb::IntrospectResponse {
    let always = pb::IntrospectResponse {
        revision: format!("{}.{}", answer.incarnation, answer.number.0),
        evaluate_time: Some(outward::timestamp(answer.evaluated_at)),
        ..Default::default()
    };
    // Why is not said: unknown, malformed, expired, revoked, another tenant's are one answer.
    let Some(Active { kept, missing }) = &answer.active else {
        return always;
    };
    let owner = kept.owner.as_ref();
    let (name, agent_id, labels) = kept.texts();
    let labels = labels.map(|(k, v)| (k.to_owned(), v.to_owned()));
    pb::IntrospectResponse {
        allowed: missing.is_empty(),
        active: true,
        token_id: kept.token_id.to_string(),
        tenant_id: kept.tenant_id().to_string(),
        user_id: owner
            .map(|o| o.user_id_text().to_owned())
            .unwrap_or_default(),
        user_external_id: owner.map(|o| o.external_id.to_string()).unwrap_or_default(),
        user_role: kept.role().map(outward::role).unwrap_or_default(),
        kind: outward::kind(kept.kind),
        scopes: kept.grant.effective.to_strings(),
        missing_scopes: missing.iter().map(|&name| name.to_owned()).collect(),
        create_time: Some(outward::timestamp(kept.created_at)),
        expire_time: kept.expires_at().map(outward::timestamp),
        name: name.to_owned(),
        agent_id: agent_id.to_owned(),
        labels: labels.collect(),
        ..always
    }
}
