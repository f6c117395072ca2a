//! The service that does nothing: it answers Introspect with one fixed answer, without a
//! layer, a caller or a lookup. What a server is held to.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;

use prost::Message as _;
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::{TcpListenerStream, UnboundedReceiverStream};
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use crate::app::BoxError;
use crate::pb;
use crate::pb::introspection_service_server::{IntrospectionService, IntrospectionServiceServer};

/// How the threads that serve are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Layout {
    /// A runtime for each core.
    PerCore,
    /// One for all.
    Shared,
}

/// What the service that does nothing is started with.
#[derive(Clone, Debug)]
pub struct Noop {
    /// How its threads are laid out.
    pub layout: Layout,
    /// How many there are.
    pub cores: usize,
    /// The file that holds its answer, encoded.
    pub answer: PathBuf,
}

#[derive(Debug)]
struct Service(Arc<pb::IntrospectResponse>);

#[tonic::async_trait]
impl IntrospectionService for Service {
    async fn introspect(
        &self,
        _request: Request<pb::IntrospectRequest>,
    ) -> Result<Response<pb::IntrospectResponse>, Status> {
        Ok(Response::new((*self.0).clone()))
    }

    async fn batch_introspect(
        &self,
        _request: Request<pb::BatchIntrospectRequest>,
    ) -> Result<Response<pb::BatchIntrospectResponse>, Status> {
        Err(Status::unimplemented("it does nothing"))
    }
}

impl Noop {
    /// Serves on a free port of the loopback until the process ends; `tell` gets where.
    pub fn serve(
        &self,
        tell: impl FnOnce(SocketAddr) -> std::io::Result<()>,
    ) -> Result<(), BoxError> {
        let answer = pb::IntrospectResponse::decode(&*std::fs::read(&self.answer)?)?;
        let answer = Arc::new(answer);
        let listener = TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        tell(listener.local_addr()?)?;
        match self.layout {
            Layout::Shared => shared(self.cores, listener, answer),
            Layout::PerCore => per_core(self.cores, listener, &answer),
        }
    }
}

/// Serves on one runtime.
fn shared(
    cores: usize,
    listener: TcpListener,
    answer: Arc<pb::IntrospectResponse>,
) -> Result<(), BoxError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let incoming = TcpListenerStream::new(listener).map(|stream| {
            let stream = stream?;
            stream.set_nodelay(true)?;
            Ok::<_, std::io::Error>(stream)
        });
        let service = IntrospectionServiceServer::new(Service(answer));
        let server = Server::builder().add_service(service);
        Ok(server.serve_with_incoming(incoming).await?)
    })
}

/// Serves on a runtime for each core, each with as many connections as the others.
fn per_core(
    cores: usize,
    listener: TcpListener,
    answer: &Arc<pb::IntrospectResponse>,
) -> Result<(), BoxError> {
    let mut threads = Vec::new();
    for core in 0..cores.max(1) {
        let (sender, receiver) = unbounded_channel();
        let answer = Arc::clone(answer);
        std::thread::Builder::new()
            .name(format!("noop-{core}"))
            .spawn(move || serve_core(receiver, answer))?;
        threads.push(sender);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(hand_out(listener, &threads))
}

/// Takes connections and gives them to the threads in turn.
async fn hand_out(
    listener: TcpListener,
    threads: &[UnboundedSender<std::net::TcpStream>],
) -> Result<(), BoxError> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    for thread in threads.iter().cycle() {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        thread.send(stream.into_std()?)?;
    }
    Ok(())
}

/// Serves the connections that one thread is given.
fn serve_core(
    connections: UnboundedReceiver<std::net::TcpStream>,
    answer: Arc<pb::IntrospectResponse>,
) -> Result<(), BoxError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let incoming = UnboundedReceiverStream::new(connections).map(TcpStream::from_std);
        let service = IntrospectionServiceServer::new(Service(answer));
        let server = Server::builder().add_service(service);
        Ok(server.serve_with_incoming(incoming).await?)
    })
}
