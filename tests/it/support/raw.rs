//! Calls of any RPC, by its path, with messages made from the descriptor.

use bytes::{Buf, BufMut};
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor, Value};
use token_authority::pb;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Response, Status};

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
) -> Result<Response<Vec<u8>>, Status> {
    let mut message = DynamicMessage::new(method.input());
    for (name, value) in fields {
        message.set_field_by_name(name, value.clone());
    }
    let mut grpc = tonic::client::Grpc::new(actor.channel());
    grpc.ready().await.unwrap();
    let request = actor.call(message.encode_to_vec());
    let path = path(method).parse().unwrap();
    grpc.unary(request, path, Bytes).await
}

/// Messages as their bytes.
#[derive(Default)]
struct Bytes;

impl Codec for Bytes {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let mut bytes = vec![0; buffer.remaining()];
        buffer.copy_to_slice(&mut bytes);
        Ok(Some(bytes))
    }
}
