//! Calls of any RPC, by its path, with messages made from the descriptor.

use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor, Value};
use token_authority::pb;
use tonic::Status;

use super::Actor;

/// Returns every RPC of the package, as compiled.
pub(crate) fn methods() -> Vec<MethodDescriptor> {
    let pool = DescriptorPool::decode(pb::FILE_DESCRIPTOR_SET).unwrap();
    let services: Vec<_> = pool
        .services()
        .filter(|service| service.package_name() == "tokenauthority.v1")
        .collect();
    services
        .iter()
        .flat_map(prost_reflect::ServiceDescriptor::methods)
        .collect()
}

/// Returns the path that a method is called by.
pub(crate) fn path(method: &MethodDescriptor) -> String {
    format!("/{}/{}", method.parent_service().full_name(), method.name())
}

/// Calls a method with these of its request's fields set: a text, or a number for an
/// enum.
pub(crate) async fn call(
    actor: &Actor,
    method: &MethodDescriptor,
    fields: &[(&str, Value)],
) -> Result<Vec<u8>, Status> {
    let mut message = DynamicMessage::new(method.input());
    for (name, value) in fields {
        message.set_field_by_name(name, value.clone());
    }
    actor.raw(&path(method), message.encode_to_vec()).await
}
