//! The only place that names tonic and the generated messages: turns what came
//! over the wire into a call of a use case, and its result into an answer. Knows
//! no SQL and decides nothing about tokens.

mod answer;
pub mod audit;
mod call;
pub mod caller;
pub(crate) mod chain;
pub mod convert;
pub mod cores;
pub mod error_table;
pub mod handshake;
mod import;
pub mod incoming;
pub mod introspection;
pub mod invites;
pub mod layers;
mod limits;
mod names;
mod recall;
pub mod scopes;
mod seldom;
pub mod self_service;
pub mod serving;
pub mod status;
pub mod tenants;
#[cfg(test)]
mod testing;
pub mod tokens;
pub mod users;

use std::sync::Arc;

use tonic::server::NamedService;
use tonic::service::Routes;
use tonic_health::pb::FILE_DESCRIPTOR_SET as HEALTH_DESCRIPTOR_SET;
use tonic_health::pb::health_server::{Health, HealthServer};
use tower::Layer as _;

use self::caller::{CallerLayer, CallerService};
use self::layers::{Layered, Layers};
use crate::authority::Authority;
use crate::authority::access::{Effect, Rpc};
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

/// All services, and what every call passes through on its way to them: first the layers,
/// then who calls.
pub type Services = Layered<CallerService<Routes>>;

/// Returns all services, health among them and reflection where it is wanted, within
/// these layers.
pub fn services<H: Health>(
    authority: Arc<Authority>,
    layers: &Layers,
    health: HealthServer<H>,
    reflection: bool,
    limits: Limits,
) -> Result<Services, tonic_reflection::server::Error> {
    let introspection = introspection::Service(Arc::clone(&authority));
    let tokens = tokens::Service(Arc::clone(&authority));
    let own = self_service::Service(Arc::clone(&authority));
    let tenants = tenants::Service(Arc::clone(&authority));
    let users = users::Service(Arc::clone(&authority));
    let scopes = scopes::Service(Arc::clone(&authority));
    let invites = invites::Service(Arc::clone(&authority));
    let audit = audit::Service(Arc::clone(&authority));
    let message = limits.message_bytes;
    let mut routes = Routes::new(
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
    if reflection {
        let reflected = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(pb::FILE_DESCRIPTOR_SET)
                .register_encoded_file_descriptor_set(HEALTH_DESCRIPTOR_SET)
                // The details of errors, so that clients by reflection show them readably.
                .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
        };
        // grpcurl still asks for v1alpha.
        routes = routes
            .add_service(reflected().build_v1()?)
            .add_service(reflected().build_v1alpha()?);
    }
    let called = CallerLayer::new(authority).layer(routes.prepare());
    Ok(layers.layer(called))
}

/// Returns whether a call, by its path, changes anything.
pub fn is_mutation(path: &str) -> bool {
    Rpc::from_path(path).is_some_and(|rpc| rpc.effect() == Effect::Mutates)
}

pub use cores::Layout;
pub use layers::{Calls, Deadline, Method, RequestId};
pub use limits::Limits;
