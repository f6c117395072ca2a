//! The files: read whole, and checked against each other.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use tokio_rustls::rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio_rustls::rustls::time_provider::TimeProvider;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};

use crate::config::read_text;
use crate::domain::time::{Clock, Timestamp};
use crate::rpc::handshake::{ALPN, Validity};

const CERTIFICATE: &str = "tls.certificate_file";
const KEY: &str = "tls.key_file";
const CLIENT_CA: &str = "tls.client_ca_file";

/// Which files, and what is asked of clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The server's certificate, and those between it and its CA's.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The certificates of the CAs of clients, and whether each client needs one.
    pub clients: Option<(PathBuf, Clients)>,
    /// The least version of TLS that is spoken.
    pub minimum: Version,
}

/// Whether a client needs a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clients {
    /// It does.
    Required,
    /// It may show one, and then a good one.
    Optional,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// 1.2.
    V1_2,
    /// 1.3.
    V1_3,
}

impl Version {
    /// Returns what is spoken where this is the least.
    fn and_later(self) -> &'static [&'static SupportedProtocolVersion] {
        static FROM_1_2: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
        static FROM_1_3: [&SupportedProtocolVersion; 1] = [&TLS13];
        match self {
            Self::V1_2 => &FROM_1_2,
            Self::V1_3 => &FROM_1_3,
        }
    }
}

/// Something that is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// The key of the configuration that names the file.
    pub key: &'static str,
    /// What is wrong: never what is in the file, which may be a key.
    pub what: String,
}

fn flaw(key: &'static str, what: impl Into<String>) -> Flaw {
    let what = what.into();
    Flaw { key, what }
}

/// What tells texts apart, without being them.
pub(super) type Digest = [u8; 32];

/// What the files hold.
pub(super) struct Texts {
    certificate: String,
    key: String,
    client_ca: Option<String>,
}

/// Shows no key.
impl fmt::Debug for Texts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Texts")
    }
}

/// What was made of files that are good.
#[derive(Debug)]
pub struct Loaded {
    /// What handshakes are made with.
    pub config: Arc<ServerConfig>,
    /// When the server's certificate ends.
    pub expires_at: Timestamp,
    /// What the files held.
    pub(super) digest: Digest,
}

/// Reads the files, and checks them against each other; returns all that is wrong.
pub fn load(files: &Files, clock: &Arc<dyn Clock>) -> Result<Loaded, Vec<Flaw>> {
    read(files)?.loaded(files, clock)
}

/// Reads the files.
pub(super) fn read(files: &Files) -> Result<Texts, Vec<Flaw>> {
    let mut flaws = Vec::new();
    let mut text = |key, path: &Path| match read_text(path) {
        Ok(text) => text,
        Err(error) => {
            flaws.push(flaw(key, unreadable(&error)));
            String::new()
        }
    };
    let texts = Texts {
        certificate: text(CERTIFICATE, &files.certificate),
        key: text(KEY, &files.key),
        client_ca: files.clients.as_ref().map(|(ca, _)| text(CLIENT_CA, ca)),
    };
    if flaws.is_empty() {
        return Ok(texts);
    }
    // What could be read may be wrong as well.
    let is_read = |key| !flaws.iter().any(|flaw: &Flaw| flaw.key == key);
    let mut more = Vec::new();
    if is_read(CERTIFICATE) {
        more.extend(chain(CERTIFICATE, &texts.certificate).err());
    }
    if is_read(KEY) {
        more.extend(private_key(&texts.key).err());
    }
    if let Some(ca) = &texts.client_ca
        && is_read(CLIENT_CA)
    {
        more.extend(roots(ca).err());
    }
    flaws.extend(more);
    Err(flaws)
}

fn unreadable(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::InvalidData {
        return String::from("is no text, and so not PEM");
    }
    format!("can't be read: {error}")
}

impl Texts {
    /// Returns what tells them from others.
    pub(super) fn digest(&self) -> Digest {
        let parts = [
            Some(&self.certificate),
            Some(&self.key),
            self.client_ca.as_ref(),
        ];
        let mut hash = Sha256::new();
        for part in parts.into_iter().flatten() {
            hash.update(part.len().to_be_bytes());
            hash.update(part);
        }
        hash.finalize().into()
    }

