//! Connections whose client certificate was verified: what a listener makes of one, given the
//! names of a certificate, without the TLS around it.

use std::sync::Arc;

use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use token_authority::authority::identities::Certified;
use token_authority::domain::peer::Peer;
use token_authority::domain::time::Timestamp;
use token_authority::health::Readiness;
use token_authority::rpc;
use token_authority::rpc::layers::Layers;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use super::{Actor, SeededEntropy, TestServer};

impl TestServer {
    /// Returns who connects with a certificate of this SPIFFE ID, and gives no credential.
    pub(crate) async fn spiffe(&self, id: &str) -> Actor {
        self.certified(&[id], &[]).await
    }

    /// Returns who connects with a certificate of this DNS name, and gives no credential.
    pub(crate) async fn dns(&self, name: &str) -> Actor {
        self.certified(&[], &[name]).await
    }

    /// Returns who connects with a certificate of these names, and gives no credential.
    pub(crate) async fn certified(&self, uris: &[&str], dns: &[&str]) -> Actor {
        self.certified_with(uris, dns, None).await
    }

    /// Returns who connects with a certificate of these names, and gives this credential.
    pub(crate) async fn certified_with(
        &self,
        uris: &[&str],
        dns: &[&str],
        credential: Option<&str>,
    ) -> Actor {
        let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        let peer = Peer {
            uris: owned(uris),
            dns: owned(dns),
            expires_at: Timestamp::MAX,
        };
        self.presenting(&peer, credential).await
    }

    /// Returns who connects with a certificate that says this, and gives this credential.
    pub(crate) async fn presenting(&self, peer: &Peer, credential: Option<&str>) -> Actor {
        let certified = Arc::new(self.authority.certify(peer));
        Actor::new(self.connect(certified).await, credential, self.issued_to())
    }

    /// Serves one connection for this server, whose certificate is worth this.
    async fn connect(&self, certified: Arc<Certified>) -> Channel {
        let authority = Arc::clone(&self.authority);
        let layers = Layers::new(
            Arc::new(SeededEntropy::new(44)),
            rpc::is_mutation,
            rpc::Limits::default(),
            Arc::default(),
            CancellationToken::new(),
        );
        let (_, health) = Readiness::new();
        let limits = rpc::Limits::default();
        let services = rpc::services(Arc::clone(&authority), &layers, health, false, limits);
        let services = services.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let service = service_fn(move |request| {
                let (services, authority) = (services.clone(), Arc::clone(&authority));
                let certified = Arc::clone(&certified);
                async move { services.answer(&authority, Some(&certified), request).await }
            });
            // It ends with its client.
            let http2 = Builder::new(TokioExecutor::new());
            let _ = http2.serve_connection(TokioIo::new(stream), service).await;
        });
        let channel = Channel::from_shared(format!("http://{address}")).unwrap();
        channel.connect().await.unwrap()
    }
}
