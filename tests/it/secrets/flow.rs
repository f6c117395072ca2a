//! Calls, all that was heard in answer, and what is pasted where it does not belong.

use std::collections::BTreeSet;

use prost::Message;
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MapKey, MethodDescriptor,
    ReflectMessage as _, Value,
};
use token_authority::pb;
use tonic::Status;
use tonic_types::StatusExt as _;

use crate::support::{Actor, TestServer, gives_value};

/// All calls of a test.
pub(super) struct Flow {
    pool: DescriptorPool,
    /// The values that are pasted.
    pasted: Vec<String>,
    /// The methods that answered with OK.
    done: BTreeSet<String>,
    /// The reasons of what was refused.
    pub(super) refused: BTreeSet<String>,
    /// What was heard, and where.
    pub(super) heard: Vec<(String, Vec<u8>)>,
}

impl Flow {
    pub(super) fn new(t: &TestServer) -> Self {
        Self {
            pool: DescriptorPool::decode(pb::FILE_DESCRIPTOR_SET).unwrap(),
            pasted: vec![t.operator().value().to_owned()],
            done: BTreeSet::new(),
            refused: BTreeSet::new(),
            heard: Vec::new(),
        }
    }

    /// Has a value pasted, too, from here on.
    pub(super) fn paste(&mut self, value: &str) {
        self.pasted.push(value.to_owned());
    }

    /// Makes a call that succeeds, after the same call with a value pasted into each
    /// of its texts in turn.
    pub(super) async fn good(
        &mut self,
        actor: &Actor,
        method: &str,
        request: &impl Message,
    ) -> Vec<u8> {
        let input = self.method(method).input();
        let template = DynamicMessage::decode(input, &*request.encode_to_vec()).unwrap();
        for value in self.pasted.clone() {
            for altered in alter(&template, &value) {
                let _ = self.send(actor, method, altered.encode_to_vec()).await;
            }
        }
        self.as_it_is(actor, method, request).await
    }

    fn method(&self, path: &str) -> MethodDescriptor {
        let (service, name) = path.split_once('/').unwrap();
        let service = format!("tokenauthority.v1.{service}");
        let service = self.pool.get_service_by_name(&service).unwrap();
        let mut methods = service.methods();
        methods.find(|method| method.name() == name).unwrap()
    }

    /// Makes a call that succeeds, and no other: where a value that is pasted would do
    /// its work.
    pub(super) async fn as_it_is(
        &mut self,
        actor: &Actor,
        method: &str,
        request: &impl Message,
    ) -> Vec<u8> {
        let answer = self.send(actor, method, request.encode_to_vec()).await;
        let answer = answer.unwrap_or_else(|status| panic!("{method}: {status:?}"));
        self.done.insert(method.to_owned());
        answer
    }

    /// Makes a call that may be refused.
    pub(super) async fn any(&mut self, actor: &Actor, method: &str, request: &impl Message) {
        let _ = self.send(actor, method, request.encode_to_vec()).await;
    }

    async fn send(&mut self, actor: &Actor, method: &str, bytes: Vec<u8>) -> Result<Vec<u8>, ()> {
        let answer = actor
            .raw(&format!("/tokenauthority.v1.{method}"), bytes)
            .await;
        match answer {
            Ok(answer) if gives_value(method) => {
                let output = self.method(method).output();
                let mut given = DynamicMessage::decode(output, &*answer).unwrap();
                // The one place where it belongs.
                given.clear_field_by_name("value");
                self.heard.push((method.into(), given.encode_to_vec()));
                Ok(answer)
            }
            Ok(answer) => {
                self.heard.push((method.into(), answer.clone()));
                Ok(answer)
            }
            Err(status) => {
                self.hear_refusal(method, &status);
                Err(())
            }
        }
    }

    fn hear_refusal(&mut self, method: &str, status: &Status) {
        let what = format!("a refusal of {method}");
        self.heard.push((what.clone(), status.details().to_vec()));
        self.heard.push((what, format!("{status:?}").into_bytes()));
        let details = status.get_error_details();
        let reason = details.error_info().map(|info| info.reason.clone());
        self.refused.insert(reason.unwrap_or_default());
    }

    /// Shows values outside of messages: as the id of a call, in a header that nobody
    /// reads, as a method.
    pub(super) async fn elsewhere(&mut self, actor: &Actor) {
        for value in self.pasted.clone() {
            for header in [
                "x-request-id",
                "x-api-key",
                "origin",
                "traceparent",
                "tracestate",
            ] {
                let mut call = actor.call(pb::WhoAmIRequest {});
                if header == "tracestate" {
                    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
                    let metadata = call.metadata_mut();
                    metadata.insert("traceparent", parent.parse().unwrap());
                }
                let shown = match header {
                    "tracestate" => format!("a={value}").parse().unwrap(),
                    _ => value.parse().unwrap(),
                };
                call.metadata_mut().insert(header, shown);
                match actor.me().who_am_i(call).await {
                    Ok(answer) => {
                        let headers = format!("{:?}", answer.metadata());
                        self.heard.push((header.into(), headers.into_bytes()));
                    }
                    Err(status) => self.hear_refusal(header, &status),
                }
            }
            let method = format!("TokenService/{value}");
            let answer = self.send(actor, &method, Vec::new()).await;
            assert!(answer.is_err());
        }
    }

    /// Fails for an RPC that was never called well.
    pub(super) fn assert_complete(&self) {
        for service in self.pool.services() {
            for method in service.methods() {
                let name = format!("{}/{}", service.name(), method.name());
                assert!(
                    self.done.contains(&name),
                    "{name} is not among the flows: call it in tests/it/secrets.rs"
                );
            }
        }
    }
}

/// Returns the message with the text in each of its texts in turn.
fn alter(message: &DynamicMessage, text: &str) -> Vec<DynamicMessage> {
    let mut all = Vec::new();
    for field in message.descriptor().fields() {
        for value in altered(&field, &message.get_field(&field), text) {
            let mut message = message.clone();
            message.set_field(&field, value);
            all.push(message);
        }
    }
    all
}

/// Returns the values of a field with the text in each place in turn.
fn altered(field: &FieldDescriptor, value: &Value, text: &str) -> Vec<Value> {
    let string = || Value::String(text.to_owned());
    if field.is_map() {
        let map = value.as_map().unwrap();
        let with = |key: &str, value: Value| {
            let mut map = map.clone();
            map.insert(MapKey::String(key.to_owned()), value);
            Value::Map(map)
        };
        return vec![
            with("key", string()),
            with(text, Value::String("value".into())),
        ];
    }
    let one = |value: &Value| match (field.kind(), value) {
        (Kind::String, _) => vec![string()],
        (Kind::Message(_), Value::Message(message)) => alter(message, text)
            .into_iter()
            .map(Value::Message)
            .collect(),
        _ => Vec::new(),
    };
    if !field.is_list() {
        return one(value);
    }
    // In place of the first, or as the only one.
    let list = value.as_list().unwrap();
    let default = Value::default_value(&field.kind());
    one(list.first().unwrap_or(&default))
        .into_iter()
        .map(|first| {
            let rest = list.iter().skip(1).cloned();
            Value::List(std::iter::once(first).chain(rest).collect())
        })
        .collect()
}
