//! Spans in the words of OpenTelemetry's semantic conventions. Calls name theirs
//! shortly, as logs show them; this is done where spans are sent, and costs no call
//! anything.

use opentelemetry::trace::SpanKind;
use opentelemetry::{KeyValue, Value};
use opentelemetry_sdk::trace::SpanData;

/// Returns a span as the conventions want it.
pub(super) fn conventional(mut span: SpanData) -> SpanData {
    match span.name.as_ref() {
        "rpc" => rpc(&mut span),
        "authority" => {
            if let Some(name) = take(&mut span, "rpc") {
                span.name = format!("authority.{}", snake(&name)).into();
            }
        }
        "store" => {
            span.span_kind = SpanKind::Client;
            if let Some(statement) = take(&mut span, "statement") {
                let statement = statement.to_lowercase();
                span.name = format!("store.{statement}").into();
                span.attributes
                    .push(KeyValue::new("db.operation.name", statement));
            }
        }
        _ => {}
    }
    span
}

/// Names a call by its method, and splits that.
fn rpc(span: &mut SpanData) {
    span.span_kind = SpanKind::Server;
    span.attributes.push(KeyValue::new("rpc.system", "grpc"));
    // It stands in each span already.
    take(span, "trace_id");
    if let Some(name) = take(span, "rpc.method") {
        if let Some((service, method)) = name.split_once('/') {
            let service = service.to_owned();
            span.attributes.push(KeyValue::new("rpc.service", service));
            let method = method.to_owned();
            span.attributes.push(KeyValue::new("rpc.method", method));
        }
        span.name = name.into();
    }
}

/// Takes the text of an attribute away.
fn take(span: &mut SpanData, key: &str) -> Option<String> {
    let at = span
        .attributes
        .iter()
        .position(|kept| kept.key.as_str() == key)?;
    if let Value::String(text) = span.attributes.swap_remove(at).value {
        Some(text.into())
    } else {
        None
    }
}

/// Returns `CreateToken` as `create_token`.
fn snake(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 4);
    let mut after_lower = false;
    for c in name.chars() {
        if c.is_ascii_uppercase() && after_lower {
            snake.push('_');
        }
        after_lower = c.is_ascii_lowercase();
        snake.push(c.to_ascii_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn use_cases_are_named_as_their_functions() {
        for (name, expected) in [
            ("CreateToken", "create_token"),
            ("Introspect", "introspect"),
            ("RotateCurrentToken", "rotate_current_token"),
        ] {
            assert_eq!(snake(name), expected);
        }
    }
}
