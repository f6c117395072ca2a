//! Calls, their connections, and whether they are served.

use crate::metrics::{Label, Metric, Values};
use crate::rpc::handshake::Failure;
use crate::rpc::{Calls, Method};
use crate::tally::Closed;
use crate::tls::Reload;

const RPC: Label = super::label::<Method>("rpc");
const CODE: Label = Label {
    name: "code",
    values: Values::Closed(|| Calls::codes().map(str::to_owned).collect()),
};

pub(super) const ROWS: &[Metric] = &[
    Metric::counter(
        "token_authority_requests",
        "Calls that ended, by the gRPC code of their answer; CANCELLED where the caller went away before it",
        &[RPC, CODE],
        |sources, samples| {
            for (method, code, ended) in sources.calls.all_ended() {
                samples.labelled(&[method.name(), code], ended);
            }
        },
    ),
    Metric::histogram(
        "token_authority_request_duration_seconds",
        "How long calls took, from when their headers had come until their answer began",
        &[RPC],
        |sources, samples| samples.each(|method| sources.calls.took(method)),
    ),
    Metric::gauge(
        "token_authority_requests_in_flight",
        "Calls that have begun and not ended",
        &[RPC],
        |sources, samples| samples.each(|method| sources.calls.running(method)),
    ),
    Metric::gauge(
        "token_authority_connections",
        "Connections that are open on the gRPC port",
        &[],
        |sources, samples| samples.one(sources.connections.open()),
    ),
    Metric::counter(
        "token_authority_connections_taken",
        "Connections that were taken on the gRPC port",
        &[],
        |sources, samples| samples.one(sources.connections.taken.get()),
    ),
    Metric::counter(
        "token_authority_connections_refused",
        "Connections that were closed at once on the gRPC port, because as many were open as may be",
        &[],
        |sources, samples| samples.one(sources.connections.refused.get()),
    ),
    Metric::counter(
        "token_authority_tls_handshakes_failed",
        "Connections that TLS did not come about on, by why",
        &[super::label::<Failure>("reason")],
        |sources, samples| samples.each(|reason| sources.connections.handshakes_failed.get(reason)),
    ),
    Metric::counter(
        "token_authority_tls_reloads",
        "Times that the files of TLS were found changed, by whether they could be used; those that can't count again each time that they are read",
        &[super::label::<Reload>("outcome")],
        |sources, samples| samples.each(|outcome| sources.certificates.reloads.get(outcome)),
    ),
    Metric::gauge(
        "token_authority_tls_certificate_expiry_timestamp_seconds",
        "When the server's certificate in use ends, in seconds since the Unix epoch; nothing without TLS",
        &[],
        |sources, samples| {
            if let Some(expires_at) = sources.certificates.expires_at() {
                samples.one(expires_at.parts().0);
            }
        },
    ),
    Metric::gauge(
        "token_authority_ready",
        "1 while calls are served, as gRPC's health service and /readyz tell it, else 0",
        &[],
        |sources, samples| samples.one(sources.readiness.is_ready()),
    ),
];
