//! The trace that a call is part of: the caller's, as W3C's Trace Context (level 1)
//! has it in `traceparent` and `tracestate`, or one of its own where traces are
//! exported.

use std::fmt;

use http::{HeaderMap, HeaderName};
use opentelemetry::Context;
use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId as Id, TraceState,
};
use tracing::field;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::call_span::{CallSpan, Sampling};
use crate::domain::value;

const PARENT: HeaderName = HeaderName::from_static("traceparent");
const STATE: HeaderName = HeaderName::from_static("tracestate");
/// The characters of `tracestate` that are taken, the least that the specification
/// asks for.
const STATE_CHARS: usize = 512;

/// The id of the trace that a call is part of, written as 32 lower-case hexadecimal
/// digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceId(Id);

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What is known of a call's trace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Trace {
    /// Its id; none where nobody traces the call.
    pub(super) id: Option<TraceId>,
    /// Whether the call's span is exported.
    pub(super) exported: bool,
}

impl Trace {
    /// Begins what is told of a call, given the id of the trace of which its caller says
    /// that it is part. A span that it has already is put under the caller's.
    pub(super) fn begin(
        headers: &HeaderMap,
        tell: impl FnOnce(Option<Id>) -> CallSpan,
    ) -> (CallSpan, Self) {
        let given = parent(headers);
        let given_id = given.as_ref().map(SpanContext::trace_id);
        let call = tell(given_id);
        if !call.is_made() {
            let id = given_id.map(TraceId);
            let exported = false;
            return (call, Self { id, exported });
        }
        let span = call.get();
        if let Some(given) = given {
            // Without an exporter there is nobody who would be told.
            let _ = span.set_parent(Context::new().with_remote_span_context(given));
        }
        let context = call.as_decided(|| span.context());
        let own = context.span().span_context().clone();
        let own_id = own.is_valid().then(|| own.trace_id());
        if let (None, Some(id)) = (given_id, own_id) {
            span.record("trace_id", field::display(id));
        }
        let trace = Self {
            id: own_id.or(given_id).map(TraceId),
            exported: own.is_sampled(),
        };
        (call, trace)
    }
}

/// Returns whether a call is traced: as its caller says, else by chance.
pub(super) fn is_sampled(headers: &HeaderMap, sampling: &Sampling) -> bool {
    match parent(headers) {
        Some(parent) => parent.is_sampled(),
        None => (sampling.draw)(),
    }
}

/// Returns the caller's span. What is malformed is as if it were not there, as the
/// specification wants it.
fn parent(headers: &HeaderMap) -> Option<SpanContext> {
    let mut given = headers.get_all(PARENT).iter();
    let (only, None) = (given.next()?, given.next()) else {
        return None;
    };
    let (trace_id, span_id, flags) = parse(only.to_str().ok()?)?;
    let parent = SpanContext::new(trace_id, span_id, flags, true, state(headers));
    parent.is_valid().then_some(parent)
}

/// Parses `version-trace-parent-flags`. A version that we don't know may have more.
fn parse(text: &str) -> Option<(Id, SpanId, TraceFlags)> {
    let mut parts = text.split('-');
    let version = hex(parts.next()?, 2)?;
    let trace_id = hex(parts.next()?, 32)?;
    let span_id = hex(parts.next()?, 16)?;
    let flags = u8::from_str_radix(hex(parts.next()?, 2)?, 16).ok()?;
    if version == "ff" || (version == "00" && parts.next().is_some()) {
        return None;
    }
    let flags = TraceFlags::new(flags) & TraceFlags::SAMPLED;
    Some((
        Id::from_hex(trace_id).ok()?,
        SpanId::from_hex(span_id).ok()?,
        flags,
    ))
}

/// Returns a text that is so many lower-case hexadecimal digits.
fn hex(text: &str, digits: usize) -> Option<&str> {
    let good = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    (text.len() == digits && text.bytes().all(good)).then_some(text)
}

/// Returns what the caller's tracing system wants to be told. It is exported as it
/// is, so a value that went astray there is not taken.
fn state(headers: &HeaderMap) -> TraceState {
    let texts: Result<Vec<&str>, _> = headers
        .get_all(STATE)
        .iter()
        .map(http::HeaderValue::to_str)
        .collect();
    let text = texts.unwrap_or_default().join(",");
    if text.len() > STATE_CHARS || value::stands_in(&text) {
        return TraceState::NONE;
    }
    text.parse().unwrap_or(TraceState::NONE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::value::TokenValue;
    use crate::rpc::testing::Always;
    use http::HeaderValue;
    use proptest::prelude::*;

    const ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    fn of(headers: &[(HeaderName, &str)]) -> Option<SpanContext> {
        let header = |(name, text): &(HeaderName, &str)| {
            (name.clone(), HeaderValue::from_str(text).unwrap())
        };
        parent(&headers.iter().map(header).collect())
    }

    #[test]
    fn a_callers_span_is_known_by_its_ids_and_whether_it_is_sampled() {
        for (flags, sampled) in [("01", true), ("00", false), ("03", true), ("02", false)] {
            let text = format!("00-{ID}-{SPAN}-{flags}");
            let parent = of(&[(PARENT, &text)]).unwrap();
            assert_eq!(parent.trace_id().to_string(), ID);
            assert_eq!(parent.span_id().to_string(), SPAN);
            assert_eq!(parent.is_sampled(), sampled, "{flags}");
            assert!(parent.is_remote());
        }
        let later = format!("cc-{ID}-{SPAN}-01-what-comes");
        assert!(of(&[(PARENT, &later)]).is_some());
    }

    #[test]
    fn what_is_malformed_is_as_if_it_were_not_there() {
        let good = format!("00-{ID}-{SPAN}-01");
        for bad in [
            "",
            "00",
            ID,
            &format!("00-{ID}"),
            &format!("00-{ID}-{SPAN}"),
            &format!("00-{ID}-{SPAN}-1"),
            &format!("00-{ID}-{SPAN}-01-"),
            &format!("ff-{ID}-{SPAN}-01"),
            &format!("00-{}-{SPAN}-01", ID.to_uppercase()),
            &format!("00-{}-{SPAN}-01", "0".repeat(32)),
            &format!("00-{ID}-{}-01", "0".repeat(16)),
            &format!("00-{ID}0-{SPAN}-01"),
        ] {
            assert_eq!(of(&[(PARENT, bad)]), None, "{bad}");
        }
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[(PARENT, &good), (PARENT, &good)]), None);
    }

    #[test]
    fn a_state_comes_along_unless_it_is_malformed_or_holds_a_value() {
        let good = format!("00-{ID}-{SPAN}-01");
        let state = |text: &str| {
            let parent = of(&[(PARENT, &good), (STATE, text)]).unwrap();
            parent.trace_state().header()
        };
        assert_eq!(state("a=1,b@c=2"), "a=1,b@c=2");
        let value = TokenValue::mint("a_".parse().unwrap(), &Always(1)).unwrap();
        let value = value.expose();
        for bad in [
            "a",
            &format!("a={value}"),
            &format!("a={}", "x".repeat(600)),
        ] {
            assert_eq!(state(bad), "", "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_without_a_panic(text in "\\PC{0,70}") {
            let _ = parse(&text);
        }
    }
}
