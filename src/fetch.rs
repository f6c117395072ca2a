//! Fetching the keys of OIDC providers: one GET, bounded in size and time, no redirects;
//! for tenants over https alone, to the very address that was found to be public.

mod address;

use std::future::poll_fn;
use std::io::Read as _;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::header::{ACCEPT, CONTENT_LENGTH, HOST, USER_AGENT};
use http::uri::{Scheme, Uri};
use http::{Request, StatusCode};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tokio_util::task::AbortOnDropHandle;

use crate::authority::sessions::{FetchError, FetchKeys, Fetching, KeySource};
use crate::domain::bounds;

/// How long a whole fetch may take.
const TIME: Duration = Duration::from_secs(5);
/// The addresses of a name that are tried, at most.
const ADDRESSES: usize = 4;

/// Fetches keys.
#[derive(Clone)]
pub struct Fetcher {
    /// Whether a tenant's keys may be fetched from an address.
    may_reach: fn(IpAddr) -> bool,
    /// Made when it is needed first: the system's roots are many.
    tls: Arc<OnceLock<TlsConnector>>,
}

impl std::fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fetcher")
    }
}

impl Default for Fetcher {
    fn default() -> Self {
        Self {
            may_reach: address::is_public,
            tls: Arc::default(),
        }
    }
}

impl FetchKeys for Fetcher {
    fn fetch(&self, source: &KeySource) -> Fetching {
        let (fetcher, source) = (self.clone(), source.clone());
        Box::pin(async move {
            match source {
                KeySource::File(path) => read(path).await,
                KeySource::Url { url, of_tenant } => {
                    let got = timeout(TIME, fetcher.get(&url, of_tenant)).await;
                    got.map_err(|_| FetchError::from("the provider is too slow"))?
                }
            }
        })
    }
}

impl Fetcher {
    async fn get(&self, url: &str, of_tenant: bool) -> Result<Vec<u8>, FetchError> {
        let uri: Uri = url.parse()?;
        let secure = uri.scheme() == Some(&Scheme::HTTPS);
        if of_tenant && !secure {
            return Err("a tenant's URL is https".into());
        }
        let host = uri.host().ok_or("the URL names no host")?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let addresses: Vec<SocketAddr> = tokio::net::lookup_host((host, port)).await?.collect();
        // One that is not public among them is no oversight: names that change their
        // addresses between two look-ups begin like this.
        if of_tenant
            && !addresses
                .iter()
                .all(|address| (self.may_reach)(address.ip()))
        {
            return Err("the host has an address that is not public".into());
        }
        let stream = connect(&addresses).await?;
        if !secure {
            return exchange(stream, &uri).await;
        }
        let name = ServerName::try_from(host.to_owned())?;
        let stream = self.tls()?.connect(name, stream).await?;
        exchange(stream, &uri).await
    }

    fn tls(&self) -> Result<TlsConnector, FetchError> {
        if let Some(tls) = self.tls.get() {
            return Ok(tls.clone());
        }
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let tls = connector(roots)?;
        Ok(self.tls.get_or_init(|| tls).clone())
    }
}

fn connector(roots: RootCertStore) -> Result<TlsConnector, FetchError> {
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Connects to the first of these addresses that answers, and to no other.
async fn connect(addresses: &[SocketAddr]) -> Result<TcpStream, FetchError> {
    let mut failure = FetchError::from("the host has no address");
    for address in addresses.iter().take(ADDRESSES) {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = error.into(),
        }
    }
    Err(failure)
}

/// Asks once, and takes an answer that is there and small enough.
async fn exchange<S>(stream: S, uri: &Uri) -> Result<Vec<u8>, FetchError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let _driving = AbortOnDropHandle::new(tokio::spawn(connection));
    let authority = uri.authority().ok_or("the URL names no host")?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::get(path)
        .header(HOST, authority.as_str())
        .header(ACCEPT, "application/json")
        .header(USER_AGENT, "token-authority")
        .body(String::new())?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    if status != StatusCode::OK {
        // Nor is a redirect followed: where it leads was checked by nobody.
        return Err(format!("the provider answered {}", status.as_u16()).into());
    }
    let length = response.headers().get(CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if length.is_some_and(|length| length > bounds::JWKS_BYTES) {
        return Err("the provider's answer is too long".into());
    }
    collect(response.into_body()).await
}

async fn collect(mut body: Incoming) -> Result<Vec<u8>, FetchError> {
    let mut bytes = Vec::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        if let Ok(data) = frame?.into_data() {
            if bytes.len() + data.len() > bounds::JWKS_BYTES {
                return Err("the provider's answer is too long".into());
            }
            bytes.extend_from_slice(&data);
        }
    }
    Ok(bytes)
}

async fn read(path: PathBuf) -> Result<Vec<u8>, FetchError> {
    tokio::task::spawn_blocking(move || read_now(&path)).await?
}

fn read_now(path: &Path) -> Result<Vec<u8>, FetchError> {
    let most = u64::try_from(bounds::JWKS_BYTES)?;
    let mut bytes = Vec::new();
    // One byte more shows that it is too long.
    std::fs::File::open(path)?
        .take(most + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() > bounds::JWKS_BYTES {
        return Err("the file is too long".into());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
