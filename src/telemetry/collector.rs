//! A collector that takes traces over OTLP, as gRPC.

use std::path::Path;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
pub(super) use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema as Attributes;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::trace::SpanData;
use tonic::metadata::{MetadataKey, MetadataMap, MetadataValue};
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Status};

use super::conventions::conventional;
use crate::config;

/// What is wrong with how the collector is to be reached. It quotes neither the URL
/// nor a header: either may hold a password.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The URL is none that can be used.
    #[error(
        "telemetry.otlp_endpoint: must be http://HOST:PORT or https://HOST:PORT; secrets go \
         into telemetry.otlp_headers_file"
    )]
    Endpoint,
    /// The system's certificates can't be read.
    #[error("telemetry.otlp_endpoint: TLS can't be set up")]
    Tls(#[source] tonic::transport::Error),
    /// The file of headers can't be read.
    #[error("telemetry.otlp_headers_file: can't be read")]
    Unreadable(#[source] std::io::Error),
    /// A line of that file is no header.
    #[error("telemetry.otlp_headers_file: line {0} is not of the form name: value")]
    Header(usize),
}

/// A collector.
#[derive(Debug)]
pub(super) struct Collector<C = Channel> {
    to: C,
    headers: MetadataMap,
    patience: Duration,
}

/// Returns where a collector is; none where the URL is not good.
pub(crate) fn endpoint(url: &str) -> Option<Endpoint> {
    let uri: http::Uri = url.parse().ok()?;
    let known = matches!(uri.scheme_str(), Some("http" | "https"));
    let plain = uri.authority().is_some_and(|at| !at.as_str().contains('@'))
        && uri.query().is_none()
        && matches!(uri.path(), "" | "/");
    (known && plain).then(|| Endpoint::from(uri))
}

impl Collector<Endpoint> {
    /// Takes where a collector is, and the headers of what it is sent.
    pub(super) fn new(
        url: &str,
        headers: Option<&Path>,
        patience: Duration,
    ) -> Result<Self, Problem> {
        let mut to = endpoint(url).ok_or(Problem::Endpoint)?;
        if to.uri().scheme_str() == Some("https") {
            let tls = ClientTlsConfig::new().with_native_roots();
            to = to.tls_config(tls).map_err(Problem::Tls)?;
        }
        let headers = match headers {
            Some(path) => parse(&config::read_text(path).map_err(Problem::Unreadable)?)?,
            None => MetadataMap::new(),
        };
        Ok(Self {
            to: to.connect_timeout(patience).timeout(patience),
            headers,
            patience,
        })
    }

    /// Returns a connection, which is made when it is first needed.
    pub(super) fn connect(self) -> Collector {
        Collector {
            to: self.to.connect_lazy(),
            headers: self.headers,
            patience: self.patience,
        }
    }
}

impl Collector {
    /// Sends spans. What could not be sent is not kept: others are coming.
    pub(super) async fn send(
        &mut self,
        spans: Vec<SpanData>,
        resource: &Attributes,
    ) -> Result<(), Status> {
        let spans = spans.into_iter().map(conventional).collect();
        let mut request = Request::new(ExportTraceServiceRequest {
            resource_spans: group_spans_by_resource_and_scope(spans, resource),
        });
        *request.metadata_mut() = self.headers.clone();
        let mut client = TraceServiceClient::new(self.to.clone());
        let sent = tokio::time::timeout(self.patience, client.export(request)).await;
        sent.map_err(|_| Status::deadline_exceeded(""))?.map(drop)
    }
}

/// Parses lines of `name: value`; empty ones, and those that begin with `#`, say nothing.
fn parse(text: &str) -> Result<MetadataMap, Problem> {
    let mut headers = MetadataMap::new();
    for (number, line) in (1..).zip(text.lines().map(str::trim)) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let header = || {
            let (name, value) = line.split_once(':')?;
            let name = MetadataKey::from_bytes(name.trim().to_lowercase().as_bytes()).ok()?;
            let mut value = MetadataValue::try_from(value.trim()).ok()?;
            // Whoever logs headers does not show it.
            value.set_sensitive(true);
            Some((name, value))
        };
        let (name, value) = header().ok_or(Problem::Header(number))?;
        headers.insert(name, value);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_host_and_no_more() {
        for good in [
            "http://localhost:4317",
            "https://collector.example",
            "http://[::1]:4317/",
        ] {
            assert!(endpoint(good).is_some(), "{good}");
        }
        for bad in [
            "",
            "localhost:4317",
            "collector.example",
            "ftp://collector.example",
            "http://me:secret@collector.example",
            "http://collector.example/v1/traces",
            "http://collector.example?key=secret",
            "http://",
        ] {
            assert!(endpoint(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn headers_are_lines_and_are_not_shown() {
        let text = "# who we are\n\nAuthorization: Bearer a:b\r\nx-scope :  acme \n";
        let headers = parse(text).unwrap();
        assert_eq!(headers.get("authorization").unwrap(), "Bearer a:b");
        assert_eq!(headers.get("x-scope").unwrap(), "acme");
        assert!(!format!("{headers:?}").contains("Bearer"));
        for bad in ["x-scope", "good: yes\nb ad: secret", ": secret", "x: \u{1}"] {
            let problem = parse(bad).unwrap_err().to_string();
            assert!(problem.contains("line "), "{problem}");
            assert!(!problem.contains("secret"), "{problem}");
        }
    }
}
