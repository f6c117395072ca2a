//! TLS on a connection: the handshake, whom the client's certificate names, and why a
//! handshake fails. Where certificates come from is for others to know.

mod validity;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{self, CertificateError, ServerConfig};
use tokio_rustls::server::TlsStream;

pub use self::validity::Validity;

use crate::domain::peer::Peer;
use crate::tally::{Closed as _, Each, closed};

/// The protocol that is spoken over TLS: HTTP/2, which gRPC is spoken over.
pub const ALPN: &[u8] = b"h2";

/// How long a handshake may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a client that was refused may take to read why, and how much of what it has
/// sent meanwhile is taken: closed with bytes unread, a connection is reset, and the reason
/// is lost on its way.
const FAREWELL: (Duration, u64) = (Duration::from_secs(1), 64 * 1024);

closed! {
    /// Why a handshake failed.
    pub enum Failure {
        /// The client has no certificate, and needs one.
        NoCertificate = "no_certificate",
        /// The client's certificate has expired.
        Expired = "expired_certificate",
        /// The client's certificate is of no CA that is trusted, or not good for a client.
        BadCertificate = "bad_certificate",
        /// The client refused, as when it does not trust the server's certificate.
        RefusedByClient = "refused_by_client",
        /// The client speaks no TLS: plain text, as a rule.
        NotTls = "not_tls",
        /// The client has no version or no cipher in common.
        Incompatible = "incompatible",
        /// The client does not offer HTTP/2.
        NoHttp2 = "no_http2",
        /// The client does not keep to the protocol.
        Protocol = "protocol",
        /// The client took too long.
        Timeout = "timeout",
        /// The client was gone before the end.
        Gone = "gone",
    }
}

/// How many handshakes failed, by why.
pub type Failures = Each<Failure, { Failure::COUNT }>;

impl Failure {
    /// Returns what a failed handshake's error is.
    fn of(error: &io::Error) -> Self {
        let inner = error.get_ref();
        let Some(error) = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()) else {
            return Self::Gone;
        };
        if let rustls::Error::InvalidCertificate(error) = error {
            return if matches!(
                error,
                CertificateError::Expired | CertificateError::ExpiredContext { .. }
            ) {
                Self::Expired
            } else {
                Self::BadCertificate
            };
        }
        // Most of what can be wrong is the client's, and of no name.
        for (is_it, failure) in [
            (
                matches!(error, rustls::Error::NoCertificatesPresented),
                Self::NoCertificate,
            ),
            (
                matches!(error, rustls::Error::AlertReceived(_)),
                Self::RefusedByClient,
            ),
            (
                matches!(
                    error,
                    rustls::Error::InvalidMessage(
                        rustls::InvalidMessage::InvalidContentType
                            | rustls::InvalidMessage::UnknownProtocolVersion
                    )
                ),
                Self::NotTls,
            ),
            (
                matches!(error, rustls::Error::PeerIncompatible(_)),
                Self::Incompatible,
            ),
            (
                matches!(error, rustls::Error::NoApplicationProtocol),
                Self::NoHttp2,
            ),
        ] {
            if is_it {
                return failure;
            }
        }
        Self::Protocol
    }
}

/// What handshakes are made with: it is replaced while connections come in.
#[derive(Debug)]
pub struct Tls(ArcSwap<ServerConfig>);

impl Tls {
    /// Makes one.
    pub fn new(config: Arc<ServerConfig>) -> Self {
        Self(ArcSwap::new(config))
    }

    /// Has the handshakes that begin from now on made with this. Connections that are
    /// open go on.
    pub fn replace(&self, config: Arc<ServerConfig>) {
        self.0.store(config);
    }

    /// Makes the handshake; returns the connection, and whom the client's certificate
    /// names where it showed one.
    pub(super) async fn accept(
        &self,
        stream: TcpStream,
    ) -> Result<(Wire, Option<Arc<Peer>>), Failure> {
        let acceptor = TlsAcceptor::from(self.0.load_full());
        let accepted = timeout(PATIENCE, acceptor.accept(stream).into_fallible()).await;
        let mut stream = match accepted {
            Err(_) => return Err(Failure::Timeout),
            Ok(Err((error, stream))) => {
                let failure = Failure::of(&error);
                tracing::debug!(error = %error, reason = failure.name(), "a handshake failed");
                bid_farewell(stream).await;
                return Err(failure);
            }
            Ok(Ok(stream)) => stream,
        };
        let (_, session) = stream.get_ref();
        // Who offers none would speak HTTP/1.
        if session.alpn_protocol() != Some(ALPN) {
            let _ = timeout(FAREWELL.0, stream.shutdown()).await;
            bid_farewell(stream.into_inner().0).await;
            return Err(Failure::NoHttp2);
        }
        let certificates = session.peer_certificates().unwrap_or_default();
        let peer = match certificates.first() {
            // It was verified; that it can't be read would be a fault of ours.
            Some(leaf) => Some(Arc::new(peer(leaf).ok_or(Failure::BadCertificate)?)),
            None => None,
        };
        Ok((Wire::Tls(Box::new(stream)), peer))
    }
}

