//! A collector on a loopback port, and what it was sent.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::{self as wire, status};
use token_authority::config::Telemetry;
use token_authority::telemetry::Export;
use tokio::sync::oneshot;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};

use super::logs::{Logs, Shared};

/// How often what is missing is asked for.
const TRIES: usize = 10_000;

/// A collector, on a runtime of its own: whoever waits for what is sent to it may keep
/// the test's from running.
pub(crate) struct Collector {
    pub(crate) address: SocketAddr,
    taken: Taken,
    stop: Option<oneshot::Sender<()>>,
}

/// What a collector was sent, and with which headers.
#[derive(Clone, Default)]
struct Taken(Arc<Mutex<Vec<(MetadataMap, ExportTraceServiceRequest)>>>);

/// A span, as a collector has it.
#[derive(Clone, Debug)]
pub(crate) struct Exported(pub(crate) wire::Span);

#[tonic::async_trait]
impl TraceService for Taken {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        taken.push((request.metadata().clone(), request.into_inner()));
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    /// Starts one.
    pub(crate) fn start() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let taken = Taken::default();
        let service = TraceServiceServer::new(taken.clone()).max_decoding_message_size(usize::MAX);
        let (stop, stopped) = oneshot::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
                let serving = tonic::transport::Server::builder()
                    .add_service(service)
                    .serve_with_incoming(incoming);
                tokio::select! {
                    served = serving => served.unwrap(),
                    _ = stopped => {}
                }
            });
        });
        Self {
            address,
            taken,
            stop: Some(stop),
        }
    }

    /// Returns the URL that it is reached by.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns what it was sent, all as text.
    pub(crate) fn text(&self) -> String {
        let taken = self.taken.0.lock().unwrap_or_else(PoisonError::into_inner);
        format!("{taken:?}")
    }

    /// Returns the headers that came with what it was sent last.
    pub(crate) fn headers(&self) -> Option<MetadataMap> {
        let taken = self.taken.0.lock().unwrap_or_else(PoisonError::into_inner);
        taken.last().map(|(headers, _)| headers.clone())
    }

    /// Returns the spans that it was sent, in the order in which they began.
    pub(crate) fn spans(&self) -> Vec<Exported> {
        let taken = self.taken.0.lock().unwrap_or_else(PoisonError::into_inner);
        let resources = taken.iter().flat_map(|(_, sent)| &sent.resource_spans);
        let scopes = resources.flat_map(|resource| &resource.scope_spans);
        let mut spans: Vec<_> = scopes.flat_map(|scope| &scope.spans).cloned().collect();
        spans.sort_by_key(|span| span.start_time_unix_nano);
        spans.into_iter().map(Exported).collect()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        drop(self.stop.take());
    }
}

impl Exported {
    /// Returns an attribute, as text.
    pub(crate) fn attribute(&self, key: &str) -> Option<String> {
        let kept = self.0.attributes.iter().find(|kept| kept.key == key)?;
        let value = kept.value.clone()?.value?;
        if let Value::IntValue(number) = value {
            return Some(number.to_string());
        }
        let Value::StringValue(text) = value else {
            panic!("{value:?}");
        };
        Some(text)
    }

    /// Returns the trace that it is of.
    pub(crate) fn trace_id(&self) -> String {
        hex(&self.0.trace_id)
    }

    /// Returns the span that it is below; empty for none.
    pub(crate) fn parent(&self) -> String {
        hex(&self.0.parent_span_id)
    }

    /// Returns whether it is a server's.
    pub(crate) fn is_server(&self) -> bool {
        self.0.kind == SpanKind::Server as i32
    }

    /// Returns whether it is told as an error.
    pub(crate) fn is_error(&self) -> bool {
        let code = self.0.status.as_ref().map(|status| status.code);
        code == Some(status::StatusCode::Error as i32)
    }
}

fn hex(bytes: &[u8]) -> String {
    let hex = |hex, byte: &u8| format!("{hex}{byte:02x}");
    bytes.iter().fold(String::new(), hex)
}

/// Returns the spans below one, as a tree of names.
pub(crate) fn tree(spans: &[Exported], root: &Exported) -> String {
    fn below(spans: &[Exported], of: &Exported, depth: usize, text: &mut String) {
        *text = format!("{text}{}{}\n", "  ".repeat(depth), of.0.name);
        for span in spans {
            if span.0.parent_span_id == of.0.span_id {
                below(spans, span, depth + 1, text);
            }
        }
    }
    let mut text = String::new();
    below(spans, root, 0, &mut text);
    text.truncate(text.trim_end().len());
    text
}

/// Traces of what this test's thread does, until dropped.
pub(crate) struct Traces {
    pub(crate) export: Export,
    _shared: Shared,
}

impl Traces {
    /// Has a collector sent what servers that are started from here on trace, in full
    /// unless `configure` says otherwise.
    pub(crate) fn to(url: &str, configure: impl FnOnce(&mut Telemetry)) -> Self {
        let mut settings = Telemetry {
            otlp_timeout_seconds: 1,
            // Nothing is lost for want of room.
            otlp_queue: 100_000,
            ..Telemetry::default()
        };
        configure(&mut settings);
        let export = Export::start(url, &settings).unwrap();
        let shared = Logs::share_with(export.layer());
        Self {
            export,
            _shared: shared,
        }
    }
    /// Returns what a collector was sent, once it is as wanted.
    pub(crate) async fn until(
        &self,
        collector: &Collector,
        wanted: impl Fn(&[Exported]) -> bool,
    ) -> Vec<Exported> {
        for _ in 0..TRIES {
            self.export.flush().await;
            let spans = collector.spans();
            if wanted(&spans) {
                assert_eq!(self.export.dropped(), 0);
                return spans;
            }
        }
        panic!("spans are missing: {}", collector.text());
    }
}
