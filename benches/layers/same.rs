//! What is asked and answered here, by whichever way.

use std::convert::Infallible;
use std::task::{Context, Poll};

use http::{Request, Response, StatusCode};
use prost::Message as _;
use prost::bytes::BytesMut;
use token_authority::authority::identities::Certified;
use token_authority::domain::identity::Refusal;
use token_authority::domain::peer::Peer;
use token_authority::pb;
use token_authority::pb::introspection_service_server::IntrospectionService;
use token_authority::rpc::layers::{Asked, Fetching, Recall};
use tonic::body::Body;
use tonic::{Status, async_trait};

/// A service that answers the same to everybody.
#[derive(Clone)]
pub(crate) struct Same(pub(crate) pb::IntrospectResponse);

#[async_trait]
impl IntrospectionService for Same {
    async fn introspect(
        &self,
        _: tonic::Request<pb::IntrospectRequest>,
    ) -> Result<tonic::Response<pb::IntrospectResponse>, Status> {
        Ok(tonic::Response::new(self.0.clone()))
    }

    async fn batch_introspect(
        &self,
        _: tonic::Request<pb::BatchIntrospectRequest>,
    ) -> Result<tonic::Response<pb::BatchIntrospectResponse>, Status> {
        Err(Status::unimplemented(""))
    }
}

/// Memory that reads the question as it is read, and answers the same to everybody.
#[derive(Clone)]
pub(crate) struct Known(pub(crate) pb::IntrospectResponse);

impl Recall for Known {
    fn certify(&self, _: &Peer) -> Certified {
        Certified::from(Refusal::Unknown)
    }

    fn recall(&self, asked: &Asked<'_>, answer: &mut BytesMut) -> Option<()> {
        pb::IntrospectRequest::decode(asked.message.clone()).ok()?;
        self.0.encode(answer).ok()
    }

    fn fetch(&self, _: &Asked<'_>) -> Option<Fetching> {
        None
    }
}

/// Nothing goes the long way.
#[derive(Clone)]
pub(crate) struct Nobody;

impl tower::Service<Request<Body>> for Nobody {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_IMPLEMENTED;
        std::future::ready(Ok(response))
    }
}

/// Returns a question as products ask.
pub(crate) fn question() -> pb::IntrospectRequest {
    pb::IntrospectRequest {
        token: "ody_0123456789AB0123456789012345678901234567890123456789012012abcd".into(),
        tenant_id: "odysseus".into(),
        required_scopes: vec!["agents:read".into()],
        ..Default::default()
    }
}

/// Returns its answer.
pub(crate) fn answer() -> pb::IntrospectResponse {
    let time = Some(prost_types::Timestamp {
        seconds: 1_700_000_000,
        nanos: 0,
    });
    pb::IntrospectResponse {
        allowed: true,
        active: true,
        token_id: "tok_0123456789012345678901".into(),
        tenant_id: "odysseus".into(),
        user_id: "usr_0123456789012345678901".into(),
        user_external_id: "alice@example.com".into(),
        user_role: 1,
        kind: 1,
        name: "laptop".into(),
        scopes: vec!["agents:read".into(), "agents:write".into()],
        create_time: time,
        expire_time: time,
        revision: "0123456789012345678901.123456".into(),
        evaluate_time: time,
        ..Default::default()
    }
}
