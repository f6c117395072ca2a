//! The protocol that clients were built against.

use prost_reflect::{Cardinality, DescriptorPool, FieldDescriptor, Kind};
use token_authority::pb;

const PUBLISHED: &str = include_str!("contract.txt");

/// Renders every service, message and enum of the package, a line for each member.
fn render() -> String {
    let pool = DescriptorPool::decode(pb::FILE_DESCRIPTOR_SET).unwrap();
    let mut lines = Vec::new();
    for service in pool.services() {
        for method in service.methods() {
            let stream = |streams| if streams { "stream " } else { "" };
            lines.push(format!(
                "rpc {}/{} ({}{}) returns ({}{})",
                service.full_name(),
                method.name(),
                stream(method.is_client_streaming()),
                method.input().full_name(),
                stream(method.is_server_streaming()),
                method.output().full_name(),
            ));
        }
    }
    for message in pool.all_messages() {
        // A map's entries are said with the map.
        if message.package_name() != "tokenauthority.v1" || message.is_map_entry() {
            continue;
        }
        lines.push(format!("message {}", message.full_name()));
        for field in message.fields() {
            let name = format!("{}.{}", message.full_name(), field.name());
            lines.push(format!(
                "field {name} = {} {}",
                field.number(),
                label(&field)
            ));
        }
    }
    for enumeration in pool.all_enums() {
        if enumeration.package_name() != "tokenauthority.v1" {
            continue;
        }
        for value in enumeration.values() {
            let name = format!("{}.{}", enumeration.full_name(), value.name());
            lines.push(format!("value {name} = {}", value.number()));
        }
    }
    lines.sort();
    lines.join("\n") + "\n"
}

/// Returns how a field is encoded.
fn label(field: &FieldDescriptor) -> String {
    if field.is_map() {
        let Kind::Message(entry) = field.kind() else {
            panic!("a map without entries");
        };
        let part = |field: FieldDescriptor| kind(&field);
        let (key, value) = (entry.map_entry_key_field(), entry.map_entry_value_field());
        return format!("map<{}, {}>", part(key), part(value));
    }
    let label = match field.cardinality() {
        Cardinality::Repeated => "repeated ",
        Cardinality::Required => "required ",
        Cardinality::Optional
            if field.supports_presence() && field.containing_oneof().is_none() =>
        {
            if matches!(field.kind(), Kind::Message(_)) {
                ""
            } else {
                "optional "
            }
        }
        Cardinality::Optional => "",
    };
    let oneof = field.containing_oneof();
    let oneof = oneof.map(|oneof| format!(" oneof {}", oneof.name()));
    format!("{label}{}{}", kind(field), oneof.unwrap_or_default())
}

fn kind(field: &FieldDescriptor) -> String {
    let kind = field.kind();
    if let Some(message) = kind.as_message() {
        message.full_name().to_owned()
    } else if let Some(enumeration) = kind.as_enum() {
        enumeration.full_name().to_owned()
    } else {
        format!("{kind:?}").to_lowercase()
    }
}

#[test]
fn nothing_published_is_removed_renumbered_or_retyped() {
    let rendered = render();
    let gone: Vec<&str> = PUBLISHED
        .lines()
        .filter(|line| !rendered.lines().any(|now| now == *line))
        .collect();
    assert!(
        gone.is_empty(),
        "clients rely on these lines of tests/it/contract.txt, and the protos no longer say \
         so. Put them back: a field that nobody needs is reserved, with its number:\n{}",
        gone.join("\n")
    );
    let new: Vec<&str> = rendered
        .lines()
        .filter(|line| !PUBLISHED.lines().any(|then| then == *line))
        .collect();
    assert!(
        new.is_empty(),
        "the protos say more than tests/it/contract.txt. Once published it stays: if it is as it \
         should be for years, add these lines there, in their order:\n{}",
        new.join("\n")
    );
    assert_eq!(rendered, PUBLISHED, "tests/it/contract.txt is out of order");
}
