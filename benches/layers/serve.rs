//! Serves over the network what is measured there by a client of another process: the
//! same answer by each way, in each layout.

use std::error::Error;
use std::sync::Arc;

use token_authority::domain::entropy::OsEntropy;
use token_authority::pb::introspection_service_server::IntrospectionServiceServer;
use token_authority::rpc::cores::{Cores, Layout};
use token_authority::rpc::incoming::incoming;
use token_authority::rpc::layers::Layers;
use token_authority::rpc::{Limits, serving};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_stream::wrappers::{TcpListenerStream, UnboundedReceiverStream};
use tokio_stream::{Stream, StreamExt as _};
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tower::Layer as _;

use crate::same::{Known, Nobody, Same, answer};

/// Serves until the process is killed.
pub(crate) fn serve(way: &str, layout: &str, port: u16) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let layout = match layout {
        "shared" => Layout::Shared,
        threads => Layout::PerCore(threads.parse()?),
    };
    runtime.block_on(async {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        match way {
            "bare" => bare(listener, layout).await,
            _ => at_once(listener, layout).await,
        }
    })
}

/// Serves by tonic's own server, without a layer of ours.
async fn bare(listener: TcpListener, layout: Layout) -> Result<(), Box<dyn Error>> {
    let mut cores = Cores::start(layout, |mut given| async move {
        let (sender, receiver) = mpsc::unbounded_channel();
        let taking = async move {
            while let Some((stream, _load)) = given.recv().await {
                let stream: std::net::TcpStream = stream;
                if sender.send(TcpStream::from_std(stream)).is_err() {
                    return;
                }
            }
        };
        let incoming = UnboundedReceiverStream::new(receiver);
        tokio::join!(taking, tonic(incoming));
    })?;
    let mut listener = TcpListenerStream::new(listener);
    while let Some(stream) = listener.next().await {
        let stream = stream?;
        stream.set_nodelay(true)?;
        cores.give(stream.into_std()?);
    }
    Ok(())
}

async fn tonic(incoming: impl Stream<Item = std::io::Result<TcpStream>>) {
    let service = IntrospectionServiceServer::new(Same(answer()));
    let server = Server::builder().add_service(service);
    let _ = server.serve_with_incoming(incoming).await;
}

/// Serves as the program does, from what is always known.
async fn at_once(listener: TcpListener, layout: Layout) -> Result<(), Box<dyn Error>> {
    let limits = Limits::default();
    let cut = CancellationToken::new();
    let entropy = Arc::new(OsEntropy);
    let layers = Layers::new(entropy, |_| false, limits, Arc::default(), cut.clone());
    let services = layers.layer(Nobody);
    let cores = Cores::start(layout, move |given| {
        let known = Known(answer());
        serving::connections(given, services.clone(), known, limits, cut.clone())
    })?;
    let most = limits.connections;
    let incoming = incoming(listener, most, Arc::default(), CancellationToken::new());
    serving::serve(incoming, cores).await;
    Ok(())
}