/// Returns whom a certificate names, and until when.
fn peer(leaf: &rustls::pki_types::CertificateDer<'_>) -> Option<Peer> {
    let expires_at = Validity::of(leaf)?.not_after;
    let leaf = webpki::EndEntityCert::try_from(leaf).ok()?;
    Some(Peer {
        uris: leaf.valid_uri_names().map(str::to_owned).collect(),
        dns: leaf.valid_dns_names().map(str::to_owned).collect(),
        expires_at,
    })
}

/// Ends a connection so that its client reads what it was told.
async fn bid_farewell(mut stream: TcpStream) {
    let farewell = async {
        let _ = stream.shutdown().await;
        let _ = tokio::io::copy(&mut stream.take(FAREWELL.1), &mut tokio::io::sink()).await;
    };
    // Whoever reads on beyond that is told less.
    let _ = timeout(FAREWELL.0, farewell).await;
}

/// What a connection's bytes go over.
#[derive(Debug)]
pub(super) enum Wire {
    /// Plain text.
    Plain(TcpStream),
    /// TLS.
    Tls(Box<TlsStream<TcpStream>>),
}

/// Does to whichever it is.
macro_rules! on_wire {
    ($wire:expr, |$stream:ident| $body:expr) => {
        match $wire {
            Wire::Plain($stream) => $body,
            Wire::Tls($stream) => $body,
        }
    };
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        on_wire!(&mut *self, |stream| Pin::new(stream)
            .poll_read(context, buffer))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        on_wire!(&mut *self, |stream| Pin::new(stream)
            .poll_write(context, bytes))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_wire!(&mut *self, |stream| Pin::new(stream).poll_flush(context))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_wire!(&mut *self, |stream| Pin::new(stream).poll_shutdown(context))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::PrivateKeyDer;
    use rustls::{AlertDescription, PeerIncompatible, PeerMisbehaved};
    use tokio::net::TcpListener;
    use tokio::time::Instant;

    fn tls() -> Tls {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new([String::from("a.example")]).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key);
        Tls::new(Arc::new(config.unwrap()))
    }

    #[tokio::test(start_paused = true)]
    async fn a_handshake_that_stalls_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        for said in [b"".as_slice(), b"\x16\x03\x01\x02\x00\x01"] {
            let mut client = TcpStream::connect(address).await.unwrap();
            client.write_all(said).await.unwrap();
            let (stream, _) = listener.accept().await.unwrap();
            let begin = Instant::now();
            let accepted = tls().accept(stream).await;
            assert_eq!(accepted.err(), Some(Failure::Timeout));
            assert!(begin.elapsed() >= PATIENCE);
        }
    }

    #[test]
    fn an_error_is_named_by_what_it_is() {
        use rustls::Error;
        for (error, expected) in [
            (Error::NoCertificatesPresented, "no_certificate"),
            (
                Error::InvalidCertificate(CertificateError::Expired),
                "expired_certificate",
            ),
            (
                Error::InvalidCertificate(CertificateError::UnknownIssuer),
                "bad_certificate",
            ),
            (
                Error::AlertReceived(AlertDescription::UnknownCA),
                "refused_by_client",
            ),
            (
                Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType),
                "not_tls",
            ),
            (
                Error::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon),
                "incompatible",
            ),
            (Error::NoApplicationProtocol, "no_http2"),
            (
                Error::PeerMisbehaved(PeerMisbehaved::DuplicateEncryptedExtensions),
                "protocol",
            ),
        ] {
            let error = io::Error::new(io::ErrorKind::InvalidData, error);
            assert_eq!(Failure::of(&error).name(), expected);
        }
        let gone = io::Error::from(io::ErrorKind::UnexpectedEof);
        assert_eq!(Failure::of(&gone), Failure::Gone);
    }
}
