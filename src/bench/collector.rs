//! A collector of traces that takes what it is sent and keeps none of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use tokio::runtime::Runtime;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use crate::app::BoxError;

/// A collector, and how many spans it was sent.
#[derive(Debug)]
pub(super) struct Collector {
    /// Where it is.
    pub(super) address: SocketAddr,
    /// How many spans it was sent.
    pub(super) spans: Arc<AtomicU64>,
}

#[derive(Debug)]
struct Service(Arc<AtomicU64>);

#[tonic::async_trait]
impl TraceService for Service {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let of_resources = request.get_ref().resource_spans.iter();
        let spans = of_resources.flat_map(|of| of.scope_spans.iter().map(|of| of.spans.len()));
        self.0
            .fetch_add(spans.sum::<usize>() as u64, Ordering::Relaxed);
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    /// Starts one, which lasts as long as the runtime does.
    pub(super) fn start(runtime: &Runtime) -> Result<Self, BoxError> {
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))?;
        let address = listener.local_addr()?;
        let spans = Arc::<AtomicU64>::default();
        let service = TraceServiceServer::new(Service(Arc::clone(&spans)));
        let server = Server::builder().add_service(service);
        // It ends with the runtime, whatever comes of it.
        runtime.spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        Ok(Self { address, spans })
    }
}
