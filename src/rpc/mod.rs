//! The only place that names tonic and the generated messages: turns what came
//! over the wire into a call of a use case, and its result into an answer. Knows
//! no SQL and decides nothing about tokens.

mod answer;
pub mod audit;
mod call;
pub mod caller;
pub(crate) mod chain;
pub mod convert;
pub mod error_table;
mod import;
pub mod incoming;
pub mod introspection;
pub mod invites;
pub mod layers;
mod limits;
mod names;
pub mod scopes;
pub mod self_service;
pub mod status;
pub mod tenants;
#[cfg(test)]
mod testing;
pub mod tokens;
pub mod users;

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tonic::server::NamedService;
use tonic::transport::Server;
use tonic::transport::server::Router;
use tonic_health::pb::FILE_DESCRIPTOR_SET as HEALTH_DESCRIPTOR_SET;
use tonic_health::pb::health_server::{Health, HealthServer};
use tower::layer::util::{Identity, Stack};

use self::caller::CallerLayer;
use self::layers::Layers;
use crate::authority::Authority;
use crate::authority::access::{Effect, Rpc};
use crate::domain::entropy::Entropy;
use crate::pb;
use crate::pb::audit_service_server::AuditServiceServer;
use crate::pb::introspection_service_server::IntrospectionServiceServer;
use crate::pb::invite_service_server::InviteServiceServer;
use crate::pb::scope_service_server::ScopeServiceServer;
use crate::pb::self_service_server::SelfServiceServer;
use crate::pb::tenant_service_server::TenantServiceServer;
use crate::pb::token_service_server::TokenServiceServer;
use crate::pb::user_service_server::UserServiceServer;

/// The names of the services, by which their health is asked for.
pub const SERVICES: [&str; 8] = [
    <IntrospectionServiceServer<introspection::Service> as NamedService>::NAME,
    <TokenServiceServer<tokens::Service> as NamedService>::NAME,
    <SelfServiceServer<self_service::Service> as NamedService>::NAME,
    <TenantServiceServer<tenants::Service> as NamedService>::NAME,
    <UserServiceServer<users::Service> as NamedService>::NAME,
    <ScopeServiceServer<scopes::Service> as NamedService>::NAME,
    <InviteServiceServer<invites::Service> as NamedService>::NAME,
    <AuditServiceServer<audit::Service> as NamedService>::NAME,
];

/// How often a silent connection is asked whether it lives, and how long it has to
/// answer: one whose peer vanished gives up its place.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(20));

/// What every call passes through: first the layers, then who calls.
pub type Layered = Stack<CallerLayer, Stack<Layers, Identity>>;

/// Returns a router over all services, health among them and reflection where it is
/// wanted. `cut` is cancelled when what is left of calls is cut.
pub fn router<H: Health>(
    authority: Arc<Authority>,
    entropy: Arc<dyn Entropy>,
    health: HealthServer<H>,
    reflection: bool,
    limits: Limits,
    calls: Arc<Calls>,
    cut: CancellationToken,
) -> Result<Router<Layered>, tonic_reflection::server::Error> {
    let introspection = introspection::Service(Arc::clone(&authority));
    let tokens = tokens::Service(Arc::clone(&authority));
    let own = self_service::Service(Arc::clone(&authority));
    let tenants = tenants::Service(Arc::clone(&authority));
    let users = users::Service(Arc::clone(&authority));
    let scopes = scopes::Service(Arc::clone(&authority));
    let invites = invites::Service(Arc::clone(&authority));
    let audit = audit::Service(Arc::clone(&authority));
    let message = limits.message_bytes;
    let router = Server::builder()
        .max_concurrent_streams(Some(limits.streams))
        .http2_max_header_list_size(Some(limits.metadata_bytes))
        .http2_keepalive_interval(Some(KEEPALIVE.0))
        .http2_keepalive_timeout(Some(KEEPALIVE.1))
        .layer(Layers::new(entropy, is_mutation, limits, calls, cut))
        .layer(CallerLayer::new(authority))
        .add_service(
            IntrospectionServiceServer::new(introspection)
                .max_decoding_message_size(limits.batch_message_bytes),
        )
        .add_service(
            TokenServiceServer::new(tokens).max_decoding_message_size(limits.batch_message_bytes),
        )
        .add_service(SelfServiceServer::new(own).max_decoding_message_size(message))
        .add_service(TenantServiceServer::new(tenants).max_decoding_message_size(message))
        .add_service(UserServiceServer::new(users).max_decoding_message_size(message))
        .add_service(ScopeServiceServer::new(scopes).max_decoding_message_size(message))
        .add_service(InviteServiceServer::new(invites).max_decoding_message_size(message))
        .add_service(AuditServiceServer::new(audit).max_decoding_message_size(message))
        .add_service(health);
    if !reflection {
        return Ok(router);
    }
    let reflected = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(pb::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(HEALTH_DESCRIPTOR_SET)
            // The details of errors, so that clients by reflection show them readably.
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
    };
    // grpcurl still asks for v1alpha.
    Ok(router
        .add_service(reflected().build_v1()?)
        .add_service(reflected().build_v1alpha()?))
}

/// Returns whether a call, by its path, changes anything.
fn is_mutation(path: &str) -> bool {
    Rpc::from_path(path).is_some_and(|rpc| rpc.effect() == Effect::Mutates)
}

pub use layers::{Calls, Deadline, Method, RequestId};
pub use limits::Limits;