    /// Checks them against each other, and makes of them what handshakes are made with.
    pub(super) fn loaded(
        &self,
        files: &Files,
        clock: &Arc<dyn Clock>,
    ) -> Result<Loaded, Vec<Flaw>> {
        let mut flaws = Vec::new();
        let chain = chain(CERTIFICATE, &self.certificate).and_then(|chain| {
            let validity = validity(&chain, clock.now())?;
            Ok((chain, validity))
        });
        let chain = chain.map_err(|flaw| flaws.push(flaw)).ok();
        let key = private_key(&self.key).map_err(|flaw| flaws.push(flaw)).ok();
        let roots = self.client_ca.as_deref().map(roots).transpose();
        let roots = roots.map_err(|flaw| flaws.push(flaw)).ok().flatten();
        let (Some((chain, validity)), Some(key), []) = (chain, key, flaws.as_slice()) else {
            return Err(flaws);
        };
        let certified = certified(chain, key).map_err(|flaw| vec![flaw])?;
        let provider = Arc::new(default_provider());
        let clients = files.clients.as_ref().zip(roots);
        let clients = clients.map(|((_, clients), roots)| verifier(*clients, roots, &provider));
        let clients = clients.transpose().map_err(|flaw| vec![flaw])?;
        let config = config(certified, clients, files.minimum, provider, clock);
        Ok(Loaded {
            config: Arc::new(config.map_err(|what| vec![flaw(CERTIFICATE, what)])?),
            expires_at: validity.not_after,
            digest: self.digest(),
        })
    }
}

/// Returns what handshakes are made with.
fn config(
    certified: CertifiedKey,
    clients: Option<Arc<dyn ClientCertVerifier>>,
    minimum: Version,
    provider: Arc<CryptoProvider>,
    clock: &Arc<dyn Clock>,
) -> Result<ServerConfig, String> {
    let time = Arc::new(Time(Arc::clone(clock)));
    let builder = ServerConfig::builder_with_details(provider, time)
        .with_protocol_versions(minimum.and_later())
        .map_err(|error| error.to_string())?;
    let builder = match clients {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.alpn_protocols = vec![ALPN.to_vec()];
    // Each handshake is a whole one: a session that is resumed would be its client's still
    // whose certificate has expired, or whose CA is trusted no more.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// The time, as the world tells it.
#[derive(Debug)]
struct Time(Arc<dyn Clock>);

impl TimeProvider for Time {
    fn current_time(&self) -> Option<UnixTime> {
        let millis = u64::try_from(self.0.now().millis()).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_millis(millis)))
    }
}

/// Returns the certificates that a file holds.
fn chain(key: &'static str, text: &str) -> Result<Vec<CertificateDer<'static>>, Flaw> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    match chain {
        Ok(chain) if chain.is_empty() => Err(flaw(key, "holds no certificate in PEM")),
        Ok(chain) => Ok(chain),
        Err(_) => Err(flaw(key, "is not PEM throughout")),
    }
}

/// Returns how long the server's certificate is good, if it is now.
fn validity(chain: &[CertificateDer<'_>], now: Timestamp) -> Result<Validity, Flaw> {
    let leaf = chain.first().map(AsRef::as_ref).unwrap_or_default();
    let validity = Validity::of(leaf);
    let validity = validity.ok_or_else(|| flaw(CERTIFICATE, "holds what is no certificate"))?;
    let Validity {
        not_before,
        not_after,
    } = validity;
    if now < not_before {
        return Err(flaw(
            CERTIFICATE,
            format!("the certificate is not good before {not_before}"),
        ));
    }
    if not_after < now {
        return Err(flaw(
            CERTIFICATE,
            format!("the certificate has expired, at {not_after}"),
        ));
    }
    Ok(validity)
}

fn private_key(text: &str) -> Result<PrivateKeyDer<'static>, Flaw> {
    PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_| {
        flaw(
            KEY,
            if text.contains("ENCRYPTED") {
                "holds an encrypted key, which is not taken"
            } else {
                "holds no private key in PEM"
            },
        )
    })
}

/// Returns the certificate with its key, if it is its key.
fn certified(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<CertifiedKey, Flaw> {
    let provider = default_provider();
    let key = provider.key_provider.load_private_key(key);
    let key = key.map_err(|_| flaw(KEY, "holds a key of a kind that is not taken"))?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        Ok(()) => Ok(certified),
        Err(tokio_rustls::rustls::Error::InconsistentKeys(_)) => {
            Err(flaw(KEY, "is the key of another certificate"))
        }
        Err(_) => Err(flaw(CERTIFICATE, "holds what is no certificate")),
    }
}

/// Returns the CAs of clients.
fn roots(text: &str) -> Result<RootCertStore, Flaw> {
    let mut roots = RootCertStore::empty();
    for certificate in chain(CLIENT_CA, text)? {
        let added = roots.add(certificate);
        added.map_err(|_| flaw(CLIENT_CA, "holds what is no certificate"))?;
    }
    Ok(roots)
}

fn verifier(
    clients: Clients,
    roots: RootCertStore,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, Flaw> {
    let builder =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    let builder = match clients {
        Clients::Required => builder,
        Clients::Optional => builder.allow_unauthenticated(),
    };
    builder
        .build()
        .map_err(|error| flaw(CLIENT_CA, error.to_string()))
}
